"""Other requests go on while flows run nodes that wait for nothing."""

from __future__ import annotations

import asyncio

import pytest

from sizewise.flows.dag_runner import run_flow
from sizewise.flows.engines.inline import InMemorySteps
from sizewise.flows.loop_turns import STEPS_PER_ITERATION, LoopTurns
from sizewise.flows.node import NodeDependencies
from tests.flows.in_process import RecordedRequest, flow
from tests.routing.router_harness import asking, chat
from tests.timeouts import HANG_S, run_with_timeout

LOOP = """
name: loop
inputs: {items: {list: json}}
nodes:
  a:
    kind: each
    items: "{{ inputs.items }}"
    at_once: AT_ONCE
    nodes:
      x: {kind: template, text: "x"}
      y: {kind: template, text: "{{ x.text }}y"}
    outputs: {said: "{{ y.text }}"}
outputs: {said: "{{ a.results | length }}"}
"""


@pytest.mark.parametrize("at_once", [1, 8, 256])
async def test_a_loop_over_a_thousand_items_lets_the_event_loop_go_on_after_a_few_steps(at_once: int) -> None:
    made, iterations = flow(LOOP.replace("AT_ONCE", str(at_once))), 0

    async def count() -> None:
        nonlocal iterations
        while True:
            iterations += 1
            await asyncio.sleep(0)

    counting = asyncio.ensure_future(count())
    request, steps = asking(chat("x")), InMemorySteps()
    dependencies = NodeDependencies(RecordedRequest())
    inputs = {"items": [*range(1_000)]}
    async with asyncio.timeout(HANG_S):
        result = await run_flow(made, inputs, id="r", request=request, steps=steps, dependencies=dependencies)
    counting.cancel()
    assert result.outputs["said"] == 1_000
    assert iterations >= 2_000 / STEPS_PER_ITERATION


async def test_turns_are_taken_in_order_by_those_who_still_wait() -> None:
    came: list[int] = []

    async def take(turns: LoopTurns, number: int) -> None:
        await turns.turn()
        came.append(number)

    turns = LoopTurns(2)
    for _ in range(2):  # also after nobody waited for a while
        tasks = [asyncio.ensure_future(take(turns, number)) for number in range(9)]
        await asyncio.sleep(0)
        assert came == [0, 1]
        tasks[3].cancel()
        tasks[8].cancel()
        assert not (await asyncio.wait(tasks, timeout=HANG_S))[1]
        assert came == [0, 1, 2, 4, 5, 6, 7]
        came.clear()
        await asyncio.sleep(0.01)


def test_turns_of_an_event_loop_that_ended_are_forgotten() -> None:
    turns = LoopTurns(1)

    async def three() -> None:
        waiting = [asyncio.ensure_future(turns.turn()) for _ in range(3)]
        await asyncio.sleep(0)
        for each in waiting:
            each.cancel()

    for _ in range(3):
        asyncio.run(three())

    async def one() -> None:
        for _ in range(5):
            await turns.turn()

    run_with_timeout(one())
