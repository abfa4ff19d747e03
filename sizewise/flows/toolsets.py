"""Toolsets: the tools this server exposes to MCP clients, and the tools its own flows and agents may call."""

from __future__ import annotations

from sizewise.agents.knowledge_tool import KnowledgeSearch, KnowledgeTool
from sizewise.flows.as_tools import FlowLoader, FlowTools, PublishedFlows, RunStarter
from sizewise.plugins import PluginRegistry
from sizewise.settings.root import FileSettings
from sizewise.tools.code_tool import CodeRunner, code_tools
from sizewise.tools.function_tool import FunctionTools
from sizewise.tools.tool import ToolProvider, Toolset


def exported_toolset(
    settings: FileSettings,
    published: PublishedFlows,
    flows: FlowLoader,
    runs: RunStarter,
    knowledge: KnowledgeSearch,
    *,
    internal: bool = False,
) -> Toolset:
    """What this server is to other programs: flows and knowledge, and nothing that it got from others. `internal`: to
    its own flows, whose calls are nobody's requests.
    """
    as_tool, looked = ("tool", "flow") if internal else ("mcp", "knowledge")
    return Toolset(
        (FlowTools(published, flows, runs, as_tool), KnowledgeTool(knowledge, looked)),
        settings.guardrails.allowed_tools or None,
    )


def internal_toolset(
    settings: FileSettings,
    exported: Toolset,
    servers: ToolProvider,
    sandbox: CodeRunner,
    load: PluginRegistry,
) -> Toolset:
    """What its own flows and agents may call: functions of the installation, code in the sandbox where that is on,
    other servers' tools, and all that is lent.
    """
    functions = FunctionTools(code_tools(sandbox) if settings.sandbox.enabled else (), load)
    return Toolset((functions, servers, exported), settings.guardrails.allowed_tools or None)
