"""The queue of durable runs: a fault fails a run or lets it go on, one may wait, and the others run meanwhile."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import pytest
from msgspec import Struct

from sizewise.errors import StorageError
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


class SharedRows(Rows):
    """Those of a database that other servers use, for a queue that takes none of them over."""

    def __init__(self, *unfinished: str) -> None:
        super().__init__(going_on=0)
        self.unfinished = set(unfinished)
        self.released: list[str] = []
        self.is_away = False  # for one call

    async def release(self, row: Row) -> None:
        if self.is_away:
            self.is_away = False
            raise StorageError("the database is away")
        self.released.append(row.id)

    async def take_orphans(self, server: str, silent_ms: int) -> Sequence[Row]:
        raise AssertionError("it takes no others")

    async def renew(self, server: str) -> set[str]:
        return self.unfinished


@pytest.mark.parametrize(("going_on", "ran"), [(0, ["bad", "good"]), (1, ["bad", "good", "bad"])])
async def test_a_fault_fails_its_own_run_alone(going_on: int, ran: list[str], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
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


def test_a_server_that_drains_keeps_its_runs_and_takes_no_others() -> None:
    async def run() -> None:
        seen, stopped, rows, ends = list[str](), list[str](), SharedRows("kept"), asyncio.Event()
        queue = RunQueue(rows, "runs", max_running=3, shared=True)

        async def work(row: Row, flag: StopFlag) -> bool:
            seen.append(row.id)
            try:
                await ends.wait()
            except asyncio.CancelledError:
                stopped.append(row.id)
                raise
            return False

        queue.start(work)
        queue.enqueue(Row("kept"))
        queue.enqueue(Row("lost"))
        await asyncio.sleep(1)
        draining = asyncio.ensure_future(queue.drain())
        await asyncio.sleep(1)
        await queue.take_over()
        await asyncio.sleep(1)
        ends.set()
        await draining
        assert (seen, stopped, rows.released) == (["kept", "lost"], ["lost"], ["kept"])

    virtual_time.run(run())


def test_a_run_that_was_stopped_is_released_once_its_storage_is_back() -> None:
    async def run() -> None:
        rows = SharedRows("stopped")
        rows.is_away = True
        queue = RunQueue(rows, "runs", max_running=1, shared=True)

        async def stop(row: Row, flag: StopFlag) -> bool:
            return False

        queue.start(stop)
        queue.enqueue(Row("stopped"))
        await asyncio.sleep(10)
        assert (rows.released, rows.failed) == (["stopped"], [])

    virtual_time.run(run())
