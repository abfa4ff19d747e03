"""The composition root: builds one immutable Application from settings and process-wide resources.

A reload of the settings builds a new Application and swaps one reference; requests in flight finish in the old one.
Resources outlive applications: `build_application` changes none of them, so refused settings change nothing.
`Application.apply` changes them, and cannot fail.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from random import random

from sizewise.app import model_connections, routing_config
from sizewise.app.decision_explainer import DecisionExplainer, build_explainer
from sizewise.app.decision_layer import DecisionLayer
from sizewise.app.environments import Environments
from sizewise.app.flow_stack import build_features
from sizewise.app.layers import with_layers
from sizewise.app.resources import Resources
from sizewise.auth.browser_security import allowed_hosts, check_host
from sizewise.auth.revocation import RevocationMiddleware
from sizewise.cache.idempotency import IdempotencyMiddleware
from sizewise.cache.response_cache import with_response_cache
from sizewise.evals.llm_judge import compare_answers
from sizewise.evals.policy_loader import load_certificate_models, load_prediction
from sizewise.evals.quality_monitor import MonitoredPolicy, monitored_policies
from sizewise.evals.shadow_traffic import ShadowTraffic, judge_card
from sizewise.flows.executor import FlowExecutor
from sizewise.guardrails.pipeline import GuardrailPipeline
from sizewise.guardrails.text_judge import TextJudge
from sizewise.handler import Handler
from sizewise.http.client import HttpClient
from sizewise.knowledge.knowledge_service import KnowledgeService
from sizewise.limits.middleware import RateLimitMiddleware
from sizewise.model_card import ModelCard
from sizewise.plugins import PluginRegistry
from sizewise.principal import Principal
from sizewise.providers.connections import ModelConnections
from sizewise.request_origin import ReleaseLabel
from sizewise.routing.learned_judge import CertificateModels
from sizewise.routing.model_aliases import ModelAliases
from sizewise.routing.quality_prediction import QualityPrediction
from sizewise.routing.router import Router
from sizewise.settings.load import Settings
from sizewise.telemetry.recorder import RecordingMiddleware
from sizewise.tools.tool import Toolset


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """One configuration, ready to answer. `handler` is the whole middleware stack; APIs read the other fields."""

    settings: Settings
    resources: Resources
    cards: tuple[ModelCard, ...]
    aliases: ModelAliases
    client: HttpClient
    connections: ModelConnections
    guardrails: GuardrailPipeline
    explain: DecisionExplainer
    handler: Handler
    moderation: Handler  # judges texts by the guardrails alone: idempotent, limited and recorded
    quality_prediction: QualityPrediction | None
    learned_judges: Mapping[str, CertificateModels]  # by policy name
    monitored_policies: Mapping[str, MonitoredPolicy]  # by policy name
    knowledge_base: KnowledgeService
    mcp_toolset: Toolset  # tools for other programs
    allowed_hosts: frozenset[str]  # Host names this server answers to; empty: all
    run_flow: FlowExecutor  # of durable runs
    changes: tuple[Callable[[], None], ...]  # to the resources, in this order; none of them raises
    environments: Environments[Application] | None = None  # None: what is published answers all
    label: ReleaseLabel | None = None  # of the requests that it answers; None: there are no environments

    def apply(self) -> None:
        """Applies these settings to the resources. Call it once, before the first request."""
        for change in self.changes:
            change()

    def authenticate(self, key: str, host: str) -> Principal:
        """The principal of `key`. `host`: the Host header of the request. Raises InvalidApiKey, Forbidden."""
        check_host(host, self.allowed_hosts)
        return self.resources.services.api_keys.authenticator.authenticate(key)


def build_application(settings: Settings, resources: Resources, cards: tuple[ModelCard, ...]) -> Application:
    """Raises ConfigError. Changes no resource: `Application.apply` does."""
    services, plugins, offload, caches = resources.services, PluginRegistry(), resources.offload, resources.caches
    client, local_models, connections = model_connections.connect(settings, cards, plugins, resources)
    policies, names = routing_config.build_policies(settings, cards, plugins)
    certificate_models = load_certificate_models(policies, cards, routing_config.build_rule_judge(plugins))
    prediction = load_prediction(settings.trained_router, cards)
    guardrails = model_connections.build_guardrails(settings, names, plugins, connections, offload)
    monitored, large = monitored_policies(names.policy_plans), names.role_plan("large")
    explain = build_explainer(
        settings,
        resources,
        connections=connections,
        guardrails=guardrails,
        aliases=names,
        prediction=prediction,
        certificate_models=certificate_models,
        distrust_check=services.quality_monitor.distrust_check(monitored),
    )
    shadow = ShadowTraffic(
        settings=settings.shadow,
        policies=monitored,
        judge=judge_card(settings.shadow.judge, cards, large.cards[0] if large else None),
        compare=compare_answers,
        comparisons=resources.shadow_tasks,
        draw=random,
        # A real cycle: the router in the layers reports what to compare, by calls through all layers. Bound below.
        handler=lambda request, send: answer(request, send),
    )
    router = Router(
        plan=names,
        connect=guardrails.masking_connector,
        judge=routing_config.build_judge(plugins),
        health_check=connections.unavailable_reason,
        data_policy=explain.data_policy,
        affinity=explain.affinity,
        limits=model_connections.build_attempt_limits(settings, connections, services.limiter),
        prediction=prediction,
        certificate_models=certificate_models,
        observer=shadow.observer,
        distrust_check=explain.distrust_check,
        forecaster=explain.forecaster,
        count_prompts=explain.counter.count_all,
        compaction=explain.compaction,
        mask=explain.mask,
    )

    decisions = DecisionLayer(settings.learn, services.decisions, explain, cards)
    # The layers around the router, innermost first: a request passes them from the last to the first.
    # docs/explanation/how-a-request-flows.md lists them; a test compares the two.
    layers: list[Callable[[Handler], Handler]] = [
        # Next to the router: a hit replaces only the models, so every layer above still checks, counts and records it.
        partial(with_response_cache, plan=names, settings=settings, offload=offload, caches=caches),
        # Above the cache: what a certified ladder answers is not cached, and what it learns from is. Off by default.
        decisions.wrap,
        # Above both: a replay under an idempotency key is the first outcome, whatever the cache holds by now.
        partial(IdempotencyMiddleware, store=services.idempotency, calls=resources.calls_in_flight, offload=offload),
        # Above idempotency: a revoked key stops waiting, but a call that other requests wait for continues.
        partial(RevocationMiddleware, authenticator=services.api_keys.authenticator),
        # Above everything that stores replies: cached and replayed ones pass today's guardrails too.
        guardrails.wrap,
        # Above the guardrails: a request over its limit costs no scan.
        partial(RateLimitMiddleware, limiter=services.limiter),
        # Outermost: requests that any layer refuses are recorded as well.
        partial(
            RecordingMiddleware,
            write=services.records.enqueue,
            metrics=resources.metrics,
            record_ids=services.records.ids,
            end_users=services.end_users,
            log_payload=services.payload_log.enqueue if settings.records.contents else None,
            is_stopping=lambda: services.api_keys.authenticator.is_stopping,
            logs=settings.logs,
        ),
    ]
    answer: Handler = with_layers(router, layers)
    features = build_features(
        settings=settings,
        resources=resources,
        cards=cards,
        client=client,
        explainer=explain,
        handler=answer,
        plugins=plugins,
    )
    decisions.ask_by(features.handler)
    return Application(
        settings=settings,
        resources=resources,
        cards=cards,
        aliases=names,
        client=client,
        connections=connections,
        guardrails=guardrails,
        explain=explain,
        handler=features.handler,
        moderation=with_layers(TextJudge(guardrails), (layers[2], *layers[-2:])),
        quality_prediction=prediction,
        learned_judges=certificate_models,
        monitored_policies=monitored,
        knowledge_base=features.knowledge_base,
        run_flow=features.run_flow,
        mcp_toolset=features.exported_toolset,
        allowed_hosts=allowed_hosts(settings.server.host, settings.server.allowed_hosts),
        changes=(
            *services.prepare(settings, client, names.policy_plans),
            partial(resources.local_models.take, local_models),
            *features.changes,
        ),
    )
