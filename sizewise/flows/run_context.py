"""Run context: the limits, data class and cost that all nodes of a run share, and the events of each node."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Literal

import msgspec
from msgspec import Struct

from sizewise.attempt_progress import ProgressUpdate
from sizewise.data_class import DATA_CLASSES, DataClass, strictest
from sizewise.flows.engine import Steps
from sizewise.flows.language.types import Json
from sizewise.flows.node import NodeDependencies
from sizewise.flows.run_limits import RunUsage
from sizewise.flows.streaming_output import StreamingOutput
from sizewise.handler import (
    AttemptFinished,
    Event,
    GuardrailTriggered,
    ModelSelected,
    ReasoningDelta,
    Request,
    Send,
    TextDelta,
)
from sizewise.messages import Usage
from sizewise.principal import Principal
from sizewise.request_origin import RequestOrigin

DATA_CLASS_SOURCE = "what was found"

NodeState = Literal["running", "done", "kept", "failed", "skipped"]
"""`kept`: finished in an earlier execution of the run; its stored result is used."""


class NodeTrace(Struct, frozen=True):
    """The state of a node. `began`, `ended`: unix s; `cost`: pico-dollars, None if a price is unknown."""

    path: str
    kind: str
    state: NodeState
    began: float
    ended: float = 0.0
    model: str = ""
    usage: Usage = Usage()
    cost: int | None = 0
    error: str = ""  # a code of errors.py
    why: str = ""  # the reason for the model


TraceListener = Callable[[NodeTrace], None]


def ignore_trace(trace: NodeTrace) -> None:
    """For callers that do not follow the run."""


class RunContext:
    """What all nodes of a run share."""

    def __init__(
        self,
        *,
        id: str,
        request: Request,
        steps: Steps,
        usage: RunUsage,
        dependencies: NodeDependencies,
        on_trace: TraceListener,
        send: Send,
        current_principal: Callable[[], Principal] | None,
    ) -> None:
        self.id = id
        self._current_principal = current_principal
        self.send = send
        self.request = request
        self.steps = steps
        self.limits = usage
        self.inner_steps = InnerSteps(steps, usage)
        self.dependencies = dependencies
        self.on_trace = on_trace
        self.usage = Usage()
        self.cost: int | None = 0
        self.model_calls = 0

    def record_attempt(self, attempt: AttemptFinished) -> None:
        self.model_calls += 1
        self.usage, self.cost = self.usage + attempt.usage, add_costs(self.cost, attempt.cost)

    def tighten_data_class(self, data_class: Json) -> None:
        """Later steps have at least this data class: their content may come from that data."""
        if data_class in DATA_CLASSES:
            own = self.request.options
            found = msgspec.convert(data_class, DataClass)
            strict = found if own.data_class is None else strictest(found, own.data_class)
            options = msgspec.structs.replace(own, data_class=strict, constraint_source=DATA_CLASS_SOURCE)
            self.request = msgspec.structs.replace(self.request, options=options)

    def current_request(self) -> Request:
        """The request, with its principal's current permissions."""
        if (
            self._current_principal is not None
            and (principal := self._current_principal()) is not self.request.principal
        ):
            self.request = msgspec.structs.replace(self.request, principal=principal)
        return self.request

    def remaining_cost(self) -> int | None:
        most = self.request.options.max_cost
        return None if most is None else max(0, most - (self.cost or 0))


def add_costs(one: int | None, other: int | None) -> int | None:
    """The sum; None if one of them is unknown."""
    return None if one is None or other is None else one + other


class InnerSteps:
    """The steps that a node runs itself, as an agent does: each counts as a step of the run, with its result."""

    def __init__(self, steps: Steps, usage: RunUsage) -> None:
        self._steps = steps
        self._usage = usage
        self.annotate = steps.annotate
        self.sleep = steps.sleep
        self.wait = steps.wait

    async def step(self, key: str, work: Callable[[], Awaitable[bytes]]) -> bytes:
        self._usage.count_steps()
        result = await self._steps.step(key, work)
        self._usage.count_bytes(len(result))
        return result


class NodeEvents:
    """The `send` of one node: adds up its cost, and forwards its text if the flow streams it."""

    def __init__(
        self,
        *,
        run: RunContext,
        path: str,
        output: StreamingOutput,
        streams: bool,
        parent: NodeEvents | None,
        origin: RequestOrigin,
    ) -> None:
        """`parent`: the events of the node around this one, whose path begins `path`. `origin`: of its requests."""
        self._run = run
        self._path = path
        self._parent = parent
        self.origin = origin
        self._output = output
        self.streams = streams
        self.has_streamed = False
        self.model = self.why = ""
        self.usage = Usage()
        self.cost: int | None = 0

    async def __call__(self, event: Event) -> None:
        if isinstance(event, (TextDelta, ReasoningDelta)):
            if self.streams:
                self.has_streamed = True
                await self._output.send_delta(event)
        elif isinstance(event, AttemptFinished):
            self._run.record_attempt(event)
            ears: NodeEvents | None = self
            while ears is not None:
                ears.usage, ears.cost = ears.usage + event.usage, add_costs(ears.cost, event.cost)
                ears = ears._parent
            await self._run.send(event)
        elif isinstance(event, ModelSelected):
            self.model, self.why = event.model or self.model, event.reason
        elif isinstance(event, GuardrailTriggered):
            await self._run.send(event)
        elif isinstance(event, ProgressUpdate):
            await self._run.send(msgspec.structs.replace(event, step=event.step or self._path))
