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

pytestmark = pytest.mark.browser
ROUTES = (ROOT / "web" / "src" / "routes.ts").read_text()
GO = "(path) => { history.pushState(null, '', path); dispatchEvent(new PopStateEvent('popstate')); }"
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
        opened.page.evaluate("window.dispatchEvent(new Event('focus'))")
        opened.page.get_by_label("Email").fill("ben@example.com")
        opened.page.get_by_label("Password").fill(PASSWORD)
        opened.page.get_by_role("button", name="Sign in").click()
        opened.page.get_by_role("dialog").wait_for(state="detached")
        assert opened.page.get_by_label("Prompt").input_value() == "A prompt that must not be lost"


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
