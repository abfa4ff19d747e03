"""Dependency injection for nodes: builds `NodeDependencies` from the application's parts."""

from __future__ import annotations

from collections.abc import Callable

from sizewise.agents.runner import AgentRunner
from sizewise.data_class import DataBounds
from sizewise.flows.http_allowlist import HttpAllowlist
from sizewise.flows.node import (
    EstimateCost,
    FileReader,
    KnowledgeAccess,
    MemoryAccess,
    NodeDependencies,
    SandboxAccess,
)
from sizewise.guardrails.marker_cleanup import without_markers
from sizewise.handler import Handler, Request
from sizewise.http.client import HttpClient
from sizewise.settings.root import FileSettings
from sizewise.telemetry.spans import SpanRecorder, unrecorded_spans
from sizewise.tools.tool import ToolAccess


def build_node_dependencies(
    settings: FileSettings,
    *,
    handler: Handler,
    client: HttpClient,
    data_bounds: Callable[[Request], DataBounds],
    read_file: FileReader | None = None,
    knowledge: KnowledgeAccess | None = None,
    sandbox: SandboxAccess | None = None,
    tools: ToolAccess | None = None,
    memory: MemoryAccess | None = None,
    estimate_cost: EstimateCost | None = None,
    spans: SpanRecorder | None = None,
) -> NodeDependencies:
    """`flows` is not set here: FlowModel and FlowExecutor add it."""
    http, handler = HttpAllowlist(settings.hosts, client), without_markers(handler)
    agents = None
    if tools is not None:
        agents = AgentRunner(
            settings=settings.agents,
            tools=tools,
            handler=handler,
            data_bounds=data_bounds,
            memory=memory,
            spans=spans,
        )
    return NodeDependencies(
        handler,
        data_bounds,
        knowledge=knowledge,
        read_file=read_file,
        tools=tools,
        sandbox=sandbox,
        agents=agents,
        memory=memory,
        http=http,
        estimate_cost=estimate_cost,
        spans=spans or unrecorded_spans(),
    )
