"""One timer for many tasks: each is cancelled when its own time is over; a client that leaves is another matter."""

from __future__ import annotations

import asyncio
from time import perf_counter

import pytest

from sizewise.deadline import Deadline


async def under(deadline: Deadline, ended: list[str], name: str, seconds: float, since: float) -> None:
    deadline.begin(since)
    try:
        await asyncio.sleep(seconds)
        ended.append(f"{name} done")
    except asyncio.CancelledError:
        if not deadline.expired():
            ended.append(f"{name} left")
            raise
        ended.append(f"{name} late")
    finally:
        deadline.end()


async def test_only_who_is_late_is_cancelled_whenever_it_began() -> None:
    deadline, ended = Deadline(0.3), list[str]()
    now = perf_counter()
    works = [("a", 0.0, now), ("b", 3_600.0, now), ("c", 0.0, now), ("d", 3_600.0, now + 0.05)]
    await asyncio.gather(*(under(deadline, ended, *work) for work in works))
    assert not deadline._due and not deadline._expired
    assert ended == ["a done", "c done", "b late", "d late"]


async def test_who_is_cancelled_by_others_too_stays_cancelled() -> None:
    deadline, ended = Deadline(0.02), list[str]()
    task = asyncio.create_task(under(deadline, ended, "a", 9, perf_counter()))
    while task not in deadline._expired:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["a left"]


async def test_it_counts_again_after_a_quiet_time() -> None:
    deadline, ended = Deadline(0.03), list[str]()
    await under(deadline, ended, "a", 0, perf_counter())
    await asyncio.sleep(0.05)
    await under(deadline, ended, "b", 9, perf_counter())
    assert ended == ["a done", "b late"]
