"""Cache of compiled flow versions, and the executor that runs them with the application's node dependencies."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import replace
from functools import partial
from time import perf_counter

import msgspec

from sizewise.errors import BadRequest, Forbidden, SizewiseError
from sizewise.flows.compiled_flow import CompiledFlow
from sizewise.flows.dag_runner import run_flow
from sizewise.flows.engine import Steps
from sizewise.flows.node import FlowSignature, NodeDependencies
from sizewise.flows.node_registry import NodeRegistry
from sizewise.flows.run_worker import RunExecution
from sizewise.flows.tables import CLASS
from sizewise.flows.validator import ValidationResult, validate_flow
from sizewise.flows.versions.store import FlowVersions
from sizewise.handler import Request
from sizewise.messages import ChatRequest

ENDPOINT = "flow"
EMPTY_CHAT = ChatRequest("", [], {})
CACHE_SIZE = 500
"""Compiled flows in memory; the least recently used is evicted first."""
MAX_DEPTH = 16
"""Nesting of subflows."""


class CompiledFlows:
    """Loads flow versions and compiles them; the FlowAccess of nodes. Thread-safe; outlives the application."""

    def __init__(self, versions: FlowVersions) -> None:
        self._versions = versions
        self._registry: NodeRegistry | None = None
        self._cache: OrderedDict[tuple[str, str, str, str], CompiledFlow] = OrderedDict()
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
        """Raises PathNotFound, BadRequest if it no longer compiles (a subflow or node type is gone)."""
        return await self._versions.run_in_thread(partial(self._load, tenant, project, name, version, 0))

    async def validate(self, tenant: str, project: str, text: str) -> ValidationResult:
        """Validates the YAML `text` of a flow of this project."""
        return await self._versions.run_in_thread(partial(self._validate, tenant, project, text, 0))

    def _validate(self, tenant: str, project: str, text: str, depth: int) -> ValidationResult:
        self._registry = self._registry or NodeRegistry()
        return validate_flow(text, self._registry, partial(self._signature, tenant, project, depth))

    def _load(self, tenant: str, project: str, name: str, version: str, depth: int) -> CompiledFlow:
        place = (tenant, project, name, version)
        with self._lock:
            if place in self._cache:
                self._cache.move_to_end(place)
                return self._cache[place]
        text = self._versions.read_source_blocking(tenant, project, name, version).decode()
        found = self._validate(tenant, project, text, depth)
        if found.flow is None:
            first = next(each for each in found.diagnostics if each.kind == "mistake")
            raise BadRequest(f"the flow {name!r} cannot run: {first.message}", first.hint)
        with self._lock:
            self._cache[place] = found.flow
            while len(self._cache) > CACHE_SIZE:
                self._cache.popitem(last=False)
        return found.flow

    def _signature(self, tenant: str, project: str, depth: int, name: str) -> FlowSignature | None:
        flow, _, version = name.partition("@")
        if depth >= MAX_DEPTH:
            return None
        try:
            whole = version or self._versions.get_published(tenant, project, flow).version
            return self._load(tenant, project, flow, whole, depth + 1).signature
        except SizewiseError:
            return None


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
            send=send,
            current_principal=now,
        )
        closely = msgspec.json.encode(outcome.data_class)

        async def encode_outputs() -> bytes:
            return closely

        if outcome.data_class is not None:  # read by a caller that runs the flow as a tool
            await steps.step(CLASS, encode_outputs)
        return msgspec.json.encode(outcome.outputs)
