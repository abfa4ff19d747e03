"""Agents of a run, read from what its steps stored: why each stopped, and its tool calls; runs nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar

import msgspec
from msgspec import Struct

from sizewise.agents.result import ModelTurn, StopReason
from sizewise.tools.tool import ToolOutput

T = TypeVar("T")

MAX_CHARS = 4_000
"""Characters of a call's arguments, and of its result; whole they are in the run's steps."""
MAX_CALLS = 500
"""Tool calls of one run that are read, the first ones."""
_NUMBERS_REVERSED = re.compile(r"(?:\d+\.)+")  # from the end, so that a long key is read once
"""The end of a step's key: no node's id begins with a digit. Turn 0 of the agent at `solve` is `solve.0`, its second
call `solve.0.1`, and turn 2 of the worker that this call asked `solve.0.1.2`.
"""


class AgentToolCall(Struct, frozen=True, rename="camel"):
    """`key`: of its step. `arguments`: as the model wrote them. `result`: None if there is none yet; of a call that
    asked another agent, its answer.
    """

    key: str
    tool: str
    arguments: str
    result: str | None = None
    failed: bool = False


class AgentRun(Struct, frozen=True, rename="camel"):
    """`key`: of its node; of a worker, of the call that asked it. `stop_reason`: None if it has not stopped."""

    key: str
    stop_reason: StopReason | None
    tool_calls: list[AgentToolCall]


def agent_runs(results: Mapping[str, bytes]) -> list[AgentRun]:
    """`results`: what steps stored, by key; those of other nodes are left out. In the order of their keys, so a worker
    comes behind the agent that asked it.
    """
    turns: dict[str, dict[int, ModelTurn]] = {}
    for key, value in results.items():
        agent, _, number = key.rpartition(".")
        if _depth(key) % 2 and (turn := _decoded(value, ModelTurn)) is not None:
            turns.setdefault(agent, {})[int(number)] = turn
    room, found = MAX_CALLS, list[AgentRun]()
    for agent in sorted(turns, key=_order):
        calls = [
            _call(f"{agent}.{number}.{place}", turn, place, results, turns)
            for number, turn in sorted(turns[agent].items())
            for place in range(len(turn.calls))
        ][:room]
        room -= len(calls)
        found.append(AgentRun(agent, _stop_reason(_last(turns[agent])), calls))
    return found


def cut_short(agents: list[AgentRun]) -> StopReason | None:
    """Why the first agent of the run that did not end its task stopped; workers report to theirs, and do not count."""
    reasons = (each.stop_reason for each in agents if not _depth(each.key))
    return next((each for each in reasons if each not in ("done", None)), None)


def _call(
    key: str, turn: ModelTurn, place: int, results: Mapping[str, bytes], turns: Mapping[str, Mapping[int, ModelTurn]]
) -> AgentToolCall:
    function = turn.calls[place].function
    name, arguments = ("", "") if function is None else (function.name[:64], _shorten(function.arguments))
    if key in turns:
        last = _last(turns[key])
        return AgentToolCall(key, name, arguments, _shorten(last.text) if _stop_reason(last) else None)
    output = _decoded(results[key], ToolOutput) if key in results else None
    if output is None:
        return AgentToolCall(key, name, arguments)
    return AgentToolCall(key, name, arguments, _shorten(output.text), failed=output.failed)


def _last(turns: Mapping[int, ModelTurn]) -> ModelTurn:
    return turns[max(turns)]


def _stop_reason(last: ModelTurn) -> StopReason | None:
    return last.limit or (None if last.calls else "done")


def _decoded(value: bytes, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(value, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError):  # of a step that is another's
        return None


def _depth(key: str) -> int:
    """Numbers at the end of a step's key: an agent has an even number of them, its turns an odd one."""
    return _numbers(key).count(".")


def _order(key: str) -> tuple[str, list[int]]:
    numbers = _numbers(key)
    return key.removesuffix(numbers), [int(each) for each in numbers.split(".") if each]


def _numbers(key: str) -> str:
    found = _NUMBERS_REVERSED.match(key[::-1])
    return "" if found is None else found[0][::-1]


def _shorten(text: str) -> str:
    return text if len(text) <= MAX_CHARS else f"{text[:MAX_CHARS]} [{len(text) - MAX_CHARS} more characters]"
