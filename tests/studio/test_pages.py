"""Each page of the studio in a real browser: accessible, light and dark, on a phone, and keeping to itself."""

from __future__ import annotations

from typing import Any

import pytest

from sizewise.gateway.studio import PAGES
from tests.auth.user_client import PASSWORD, Browser, new_user
from tests.running_server import Served
from tests.studio.browser import tab

pytestmark = pytest.mark.browser
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
