"""Batches in a real browser: failures are never a tick, cost is that of the records, and kill -9 loses no request."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.auth.user_client import Browser, new_user
from tests.cli.terminal import sizewise
from tests.gateway.server_harness import rows
from tests.gateway.test_batches import CONFIG, begun, client_of, cost_of, ended, has_completed, line, results
from tests.running_server import Served, serving, until
from tests.studio.browser import tab
from tests.studio.keyboard import missed

pytestmark = pytest.mark.browser
MANY = CONFIG.replace("max_requests = 60", "max_requests = 1000")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("batches"), MANY) as running:
        yield running


@pytest.fixture(scope="module")
def owner(served: Served) -> Browser:
    return new_user(served, "dora@example.com", "owner")


def test_the_first_batch_is_explained_where_there_is_none(browser: Any, served: Served, owner: Browser) -> None:
    with tab(browser, served, owner) as opened:
        opened.open("/batches")
        opened.page.get_by_text("No batch yet").wait_for()
        assert "/v1/batches" in opened.page.locator("pre").inner_text()
        opened.picture("batches-empty")
        opened.open("/batches/batch_none")
        opened.page.get_by_text("There is no such batch").wait_for()


def test_story_56_a_batch_with_failures_is_not_just_done(browser: Any, served: Served, owner: Browser) -> None:
    lines = [line(f"q{n}", f"[[say answer {n}]] question") for n in range(1_000)]
    for number in range(0, 800, 100):
        lines[number]["body"]["model"] = "echo/none"
    with client_of(served) as client:
        batch = ended(client, begun(client, lines).id)
        bad = results(client, batch.error_file_id)
    for look in ("light", "dark", "phone"):
        with tab(browser, served, owner, dark=look == "dark", phone=look == "phone") as opened:
            page = opened.page
            opened.open("/batches")
            page.get_by_text("done, 8 failed").wait_for()
            assert "✓" not in page.locator("tbody").inner_text(), "no tick"
            opened.picture(f"batches-{look}")
            page.get_by_role("link", name=batch.id.removeprefix("batch_")[:8]).click()
            page.get_by_text("Done, 8 failed: 992 of 1,000 requests answered.").wait_for()
            page.get_by_role("row", name="model_not_found").get_by_text("8").wait_for()
            assert "✓" not in page.locator("main").inner_text()
            shown = page.locator("dt", has_text="Cost").locator("xpath=following-sibling::dd[1]").inner_text()
            opened.picture(f"batch-{look}")
            assert opened.inaccessible() == [] and not opened.scrolls_sideways() and opened.wrong() == []
            if look == "light":
                assert missed(opened) == {}
                with page.expect_download() as download:
                    page.get_by_role("link", name="Errors").click()
                read = [json.loads(each) for each in Path(download.value.path()).read_text().splitlines()]
                assert {each["custom_id"] for each in read} == set(bad)
    booked = sum(each["cost"] for each in rows(served.home, f"SELECT cost FROM records WHERE tags LIKE '%{batch.id}%'"))
    assert booked == round(cost_of(batch) * 1e12) > 0
    assert shown == f"${booked / 1e12:.12f}"[: len(shown)], "the sum of the records, to the digits that are shown"
    told = sizewise("batches", "show", batch.id, home=served.home)
    assert "Done, 8 failed: 992 of 1,000 requests answered." in told.out and "model_not_found" in told.out


def test_story_57_kill_9_loses_no_request_and_the_bar_never_goes_back(browser: Any, tmp_path: Path) -> None:
    lines = [line(f"q{n}", f"[[slow 0.2]] [[say {n}]]") for n in range(60)]
    with serving(tmp_path, CONFIG) as first, client_of(first) as client:
        person = new_user(first, "anna@example.com", "owner")
        id = begun(client, lines).id
        with tab(browser, first, person) as opened:
            page = opened.page
            opened.open(f"/batches/{id}")
            until(lambda: has_completed(client, id, 36))
            seen = [_done(page)]
            first.process.kill()
            first.process.wait(60)
            with serving(tmp_path, CONFIG, "--port", first.url.rpartition(":")[2]) as second:
                while "Done: 60 of 60 requests answered." not in page.locator("header").last.inner_text():
                    seen.append(_done(page))
                    page.wait_for_timeout(100)
                assert second.url == first.url and seen == sorted(seen), "the bar never goes back"
                opened.picture("batch-done")
                batch = ended(client, id)
                assert len(results(client, batch.output_file_id)) == 60, "every row once"


def test_a_batch_is_canceled_after_a_question(browser: Any, served: Served, owner: Browser) -> None:
    with client_of(served) as client:
        id = begun(client, [line(f"q{n}", "[[slow 0.5]]") for n in range(900)]).id
        until(lambda: has_completed(client, id, 4))
        with tab(browser, served, owner) as opened:
            page = opened.page
            opened.open("/batches")
            assert "running" in page.locator("tbody tr").first.inner_text(), "those that run stand first"
            opened.open(f"/batches/{id}")
            page.keyboard.press("c")
            page.get_by_role("dialog").get_by_text("Done and paid").wait_for()
            opened.picture("batch-cancel")
            page.get_by_role("button", name="Cancel the batch").click()
            page.get_by_text("Canceled: ").wait_for()
        assert ended(client, id).status == "cancelled"


def _done(page: Any) -> int:
    """Requests done, as the page says."""
    return int(page.get_by_role("status").filter(has_text=" of ").inner_text().partition(" of ")[0].split()[-1])
