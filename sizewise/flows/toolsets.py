"""Toolsets: the tools this server exposes to MCP clients, and the tools its own flows and agents may call."""

from __future__ import annotations

from sizewise.agents.knowledge_tool import KnowledgeSearch, KnowledgeTool
from sizewise.flows.as_tools import FlowCaller, FlowLoader, FlowTools, PublishedFlows
from sizewise.plugins import PluginRegistry
from sizewise.settings.root import FileSettings
from sizewise.tools.code_tool import CodeRunner, code_tools
from sizewise.tools.function_tool import FunctionTools
from sizewise.tools.tool import ToolProvider, Toolset

CLIENT_TIMEOUT_S = 600.0
"""Of a call of a flow by another program. A run that calls a flow waits with it, also for a person."""


def exported_toolset(
    settings: FileSettings,
    published: PublishedFlows,
    flows: FlowLoader,
    runs: FlowCaller,
    knowledge: KnowledgeSearch,
    *,
    internal: bool = False,
) -> Toolset:
    """The flows and knowledge bases as tools for MCP clients, without tools of other servers.

    `internal`: for this server's own flows and agents, whose calls are recorded as `tool` and `flow`.
    """
    as_tool, looked = ("tool", "flow") if internal else ("mcp", "knowledge")
    timeout_s = None if internal else CLIENT_TIMEOUT_S
    return Toolset(
        (FlowTools(published, flows, runs, as_tool, timeout_s=timeout_s), KnowledgeTool(knowledge, looked)),
        settings.guardrails.allowed_tools or None,
    )


def internal_toolset(
    settings: FileSettings,
    exported: Toolset,
    servers: ToolProvider,
    sandbox: CodeRunner,
    load: PluginRegistry,
) -> Toolset:
    """The tools for this server's flows and agents: installed functions, sandboxed code if it is enabled, tools of MCP
    servers, and `exported`.
    """
    functions = FunctionTools(code_tools(sandbox) if settings.sandbox.enabled else (), load)
    return Toolset((functions, servers, exported), settings.guardrails.allowed_tools or None)
