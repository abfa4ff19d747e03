"""Releases in a real browser: planned, approved and applied; a canary grows before one's eyes; back in two taps."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sizewise.releases.canary.evaluation import CHANGE_MS
from tests.auth.user_client import Browser, new_user
from tests.graphql.graphql_client import graphql
from tests.releases.test_environments import ENVIRONMENTS, PROMPT, key_of, live, project, run
from tests.running_server import Served, serving, until
from tests.stories.test_canary_stories import arm, canary_of
from tests.stories.test_canary_stories import ask as asked
from tests.studio.browser import Tab, tab
from tests.studio.keyboard import here, leaves, missed, tab_to

pytestmark = pytest.mark.browser
SETTINGS = (
    ENVIRONMENTS.replace("[environments.prod]\n", "[environments.prod]\napprove = 1\n")
    + """
[environments.free.canary]
steps = [0.5]
shadow_pairs = 0
units = [1]
minutes = [0]
promote = "manual"
"""
)


@contextmanager
def with_releases(folder: Path) -> Iterator[Served]:
    home = project(folder, SETTINGS)
    with serving(home, SETTINGS) as served:
        until(lambda: all(live(home)[each] for each in ("prod", "free")))
        yield served


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with with_releases(tmp_path_factory.mktemp("released")) as served:
        yield served


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Served]:
    """Where nobody has begun a canary yet."""
    with with_releases(tmp_path) as served:
        yield served


@pytest.fixture(scope="module")
def owners(released: Served) -> tuple[Browser, Browser]:
    return new_user(released, "anna@example.com", "owner"), new_user(released, "ben@example.com", "owner")


def publish(server: Served, words: str) -> None:
    (server.home / "prompts" / "greet.md").write_text(PROMPT.replace("one", words))


def test_a_release_is_planned_approved_by_another_applied_and_rolled_back_in_two_taps(
    browser: Any, released: Served, owners: tuple[Browser, Browser]
) -> None:
    anna, ben = owners
    first = live(released.home)["prod"]
    publish(released, "two <img src=x onerror=alert(1)>")
    with tab(browser, released, anna) as opened:
        opened.open("/releases")
        opened.page.get_by_role("button", name="Plan from staging").first.click()
        opened.page.get_by_role("heading", name="Plan for prod").wait_for()
        opened.page.get_by_text("<img src=x onerror=alert(1)>").first.wait_for()
        opened.page.get_by_role("heading", name="Effects on recorded traffic").wait_for()
        assert opened.page.get_by_role("button", name="Apply").is_disabled()
        opened.page.get_by_text("You planned it, so another person approves it").wait_for()
        assert opened.page.get_by_role("button", name="Approve").count() == 0
        opened.picture("plan-light")
        assert missed(opened) == {}
        assert opened.inaccessible() == []
        address = opened.page.url.removeprefix(released.url)
        assert opened.wrong() == []
    with tab(browser, released, ben, dark=True) as opened:
        opened.open(address)
        opened.page.get_by_role("button", name="Approve").click()
        opened.page.get_by_text("0 of 1 approvals").wait_for(state="detached")
        opened.page.get_by_role("button", name="Apply").click()
        opened.page.get_by_role("dialog").get_by_label("Reason").fill("better words")
        assert opened.inaccessible() == []
        opened.page.get_by_role("dialog").get_by_role("button", name="Apply").click()
        lane = opened.page.get_by_role("region", name="Environment prod")
        lane.get_by_text(f"before it {first[:12]}").wait_for()
        opened.picture("releases-full-dark")
        assert opened.inaccessible() == []
        opened.open(address)
        opened.page.get_by_text("It was applied at").wait_for()
        assert opened.wrong() == []
    assert live(released.home)["prod"] != first
    with tab(browser, released, ben, phone=True) as opened:
        opened.page.route_web_socket("**", lambda socket: socket.close())
        opened.open("/releases")
        opened.picture("releases-full-phone")
        assert not opened.scrolls_sideways()
        opened.page.get_by_role("region", name="Environment prod").get_by_role("button", name="Roll back").click()
        opened.picture("rollback-phone")
        opened.page.get_by_role("dialog").get_by_role("button", name="Roll back").click()
        opened.page.get_by_role("dialog").wait_for(state="detached")
        until(lambda: live(released.home)["prod"] == first)
        opened.page.get_by_role("cell", name="rolled back").first.wait_for()
        moved = opened.page.get_by_role("row").filter(has_text="rolled back").first
        moved.get_by_text("ben", exact=True).wait_for()
        assert moved.get_by_title(ben.said["user"]).count() == 1, "the id is the tooltip of the name"
        assert opened.wrong() == []


def test_a_flow_shows_which_version_answers_in_each_environment(
    browser: Any, released: Served, owners: tuple[Browser, Browser]
) -> None:
    home = released.home
    one = run(home, "flow", "list")["flows"][0]["environments"]["prod"]["version"]
    file = home / "flows" / "answer.yaml"
    file.write_text(file.read_text().replace("FLOW one", "FLOW two"))
    until(lambda: run(home, "flow", "list")["flows"][0]["environments"]["staging"]["version"] != one)
    two = run(home, "flow", "list")["flows"][0]["environments"]["staging"]["version"]
    with tab(browser, released, owners[0]) as opened:
        opened.open("/flows")
        opened.page.get_by_text(f"staging answers with version {two[:8]}").wait_for()
        opened.page.get_by_text(f"prod answers with version {one[:8]}").wait_for()
        assert opened.inaccessible() == []
        opened.open("/flows/answer?view=versions")
        newest = opened.page.get_by_role("listitem").filter(has_text=two[:12])
        newest.get_by_text("live in staging", exact=True).wait_for()
        older = opened.page.get_by_role("listitem").filter(has_text=one[:12])
        older.get_by_text("live in prod, free", exact=True).wait_for()
        assert opened.wrong() == []


def promote_by_keys(opened: Tab, reason: str) -> None:
    """Pauses, resumes and promotes a canary by Tab, Enter and Escape; each dialog gives the focus back."""
    keys, dialog = opened.page.keyboard, opened.page.get_by_role("dialog")
    tab_to(opened, "Pause")
    keys.press("Enter")
    until(lambda: here(opened) == "Resume")
    keys.press("Enter")
    until(lambda: here(opened) == "Pause")
    for button in ("Promote", "Roll back"):
        tab_to(opened, button)
        keys.press("Enter")
        dialog.wait_for()
        assert leaves(opened) == set() and opened.inaccessible() == []
        tab_to(opened, "Cancel")
        keys.press("Enter")
        dialog.wait_for(state="detached")
        until(lambda button=button: here(opened) == button)
        keys.press("Enter")
        dialog.wait_for()
        keys.press("Escape")
        opened.page.locator("dialog").get_by_role("button", name=button).wait_for(state="detached")
        until(lambda button=button: here(opened) == button)
    tab_to(opened, "All releases")
    tab_to(opened, "Promote")
    keys.press("Enter")
    dialog.get_by_text("Not certified").wait_for()
    tab_to(opened, "Promote")
    keys.press("Enter")
    assert dialog.is_visible(), "a reason is required"
    keys.type(reason)  # what lacks has the focus
    keys.press("Enter")
    opened.page.get_by_text("has become live").wait_for()
    dialog.wait_for(state="detached")
    assert here(opened) == "Canary in free", "what opened the dialog is gone: the title has the focus"


def test_a_canary_is_seen_growing_and_is_paused_resumed_and_promoted(browser: Any, own_server: Served) -> None:
    released, owner = own_server, new_user(own_server, "anna@example.com", "owner")
    publish(released, "three")
    run(released.home, "release", "apply", ".", "--to", "free")
    key = key_of(released.home, "free")

    def greet(session: str) -> str:
        body = {
            "model": "echo/small",
            "messages": [{"role": "user", "content": "Hi"}],
            "sizewise": {"prompt": {"id": "greet"}},
        }
        answer = released.ask("/v1/chat/completions", body, key=key, x_sizewise_session=session)
        assert answer.status == 200, answer.body
        return answer.headers["x-sizewise-arm"]

    with tab(browser, released, owner) as opened:
        opened.open("/releases/canary/free")
        opened.page.get_by_text("0 canary, 0 stable").wait_for()
        opened.page.wait_for_timeout(CHANGE_MS + 1000)  # sessions that come sooner after the change are not counted
        arms = [greet(f"s{number}") for number in range(30)]
        opened.page.get_by_text(f"{arms.count('canary')} canary, {arms.count('stable')} stable").wait_for()
        opened.picture("canary-light")
        assert opened.inaccessible() == []
        with tab(browser, released, owner) as quiet:  # story 40: what is told by nobody never looks live
            quiet.page.clock.install()
            quiet.page.route_web_socket("**", lambda socket: socket.close())
            quiet.open("/releases/canary/free")
            quiet.page.clock.fast_forward(75_000)
            quiet.page.get_by_text(re.compile(r"No evaluation for \d+ s: stable serves on all servers")).wait_for()
            quiet.picture("canary-silent")
            assert quiet.inaccessible() == []
        assert missed(opened) == {}
        promote_by_keys(opened, "the words alone changed")
        assert opened.page.get_by_role("button", name="Promote").count() == 0
        assert opened.wrong() == []
    with tab(browser, released, owner, phone=True, dark=True) as opened:
        opened.open("/releases/canary/free")
        opened.page.get_by_text("has become live").wait_for()
        opened.picture("canary-phone")
        assert opened.inaccessible() == [] and not opened.scrolls_sideways()
        opened.open(f"/releases/{live(released.home)['free']}")
        opened.page.get_by_role("button", name="Show prompts greet").click()
        opened.page.get_by_text("PROMPT three").wait_for()
        opened.picture("release-phone")
        assert opened.inaccessible() == [] and not opened.scrolls_sideways()
        assert opened.wrong() == []


def done(person: Browser, query: str, **variables: object) -> Any:
    found = person.graphql(query, **variables)
    assert found.errors == [], found.errors
    return found.data


def test_story_38_a_plan_whose_base_has_moved_is_stale_and_made_again(
    browser: Any, released: Served, owners: tuple[Browser, Browser]
) -> None:
    anna, ben = owners

    def approved() -> str:
        """A plan for prod of what is in staging, which only waits to be applied."""
        plan = str(done(anna, 'mutation { planRelease(from: "staging", to: "prod") { id } }')["planRelease"]["id"])
        done(ben, "mutation($p: String!) { approveRelease(plan: $p) { id } }", p=plan)
        return plan

    publish(released, "four")
    first = approved()
    with tab(browser, released, ben) as opened:
        opened.open(f"/releases/plan/{first}")
        opened.page.get_by_text("PROMPT four").first.wait_for()
        publish(released, "five")
        done(ben, 'mutation($p: String!) { applyRelease(plan: $p, reason: "") { name } }', p=approved())
        opened.page.get_by_role("button", name="Apply").click()
        opened.page.get_by_role("dialog").get_by_role("button", name="Apply").click()
        opened.page.get_by_role("dialog").get_by_role("alert").wait_for()
        opened.picture("plan-refused")
        opened.page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
        opened.page.reload()
        opened.page.get_by_text("What is live has changed since. Make a new plan.").wait_for()
        opened.picture("plan-stale")
        assert opened.inaccessible() == []
        opened.page.get_by_role("button", name="Plan again").click()
        opened.page.wait_for_url(lambda url: not url.endswith(first))
        opened.page.get_by_role("heading", name="Plan for prod").wait_for()
        assert [each for each in opened.wrong() if "409" not in each] == []


def test_story_36_a_release_that_fails_is_taken_back_and_the_page_lists_its_sessions(
    browser: Any, tmp_path: Path
) -> None:
    with canary_of(tmp_path, "steps = [0.5]\nshadow_pairs = 0", next="broken/gone") as server:
        number = 0

        def ended() -> bool:
            nonlocal number
            number += 1
            answer = asked(server, f"s{number}")
            assert answer.status == 200 and arm(answer) in ("stable", "")
            found = graphql(server, '{ canary(environment: "prod") { state } }').data["canary"]
            return bool(found["state"] == "rolled_back")

        until(ended)
        with tab(browser, server, new_user(server, "anna@example.com", "owner")) as opened:
            opened.open("/releases/canary/prod")
            opened.page.get_by_text("rolled back").first.wait_for()
            opened.page.get_by_text("100.0 %").first.wait_for()
            opened.page.get_by_role("heading", name="The first sessions that failed").wait_for()
            traces = opened.page.locator("a.mono[href^='/records/']")
            assert traces.count() > 0
            assert opened.page.get_by_role("button", name="Promote").count() == 0
            opened.picture("canary-failed")
            assert opened.inaccessible() == []
            traces.first.click()
            opened.page.get_by_role("heading", name="What it caused").wait_for()
            assert opened.wrong() == []


def test_who_may_not_release_sees_the_page_and_no_button(browser: Any, released: Served) -> None:
    viewer = new_user(released, "vera@example.com", "viewer")
    with tab(browser, released, viewer) as opened:
        opened.open("/releases")
        opened.page.get_by_role("region", name="Environment prod").wait_for()
        assert opened.page.get_by_role("button", name="Roll back").count() == 0
        refused = viewer.graphql('mutation { rollbackRelease(environment: "prod") { name } }')
        assert refused.errors[0]["extensions"]["code"] == "forbidden", refused.errors


def test_story_49_a_new_name_of_a_variable_breaks_callers_and_the_plan_says_so(
    browser: Any, released: Served, owners: tuple[Browser, Browser]
) -> None:
    prompt = "---\nrole: user\nvariables:\n  NAME: {type: text}\n---\nHello {{ NAME }}.\n"
    place = released.home / "prompts" / "meet.md"
    place.write_text(prompt.replace("NAME", "name"))
    run(released.home, "release", "apply", ".", "--to", "free", "--now")
    place.write_text(prompt.replace("NAME", "who"))
    plan = run(released.home, "release", "plan", ".", "free")
    with tab(browser, released, owners[0]) as opened:
        page = opened.page
        opened.open(f"/releases/plan/{plan['id']}")
        broken = page.locator("section", has=page.get_by_role("heading", name="Breaks callers"))
        broken.get_by_text("its variable 'name' is gone").wait_for()
        broken.get_by_text("its variable 'who' is required now").wait_for()
        page.get_by_role("button", name="Apply").click()
        opened.picture("plan-broken")
        assert opened.inaccessible() == [] and opened.wrong() == []
