"""Each page by the keyboard alone: Tab reaches everything, the focus is seen, dialogs give it back."""

from __future__ import annotations

from typing import Any

import pytest

from tests.auth.user_client import Browser
from tests.running_server import Served
from tests.studio.browser import tab
from tests.studio.keyboard import leaves, missed
from tests.studio.test_builder import TEXT, published
from tests.studio.test_pages import LISTS

pytestmark = pytest.mark.browser
LEAVE_FOR_THE_NEXT = """() => new Promise((told) => {
  const left = document.querySelector('dialog[open]');
  left.addEventListener('close', () => setTimeout(told, 100), { capture: true });
  left.close();
  [...document.querySelectorAll('button')].find((each) => each.innerText === 'Replace').click();
})"""
"""As Escape does, and Enter at the next button before the browser has told that the dialog was closed."""


@pytest.fixture(scope="module", autouse=True)
def two_versions(server: Served) -> None:
    published(server, "by_keys")
    published(server, "by_keys", TEXT.replace("Said", "Shouted"))


@pytest.mark.parametrize("path", [*LISTS, "/flows/by_keys", "/knowledge/none_yet"])
def test_tab_reaches_everything_on_a_page_and_the_focus_is_seen(
    browser: Any, server: Served, anna: Browser, path: str
) -> None:
    with tab(browser, server, anna) as opened:
        opened.open(path)
        assert missed(opened) == {}


@pytest.mark.parametrize("look", ["light", "dark"])
def test_tab_reaches_everything_on_a_page_of_one_thing(browser: Any, server: Served, anna: Browser, look: str) -> None:
    trace = anna.graphql("{ records(last: 1) { rows { trace } } }").data["records"]["rows"][0]["trace"]
    run = anna.graphql("{ flowRuns(last: 1) { id } }").data["flowRuns"][0]["id"]
    with tab(browser, server, anna, dark=look == "dark") as opened:
        for path in (f"/records/{trace}", f"/runs/{run}", "/models/echo/small", "/quality/default"):
            opened.open(path)
            assert missed(opened) == {}, path
            assert opened.inaccessible() == [], path


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/flows/by_keys", "Keys"),
        ("/flows/by_keys?view=versions", "Restore …"),
        ("/play", "Go to: Ctrl K"),
        ("/play", "anna default"),
        ("/access/keys", "Revoke"),
    ],
)
def test_a_dialog_keeps_the_focus_and_gives_it_back(
    browser: Any, server: Served, anna: Browser, path: str, name: str
) -> None:
    with tab(browser, server, anna) as opened:
        opened.open(path)
        opener = opened.page.get_by_role("button", name=name, exact=True).first
        opener.focus()
        opened.page.keyboard.press("Enter")
        opened.page.get_by_role("dialog").wait_for()
        assert leaves(opened) == set()
        assert opened.inaccessible() == []
        opened.page.keyboard.press("Escape")
        opened.page.get_by_role("dialog").wait_for(state="hidden")
        assert opener.evaluate("(each) => each === document.activeElement")


def test_a_dialog_that_was_just_left_does_not_close_the_next_one(browser: Any, server: Served, anna: Browser) -> None:
    anna.graphql('mutation { createKey(name: "left", permissions: [ask]) { secret } }')
    with tab(browser, server, anna) as opened:
        opened.open("/access/keys")
        opened.page.get_by_role("button", name="Revoke").first.click()
        opened.page.get_by_role("dialog").wait_for()
        opened.page.evaluate(LEAVE_FOR_THE_NEXT)
        assert opened.page.get_by_role("dialog").get_by_role("heading", name="Replace").is_visible()
