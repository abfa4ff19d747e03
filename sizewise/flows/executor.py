"""Cache of compiled flow versions, and the executor that runs them with the application's node dependencies."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from time import perf_counter
from typing import Protocol, TypeVar

import msgspec
from msgspec import Struct

from sizewise.errors import BadRequest, Forbidden, PathNotFound
from sizewise.flows.call_graph import (
    AgentCalls,
    AgentEdges,
    AgentVertex,
    CallFinding,
    CallOrder,
    Edge,
    FlowCall,
    ToolPattern,
    certain_edges,
    find_call_errors,
    order_calls,
)
from sizewise.flows.compiled_flow import CompiledFlow
from sizewise.flows.dag_runner import run_flow
from sizewise.flows.engine import Steps
from sizewise.flows.node import FlowSignature, NodeDependencies
from sizewise.flows.node_registry import NodeRegistry
from sizewise.flows.run_worker import RunExecution
from sizewise.flows.tables import CLASS
from sizewise.flows.validator import (
    ParsedFlow,
    ValidationResult,
    parse_flow_text,
    signature_of_spec,
    validate_parsed,
)
from sizewise.flows.versions.published_flow import PublishedFlow
from sizewise.handler import Request
from sizewise.messages import ChatRequest
from sizewise.request_origin import ReleaseLabel

T = TypeVar("T")

ENDPOINT = "flow"
EMPTY_CHAT = ChatRequest("", [], {})
CACHE_SIZE = 500
"""Compiled flows in memory; the least recently used is evicted first."""
CHECKED_SIZE = 20_000
"""Flow versions whose calls and signature are in memory."""


Place = tuple[str, str, str, str]
"""Tenant, project, name and version."""


class FlowStore(Protocol):
    """The store of flow versions. `generation`: greater after each change of what is published."""

    @property
    def generation(self) -> int: ...
    def list_published(self, tenant: str = "", project: str = "") -> list[PublishedFlow]: ...
    def get_published(self, tenant: str, project: str, name: str) -> PublishedFlow: ...
    async def resolve_version(self, tenant: str, project: str, name: str, version: str) -> str: ...
    def resolve_version_blocking(self, tenant: str, project: str, name: str, version: str) -> str: ...
    def read_source_blocking(self, tenant: str, project: str, name: str, version: str) -> bytes: ...
    async def run_in_thread(self, work: Callable[[], T]) -> T: ...


class FlowOutline(Struct, frozen=True):
    """A stored flow for a listing. `flow`: None if it cannot run; `error` says why."""

    description: str
    signature: FlowSignature
    flow: CompiledFlow | None = None
    error: str = ""


class _CheckedFlow(Struct, frozen=True):
    """A stored version and the flows below it, as they were at `generation`. `depth`: levels of subflows below it.

    `callees`: what its subflow calls led to, with their signatures. `error`: why it cannot run.
    """

    generation: int
    callees: tuple[tuple[Place, FlowSignature], ...]
    signature: FlowSignature
    depth: int
    error: BadRequest | None = None


class CompiledFlows:
    """Loads flow versions and compiles them; the FlowAccess of nodes. Thread-safe; outlives the application.

    After a change of what is published, each version is checked again once, and compiled again only if a flow that it
    calls has another signature. So all published flows are checked in time linear in their files and calls.
    """

    def __init__(self, versions: FlowStore, registry: NodeRegistry | None = None) -> None:
        self._versions = versions
        self._registry = registry
        self._cache: OrderedDict[Place, CompiledFlow] = OrderedDict()
        self._calls: OrderedDict[Place, tuple[FlowCall, ...]] = OrderedDict()
        self._checked: OrderedDict[Place, _CheckedFlow] = OrderedDict()
        self._lock = threading.Lock()

    async def resolve_version(self, request: Request, name: str) -> str:
        flow, _, version = name.partition("@")
        principal = request.principal
        if principal.scope is not None and principal.scope.flows and flow not in principal.scope.flows:
            raise Forbidden(f"this key does not allow the flow {flow[:100]!r}", "use a key that allows it")
        return await self._versions.resolve_version(principal.tenant, principal.project, flow, version)

    async def load_flow(self, request: Request, name: str, version: str) -> CompiledFlow:
        return await self.load(request.principal.tenant, request.principal.project, name, version)

    async def load(self, tenant: str, project: str, name: str, version: str) -> CompiledFlow:
        """Raises PathNotFound, StorageError, and BadRequest if it can no longer run: a subflow or node type is gone,
        or its calls form a cycle.
        """
        return await self._versions.run_in_thread(partial(self._load, (tenant, project, name, version)))

    async def describe(self, tenant: str, project: str, name: str, version: str) -> FlowOutline:
        """Like `load`, but also of a flow that cannot run; its output types are unknown then."""
        return await self._versions.run_in_thread(partial(self._describe, (tenant, project, name, version)))

    async def validate(
        self,
        tenant: str,
        project: str,
        text: str,
        agents: Mapping[str, AgentCalls] = {},  # never changed
    ) -> ValidationResult:
        """Validates the YAML `text` of a flow as if it were published in this project. `agents`: of the settings."""
        return await self._versions.run_in_thread(partial(self._validate, tenant, project, text, agents))

    def _load(self, place: Place) -> CompiledFlow:
        checked = self._check(place)
        if checked.error is not None:
            raise BadRequest(checked.error.message, checked.error.hint)
        with self._lock:
            if place in self._cache:
                self._cache.move_to_end(place)
                return self._cache[place]
        compiled = self._compile(place, parse_flow_text(self._read(place)))
        if isinstance(compiled, BadRequest):  # a flow below it has changed meanwhile
            raise compiled
        return compiled

    def _describe(self, place: Place) -> FlowOutline:
        try:
            flow = self._load(place)
            return FlowOutline(flow.spec.description, flow.signature, flow)
        except BadRequest as error:
            spec = parse_flow_text(self._read(place)).spec
            signature = NO_SIGNATURE if spec is None else signature_of_spec(spec)
            return FlowOutline("" if spec is None else spec.description, signature, error=error.message)

    def _read(self, place: Place) -> str:
        return self._versions.read_source_blocking(*place).decode()

    # ---- checks -----------------------------------------------------------------------------------------------------

    def _check(self, place: Place) -> _CheckedFlow:
        """Checks `place` and what it calls, callees first. Raises PathNotFound, StorageError."""
        generation = self._versions.generation
        known = self._checked.get(place)
        if known is not None and known.generation == generation:
            return known
        settled: dict[Place, _CheckedFlow] = {}
        parsed: dict[Place, ParsedFlow] = {}
        depths: dict[Place, int] = {}
        gone: dict[Place, PathNotFound] = {}

        def edges(one: Place) -> Iterator[Edge[Place]]:
            fresh = self._checked.get(one)
            if fresh is not None and fresh.generation == generation:
                settled[one], depths[one] = fresh, fresh.depth
                return
            try:
                calls = self._read_calls(one, parsed)
            except PathNotFound as error:  # a call of a version that does not exist
                gone[one] = error
                return
            yield from certain_edges(calls, partial(self._resolve, one))

        order = order_calls([place], edges)
        for one in order.order:
            if one not in settled and one not in gone:
                settled[one] = self._settle(one, order, settled, parsed, depths, generation)
                self._keep(self._checked, one, settled[one], CHECKED_SIZE)
        if place in gone:
            raise gone[place]
        return settled[place]

    def _settle(
        self,
        place: Place,
        order: CallOrder[Place],
        settled: Mapping[Place, _CheckedFlow],
        parsed: dict[Place, ParsedFlow],
        depths: dict[Place, int],
        generation: int,
    ) -> _CheckedFlow:
        """Checks one flow after those that it calls."""
        findings = find_call_errors(place, order, depths, label=_flow_name)
        called = [edge.target for edge in order.edges[place] if edge.call is not None and edge.call.kind == "subflow"]
        callees = {each: settled[each] for each in called if each in settled}
        basis = tuple((each, checked.signature) for each, checked in callees.items())
        error = next((each.error for each in callees.values() if each.error is not None), None)
        if findings:
            error = _cannot_run(place, findings[0].message, findings[0].hint)
        before = self._checked.get(place)
        if error is None and before is not None and before.error is None and before.callees == basis:
            return msgspec.structs.replace(before, generation=generation, depth=depths[place])
        with self._lock:
            self._cache.pop(place, None)
        text = parsed.pop(place, None) or parse_flow_text(self._read(place))
        signature = NO_SIGNATURE if text.spec is None else signature_of_spec(text.spec)
        if error is None:
            compiled = self._compile(place, text)
            if isinstance(compiled, BadRequest):
                error = compiled
            else:
                signature = compiled.signature
        return _CheckedFlow(generation=generation, callees=basis, signature=signature, depth=depths[place], error=error)

    def _compile(self, place: Place, parsed: ParsedFlow) -> CompiledFlow | BadRequest:
        """The error of a flow that is not valid. What it calls has been checked."""
        found = validate_parsed(parsed, self._node_types(), partial(self._signature, place))
        if found.flow is None:
            first = next(each for each in found.diagnostics if each.kind == "mistake")
            return _cannot_run(place, first.message, first.hint)
        self._keep(self._cache, place, found.flow, CACHE_SIZE)
        return found.flow

    def _validate(self, tenant: str, project: str, text: str, agents: Mapping[str, AgentCalls]) -> ValidationResult:
        parsed = parse_flow_text(text)
        spec = parsed.spec
        root: Place = (tenant, project, spec.name if spec else "", spec.version if spec else "")
        tools = {each.name: _place(each) for each in self._versions.list_published(tenant, project)} | {root[2]: root}
        tools = {name: place for name, place in tools.items() if name not in self._node_types().tools_before_flows}

        def resolve(call: FlowCall) -> Place | None:
            if call.kind == "tool":
                return tools.get(call.name)
            return root if call.name == root[2] and not call.version else self._resolve(root, call)

        def calls_of(place: Place) -> tuple[FlowCall, ...]:
            try:
                return parsed.calls if place == root else self._read_calls(place, {})
            except PathNotFound:  # a call of a version that does not exist
                return ()

        def signature(name: str) -> FlowSignature | None:
            if name == root[2] and spec is not None:
                return signature_of_spec(spec)
            return self._signature(root, name)

        certain = order_calls([root], lambda place: certain_edges(calls_of(place), resolve))
        possible: CallOrder[Place | ToolPattern | AgentVertex] = order_calls(
            [root], AgentEdges(tools, calls_of, resolve, agents)
        )
        depths: dict[Place, int] = {}
        findings: list[CallFinding] = []
        for place in certain.order:
            found = find_call_errors(place, certain, depths, possible if place == root else None, _flow_name)
            findings = found if place == root else findings
        if root not in certain.cycles:
            findings += self._broken_callees(certain.edges[root])
        return validate_parsed(parsed, self._node_types(), signature, findings)

    def _broken_callees(self, edges: Iterable[Edge[Place]]) -> Iterator[CallFinding]:
        for edge in edges:
            if edge.call is not None and edge.call.kind == "subflow":
                with suppress(PathNotFound):  # the node says so
                    error = self._check(edge.target).error
                    if error is not None:
                        yield CallFinding(edge.call.path, edge.call.node, error.message, error.hint)

    # ---- what a call leads to ---------------------------------------------------------------------------------------

    def _read_calls(self, place: Place, parsed: dict[Place, ParsedFlow]) -> tuple[FlowCall, ...]:
        """The calls of a version, which never change. What was read for them is put into `parsed`."""
        with self._lock:
            if place in self._calls:
                self._calls.move_to_end(place)
                return self._calls[place]
        text = parsed[place] = parse_flow_text(self._read(place))
        self._keep(self._calls, place, text.calls, CHECKED_SIZE)
        return text.calls

    def _resolve(self, caller: Place, call: FlowCall) -> Place | None:
        if call.kind == "tool" and call.name in self._node_types().tools_before_flows:
            return None
        return self._find(caller, call.name, call.version)

    def _find(self, caller: Place, name: str, version: str) -> Place | None:
        """The version of the same project that is called; None if a run would not find it."""
        tenant, project = caller[:2]
        try:
            return tenant, project, name, self._versions.resolve_version_blocking(tenant, project, name, version)
        except (PathNotFound, BadRequest):
            return None

    def _signature(self, caller: Place, name: str) -> FlowSignature | None:
        found = self._find(caller, *_split(name))
        try:
            return None if found is None else self._check(found).signature
        except PathNotFound:
            return None

    def _node_types(self) -> NodeRegistry:
        self._registry = self._registry or NodeRegistry()
        return self._registry

    def _keep(self, cache: OrderedDict[Place, T], place: Place, value: T, size: int) -> None:
        with self._lock:
            cache[place] = value
            cache.move_to_end(place)
            while len(cache) > size:
                cache.popitem(last=False)


NO_SIGNATURE = FlowSignature({}, frozenset(), {})


def _cannot_run(place: Place, why: str, hint: str) -> BadRequest:
    return BadRequest(f"the flow {_flow_name(place)!r} cannot run: {why}", hint)


def _flow_name(place: Place) -> str:
    return place[2]


def _place(published: PublishedFlow) -> Place:
    return published.tenant, published.project, published.name, published.version


def _split(name: str) -> tuple[str, str]:
    flow, _, version = name.partition("@")
    return flow, version


class FlowExecutor:
    """The ExecuteFlow of RunWorker, with the node dependencies of one application."""

    def __init__(self, flows: CompiledFlows, dependencies: NodeDependencies) -> None:
        self._flows = flows
        self._dependencies = replace(dependencies, flows=flows)

    async def __call__(self, started: RunExecution, steps: Steps) -> bytes:
        its = started.run
        flow = await self._flows.load(its.tenant, its.project, its.flow, its.version)
        request = Request(
            payload=EMPTY_CHAT,
            principal=started.principal,
            trace_id=started.trace or its.id,
            started_at=perf_counter(),
            options=started.options,
            endpoint=ENDPOINT,
            origin=started.origin,
            release=None if its.environment is None else ReleaseLabel(its.environment, its.release or ""),
        )
        inputs = msgspec.json.decode(started.inputs, type=dict)
        resources, send, now = self._dependencies, started.send, started.current_principal
        outcome = await run_flow(
            flow,
            inputs,
            id=its.id,
            request=request,
            steps=steps,
            dependencies=resources,
            usage=started.usage,
            send=send,
            current_principal=now,
        )
        closely = msgspec.json.encode(outcome.data_class)

        async def encode_outputs() -> bytes:
            return closely

        if outcome.data_class is not None:  # read by a caller that runs the flow as a tool
            await steps.step(CLASS, encode_outputs)
        return msgspec.json.encode(outcome.outputs)
