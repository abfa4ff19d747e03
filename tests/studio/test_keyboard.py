"""Each page by the keyboard alone: Tab reaches everything, the focus is seen, dialogs give it back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.auth.user_client import Browser
from tests.running_server import Served
from tests.studio.browser import Tab, tab
from tests.studio.test_builder import TEXT, published
from tests.studio.test_pages import LISTS

pytestmark = pytest.mark.browser
STOPS = """() => {
  window.reached = new Set();
  window.hidden = new Set();
  const shown = (each) => each.checkVisibility({ visibilityProperty: true, checkOpacity: true });
  const words = (each) => each.getAttribute('aria-label') || each.innerText || each.id;
  const name = (each) => `${each.tagName.toLowerCase()} ${words(each)}`;
  const all = [...document.querySelectorAll('a[href], button, input, select, textarea, summary, [tabindex]')]
    .filter((each) => each.tabIndex >= 0 && !each.disabled && shown(each) && !each.closest('[inert]'))
    .filter((each) => each.type !== 'radio' || each.checked);
  window.stops = new Map(all.map((each, number) => [each, `${number} ${name(each).trim().slice(0, 60)}`]));
  const seen = (style) =>
    (style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0 && style.outlineColor !== 'transparent');
  document.addEventListener('focusin', ({ target }) => {
    if (!window.stops.has(target)) return;
    window.reached.add(target);
    const around = [target, target.closest('label'), target.closest('form, tr'), target.nextElementSibling];
    if (!around.some((each) => each && seen(getComputedStyle(each)))) window.hidden.add(target);
  });
  return { count: all.length, jumps: all.filter((each) => each.tabIndex > 0).length };
}"""
FOUND = """() => ({
  missed: [...window.stops].filter(([each]) => each.isConnected && !window.reached.has(each)).map(([, name]) => name),
  hidden: [...window.hidden].map((each) => window.stops.get(each)),
})"""
PLACE = "() => { const at = document.activeElement; return at.closest('dialog') ? 'dialog' : at.tagName; }"
SPARE = 4
"""More than there are stops: the editor of a flow and the end of the page take some."""


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
        stops = opened.page.evaluate(STOPS)
        assert stops["count"] > 0 and stops["jumps"] == 0
        for _ in range(stops["count"] + SPARE):
            opened.page.keyboard.press("Tab")
        assert opened.page.evaluate(FOUND) == {"missed": [], "hidden": []}


def at_dialog(opened: Tab, presses: int = 12) -> Iterator[str]:
    for _ in range(presses):
        opened.page.keyboard.press("Tab")
        yield opened.page.evaluate(PLACE)


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
        assert set(at_dialog(opened)) <= {"dialog", "BODY"}, "the browser's own bar is beyond the last"
        assert opened.inaccessible() == []
        opened.page.keyboard.press("Escape")
        opened.page.get_by_role("dialog").wait_for(state="hidden")
        assert opener.evaluate("(each) => each === document.activeElement")
