"""The pages of bias in a real browser: a planted router is found (story 54), and a small group stays (story 55)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.auth.user_client import Browser, new_user
from tests.evals.bias_folder import planted_router, small_group
from tests.running_server import Served, serving
from tests.studio.browser import tab
from tests.studio.keyboard import missed

pytestmark = pytest.mark.browser
CONFIG = """
[server]
embedded = false
discover = false
"""


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with two bias runs in its folder of evals."""
    with serving(tmp_path_factory.mktemp("bias"), CONFIG) as server:
        planted_router(server.home / "evals" / "bias" / "planted")
        small_group(server.home / "evals" / "bias" / "few")
        yield server


@pytest.fixture(scope="module")
def owner(compared: Served) -> Browser:
    return new_user(compared, "bea@example.com", "owner")


@pytest.mark.parametrize("look", ["light", "dark", "phone"])
def test_story_54_a_router_that_sends_one_dialect_to_the_small_model_has_one_gap(
    browser: Any, compared: Served, owner: Browser, look: str
) -> None:
    with tab(browser, compared, owner, dark=look == "dark", phone=look == "phone") as opened:
        opened.open("/evals/bias")
        opened.page.get_by_text("answered by the small model by dialect: gap found: scots").wait_for()
        opened.picture(f"bias-runs-{look}")
        opened.page.get_by_role("link", name="planted").click()
        panels = opened.page.get_by_role("region")
        opened.page.get_by_role("heading", name="Answered by the small model by dialect").wait_for()
        found = [words for words in panels.all_inner_texts() if "gap found" in words]
        assert len(found) == 1 and "Answered by the small model" in found[0]
        panel = opened.page.get_by_role("region", name="Answered by the small model by dialect")
        row = panel.get_by_role("row", name="scots").inner_text()
        assert "100.0 %" in row and "gap found" in row
        opened.picture(f"bias-run-{look}")
        assert opened.inaccessible() == [] and not opened.scrolls_sideways() and opened.wrong() == []
        assert look == "phone" or missed(opened) == {}


def test_story_55_a_small_group_is_unclear_and_its_dimension_denies_no_gap(
    browser: Any, compared: Served, owner: Browser
) -> None:
    with tab(browser, compared, owner) as opened:
        opened.open("/evals/bias/few")
        panel = opened.page.get_by_role("region", name="Quality by dialect")
        panel.wait_for()
        row = panel.get_by_role("row", name="few").inner_text()
        assert "unclear" in row and "more texts" in row
        assert "no gap larger" not in panel.get_by_role("paragraph").inner_text()
        opened.picture("bias-few")
