"""Builds the features on top of the router: knowledge bases, tools, agents and flows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from sizewise.app.decision_explainer import DecisionExplainer
from sizewise.app.layers import with_layers
from sizewise.app.resources import Resources
from sizewise.app.routing_config import reach_by_data_class
from sizewise.app.store_dispatcher import StoreDispatcher
from sizewise.auth.revocation import RevocationMiddleware
from sizewise.cache.idempotency import IdempotencyMiddleware
from sizewise.errors import SizewiseError
from sizewise.file_search.file_ingestion import FileIngestion
from sizewise.flows.as_model import FlowDispatcher, FlowModel
from sizewise.flows.cost_estimate import CostEstimator
from sizewise.flows.executor import FlowExecutor
from sizewise.flows.node_dependencies import build_node_dependencies
from sizewise.flows.toolsets import exported_toolset, internal_toolset
from sizewise.handler import Handler, Request
from sizewise.http.client import HttpClient
from sizewise.knowledge.knowledge_service import KnowledgeService, build_knowledge_service
from sizewise.limits.middleware import RateLimitMiddleware
from sizewise.model_card import ModelCard
from sizewise.plugins import PluginRegistry
from sizewise.prompts.prompt_expansion import with_prompts
from sizewise.settings.load import Settings
from sizewise.telemetry.pending_records import PendingRecordMiddleware
from sizewise.telemetry.request_labels import label_requests
from sizewise.tools.tool import Toolset


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """The features built on the model handler. `handler` answers requests to models and flows."""

    handler: Handler
    knowledge_base: KnowledgeService
    exported_toolset: Toolset  # tools for other programs
    run_flow: FlowExecutor  # of durable runs
    changes: Sequence[Callable[[], None]]  # to the resources, in this order; none of them raises


def build_features(
    *,
    settings: Settings,
    resources: Resources,
    cards: tuple[ModelCard, ...],
    client: HttpClient,
    explainer: DecisionExplainer,
    handler: Handler,
    plugins: PluginRegistry,
) -> Features:
    """`handler` answers requests to models, with all its layers. Raises ConfigError. Changes no resource."""
    services, data_policy, release = resources.services, explainer.data_policy, resources.release
    published = services.flow_versions if release is None else release.flows
    compiled = services.compiled_flows if release is None else release.compiled
    knowledge = build_knowledge_service(
        settings,
        document_store=services.documents,
        open_stores=resources.vector_stores,
        embedding_retries=resources.embedding_retries,
        processes=resources.document_processes,
        handler=handler,
        cards=cards,
        reach=reach_by_data_class(settings),
        data_bounds=data_policy.decide,
        spans=services.spans,
        pinned={} if release is None else release.embedding_models,
    )
    parts = published, compiled, services.runs.starter, knowledge
    tools = internal_toolset(
        settings,
        exported_toolset(settings, *parts, internal=True),
        resources.mcp_servers,
        resources.sandbox,
        plugins,
    )
    nodes = build_node_dependencies(
        settings,
        handler=with_prompts(handler, resources.prompts),
        client=client,
        data_bounds=data_policy.decide,
        read_file=resources.document_processes.load,
        knowledge=knowledge,
        sandbox=resources.sandbox,
        tools=tools,
        memory=services.memories,
        estimate_cost=CostEstimator(explainer.unchecked, cards, explainer.counter.near_window, explainer.counter),
        spans=services.spans,
    )

    # The layers around a flow, innermost first. Guardrails, cache and records are not among them: each model call of a
    # flow passes the layers of application.py, and a run has its own record.
    layers: list[Callable[[Handler], Handler]] = [
        # Next to the flow: a revoked key stops the flow itself.
        partial(RevocationMiddleware, authenticator=services.api_keys.authenticator),
        # Per principal: a flow's answer depends on the caller.
        partial(
            IdempotencyMiddleware,
            store=services.idempotency,
            calls=resources.calls_in_flight,
            per_principal=True,
            offload=resources.offload,
        ),
        # Above idempotency: the record that a repeated request's error names, if the server stopped during a flow.
        partial(
            PendingRecordMiddleware,
            write=services.records.enqueue,
            record_ids=services.records.ids,
        ),
        # Outermost: a request over its limit starts nothing.
        partial(RateLimitMiddleware, limiter=services.limiter),
    ]
    flow_handler = with_layers(FlowModel(compiled, nodes, services.runs.limits), layers)

    def uses_local_embedding(request: Request) -> bool:
        try:
            cards = explainer.aliases(request.payload, request.options.policy).cards
        except SizewiseError:  # recorded and answered further in
            return False
        return any(card.weights is not None for card in cards)

    owns_store = resources.role.owns_store
    run_flow = FlowExecutor(compiled, nodes)
    answer = FlowDispatcher(handler, flow_handler) if owns_store else StoreDispatcher(handler, uses_local_embedding)
    return Features(
        handler=label_requests(with_prompts(answer, resources.prompts)),
        knowledge_base=knowledge,
        exported_toolset=exported_toolset(settings, *parts),
        run_flow=run_flow,
        changes=(
            resources.vector_stores.prepare(settings, reach_by_data_class(settings)),
            resources.embedding_retries.prepare(
                knowledge.ingestion,
                settings.knowledge,
                services.api_keys.authenticator.reauthenticate,
            ),
            resources.file_attachments.prepare(
                FileIngestion(
                    knowledge,
                    services.files,
                    services.vector_stores,
                    services.api_keys.authenticator.reauthenticate,
                ),
                resources.embedding_retries,
            ),
            resources.mcp_servers.prepare(settings.mcp, client),
            # Runs outlive the application; runs that start from now on use its nodes.
            partial(services.runs.worker.configure, run_flow),
            partial(services.runs.trials.configure, services.compiled_flows, nodes),
        ),
    )
