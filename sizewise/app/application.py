"""The composition root: builds one immutable Application from settings and process-wide resources.

Has no `if` about behaviour and no loop over requests. New settings build a new Application; one reference is swapped
and requests in flight finish in the old one. Means (keeper, model workers, metrics) outlive Houses:
`build_application` changes none of them, so that refused settings leave all as it was. House.apply does, and cannot
fail.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from random import random

from sizewise.app.flow_stack import build_features
from sizewise.app.resources import Resources
from sizewise.app.routing_config import build_data_policy, build_egress_policy, build_policies
from sizewise.auth.browser_security import check_host
from sizewise.auth.revocation import RevocationMiddleware
from sizewise.cache.idempotency import IdempotencyMiddleware
from sizewise.cache.response_cache import with_response_cache
from sizewise.errors import ModelNotFound, did_you_mean
from sizewise.evals.llm_judge import compare_answers
from sizewise.evals.policy_loader import load_certificate_models, load_prediction
from sizewise.evals.quality_monitor import MonitoredPolicy, monitored_policies
from sizewise.evals.shadow_traffic import ShadowTraffic, judge_card
from sizewise.guardrails.pipeline import GuardrailPipeline
from sizewise.handler import Handler, Request
from sizewise.http.client import HttpClient
from sizewise.knowledge.knowledge_service import KnowledgeService
from sizewise.limits.middleware import RateLimitMiddleware
from sizewise.model_card import ModelCard
from sizewise.plugins import PluginRegistry
from sizewise.principal import Principal
from sizewise.providers.connections import ModelConnections
from sizewise.providers.local.runtime import LocalRuntime
from sizewise.routing.attempt_limits import AttemptLimits
from sizewise.routing.explain import RoutingDecision, explain
from sizewise.routing.judges.chain import JudgeChain
from sizewise.routing.learned_judge import CertificateModels
from sizewise.routing.model_aliases import ModelAliases
from sizewise.routing.quality_prediction import QualityPrediction
from sizewise.routing.router import Router
from sizewise.routing.session_affinity import SessionAffinity
from sizewise.settings.load import Settings
from sizewise.telemetry.recorder import RecordingMiddleware
from sizewise.tools.tool import Toolset

RULE_JUDGES = ("rules", "calls", "code", "language")
JUDGES = (*RULE_JUDGES, "consistency", "confidence")
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


@dataclass(frozen=True, slots=True)
class Application:
    """All that one configuration needs to answer. `handler` is the whole onion; the rest is for looking in."""

    settings: Settings
    resources: Resources
    cards: tuple[ModelCard, ...]
    aliases: ModelAliases
    client: HttpClient
    connections: ModelConnections
    guardrails: GuardrailPipeline
    handler: Handler
    quality_prediction: QualityPrediction | None
    learned_judges: Mapping[str, CertificateModels]  # by policy
    monitored_policies: Mapping[str, MonitoredPolicy]  # the same
    knowledge_base: KnowledgeService
    mcp_toolset: Toolset  # tools for other programs
    allowed_hosts: frozenset[str]  # Host names this server answers to; empty: all
    changes: tuple[Callable[[], None], ...]  # to the means, in this order; none of them raises

    def apply(self) -> None:
        """The means follow these settings from now on. Once, before it answers."""
        for change in self.changes:
            change()

    def authenticate(self, key: str, host: str) -> Principal:
        """Who presents `key`, having come to `host` (with its port). Raises BadKey, and Forbidden by `check_host`."""
        check_host(host, self.allowed_hosts)
        return self.resources.services.api_keys.authenticator.authenticate(key)

    def find_card(self, name: str) -> ModelCard:
        """The card of `<provider>/<model>`, or of a model name that only one provider has. Raises ModelNotFound."""
        for card in self.cards:
            if name in (card.name, card.model):
                return card
        known = [card.name for card in self.cards]
        raise ModelNotFound(f"there is no model named {name[:200]!r}", did_you_mean(name, known), param="model")

    def role_names(self) -> list[str]:
        """What `model` may say beside the models themselves: auto, auto:<policy>, small, large."""
        models = {card.name for card in self.cards}
        return [name for name in self.aliases.chat_names if name not in models]

    def explain(self, request: Request) -> RoutingDecision:
        """The decision for `request` without the call."""
        settings, health = self.settings, self.connections.unavailable_reason
        sessions, fallen = (
            session_affinity(settings, self.resources),
            self.resources.services.quality_monitor.distrust_check(self.monitored_policies),
        )
        return explain(
            self.guardrails.check(request),
            self.aliases,
            health,
            build_data_policy(settings),
            sessions,
            self.quality_prediction,
            self.learned_judges,
            fallen,
        )

    def readiness(self) -> tuple[bool, list[str]]:
        """Whether some model can answer, and what limps, in words."""
        objections = [(card.name, self.connections.unavailable_reason(card)) for card in self.cards]
        impaired = [f"{name} {why}" for name, why in objections if why]
        if self.resources.services.problem:
            impaired.append(self.resources.services.problem)
        impaired += [
            *self.resources.services.quality_monitor.impaired(self.monitored_policies),
            *self.resources.webhooks.impaired(),
            *self.resources.mcp_servers.impaired(),
        ]
        impaired += self.resources.flow_files.impaired if self.resources.flow_files else []
        return any(not why for _, why in objections), impaired


def build_application(settings: Settings, resources: Resources, cards: tuple[ModelCard, ...]) -> Application:
    """Raises ConfigError, naming what in the settings is wrong. Changes no means: that is Application.apply."""
    client = HttpClient(build_egress_policy(settings, cards), proxies=settings.proxies, ca_file=settings.ca_file)
    changes = [resources.webhooks.prepare(settings.webhooks, client), *resources.services.prepare(settings, client)]
    local, locals = settings.local, resources.local_models.draft()
    runtime = LocalRuntime(context=local.context, slots=local.slots, threads=local.threads)
    load = PluginRegistry()
    connections = ModelConnections(cards, settings.providers, client, locals, runtime, settings.cache_dir, load)
    changes.append(partial(resources.local_models.take, locals))
    router = settings.router
    policies, names = build_policies(settings, cards, load)
    judge = JudgeChain(tuple(load("judges", name) for name in JUDGES))
    known = load_certificate_models(policies, cards, JudgeChain(tuple(load("judges", name) for name in RULE_JUDGES)))

    ways = AttemptLimits(
        connections.allow_retry,
        connections.retry_after_s,
        random,
        router.timeout_s,
        resources.services.limiter,
    )
    foresight = load_prediction(settings.trained_router, cards)

    post = GuardrailPipeline(settings.guardrails, settings.policies, names, load, connections)

    watch, large = monitored_policies(names.policy_plans), names.role_plan("large")
    third = judge_card(settings.shadow.judge, cards, large.cards[0] if large else None)
    shadow = ShadowTraffic(settings.shadow, watch, third, compare_answers, resources.shadow_tasks, random)

    # The onion, inside out; the order is a promise.
    answer: Handler = Router(
        names,
        post.masking_connector,
        judge,
        connections.unavailable_reason,
        build_data_policy(settings),
        session_affinity(settings, resources),
        ways,
        foresight,
        known,
        shadow.observer,
        resources.services.quality_monitor.distrust_check(watch),
    )
    answer = with_response_cache(answer, names, settings.response_cache)
    answer = IdempotencyMiddleware(answer, resources.services.idempotency, resources.calls_in_flight)
    answer = RevocationMiddleware(answer, resources.services.api_keys.authenticator)
    answer = post.wrap(answer)
    answer = RateLimitMiddleware(answer, resources.services.limiter)
    keep = resources.services.payload_log.enqueue if settings.records.contents else None
    answer = RecordingMiddleware(
        answer,
        resources.services.records.enqueue,
        resources.metrics,
        resources.services.records.ids,
        keep,
    )
    shadow.handler = answer

    answer, shelved, lends, more = build_features(
        settings,
        resources,
        cards,
        client,
        names,
        connections.unavailable_reason,
        answer,
        load,
    )

    hosts = frozenset((*LOOPBACK, *settings.server.allowed_hosts)) if settings.server.host in LOOPBACK else frozenset()
    return Application(
        settings,
        resources,
        cards,
        names,
        client,
        connections,
        post,
        answer,
        foresight,
        known,
        watch,
        shelved,
        lends,
        hosts,
        (*changes, *more),
    )


def session_affinity(settings: Settings, resources: Resources) -> SessionAffinity:
    return SessionAffinity(resources.routing_sessions, settings.router.session_ttl_s, settings.router.switch_cost)
