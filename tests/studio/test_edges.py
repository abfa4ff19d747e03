"""Edges in a real browser: a thousand of them, who needs somebody first; a group is brought to what is live."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.auth.user_client import new_user
from tests.edge.test_edge_groups import counts, edge_key, groups, seed
from tests.releases.test_environments import PROMPT, live, planned_changes, run
from tests.running_server import Served, until
from tests.studio.browser import tab
from tests.studio.keyboard import here, missed, tab_to

pytestmark = pytest.mark.browser
FLEET = 1_000
FAILING = ("till-0017", "till-0420", "till-0998")
WHY = "city: FAIL: right fell by 100 points"


def since(home: Path) -> int:
    """When the release of the group became live."""
    return int(run(home, "release", "status", "tills")["environments"][0]["live"]["changed"])


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A gateway with a thousand edges of one group, three of which refused what is live."""
    with groups(tmp_path_factory.mktemp("fleet")) as served:
        key, now = edge_key(served, "tills"), live(served.home)["tills"]
        reports: dict[str, dict[str, object]] = {f"till-{number:04}": {"release": now} for number in range(FLEET)}
        refused = {"release": "0" * 64, "note": WHY, "offered": now, "offered_since": since(served.home)}
        reports |= dict.fromkeys(FAILING, refused)
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(lambda each: seed(served, key, each[0], **each[1]), reports.items()))
        assert counts(served, "tills")["failing"] == 3
        yield served


def test_story_42_those_that_fail_are_first_and_a_group_is_brought_to_the_live_release(
    browser: Any, fleet: Served
) -> None:
    home, owner = fleet.home, new_user(fleet, "anna@example.com", "owner")
    before = live(home)["tills"]
    with tab(browser, fleet, owner) as opened:
        page = opened.page
        opened.open("/releases")
        rows = page.get_by_role("region", name="Edges").get_by_role("row")
        shown = [row.inner_text() for row in rows.all()[1:]]
        assert all(name in row and WHY in row for name, row in zip(FAILING, shown, strict=False)), shown
        assert "answers with it" in shown[3]
        assert "1,000 edges: 3 failing" in page.get_by_role("region", name="Environment tills").inner_text()
        opened.picture("releases-edges-light")
        assert opened.inaccessible() == []

        (home / "prompts" / "greet.md").write_text(PROMPT.replace("one", "two"))
        until(lambda: planned_changes(home))
        run(home, "release", "promote", "prod")
        page.get_by_role("link", name="All edges").click()
        page.get_by_role("heading", name="Edges", exact=True).wait_for()
        bring = page.get_by_role("button", name=re.compile("Bring to .*, live in prod"))
        bring.wait_for()
        opened.picture("edges-light")
        assert missed(opened) == {} and opened.inaccessible() == []
        bring.click()
        page.get_by_role("heading", name="Plan for tills").wait_for()
        page.get_by_text("1,000 edges of tills get it when they ask next: 3 failing").wait_for()
        page.get_by_text("PROMPT two").first.wait_for()
        opened.picture("edges-plan")
        tab_to(opened, "Apply")
        page.keyboard.press("Enter")
        dialog = page.get_by_role("dialog")
        dialog.get_by_text("1,000 edges of tills get it when they ask next.").wait_for()
        dialog.get_by_label("Reason").fill("better words")
        assert opened.inaccessible() == []
        page.keyboard.press("Enter")
        page.get_by_text("0 answer with it, 0 refused it, 1,000 not yet").wait_for()
        assert opened.wrong() == []
    now = live(home)["tills"]
    assert now != before and now == live(home)["prod"]
    key = edge_key(fleet, "tills")
    for name in ("till-0000", "till-0001"):
        seed(fleet, key, name, now, offered=now, offered_since=since(home))
    seed(fleet, key, "till-0500", before, offered=now, offered_since=since(home), note=WHY)
    with tab(browser, fleet, owner, phone=True, dark=True) as opened:
        page = opened.page
        opened.open("/releases/edges?environment=tills")
        page.get_by_text("2 answer with it, 1 refused it, 997 not yet").wait_for()
        rows = page.get_by_role("region", name="Edges").get_by_role("row")
        assert "till-0500" in rows.nth(1).inner_text() and WHY in rows.nth(1).inner_text()
        assert "not seen since" in rows.nth(2).inner_text()
        opened.picture("edges-phone-dark")
        assert opened.inaccessible() == [] and not opened.scrolls_sideways()
        page.get_by_role("button", name="Show more edges").press("Enter")
        page.get_by_text("100 edges shown").wait_for()
        assert here(opened) == "Show more edges"
        page.get_by_label("Name").fill("till-0001")
        page.get_by_text("answers with it").wait_for()
        assert rows.count() == 2
        page.get_by_label("Standing").select_option("failing")
        page.get_by_text("No edge is like that").wait_for()
        page.go_back()
        assert opened.wrong() == []
    moved = run(home, "release", "status", "tills")["environments"][0]["moves"][0]
    assert (moved["action"], moved["reason"]) == ("promote", "better words")


def test_a_promotion_takes_a_group_along_and_who_may_not_release_sees_no_button(browser: Any, fleet: Served) -> None:
    home, owner = fleet.home, new_user(fleet, "ben@example.com", "owner")
    viewer = new_user(fleet, "vera@example.com", "viewer")
    (home / "prompts" / "greet.md").write_text(PROMPT.replace("one", "three"))
    until(lambda: planned_changes(home))
    with tab(browser, fleet, viewer) as opened:
        opened.open("/releases/edges")
        opened.page.get_by_role("region", name="Groups").get_by_role("link", name="tills").wait_for()
        assert opened.page.get_by_role("button", name=re.compile("Bring")).count() == 0
        asked = 'mutation { promoteRelease(environment: "prod", edges: ["tills"]) { name } }'
        refused = viewer.graphql(asked)
        assert refused.errors[0]["extensions"]["code"] == "forbidden", refused.errors
        assert opened.wrong() == []
    with tab(browser, fleet, owner) as opened:
        page = opened.page
        opened.open("/releases")
        page.get_by_role("region", name="Environment prod").get_by_role("button", name="Plan from staging").click()
        page.get_by_role("heading", name="Plan for prod").wait_for()
        page.get_by_label(re.compile("Bring 1,000 edges of tills along")).check()
        opened.picture("edges-along")
        assert opened.inaccessible() == []
        page.get_by_role("button", name="Apply").click()
        page.get_by_role("dialog").get_by_role("button", name="Apply").click()
        page.get_by_text("0 answer with it, 0 refused it, 1,000 not yet").wait_for()
        assert opened.wrong() == []
    assert live(home)["tills"] == live(home)["prod"]
