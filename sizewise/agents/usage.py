"""Usage of an agent's task against its limits: steps, cost, seconds and repeated calls; asks no model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from time import perf_counter

import msgspec

from sizewise.agents.result import LimitReason, ToolCallRecord
from sizewise.agents.spec import AgentSpec


class AgentUsage:
    """Steps, cost and seconds used by a task. Those of a worker also count for its supervisor (`parent`). Seconds in
    which a tool call waits for a person do not count.
    """

    def __init__(self, spec: AgentSpec, parent: AgentUsage | None = None) -> None:
        self.steps, self.cost, self.duration_s = 0, 0, 0.0  # `duration_s` without the tool calls being made now
        self.calls: list[ToolCallRecord] = []
        self._max_steps, self._max_cost, self._max_s = spec.max_steps, spec.max_cost, spec.timeout_s
        self._parent = parent
        self._repeats: Counter[tuple[str, bytes]] = Counter()
        self._calls_began: float | None = None
        self._waiting, self._wait_began, self._waited_s = 0, 0.0, 0.0

    def exceeded_limit(self) -> LimitReason | None:
        if self.remaining_steps <= 0:
            return "step_limit"
        if self.remaining_cost == 0:
            return "cost_limit"
        return None if self.remaining_s else "time_limit"

    @property
    def remaining_steps(self) -> int:
        """A worker leaves the last step to its supervisor, which has to answer."""
        own = self._max_steps - self.steps
        return own if self._parent is None else min(own, self._parent.remaining_steps - 1)

    def count_step(self) -> None:
        self.steps += 1
        if self._parent is not None:
            self._parent.count_step()

    def add_cost(self, cost: int) -> None:
        self.cost += cost
        if self._parent is not None:
            self._parent.add_cost(cost)

    @property
    def remaining_cost(self) -> int | None:
        """Pico-dollars; None without a limit."""
        own = None if self._max_cost is None else max(0, self._max_cost - self.cost)
        outer = None if self._parent is None else self._parent.remaining_cost
        return min((each for each in (own, outer) if each is not None), default=None)

    @property
    def remaining_s(self) -> float:
        own = max(0.0, self._max_s - self.duration_s - self._calls_s())
        return own if self._parent is None else min(own, self._parent.remaining_s)

    @contextmanager
    def tool_calls(self) -> Iterator[None]:
        """Counts the time of the calls made inside."""
        self._calls_began, self._waited_s = perf_counter(), 0.0
        try:
            yield
        finally:
            self.duration_s += self._calls_s()
            self._calls_began = None

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Inside, a call waits for a person. Several may wait at once."""
        if not self._waiting:
            self._wait_began = perf_counter()
        self._waiting += 1
        try:
            with nullcontext() if self._parent is None else self._parent.waiting():
                yield
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._waited_s += perf_counter() - self._wait_began

    def _calls_s(self) -> float:
        """Seconds of the tool calls being made now."""
        if self._calls_began is None:
            return 0.0
        until = self._wait_began if self._waiting else perf_counter()
        return max(0.0, until - self._calls_began - self._waited_s)

    def count_repeat(self, name: str, arguments: Mapping[str, object]) -> int:
        key = (name, msgspec.json.encode(arguments, order="deterministic"))
        self._repeats[key] += 1
        return self._repeats[key]
