"""Trying a flow in a real browser: pins and past runs, a run of an old version, a run that outlives its server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.auth.user_client import Browser, new_user
from tests.graphql.graphql_client import graphql
from tests.running_server import Served, serving, until
from tests.studio import traffic
from tests.studio.browser import tab
from tests.studio.test_builder import TEXT, live, published, written

pytestmark = pytest.mark.browser
START = "mutation($f: String!, $i: JSON) { startFlowRun(flow: $f, inputs: $i) { id version } }"


def test_story_16_pins_keep_every_other_node_from_being_asked_and_must_fit(
    browser: Any, server: Served, anna: Browser
) -> None:
    text = TEXT.replace("kind: template\n    text:", "kind: ask\n    model: echo/large\n    prompt:")
    published(server, "trying_pins", text)
    with tab(browser, server, anna) as opened:
        page = opened.page
        opened.open("/flows/trying_pins?view=try")
        page.get_by_label("question").fill("Hello [[pace 0.05]] [[repeat 40]] [[say one two three]]")
        page.get_by_role("button", name="Try all").click()
        page.locator("[data-node=first].running").wait_for()
        page.locator("[data-node=second].done").wait_for()
        asked = nodes_asked(server)
        page.locator("[data-node=second]").click()
        page.get_by_role("button", name="Only second").click()
        until(lambda: nodes_asked(server) == {**asked, "second": asked["second"] + 1})
        page.get_by_role("cell", name="pinned").wait_for()
        query = 'mutation($t: String!, $l: JSON) { saveFlowDraft(name: "trying_pins", text: $t, layout: $l) { saved } }'
        wrong = {"pins": {"first": {"text": 5}}}
        saved = anna.graphql(query, t=text.format(name="trying_pins") + "# a draft\n", l=wrong)
        assert saved.errors == [], saved.errors
        opened.open("/flows/trying_pins?view=try")
        page.get_by_label("question").fill("Hello")
        page.get_by_role("button", name="Try all").click()
        page.get_by_role("alert").filter(has_text="first").wait_for()
        assert nodes_asked(server) == {**asked, "second": asked["second"] + 1}
        assert [each for each in opened.wrong() if "400" not in each] == []


def nodes_asked(server: Served) -> dict[str, int]:
    """How many requests of each node of the flow are recorded."""
    rows = graphql(server, "{ records(last: 200) { rows { flow node } } }").data["records"]["rows"]
    of = [row["node"] for row in rows if row["flow"] == "trying_pins"]
    return {name: of.count(name) for name in ("first", "second")}


def test_story_18_a_run_of_an_old_version_is_opened_as_that_version_with_its_values(
    browser: Any, server: Served, anna: Browser
) -> None:
    published(server, "trying_old")
    old = live(server, "trying_old")
    started = graphql(server, START, f="trying_old", i={"question": "Hello [[say Good day.]]"})
    run = started.data["startFlowRun"]
    published(server, "trying_old", TEXT.replace("Said", "Shouted"))
    with tab(browser, server, anna) as opened:
        page = opened.page
        opened.open(f"/runs/{run['id']}")
        page.get_by_text(f"of version {run['version'][:8]}").wait_for()
        page.get_by_role("link", name="Open as a draft").click()
        page.get_by_text(f"The text is that of version {run['version'][:8]}").wait_for()
        page.locator("[data-node=second]").click()
        page.get_by_role("button", name="Only second").click()
        page.get_by_role("figure").filter(has_text="Said: Good day.").first.wait_for()
        page.get_by_role("tab", name="Text").click()
        assert [each for each in written(page).splitlines() if each] == [each for each in old.splitlines() if each]
        page.get_by_role("button", name="Publish …").click()
        page.get_by_text('+    text: "Said: {{ first.text }}"').wait_for()
        page.get_by_text('-    text: "Shouted: {{ first.text }}"').wait_for()
        assert opened.wrong() == []


def test_story_17_a_run_is_followed_through_the_death_of_its_server(browser: Any, tmp_path: Path) -> None:
    traffic.write_flow(tmp_path)
    with serving(tmp_path, traffic.SETTINGS) as first:
        until(lambda: live(first, "refund"))
        person = new_user(first, "anna@example.com", "owner")
        run = graphql(first, traffic.RUN, mail="My lamp broke.").data["startFlowRun"]["id"]
        with tab(browser, first, person) as opened:
            page = opened.page
            opened.open(f"/runs/{run}")
            page.get_by_role("row", name="check").get_by_text("waiting").wait_for()
            first.process.kill()
            first.process.wait(60)
            with serving(tmp_path, traffic.SETTINGS, "--port", first.url.rpartition(":")[2]) as second:
                decide = 'mutation($i: String!) { decide(id: $i, key: "check", approved: true) { id } }'
                assert second.url == first.url and person.graphql(decide, i=run).errors == []
                page.get_by_role("row", name="check").get_by_text("done").wait_for()
                page.get_by_text("Outputs").wait_for()
                steps = page.locator("tbody td.first").all_inner_texts()
                assert sorted(steps) == ["check", "draft"], "no node is drawn twice"
