"""Each page of the studio in a real browser: accessible, light and dark, on a phone, and keeping to itself."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from sizewise.gateway.studio import PAGES
from tests.auth.user_client import PASSWORD, Browser, new_user
from tests.running_server import Served, serving, until
from tests.studio import traffic
from tests.studio.browser import ROOT, tab
from tests.studio.test_builder import TEXT, published

pytestmark = pytest.mark.browser
ROUTES = (ROOT / "web" / "src" / "routes.ts").read_text()
GO = "(path) => { history.pushState(null, '', path); dispatchEvent(new PopStateEvent('popstate')); }"
FOCUS = "() => void dispatchEvent(new Event('focus'))"
MOST_REQUESTS = 12
LISTS = [path for path in PAGES if "{" not in path]


def named(path: str) -> str:
    return path.strip("/").replace("/", "-") or "home"


@pytest.mark.parametrize("look", ["light", "dark"])
@pytest.mark.parametrize("path", LISTS)
def test_a_page_is_accessible_and_keeps_to_itself(
    browser: Any, server: Served, anna: Browser, path: str, look: str
) -> None:
    with tab(browser, server, anna, dark=look == "dark") as opened:
        opened.open(path)
        opened.picture(f"{named(path)}-{look}")
        assert opened.inaccessible() == []
        assert opened.wrong() == []


@pytest.mark.parametrize("path", LISTS)
def test_a_page_fits_a_phone(browser: Any, server: Served, anna: Browser, path: str) -> None:
    with tab(browser, server, anna, phone=True) as opened:
        opened.open(path)
        opened.picture(f"{named(path)}-phone")
        assert not opened.scrolls_sideways()
        assert opened.wrong() == []


def test_a_person_signs_in_and_comes_back_to_the_page(browser: Any, server: Served, anna: Browser) -> None:
    with tab(browser, server) as opened:
        opened.open("/records?outcome=failed")
        assert opened.inaccessible() == []
        opened.page.get_by_label("Email").fill("anna@example.com")
        opened.page.get_by_label("Password").fill("wrong")
        opened.page.get_by_role("button", name="Sign in").click()
        opened.page.get_by_text("the address or the password is wrong").wait_for()
        opened.page.get_by_label("Password").fill(PASSWORD)
        opened.page.get_by_role("button", name="Sign in").click()
        opened.page.get_by_role("heading", name="Records").wait_for()
        opened.page.get_by_text("upstream_refused").first.wait_for()
        assert [each for each in opened.wrong() if "401" not in each] == []


def test_a_session_that_ends_asks_for_a_new_one_over_the_page(browser: Any, server: Served) -> None:
    ben = new_user(server, "ben@example.com", "owner")
    with tab(browser, server, ben) as opened:
        opened.open("/play")
        opened.page.get_by_label("Prompt").fill("A prompt that must not be lost")
        ben.send("/auth/sign-out", {})
        opened.page.evaluate(FOCUS)
        opened.page.get_by_label("Email").fill("ben@example.com")
        opened.page.get_by_label("Password").fill(PASSWORD)
        opened.page.get_by_role("button", name="Sign in").click()
        opened.page.get_by_role("dialog").wait_for(state="detached")
        assert opened.page.get_by_label("Prompt").input_value() == "A prompt that must not be lost"


def test_a_page_is_loaded_anew_for_the_project_that_another_tab_chose(browser: Any, server: Served) -> None:
    cleo = new_user(server, "cleo@example.com", "owner")
    with tab(browser, server, cleo) as opened:
        page = opened.page
        opened.open("/access/keys")
        page.evaluate("window.isBefore = true")
        assert cleo.send("/auth/session", {"project": "lab"}).status == 200
        page.evaluate(FOCUS)
        page.get_by_role("button", name="cleo lab").wait_for()
        assert not page.evaluate("window.isBefore"), "what it had read was of the other project"
        page.get_by_role("heading", name="Keys").wait_for()
        assert opened.wrong() == []


def test_what_is_unsaved_as_another_tab_chooses_a_project_goes_back_to_its_own(browser: Any, server: Served) -> None:
    kim = new_user(server, "kim@example.com", "owner")
    published(server, "moved")
    with tab(browser, server, kim) as opened:
        page = opened.page
        opened.open("/flows/moved?view=node&node=second")
        held = opened.hold("mutation FlowDraftSave")
        page.get_by_label("text text").fill("Heard: {{ first.text }}")
        page.get_by_label("text text").press("Tab")
        held.wait()
        held.refuse("Not now.")
        page.get_by_text("Not now.").wait_for()
        assert kim.send("/auth/session", {"project": "lab"}).status == 200
        page.evaluate(FOCUS)
        page.get_by_role("heading", name="You are in the project lab now").wait_for()
        assert page.get_by_role("heading", name="moved", exact=True).count() == 0
        opened.picture("moved")
        assert opened.inaccessible() == []
        page.get_by_role("button", name="Go back to default").click()
        page.get_by_text("Here is what you typed before it could be saved.").wait_for()
        draft, typed = '{ flowDraft(name: "moved") { text } }', TEXT.replace("Said", "Heard").format(name="moved")
        until(lambda: kim.graphql(draft).data["flowDraft"] == {"text": typed})
        assert kim.send("/auth/session", {"project": "lab"}).status == 200
        assert kim.graphql(draft).data["flowDraft"] is None
        assert opened.wrong() == []


def test_who_signs_in_over_the_page_of_another_sees_nothing_of_it(browser: Any, server: Served) -> None:
    dan = new_user(server, "dan@example.com", "owner")
    new_user(server, "eve@example.com", "owner")
    with tab(browser, server, dan) as opened:
        page = opened.page
        opened.open("/access/keys")
        page.get_by_role("button", name="New key").click()
        page.get_by_label("Name").fill("of dan")
        page.get_by_role("button", name="Create key").click()
        secret = page.locator("figure", has_text="Key").locator("pre").first.inner_text()
        dan.send("/auth/sign-out", {})
        page.evaluate(FOCUS)
        page.get_by_label("Email").fill("eve@example.com")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("button", name="eve default").wait_for()
        assert secret not in page.content()
        assert [each for each in opened.wrong() if "401" not in each] == []


def test_what_somebody_may_not_open_is_not_offered_and_says_why(browser: Any, server: Served) -> None:
    viewer = new_user(server, "vera@example.com", "viewer")
    with tab(browser, server, viewer) as opened:
        opened.open("/")
        assert opened.page.get_by_role("link", name="Play").count() == 0
        opened.page.goto(server.url + "/play")
        opened.page.get_by_text("It needs the permission ask").wait_for()


def opens_it() -> dict[str, list[str]]:
    """Each page's address and the permissions of which any opens it, as web/src/routes.ts has them."""
    names = {
        name: re.findall(r"'([^']+)'", said) for name, said in re.findall(r"const ([A-Z]+)[^=]*= \[(.*?)\];", ROUTES)
    }
    rows = re.findall(r"path: '([^']+)',\s*title: '[^']+',\s*entry: '[^']*',\s*may: ([A-Z]+)", ROUTES)
    return {path: names[may] for path, may in rows}


@pytest.mark.parametrize("role", ["admin", "editor", "developer", "viewer", "annotator"])
def test_story_25_a_role_sees_what_it_may_and_no_page_asks_for_more(browser: Any, server: Served, role: str) -> None:
    person = new_user(server, f"{role}@roles.example.com", role)
    granted = set(person.said["permissions"])
    may = opens_it()
    with tab(browser, server, person) as opened:
        waiting: list[Any] = []
        opened.page.on("request", lambda request: waiting.append(request))
        for ended in ("requestfinished", "requestfailed"):  # a page that is left stops what it asked
            opened.page.on(ended, lambda request: waiting.remove(request) if request in waiting else None)
        opened.open("/account")
        for path in LISTS:
            allowed = not may[path] or bool(granted.intersection(may[path]))
            opened.page.evaluate(GO, path)
            shut = opened.page.get_by_role("heading", name="This page is not open to you")
            (opened.page.locator("h1").first if allowed else shut).wait_for()
            until(lambda: opened.page.wait_for_timeout(30) or not waiting)
            assert bool(shut.count()) is not allowed, path
        shown = {each.get_attribute("href") for each in opened.page.locator("nav a[href]").all()} - {"/"}
        assert all(not may[path] or granted.intersection(may[path]) for path in shown if path in may), shown
        assert opened.wrong() == [], "a page asked for what this role may not see"
    if role == "admin":
        return
    made = person.graphql('mutation { createKey(name: "forged", permissions: [manage_users]) { secret } }')
    assert made.errors and made.errors[0]["extensions"]["code"] == "forbidden"


def test_story_2_the_first_page_takes_few_requests(browser: Any, server: Served, anna: Browser) -> None:
    with tab(browser, server, anna) as opened:
        asked: list[str] = []
        opened.page.on("request", lambda request: asked.append(request.url))
        opened.open("/play")
        assert len(asked) <= MOST_REQUESTS, asked


def test_story_1_the_printed_link_signs_in_once_and_play_answers(browser: Any, tmp_path: Path) -> None:
    with serving(tmp_path, traffic.SETTINGS) as fresh:
        with tab(browser, fresh) as opened:
            opened.page.goto(fresh.sign_in)
            opened.page.get_by_role("heading", name="Play").wait_for()
            opened.page.get_by_role("button", name="Run").click()
            opened.page.get_by_role("region", name="Answer of auto").get_by_text("Total", exact=True).wait_for()
            assert opened.wrong() == []
        with tab(browser, fresh) as again:
            again.page.goto(fresh.sign_in)
            again.page.get_by_text(re.compile("used|expired|no longer")).first.wait_for()
            assert again.page.get_by_role("heading", name="Play").count() == 0
            again.picture("link-used")
