"""The keyboard at a page of the studio: what Tab reaches, whether the focus is seen, and a button found by it."""

from __future__ import annotations

from tests.studio.browser import Tab

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
HERE = """() => {
  const at = document.activeElement;
  return at.getAttribute('aria-label') || at.innerText || at.labels?.[0]?.innerText || at.tagName;
}"""
MOST = 120


def missed(opened: Tab) -> dict[str, list[str]]:
    """What Tab does not reach on the page, and what does not show that it has the focus."""
    stops = opened.page.evaluate(STOPS)
    assert stops["count"] > 0 and stops["jumps"] == 0
    for _ in range(stops["count"] + SPARE):
        opened.page.keyboard.press("Tab")
    found: dict[str, list[str]] = opened.page.evaluate(FOUND)
    return {why: which for why, which in found.items() if which}


def here(opened: Tab) -> str:
    """The name of what has the focus."""
    return str(opened.page.evaluate(HERE)).strip()


def tab_to(opened: Tab, name: str) -> None:
    """Presses Tab until something of that name has the focus."""
    for _ in range(MOST):
        opened.page.keyboard.press("Tab")
        if here(opened) == name:
            return
    raise AssertionError(f"Tab does not reach {name!r}")


def leaves(opened: Tab, presses: int = 12) -> set[str]:
    """Where Tab goes beyond the open dialog; the browser's own bar, beyond the last, does not count."""
    found = set()
    for _ in range(presses):
        opened.page.keyboard.press("Tab")
        found.add(opened.page.evaluate(PLACE))
    return found - {"dialog", "BODY"}
