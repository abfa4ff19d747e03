"""Trial runs: executes the text of a flow in memory, with pinned outputs in place of chosen nodes; publishes nothing.

A pinned node is one whose step has a result already, so pinning, testing one node, and going on from a past run are the
same: results that are there before the run begins.
"""

from __future__ import annotations

import asyncio
import dataclasses
import secrets
from collections.abc import AsyncGenerator, Callable, Collection, Iterator, Mapping
from typing import Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from sizewise.errors import BadRequest, SizewiseError
from sizewise.flows.compiled_flow import CompiledFlow, Graph
from sizewise.flows.dag_runner import run_flow
from sizewise.flows.engines.inline import InMemorySteps
from sizewise.flows.executor import EMPTY_CHAT, ENDPOINT, CompiledFlows
from sizewise.flows.language import types
from sizewise.flows.language.types import JSON, Json, Type
from sizewise.flows.node import NodeDependencies
from sizewise.flows.run_context import NodeTrace
from sizewise.flows.run_limits import RunLimits
from sizewise.handler import Event, Request, TextDelta

QUEUE_SIZE = 256
"""Events that wait for the client before the model does."""
TrialState = Literal["running", "text", "done", "pinned", "failed", "skipped", "ended"]


class TrialEvent(Struct, frozen=True):
    """Of the node `key`; of the flow, if it is empty: its text as it streams, and its end. `at`: unix ms.

    `cost`: pico-dollars, None if a price is unknown. `output`: of a node that is done, and of the flow.
    """

    key: str
    kind: str
    state: TrialState
    at: int
    text: str = ""
    model: str = ""
    why: str = ""
    tokens: int = 0
    cost: int | None = 0
    error: str = ""
    message: str = ""
    hint: str = ""
    output: Json = None


class TrialRequest(Struct, frozen=True):
    """`pins`: node -> output. `nodes`: run these alone, empty: all. `output_types`: of the nodes, to check pins."""

    inputs: Mapping[str, Json]
    pins: Mapping[str, Json] = {}
    nodes: Collection[str] = ()
    output_types: Mapping[str, Type] = {}
    allows_effects: bool = False


class TrialRuns:
    """Trial runs count as runs: into the limits of [flows]. Their model calls are recorded and billed as any."""

    def __init__(self, limits: RunLimits) -> None:
        self._limits = limits
        self._dependencies: NodeDependencies | None = None

    def configure(self, flows: CompiledFlows, dependencies: NodeDependencies) -> None:
        self._dependencies = dataclasses.replace(dependencies, flows=flows)

    async def run(
        self, flow: CompiledFlow, trial: TrialRequest, request: Request, clock: Callable[[], float]
    ) -> AsyncGenerator[TrialEvent, None]:
        """The events of the run; closing it cancels the run. A node that fails is an event, and ends the run.

        Raises BadRequest for pins and nodes that do not fit, before anything runs.
        """
        assert self._dependencies is not None
        flow = replace(flow, graph=_selected(flow, trial), stream_source=None if trial.nodes else flow.stream_source)
        steps = InMemorySteps()
        steps.results.update({name: msgspec.json.encode(value) for name, value in trial.pins.items()})
        events = _TrialEvents(steps, clock)
        id, tenant = secrets.token_hex(16), request.principal.tenant
        self._limits.require_room(tenant)

        async def work() -> TrialEvent:
            with self._limits.counting(id, tenant) as usage:
                async with self._limits.stopping_in_time():
                    outcome = await run_flow(
                        flow,
                        trial.inputs,
                        id=id,
                        request=replace(request, payload=EMPTY_CHAT, endpoint=ENDPOINT),
                        steps=steps,
                        dependencies=self._dependencies,  # type: ignore[arg-type]  # asserted above
                        usage=usage,
                        send=events.send,
                        on_trace=events.trace,
                    )
            tokens = outcome.usage.input + outcome.usage.output
            return events.end(tokens=tokens, cost=outcome.cost, output=dict(outcome.outputs))

        task = asyncio.ensure_future(work())
        try:
            async for event in events.until(task):
                yield event
            try:
                yield task.result()
            except SizewiseError as error:
                yield events.end(error=error.code, message=error.message, hint=error.hint)
        finally:
            task.cancel()
            await asyncio.wait({task})


class _TrialEvents:
    """Collects what a run tells, in order; text waits for a slow client, states do not."""

    def __init__(self, steps: InMemorySteps, clock: Callable[[], float]) -> None:
        self._steps = steps
        self._clock = clock
        self._queue: asyncio.Queue[TrialEvent] = asyncio.Queue()
        self._room = asyncio.Event()
        self._room.set()

    def trace(self, trace: NodeTrace) -> None:
        state: TrialState = "pinned" if trace.state == "kept" else trace.state
        result = self._steps.results.get(trace.path) if state in ("done", "pinned") else None
        event = TrialEvent(
            key=trace.path,
            kind=trace.kind,
            state=state,
            at=round((trace.ended or trace.began) * 1_000),
            model=trace.model,
            why=trace.why,
            tokens=trace.usage.input + trace.usage.output,
            cost=trace.cost,
            error=trace.error,
            output=None if result is None else msgspec.json.decode(result),
        )
        self._queue.put_nowait(event)

    async def send(self, event: Event) -> None:
        if isinstance(event, TextDelta):
            await self._room.wait()
            self._queue.put_nowait(TrialEvent("", "", "text", self._now(), text=event.text))
            if self._queue.qsize() >= QUEUE_SIZE:
                self._room.clear()

    def end(
        self,
        *,
        tokens: int = 0,
        cost: int | None = 0,
        error: str = "",
        message: str = "",
        hint: str = "",
        output: Json = None,
    ) -> TrialEvent:
        state: TrialState = "failed" if error else "ended"
        return TrialEvent(
            "", "", state, self._now(), tokens=tokens, cost=cost, error=error, message=message, hint=hint, output=output
        )

    async def until(self, task: asyncio.Future[TrialEvent]) -> AsyncGenerator[TrialEvent, None]:
        """The events until `task` is done."""
        while not (task.done() and self._queue.empty()):
            following = asyncio.ensure_future(self._queue.get())
            await asyncio.wait({task, following}, return_when=asyncio.FIRST_COMPLETED)
            if not following.done():
                following.cancel()
                continue
            if self._queue.qsize() < QUEUE_SIZE:
                self._room.set()
            yield following.result()

    def _now(self) -> int:
        return round(self._clock() * 1_000)


def _selected(flow: CompiledFlow, trial: TrialRequest) -> Graph:
    """The graph that runs. Raises BadRequest."""
    known = {node.id: node for node in flow.graph.nodes}
    for name in (*trial.pins, *trial.nodes):
        if name not in known:
            hint = f"the flow has {', '.join(list(known)[:12])}"
            raise BadRequest(f"there is no node {name[:60]!r} at the outermost level", hint, param="nodes")
        if name in trial.pins and not known[name].node_class.is_step:
            raise BadRequest(f"the output of {name!r} cannot be pinned", "it is computed from others at once")
    for name, value in trial.pins.items():
        if wrong := next(_pin_errors(trial.output_types.get(name, JSON), value, name), ""):
            raise BadRequest(f"the pin does not fit: {wrong}", "pin what the node's output type allows", param="pins")
    runs = {*trial.nodes, *trial.pins} if trial.nodes else set(known)
    for name in trial.nodes:
        lacks = [each for each in _sources(flow.graph, name) if each not in runs]
        if lacks:
            raise BadRequest(
                f"{name!r} uses the output of {lacks[0]!r}", "pin that output, or test it too", param="pins"
            )
    effects = [name for name in known if name in runs and name not in trial.pins and has_effects(flow.graph, name)]
    if effects and not trial.allows_effects:
        hint = "pin their outputs, or set allowSideEffects"
        raise BadRequest(f"these nodes change something outside: {', '.join(effects[:5])}", hint)
    return flow.graph if not trial.nodes else _part(flow.graph, runs)


def _pin_errors(kind: Type, value: Json, name: str) -> Iterator[str]:
    """Of the fields that the pin has: who pins an answer by hand writes its text alone."""
    if not kind.fields or not isinstance(value, dict):
        yield from types.type_errors(kind, value, name)
        return
    for field, inner in kind.fields.items():
        if field in value:
            yield from types.type_errors(inner, value[field], f"{name}.{field}")


def has_effects(graph: Graph, name: str) -> bool:
    """Whether the node, or one in it, changes something outside."""
    node = next(each for each in graph.nodes if each.id == name)
    inner = node.body is not None and any(has_effects(node.body, each.id) for each in node.body.nodes)
    return node.node_class.has_side_effects or inner


def _sources(graph: Graph, name: str) -> Iterator[str]:
    node = next(each for each in graph.nodes if each.id == name)
    yield from (*node.required, *node.optional, *(branch for branch, _ in node.cases))


def _part(graph: Graph, runs: Collection[str]) -> Graph:
    """The nodes in `runs`, without outputs of the flow. Pinned nodes depend on nothing."""
    kept = []
    for node in graph.nodes:
        if node.id in runs:
            required = tuple(each for each in node.required if each in runs)
            optional = tuple(each for each in node.optional if each in runs)
            cases = tuple(each for each in node.cases if each[0] in runs)
            kept.append(replace(node, required=required, optional=optional, cases=cases))
    following: dict[str, tuple[int, ...]] = {}
    for number, node in enumerate(kept):
        for name in {*node.required, *node.optional, *(branch for branch, _ in node.cases)}:
            following[name] = (*following.get(name, ()), number)
    return Graph(tuple(kept), {}, following)
