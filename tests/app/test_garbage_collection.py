"""Cycles go after a while, however few there are; what the start loaded is not scanned."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import Iterator
from weakref import ref

import pytest

from sizewise.app.garbage_collection import THRESHOLDS, GarbageCollection


class Node:
    """Refers to itself."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()
    gc.enable()


async def lives(collection: GarbageCollection, rounds: int) -> bool:
    """Whether a lone cycle is alive after so many intervals, or as soon as it is not."""
    task, node = asyncio.create_task(collection.run_periodically()), ref(Node())
    for _ in range(rounds):
        if node() is None:
            break
        await asyncio.sleep(0.001)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    return node() is not None


async def test_a_lone_cycle_goes_by_time() -> None:
    collection = GarbageCollection(interval_s=0.001)
    assert gc.get_threshold() == THRESHOLDS and gc.get_freeze_count() > 1_000
    assert await lives(collection, rounds=10_000) is False


async def test_a_disabled_collector_stays_disabled() -> None:
    collection = GarbageCollection(interval_s=0.001)
    gc.disable()
    assert await lives(collection, rounds=20) is True
