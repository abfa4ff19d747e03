"""The pictures of README and the tour, as the studio is today: copied from PICTURES to docs/img when they changed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.auth.user_client import Browser, new_user
from tests.running_server import Served, serving
from tests.studio import traffic
from tests.studio.browser import Tab, tab
from tests.studio.test_newcomer import RETURNS, SHIPPING

pytestmark = pytest.mark.browser
MOST_BYTES = 110_000
ASKED = "Why is the sky blue?"
CUES = (
    "[[echo/small: say Because of the ocean, which it mirrors.]] [[echo/small: logprob -3]]"
    " [[echo/large: say Air scatters blue light more than red light, so the sky looks blue.]]"
)
"""What the models answer, in their settings and not in the question, so that a reader sees a question."""
HIGH = {"play": 981, "knowledge": 850, "audit": 620, "flow": 620, "quality": 900}


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("pictures")
    traffic.write_flow(home)
    models = 'models = ["small", "large"]\n'
    settings = traffic.SETTINGS.replace(models, f"{models}headers = {{ cues = '{CUES}' }}\n")
    with serving(home, settings) as server:
        traffic.fill(server, 1)
        yield server


@pytest.fixture(scope="module")
def maria(shown: Served) -> Browser:
    return new_user(shown, "maria@example.com", "owner")


def kept(opened: Tab, name: str) -> None:
    """What fits a screen, small enough to be committed."""
    opened.page.set_viewport_size({"width": 1200, "height": HIGH[name]})
    if name == "flow":
        opened.page.get_by_role("button", name="Show all").click()
    opened.page.evaluate("document.activeElement?.blur(); scrollTo(0, 0)")
    data = opened.page.screenshot(type="jpeg", quality=78)
    assert len(data) <= MOST_BYTES, len(data)
    if folder := os.environ.get("PICTURES"):
        (Path(folder) / "docs").mkdir(parents=True, exist_ok=True)
        (Path(folder) / "docs" / f"studio-{name}.jpg").write_bytes(data)


def test_play_shows_an_escalation(browser: Any, shown: Served, maria: Browser) -> None:
    with tab(browser, shown, maria) as opened:
        opened.open("/play?m=auto&m=echo/small")
        opened.page.get_by_label("Prompt").fill(ASKED)
        opened.page.get_by_role("button", name="Run").click()
        for model in ("auto", "echo/small"):
            opened.page.get_by_role("region", name=f"Answer of {model}").get_by_text("Why this model").wait_for()
        opened.page.get_by_text("answered after a smaller model was not trusted").wait_for()
        opened.page.get_by_role("link", name="Open its record").nth(1).wait_for()
        kept(opened, "play")


def test_a_flow_is_text_and_picture(browser: Any, shown: Served, maria: Browser) -> None:
    with tab(browser, shown, maria) as opened:
        opened.open("/flows/refund?node=draft")
        opened.page.locator("[data-node=check]").wait_for()
        kept(opened, "flow")


def test_knowledge_is_searched_in_three_ways(browser: Any, shown: Served, maria: Browser) -> None:
    with tab(browser, shown, maria) as opened:
        page = opened.page
        opened.open("/knowledge")
        page.get_by_label("Name of the new base").fill("handbook")
        page.get_by_role("button", name="Add documents …").click()
        files = [
            {"name": name, "mimeType": "text/markdown", "buffer": data}
            for name, data in {"returns.md": RETURNS, "shipping.md": SHIPPING}.items()
        ]
        page.get_by_label("Choose files").set_input_files(files)
        page.get_by_text("Added returns.md, shipping.md.").wait_for()
        page.get_by_label("Search test").fill("How long can I send a lamp back?")
        page.get_by_role("button", name="Search").click()
        page.get_by_role("group", name="By words").get_by_text("within 30 days").wait_for()
        kept(opened, "knowledge")


def test_the_audit_trail_is_verified(browser: Any, shown: Served, maria: Browser) -> None:
    with tab(browser, shown, maria) as opened:
        opened.open("/access/audit")
        opened.page.get_by_role("button", name="Verify the chain").click()
        opened.page.get_by_text("verified in this browser").wait_for()
        kept(opened, "audit")
