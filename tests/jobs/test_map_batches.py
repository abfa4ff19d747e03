"""A job does each batch once, some at once, and continues where it stopped, was cut short or failed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from sizewise.errors import BudgetExceeded
from sizewise.jobs.map_batches import Batch, map_batches
from sizewise.jobs.shared_budget import SharedBudget


async def batches(count: int = 9) -> AsyncIterator[Batch[int]]:
    for number in range(count):
        yield Batch(f"batch {number}", number)


async def test_every_batch_is_run_once_and_kept_by_its_key() -> None:
    kept, shown = dict[str, int](), list[int]()

    async def double(number: int) -> int:
        return 2 * number

    done = await map_batches(batches(), double, kept.__setitem__, concurrency=4, progress=shown.append)
    assert done == 9 and shown == list(range(1, 10))
    assert kept == {f"batch {number}": 2 * number for number in range(9)}


async def test_as_many_run_at_once_as_may_and_a_slow_one_holds_up_none() -> None:
    running, most, ended = 0, 0, list[int]()

    async def work(number: int) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(50 if number == 0 else 1):
            await asyncio.sleep(0)
        running -= 1
        ended.append(number)

    await map_batches(batches(), work, concurrency=3)
    assert most == 3 and ended[-1] == 0


async def test_what_was_kept_is_not_run_again() -> None:
    kept, ran, failures = dict[str, int](), list[int](), [5]

    async def work(number: int) -> int:
        if number in failures:
            failures.remove(number)
            raise OSError
        ran.append(number)
        return number

    with pytest.raises(OSError):
        await map_batches(batches(), work, kept.__setitem__)
    assert ran == [0, 1, 2, 3, 4]
    assert await map_batches(batches(), work, kept.__setitem__, done=kept) == 9
    assert ran == list(range(9))


async def test_after_an_error_none_starts_and_those_that_run_are_kept() -> None:
    kept = dict[str, int]()

    async def work(number: int) -> int:
        if number == 1:
            raise OSError
        await asyncio.sleep(0.001)
        return number

    with pytest.raises(OSError):
        await map_batches(batches(), work, kept.__setitem__, concurrency=3)
    assert kept == {"batch 0": 0, "batch 2": 2}


async def test_a_job_that_is_cancelled_leaves_none_running() -> None:
    begun, ended = list[int](), list[int]()

    async def work(number: int) -> None:
        begun.append(number)
        try:
            await asyncio.sleep(3_600)
        finally:
            ended.append(number)

    task = asyncio.ensure_future(map_batches(batches(), work, concurrency=3))
    while len(begun) < 3:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sorted(ended) == begun == [0, 1, 2]


async def test_a_job_without_batches_is_done_at_once() -> None:
    async def never(number: int) -> None:
        raise AssertionError(number)

    assert await map_batches(batches(0), never) == 0


def test_requests_at_once_cannot_spend_more_than_the_budget_together() -> None:
    shares = SharedBudget(3)
    first, second = shares.take(90), shares.take(90)
    assert (first, second) == (30, 30)
    shares.put_back(first)  # it cost 10
    assert shares.take(80) == (80 - 30) // 2
    assert SharedBudget(2).take(None) is None and SharedBudget(2).take(-5) == 0


async def test_where_a_share_is_too_small_fewer_run_at_once_and_in_the_end_one_has_all_that_is_left() -> None:
    spent, running, most = 0, 0, 0
    shares = SharedBudget(8)

    async def cost_ten(share: int | None) -> bool:
        """Refused below 90, which is more than it costs."""
        nonlocal spent, running, most
        if share is None or share < 90:
            raise BudgetExceeded("could cost 90", "wait")
        running, most = running + 1, max(most, running + 1)
        assert spent + 90 * running <= 200, "together they stay within the budget"
        await asyncio.sleep(0.001)
        running, spent = running - 1, spent + 10
        return True

    async def job() -> bool:
        await shares.turn()
        return await shares.spend(shares.take(200 - spent), cost_ten, lambda: 200 - spent, BudgetExceeded)

    found = await asyncio.gather(*(job() for _ in range(20)), return_exceptions=True)
    assert shares.running == 0 and shares.take(8) == 8, "nothing is held, and one runs at once"
    answered = [each is True for each in found]
    assert most == 2 and answered.count(True) == 12 and spent == 120, "with 80 left none of 90 may begin"
