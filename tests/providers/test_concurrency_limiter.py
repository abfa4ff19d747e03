"""The line before a model: never more than its slots at work, each key in its turn, an honest time for who must go."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sizewise.errors import Busy, UpstreamUnreachable
from sizewise.handler import Request, Send, discard_events
from sizewise.messages import Choice, Reply, Usage
from sizewise.principal import Principal
from sizewise.providers.concurrency_limiter import ConcurrencyLimitHandler, FairQueue
from tests.routing.router_harness import asking, chat
from tests.timeouts import until

REPLY = Reply((Choice(text="yes", finish_reason="stop"),), Usage(1, 1))


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def by(key: str) -> Request:
    return asking(chat("x"), principal=Principal(key_id=key))


@dataclasses.dataclass
class Line:
    """Slots with takers by name, and the order in which they had their turn."""

    slots: FairQueue
    had: list[str] = dataclasses.field(default_factory=list)

    async def come(self, name: str) -> asyncio.Task[None]:
        """`a1` is the first request of key `a`."""

        async def take() -> None:
            await self.slots.acquire(name[0])
            self.had.append(name)

        task = asyncio.create_task(take())
        await asyncio.sleep(0)
        return task


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_keys_have_their_turns_one_after_the_other_and_each_in_its_order() -> None:
    line = Line(FairQueue("m", slots=1, max_waiting=10, max_wait_s=60))
    tasks = [await line.come(name) for name in ("a0", "a1", "a2", "a3", "b1", "b2", "c1")]
    for _ in tasks[1:]:
        line.slots.release()
        await settle()
    assert line.had == ["a0", "a1", "b1", "c1", "a2", "b2", "a3"]


async def test_background_requests_let_all_others_go_first_but_not_for_ever() -> None:
    slots, had = FairQueue("m", slots=1, max_waiting=100, max_wait_s=60), list[str]()

    async def take(name: str) -> None:
        await slots.acquire("same key", background=name.startswith("batch"))
        had.append(name)

    names = ["first", "batch 0", "batch 1", *(f"query {number}" for number in range(10))]
    tasks = [asyncio.create_task(take(name)) for name in names]
    for _ in tasks:
        await settle()
        slots.release()
    queries = names[3:]
    assert had == ["first", *queries[:8], "batch 0", *queries[8:], "batch 1"]
    assert slots.available == 1 and slots.waiting == 0


@pytest.mark.parametrize("background", [False, True])
async def test_in_a_full_line_a_query_replaces_a_background_request_and_never_the_reverse(background: bool) -> None:
    slots = FairQueue("m", slots=1, max_waiting=1, max_wait_s=60)
    await slots.acquire("a")
    waits = asyncio.create_task(slots.acquire("a", background=not background))
    await settle()
    comes = asyncio.create_task(slots.acquire("b", background=background))
    await settle()
    slots.release()
    refused, served = (comes, waits) if background else (waits, comes)
    with pytest.raises(Busy):
        await refused
    await served


async def test_when_the_line_is_full_the_next_is_told_when_to_come_back() -> None:
    line = Line(FairQueue("m", slots=2, max_waiting=2, max_wait_s=60))
    for name in ("a0", "a1"):
        await line.come(name)
    line.slots.release(4.0)
    await line.come("a2")
    waits = [await line.come(name) for name in ("a3", "a4")]
    with pytest.raises(Busy) as refused:
        await line.slots.acquire("a")
    assert (refused.value.status, refused.value.retry_after) == (429, 6)  # three turns of 4 s, two at a time
    assert line.slots.rejected_count == 1
    for wait in waits:
        wait.cancel()


async def test_who_would_wait_too_long_is_told_so_at_once() -> None:
    slots = FairQueue("m", slots=1, max_waiting=10, max_wait_s=5)
    await slots.acquire("a")
    slots.release(3.0)
    await slots.acquire("a")
    waits = asyncio.create_task(slots.acquire("a"))
    await settle()
    with pytest.raises(Busy, match="no free slot for about 6 s"):
        await slots.acquire("a")
    other = asyncio.create_task(slots.acquire("b"))  # its own turn comes second all the same
    await settle()
    assert other.done(), "6 s are too long for another key too"
    waits.cancel()
    await asyncio.gather(waits, other, return_exceptions=True)


async def test_nobody_waits_longer_than_allowed() -> None:
    slots = FairQueue("m", slots=1, max_waiting=10, max_wait_s=0.02)
    await slots.acquire("a")
    with pytest.raises(Busy, match=r"within 0\.02 s"):
        await slots.acquire("a")
    assert slots.waiting == 0 and slots.total_wait_s > 0


async def test_nobody_can_fill_the_line_alone() -> None:
    line = Line(FairQueue("m", slots=1, max_waiting=3, max_wait_s=60))
    tasks = {name: await line.come(name) for name in ("a0", "a1", "a2", "a3", "b1")}
    await settle()
    with pytest.raises(Busy):
        tasks["a3"].result()
    line.slots.release()
    await settle()
    line.slots.release()
    await settle()
    assert line.had == ["a0", "a1", "b1"]
    tasks["a2"].cancel()


async def test_a_client_that_leaves_frees_its_place_at_once() -> None:
    line = Line(FairQueue("m", slots=1, max_waiting=2, max_wait_s=60))
    _, first, _ = [await line.come(name) for name in ("a0", "a1", "a2")]
    first.cancel()
    await settle()
    await line.come("a3")
    for _ in range(2):
        line.slots.release()
        await settle()
    assert line.had == ["a0", "a2", "a3"]


async def test_a_slot_given_to_who_leaves_in_that_moment_goes_on_to_the_next() -> None:
    line = Line(FairQueue("m", slots=1, max_waiting=2, max_wait_s=60))
    _, first, _ = [await line.come(name) for name in ("a0", "a1", "b1")]
    line.slots.release()
    first.cancel()
    await settle()
    assert line.had == ["a0", "b1"] and line.slots.waiting == 0 and line.slots.available == 0


async def test_a_slot_comes_back_however_the_answer_ends() -> None:
    clock, slots = Clock(), FairQueue("m", slots=1, max_waiting=0, max_wait_s=60)
    gate = asyncio.Event()

    async def answers(request: Request, send: Send) -> Reply:
        await gate.wait()
        clock.now += 2
        return REPLY

    async def fails(request: Request, send: Send) -> Reply:
        raise UpstreamUnreachable("reset")

    with pytest.raises(UpstreamUnreachable):
        await ConcurrencyLimitHandler(fails, slots)(by("a"), discard_events)
    leaves = asyncio.create_task(ConcurrencyLimitHandler(answers, slots)(by("a"), discard_events))
    await until(lambda: slots.in_use == 1)
    leaves.cancel()
    await asyncio.gather(leaves, return_exceptions=True)
    assert slots.in_use == 0 and slots.predicted_wait_s("a") == 0
    gate.set()
    assert await ConcurrencyLimitHandler(answers, slots, clock)(by("a"), discard_events) is REPLY
    await slots.acquire("a")
    assert slots.predicted_wait_s("a") == 2, "only an answer that came to its end tells how long one takes"


@settings(max_examples=100, deadline=None)
@given(keys=st.lists(st.sampled_from("abcd"), max_size=25))
def test_between_two_turns_of_a_key_everybody_else_who_waits_has_one(keys: list[str]) -> None:
    async def run() -> None:
        line = Line(FairQueue("m", slots=1, max_waiting=100, max_wait_s=60))
        names = [f"{key}{number}" for number, key in enumerate(keys)]
        for name in ("x", *names):
            await line.come(name)
        for _ in names:
            line.slots.release()
            await settle()
        had = line.had[1:]
        assert sorted(had) == sorted(names)
        for at, name in enumerate(had):
            mine = [each for each in had[at + 1 :] if each[0] == name[0]]
            if mine:
                later = had[had.index(mine[0]) + 1 :]
                between = [each[0] for each in had[at + 1 : had.index(mine[0])]]
                assert sorted(between) == sorted(set(between)) and {each[0] for each in later} <= {*between, name[0]}
                assert int(mine[0][1:]) > int(name[1:])

    asyncio.run(run())


Ops = st.lists(
    st.one_of(
        st.tuples(st.just("come"), st.sampled_from(["a", "b", "c", "a later", "b later"])),
        st.tuples(st.just("give"), st.just("")),
        st.tuples(st.just("leave"), st.integers(0, 20).map(str)),
        st.tuples(st.just("give and leave"), st.integers(0, 20).map(str)),
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(slots=st.integers(1, 3), queue=st.integers(0, 5), ops=Ops)
def test_whoever_comes_and_goes_no_slot_is_lost_and_none_is_idle_while_somebody_waits(
    slots: int,
    queue: int,
    ops: list[tuple[str, str]],
) -> None:
    async def run() -> None:
        line = FairQueue("m", slots=slots, max_waiting=queue, max_wait_s=60)
        tasks: list[asyncio.Task[None]] = []
        given = 0

        def holding() -> int:
            return sum(task.done() and not task.cancelled() and task.exception() is None for task in tasks) - given

        for op, which in ops:
            if op == "come":
                tasks.append(asyncio.create_task(line.acquire(which[0], background="later" in which)))
                await asyncio.sleep(0)
            if op.startswith("give") and holding() > 0:
                given += 1
                line.release(1.0)
            waiting = [task for task in tasks if not task.done()]
            if op.endswith("leave") and waiting:
                waiting[int(which) % len(waiting)].cancel()
            await settle()
            assert line.in_use == holding() <= slots
            assert line.waiting == sum(not task.done() for task in tasks) <= queue
            assert not (line.available and line.waiting)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(run())


async def test_who_has_less_time_left_than_the_wait_is_told_so_at_once() -> None:
    clock = Clock()
    slots = FairQueue("m", slots=1, max_waiting=10, max_wait_s=60, clock=clock)
    await slots.acquire("a")
    clock.now += 10
    slots.release(10.0)
    await slots.acquire("a")
    with pytest.raises(Busy, match=r"no free slot for about 10 s, and the request has 3\.0 s left") as refused:
        await slots.acquire("b", 3.0)
    assert refused.value.retry_after == 10
    waits = asyncio.create_task(slots.acquire("b", 12.0))
    await settle()
    assert slots.waiting == 1, "long enough"
    slots.release(10.0)
    await waits


async def test_a_model_that_has_not_finished_anything_is_as_slow_as_it_has_been_so_far() -> None:
    clock = Clock()
    slots = FairQueue("m", slots=2, max_waiting=10, max_wait_s=60, clock=clock)
    await slots.acquire("a")
    await slots.acquire("a")
    assert slots.predicted_wait_s("b") == 0.0, "nothing is known yet"
    clock.now += 40
    assert slots.predicted_wait_s("b") == 20.0, "one of two slots, each busy for 40 s"
    clock.now += 100
    with pytest.raises(Busy, match="no free slot for about 70 s"):
        await slots.acquire("b")
