"""A batch job does each key once, in order, and continues where a call stopped, was cut short or failed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from sizewise.batch_job import BatchProgress, map_batches

KEYS = [f"{number:03}" for number in range(25)]


async def fetch(after: str) -> Sequence[str]:
    return [key for key in KEYS if key > after][:10]


async def nothing(after: str) -> Sequence[str]:
    return []


def test_all_batches_are_done_within_the_time_limit() -> None:
    done = list[str]()

    async def work(keys: Sequence[str]) -> None:
        done.extend(keys)

    assert asyncio.run(map_batches(fetch, work, time_limit_s=3_600)) == BatchProgress(25, "")
    assert done == KEYS


def test_a_call_without_time_does_one_batch_and_the_next_goes_on() -> None:
    done, next, calls = list[str](), "", 0

    async def work(keys: Sequence[str]) -> None:
        done.extend(keys)

    while calls == 0 or next:
        step = asyncio.run(map_batches(fetch, work, after=next, time_limit_s=-1))
        next, calls = step.next, calls + 1
        assert step.done <= 10
    assert done == KEYS
    assert calls == 4, "the last call finds that nothing is left"


def test_a_batch_that_failed_is_done_again_and_none_before_it() -> None:
    done = list[str]()

    async def work(keys: Sequence[str]) -> None:
        if len(done) == 10:
            raise OSError
        done.extend(keys)

    with pytest.raises(OSError):
        asyncio.run(map_batches(fetch, work, time_limit_s=3_600))
    assert done == KEYS[:10]
    done.append("failed once")
    asyncio.run(map_batches(fetch, work, after=KEYS[9], time_limit_s=3_600))
    assert [key for key in done if key != "failed once"] == KEYS


def test_a_job_without_keys_is_done_at_once() -> None:
    assert asyncio.run(map_batches(nothing, fetch_never, time_limit_s=1)) == BatchProgress(0, "")


async def fetch_never(keys: Sequence[str]) -> None:
    raise AssertionError(keys)
