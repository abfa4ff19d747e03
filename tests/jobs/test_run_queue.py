"""The queue of durable runs: a fault fails a run or lets it go on, one may wait, and the others run meanwhile."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import pytest
from msgspec import Struct

from sizewise.jobs.run_queue import RetryLater, RunQueue, StopFlag
from tests import virtual_time


class Row(Struct, frozen=True):
    id: str
    tenant: str = "t"


class Rows:
    """A double of the store: what was failed, and which runs go on after it."""

    def __init__(self, *, going_on: int) -> None:
        self.failed: list[str] = []
        self._going_on = going_on

    async def claim(self, row: Row) -> bool:
        return True

    async def release(self, row: Row) -> None:
        raise AssertionError("no run was stopped")

    async def fail(self, row: Row) -> bool:
        self.failed.append(row.id)
        return len(self.failed) <= self._going_on

    async def take_orphans(self, server: str, silent_ms: int) -> Sequence[Row]:
        return []

    async def renew(self, server: str) -> set[str]:
        return set()


@pytest.mark.parametrize(("going_on", "ran"), [(0, ["bad", "good"]), (1, ["bad", "good", "bad"])])
def test_a_fault_fails_its_own_run_alone(going_on: int, ran: list[str], caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        seen, rows = list[str](), Rows(going_on=going_on)
        queue = RunQueue(rows, "runs", max_running=1, shared=False)

        async def work(row: Row, flag: StopFlag) -> bool:
            seen.append(row.id)
            if row.id == "bad" and seen.count("bad") == 1:
                raise KeyError("a prompt")
            return True

        queue.start(work)
        queue.enqueue(Row("bad"))
        queue.enqueue(Row("good"))
        async with asyncio.timeout(30):
            while len(seen) < len(ran) or not rows.failed:
                await asyncio.sleep(0.001)
        assert (seen, rows.failed) == (ran, ["bad"])

    with caplog.at_level(logging.ERROR):
        asyncio.run(run())
    assert "KeyError" in caplog.text and "a prompt" not in caplog.text


@pytest.mark.parametrize(
    ("is_gone", "ran"), [(False, ["full", "other", "full"]), (True, ["full", "other"])], ids=["is there", "is gone"]
)
def test_a_run_that_waits_leaves_its_place_to_others_and_runs_again(is_gone: bool, ran: list[str]) -> None:
    async def run() -> None:
        seen, rows = list[str](), Rows(going_on=0)
        queue = RunQueue(rows, "runs", max_running=1, shared=True)

        async def work(row: Row, flag: StopFlag) -> bool:
            seen.append(row.id)
            if seen == ["full"]:
                raise RetryLater(60)
            return True

        queue.start(work)
        queue.enqueue(Row("full"))
        queue.enqueue(Row("other"))
        await asyncio.sleep(30)
        assert seen == ["full", "other"]
        if is_gone:  # another server ended it, or it was deleted
            await queue.take_over()
        await asyncio.sleep(60)
        assert (seen, rows.failed) == (ran, [])

    virtual_time.run(run())
