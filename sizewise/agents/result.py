"""Results of an agent: what a step stores of a model turn, what a task gave, and why it stopped; does no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, get_args

from msgspec import Struct

from sizewise.data_class import DataClass
from sizewise.messages import ToolCall

LimitReason = Literal["step_limit", "cost_limit", "time_limit", "repeated_calls"]
StopReason = Literal["done", LimitReason]
"""Why an agent stopped: `done`, or the limit that cut it short; `repeated_calls`: it kept making the same call."""
_LIMITS: Mapping[str, LimitReason] = MappingProxyType(
    {each: each for each in get_args(LimitReason)} | {"money": "cost_limit", "time": "time_limit"}
)
"""By what steps store; the last two, until December 2026."""


class ModelTurn(Struct, frozen=True):
    """One answer of a model, as a step stores it. `cost`: pico-dollars. `stop_reason`: why it is the last one, whatever
    it calls: after a step or time limit, or repeated calls, `text` is the answer.
    """

    text: str
    calls: tuple[ToolCall, ...]
    model: str
    cost: int
    duration_s: float
    stop_reason: Literal["", LimitReason, "money", "time"] = ""

    @property
    def limit(self) -> LimitReason | None:
        return _LIMITS.get(self.stop_reason)


class ToolCallRecord(Struct, frozen=True):
    """One tool call, without arguments and result."""

    agent: str
    tool: str
    failed: bool


class AgentResult(Struct, frozen=True):
    """`text`: the answer; empty after a cost or time limit. `cost`: pico-dollars. `agent`: the last one active."""

    text: str
    stop_reason: StopReason
    steps: int
    cost: int
    agent: str
    calls: tuple[ToolCallRecord, ...] = ()
    data_class: DataClass | None = None  # the strictest that a tool result had
