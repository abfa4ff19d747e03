"""What the steps of a run say of its agents: their tool calls, with what was asked and given, and why they stopped."""

from __future__ import annotations

import msgspec
import pytest

from sizewise.agents.step_results import MAX_CALLS, MAX_CHARS, agent_runs, cut_short
from sizewise.settings.agents import AgentSettings
from sizewise.tools.function_tool import function_tool
from tests.agents.scripted_model import Died, MemorySteps, Script, Turn, agents, worked


def add(a: int, b: int) -> int:
    """Adds."""
    return a + b


ADD = function_tool(add)


def test_each_call_has_its_arguments_and_its_result() -> None:
    kept = MemorySteps()
    script = Script([("add", {"a": 1, "b": 2}), ("add", {"a": "x", "b": 2})], [("nosuch", "{}")], "It is 3.")
    worked(agents(script, [ADD]), {"tools": ["add"]}, steps=kept)
    kept.done["other"] = b'{"text": "of a node"}'
    (found,) = agent_runs(kept.done)
    assert (found.key, found.stop_reason, cut_short([found])) == ("agent", "done", None)
    first, second, third = found.tool_calls
    assert (first.key, first.tool, first.arguments, first.result, first.failed) == (
        "agent.0.0", "add", '{"a":1,"b":2}', "3", False,
    )  # fmt: skip
    assert second.failed and "invalid arguments" in (second.result or "")
    assert (third.key, third.tool) == ("agent.1.0", "nosuch")


def test_calls_of_a_worker_come_behind_the_call_that_asked_it() -> None:
    plan: list[Turn] = [[("ask_reader", {"task": "count"}), ("add", {"a": 1, "b": 1})], "All is done."]
    script = Script("?", large=plan, small=[[("add", {"a": 2, "b": 2})], "four"])
    boss = AgentSettings(model="large", subagents=("reader",), tools=("add",))
    reader = AgentSettings(model="small", tools=("add",))
    kept = MemorySteps()
    worked(agents(script, [ADD], boss=boss, reader=reader), {"name": "boss"}, steps=kept)
    own, worker = agent_runs(kept.done)
    places = {call.tool: call for call in own.tool_calls}
    asked = places["ask_reader"]
    assert (asked.result, worker.key, worker.stop_reason) == ("four", asked.key, "done")
    assert [(call.key, call.result) for call in worker.tool_calls] == [(f"{asked.key}.0.0", "4")]


def test_a_call_that_a_dead_run_did_not_end_has_no_result_yet() -> None:
    kept = MemorySteps()
    kept.die = 1
    with pytest.raises(Died):
        worked(agents(Script([("add", {"a": 1, "b": 2})]), [ADD]), {"tools": ["add"]}, steps=kept)
    (found,) = agent_runs(kept.done)
    assert found.stop_reason is None and found.tool_calls[0].result is None


def test_many_and_long_ones_are_bounded() -> None:
    call = {"type": "function", "id": "c", "function": {"name": "add", "arguments": "x" * (MAX_CHARS + 7)}}
    turn = {"text": "", "calls": [call] * 64, "model": "m", "cost": 0, "duration_s": 0}
    results = {f"solve.{number}": msgspec.json.encode(turn) for number in range(20)}
    (found,) = agent_runs(results)
    assert len(found.tool_calls) == MAX_CALLS and found.tool_calls[-1].key == "solve.7.51"
    assert found.tool_calls[0].arguments.endswith("x [7 more characters]")


def test_what_other_nodes_stored_is_no_agent() -> None:
    assert agent_runs({"each[1].ask": b'{"text": "x"}', "v1.2": b"[]", "v.0": b"\xff", ":inputs": b"{}"}) == []
