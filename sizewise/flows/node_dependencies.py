"""What the house offers to the nodes of flows, put together from its rooms; decides nothing."""

from __future__ import annotations

from collections.abc import Callable

from sizewise.agents.runner import Agents
from sizewise.flows.http_allowlist import Hosts
from sizewise.flows.node import Bounds, Knowledge, Means, Memory, Quote, Sandbox, Tools
from sizewise.handler import Answerer, Ask
from sizewise.http.client import Client
from sizewise.knowledge.load import load
from sizewise.settings.root import File


def offered(
    settings: File,
    answer: Answerer,
    client: Client,
    told: Callable[[Ask], Bounds],
    knowledge: Knowledge | None = None,
    sandbox: Sandbox | None = None,
    tools: Tools | None = None,
    memory: Memory | None = None,
    quote: Callable[[Ask], Quote] | None = None,
) -> Means:
    """Other flows are added by whoever keeps them."""
    http = Hosts(settings.hosts, client)
    agents = None if tools is None else Agents(settings.agents, tools, answer, told, memory)
    return Means(answer, told, knowledge, load, tools, sandbox, agents, memory, http, quote=quote)
