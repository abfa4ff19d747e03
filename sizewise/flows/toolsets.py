"""All tools of one house, put together from its rooms: those that its models have, and those that others are lent."""

from __future__ import annotations

from sizewise.agents.knowledge_tool import Library, Looking
from sizewise.flows.as_tools import FlowTools, Runs
from sizewise.flows.as_tools import Library as Flows
from sizewise.flows.as_tools import Shelf as Published
from sizewise.plugins import Once
from sizewise.settings.root import File
from sizewise.tools.code_tool import Sandbox, code
from sizewise.tools.function_tool import Functions
from sizewise.tools.tool import Offering, Shelf


def lent(
    settings: File, published: Published, flows: Flows, runs: Runs, knowledge: Library, *, within: bool = False
) -> Shelf:
    """What this server is to other programs: flows and knowledge, and nothing that it got from others. `within`: to its
    own flows, whose calls are nobody's requests."""
    as_tool, looked = ("tool", "flow") if within else ("mcp", "knowledge")
    return Shelf(
        (FlowTools(published, flows, runs, as_tool), Looking(knowledge, looked)),
        settings.guardrails.allowed_tools or None,
    )


def own(settings: File, lent: Shelf, servers: Offering, sandbox: Sandbox, load: Once) -> Shelf:
    """What its own flows and agents may call: functions of the installation, code in the sandbox where that is on,
    other servers' tools, and all that is lent."""
    functions = Functions(code(sandbox) if settings.sandbox.enabled else (), load)
    return Shelf((functions, servers, lent), settings.guardrails.allowed_tools or None)
