"""All of sizewise.toml, every table with the room it is for; docs and JSON Schema are made from here."""
# ruff: noqa: RUF009 - `setting` makes a field, it is not a default computed once by mistake

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sizewise.data_class import Place
from sizewise.settings.agents import Agent, Memory
from sizewise.settings.auth import Oidc, Role, Sessions
from sizewise.settings.graphql import GraphQL
from sizewise.settings.guardrails import Guards
from sizewise.settings.http_allowlist import Host
from sizewise.settings.knowledge import Knowledge
from sizewise.settings.limits import Budgets, Limits, scope
from sizewise.settings.models import Facts, Local, Provider
from sizewise.settings.routing import Policy, Project, Reach, Router, Shadow, Sizes
from sizewise.settings.server import Network, Server, Trigger, Webhook
from sizewise.settings.storage import Conversations, ExactCache, Flows, Idempotency, Records, Store, Vault
from sizewise.settings.toml_reader import setting
from sizewise.settings.tools import McpServer, Sandbox
from sizewise.settings.validators import model_name, name


@dataclass(frozen=True, slots=True)
class File:
    """All of sizewise.toml. Every table and every key may be left out."""

    server: Server = setting(Server(), "")
    router: Router = setting(Router(), "")
    egress: Reach = setting(Reach(), "")
    policies: Mapping[str, Policy] = setting(MappingProxyType({"default": Policy()}), "", keys=name)
    projects: Mapping[str, Project] = setting(MappingProxyType({}), "", keys=name)
    providers: Mapping[str, Provider] = setting(MappingProxyType({}), "", keys=name)
    models: Mapping[str, Facts] = setting(MappingProxyType({}), "", keys=model_name)
    sizes: Sizes = setting(Sizes(), "")
    local: Local = setting(Local(), "")
    records: Records = setting(Records(), "")
    stored_responses: Conversations = setting(Conversations(), "")
    flows: Flows = setting(Flows(), "")
    idempotency: Idempotency = setting(Idempotency(), "")
    response_cache: ExactCache = setting(ExactCache(), "")
    shadow: Shadow = setting(Shadow(), "")
    guardrails: Guards = setting(Guards(), "")
    roles: Mapping[str, Role] = setting(MappingProxyType({}), "", keys=name)
    login_sessions: Sessions = setting(Sessions(), "")
    oidc: Mapping[str, Oidc] = setting(MappingProxyType({}), "", keys=name)
    encryption: Vault = setting(Vault(), "")
    limits: Mapping[str, Limits] = setting(MappingProxyType({}), "", keys=scope)
    budgets: Budgets = setting(Budgets(), "")
    database: Store = setting(Store(), "")
    knowledge: Mapping[str, Knowledge] = setting(MappingProxyType({}), "", keys=name)
    graphql: GraphQL = setting(GraphQL(), "")
    sandbox: Sandbox = setting(Sandbox(), "")
    agents: Mapping[str, Agent] = setting(MappingProxyType({}), "", keys=name)
    memory: Memory = setting(Memory(), "")
    mcp: Mapping[str, McpServer] = setting(MappingProxyType({}), "", keys=name)
    triggers: Mapping[str, Trigger] = setting(MappingProxyType({}), "", keys=name)
    hosts: Mapping[str, Host] = setting(MappingProxyType({}), "", keys=name)
    webhooks: Mapping[str, Webhook] = setting(MappingProxyType({}), "", keys=name)
    network: Network = setting(Network(), "")

    @property
    def beside(self) -> list[tuple[str, Place]]:
        """What is reached beside providers of models, and where it runs."""
        hooks = [(hook.url, hook.place) for hook in self.webhooks.values()]
        hooks += [(server.url, server.place) for server in self.mcp.values() if server.url]
        hooks += [(host.url, host.place) for host in self.hosts.values() if host.url]
        return hooks + [(url, row.place) for row in self.oidc.values() for url in (row.issuer, *row.origins)]
