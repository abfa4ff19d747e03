"""Builds the features on top of the router: knowledge bases, tools, agents and flows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from sizewise.app.resources import Resources
from sizewise.app.routing_config import build_data_policy, reach_by_data_class
from sizewise.auth.revocation import RevocationMiddleware
from sizewise.cache.idempotency import IdempotencyMiddleware
from sizewise.flows.as_model import FlowDispatcher, FlowModel
from sizewise.flows.cost_estimate import CostEstimator
from sizewise.flows.executor import FlowExecutor
from sizewise.flows.node_dependencies import build_node_dependencies
from sizewise.flows.toolsets import exported_toolset, internal_toolset
from sizewise.handler import Handler
from sizewise.http.client import HttpClient
from sizewise.knowledge.knowledge_service import KnowledgeService, build_knowledge_service
from sizewise.limits.middleware import RateLimitMiddleware
from sizewise.model_card import ModelCard
from sizewise.plugins import PluginRegistry
from sizewise.routing.constraints import HealthCheck
from sizewise.routing.explain import explain
from sizewise.routing.model_aliases import ModelAliases
from sizewise.settings.load import Settings
from sizewise.tools.tool import Toolset


def build_features(
    settings: Settings,
    resources: Resources,
    cards: tuple[ModelCard, ...],
    client: HttpClient,
    names: ModelAliases,
    health: HealthCheck,
    handler: Handler,
    plugins: PluginRegistry,
) -> tuple[Handler, KnowledgeService, Toolset, Sequence[Callable[[], None]]]:
    """`handler`, which answers for flows too now; the knowledge; the tools that are lent to other programs; and the
    changes to what outlives the house. Raises ConfigError, and has changed nothing.
    """
    services, limits = resources.services, build_data_policy(settings)
    shelved = build_knowledge_service(
        settings,
        services.documents,
        resources.vector_stores,
        handler,
        cards,
        reach_by_data_class(settings),
        limits.decide,
    )
    its = services.flow_versions, services.compiled_flows, services.runs.starter, shelved
    lends = exported_toolset(settings, *its)
    tools = internal_toolset(
        settings,
        exported_toolset(settings, *its, internal=True),
        resources.mcp_servers,
        resources.sandbox,
        plugins,
    )
    quotes = CostEstimator(partial(explain, aliases=names, health_check=health, data_policy=limits), cards)
    nodes = build_node_dependencies(
        settings,
        handler=handler,
        client=client,
        data_bounds=limits.decide,
        knowledge=shelved,
        sandbox=resources.sandbox,
        tools=tools,
        memory=services.memories,
        estimate_cost=quotes,
    )
    changes = (
        resources.vector_stores.prepare(settings, reach_by_data_class(settings)),
        resources.mcp_servers.prepare(settings.mcp, client),
        partial(services.runs.worker.configure, FlowExecutor(services.compiled_flows, nodes)),
    )
    flows = RevocationMiddleware(FlowModel(services.compiled_flows, nodes), services.api_keys.authenticator)
    whole = RateLimitMiddleware(
        IdempotencyMiddleware(flows, services.idempotency, resources.calls_in_flight, per_principal=True),
        services.limiter,
    )
    return FlowDispatcher(handler, whole), shelved, lends, changes
