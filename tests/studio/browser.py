"""A real browser at the studio: Debian's chromium, driven by playwright; keeps what must not happen on a page."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.auth.user_client import Browser as Client
from tests.running_server import Served, until

ROOT = Path(__file__).parents[2]
DRIVER = ROOT / ".venv" / "browser"
AXE = ROOT / "web" / "node_modules" / "axe-core" / "axe.min.js"
DESK, PHONE = {"width": 1280, "height": 860}, {"width": 360, "height": 740}
OFFLINE = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
"""No name but this machine's is known: each page works without a network."""
VIOLATIONS = """window.violations = [];
document.addEventListener('securitypolicyviolation', (event) => violations.push(event.violatedDirective));"""
RULES = "() => axe.run().then((found) => found.violations.map((v) => v.id + ': ' + v.nodes.map((n) => n.html).join()))"
OUTSIDE = """() => {
  const beside = (each) => {
    const { left, right } = each.getBoundingClientRect();
    return left < 0 || right > innerWidth + 1 || each.scrollWidth > each.clientWidth + 1;
  };
  const cells = [...document.querySelectorAll('td, tbody')].filter((each) => each.checkVisibility());
  return cells.filter(beside).map((each) => each.outerHTML.slice(0, 200));
}"""
"""Cells of tables that a phone shows only when it is moved sideways, or whose words leave them."""
HEIGHT = "document.documentElement.scrollHeight"
FRAMES = "() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))"
WAIT_MS = 60_000
GRAPHQL = "**/graphql"


def chromium() -> str:
    """The one without windows where it is here: its pages take two thirds of the time, for half of the CPU."""
    whole = shutil.which("chromium")
    shell = whole and shutil.which("chromium-headless-shell")  # alone it lacks files that come with the other
    found = os.environ.get("CHROMIUM") or shell or whole or shutil.which("google-chrome")
    if found is None:
        pytest.skip("there is no Chromium here; on Debian: apt install chromium chromium-headless-shell")
    return found


@dataclass
class Held:
    """Questions of a page that wait on their way to the server, those with `words` in them."""

    page: Any
    words: str
    routes: list[Any] = field(default_factory=list)
    is_over: bool = False

    def hold(self, route: Any) -> None:
        if not self.is_over and self.words in (route.request.post_data or ""):
            self.routes.append(route)
        else:
            route.fallback()

    def wait(self, count: int = 1) -> None:
        """Until that many wait."""
        until(lambda: self.page.wait_for_timeout(30) or len(self.routes) >= count)

    def release(self) -> None:
        """They go on to the server, and no other is held."""
        self.is_over = True
        for route in self.routes:
            route.continue_()
        self.page.unroute(GRAPHQL, self.hold)

    def refuse(self, message: str) -> None:
        """They are answered with this error, and no other is held."""
        self.is_over = True
        for route in self.routes:
            route.fulfill(json={"data": None, "errors": [{"message": message}]})
        self.page.unroute(GRAPHQL, self.hold)


@dataclass
class Tab:
    """A page of the studio, and the problems seen on it."""

    page: Any
    server: Served
    problems: list[str] = field(default_factory=list)

    def open(self, path: str) -> None:
        """Opens an address and waits until its title is there and nothing loads any more."""
        self.page.goto(self.server.url + path)
        self.page.wait_for_selector("h1", timeout=WAIT_MS)
        self.page.wait_for_load_state("networkidle")

    def hold(self, words: str) -> Held:
        """From now on, questions to /graphql with these words in them wait."""
        held = Held(self.page, words)
        self.page.route(GRAPHQL, held.hold)
        return held

    def picture(self, name: str) -> None:
        """Kept where PICTURES says. A table of the page must fit a phone in any case."""
        self._kept(name)
        if self.page.viewport_size == PHONE:
            self._fits()
        elif self.page.locator("main table").count():
            self.page.set_viewport_size(PHONE)
            self._kept(f"{name}-at-360")
            self._fits()
            assert not self.scrolls_sideways()
            self.page.set_viewport_size(DESK)

    def _fits(self) -> None:
        """Within five seconds: a page that was made narrow is laid out in steps."""
        with suppress(AssertionError):
            until(lambda: not self.page.evaluate(OUTSIDE), seconds=5)
        outside = self.page.evaluate(OUTSIDE)
        assert not outside, outside

    def _kept(self, name: str) -> None:
        if folder := os.environ.get("PICTURES"):
            Path(folder).mkdir(parents=True, exist_ok=True)
            size = self.page.viewport_size  # rows below the screen are drawn when they are seen
            self.page.set_viewport_size({**size, "height": max(size["height"], self.page.evaluate(HEIGHT))})
            self.page.evaluate(FRAMES)
            self.page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True)
            self.page.set_viewport_size(size)

    def inaccessible(self) -> list[str]:
        """What axe-core finds on the page as it is."""
        self.page.evaluate(AXE.read_text())
        return list(self.page.evaluate(RULES))

    def scrolls_sideways(self) -> bool:
        return bool(self.page.evaluate("document.documentElement.scrollWidth > innerWidth"))

    def wrong(self) -> list[str]:
        """Errors, requests to other hosts, dialogs and breaches of the Content-Security-Policy so far."""
        return [*self.problems, *self.page.evaluate("window.violations")]


@contextmanager
def driven() -> Iterator[Any]:
    if not DRIVER.is_dir():
        pytest.skip("there is no playwright here; run: make test-browser")
    sys.path.insert(0, str(DRIVER))
    try:
        from playwright.sync_api import sync_playwright

        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox", OFFLINE])
            yield browser
            browser.close()
    finally:
        sys.path.remove(str(DRIVER))


@contextmanager
def tab(
    browser: Any,
    server: Served,
    client: Client | None = None,
    *,
    dark: bool = False,
    phone: bool = False,
    zone: str = "UTC",
) -> Iterator[Tab]:
    """A new tab, signed in as `client` where there is one. A phone has a touch screen."""
    context = browser.new_context(
        viewport=PHONE if phone else DESK,
        color_scheme="dark" if dark else "light",
        reduced_motion="reduce",
        timezone_id=zone,
        has_touch=phone,
    )
    context.set_default_timeout(WAIT_MS)
    if client is not None:
        name, _, value = client.cookie.partition("=")
        context.add_cookies([{"name": name, "value": value, "url": server.url}])
    page = context.new_page()
    page.add_init_script(VIOLATIONS)
    opened = Tab(page, server)
    page.on("console", lambda said: opened.problems.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: opened.problems.append(str(error)))

    def refuse(dialog: Any) -> None:
        opened.problems.append(f"dialog {dialog.message}")
        dialog.dismiss()

    page.on("dialog", refuse)
    page.on("request", lambda asked: opened.problems.append(asked.url) if _foreign(asked.url, server) else None)
    try:
        yield opened
    finally:
        context.close()


def _foreign(url: str, server: Served) -> bool:
    return not url.startswith((server.url, server.url.replace("http", "ws"), "data:", "blob:"))
