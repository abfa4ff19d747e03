"""Builds the parts of routing from the settings: policies, aliases, judges, data and egress policy, connections."""

from __future__ import annotations

from random import random

from sizewise.app.resources import Resources
from sizewise.catalog.self_tests import read_self_tests
from sizewise.data_class import DataClass, Place
from sizewise.errors import ConfigError, ModelNotFound
from sizewise.evals.policy_loader import load_policy
from sizewise.guardrails.pipeline import GuardrailPipeline
from sizewise.handler import ConnectModel
from sizewise.http.client import HttpClient
from sizewise.http.egress import EgressPolicy
from sizewise.limits.rate_limiter import Limiter
from sizewise.model_card import MODEL_KINDS, ModelCard
from sizewise.notifications.receivers import with_receivers
from sizewise.offload.offload import Offload
from sizewise.plugins import PluginRegistry
from sizewise.providers.connections import ModelConnections
from sizewise.providers.energy_meter import EnergyMeter
from sizewise.providers.local.models import LocalModels
from sizewise.providers.local.runtime import LocalRuntime
from sizewise.routing.attempt_limits import AttemptLimits
from sizewise.routing.data_policy import DataPolicy, DataRule
from sizewise.routing.judges.chain import JudgeChain
from sizewise.routing.local_tool_calls import with_local_tool_calls
from sizewise.routing.model_aliases import ModelAliases
from sizewise.routing.policy import Policy
from sizewise.routing.session_affinity import SessionAffinity
from sizewise.routing.session_store import SessionStore
from sizewise.settings.load import Settings

RULE_JUDGES = ("rules", "calls", "code", "language")
SIGNAL_JUDGES = ("consistency", "confidence")


def build_policies(
    settings: Settings,
    cards: tuple[ModelCard, ...],
    plugins: PluginRegistry,
) -> tuple[dict[str, Policy], ModelAliases]:
    """The policies by name, and the aliases that resolve model names to plans. Raises ConfigError."""
    policies = {name: load_policy(name, wanted, plugins) for name, wanted in settings.policies.items()}
    router = settings.router
    names = ModelAliases(
        cards,
        policies,
        default_policy=router.policy,
        small=router.small,
        large=router.large,
        aliases=router.alias,
    )
    check_moderation_model(settings.moderation.model, names)
    return policies, names


def build_guardrails(
    settings: Settings, names: ModelAliases, plugins: PluginRegistry, connections: ModelConnections, offload: Offload
) -> GuardrailPipeline:
    return GuardrailPipeline(
        settings=settings.guardrails,
        policies=settings.policies,
        plan=names,
        plugins=plugins,
        connect=build_connect(connections),
        offload=offload,
    )


def build_judge(plugins: PluginRegistry) -> JudgeChain:
    return JudgeChain(tuple(plugins("judges", name) for name in (*RULE_JUDGES, *SIGNAL_JUDGES)))


def build_rule_judge(plugins: PluginRegistry) -> JudgeChain:
    """The judges that need only the reply. A certified policy uses them as a veto."""
    return JudgeChain(tuple(plugins("judges", name) for name in RULE_JUDGES))


def build_session_affinity(settings: Settings, sessions: SessionStore) -> SessionAffinity:
    return SessionAffinity(sessions, settings.router.session_ttl_s, settings.router.switch_cost)


def connect(
    settings: Settings, cards: tuple[ModelCard, ...], plugins: PluginRegistry, resources: Resources
) -> tuple[HttpClient, LocalModels, ModelConnections]:
    """The connections to models, and what they use: those of the live application if they are the same. Raises
    ConfigError.
    """
    shared, local_models = resources.release, resources.local_models.draft()
    if shared is not None and shared.connected is not None:
        return shared.connected[0], local_models, shared.connected[1]
    client = build_client(settings, cards)
    return client, local_models, build_connections(settings, cards, client, local_models, plugins, resources)


def build_connections(
    settings: Settings,
    cards: tuple[ModelCard, ...],
    client: HttpClient,
    local_models: LocalModels,
    plugins: PluginRegistry,
    resources: Resources,
) -> ModelConnections:
    local = settings.local
    return ModelConnections(
        cards=cards,
        providers=settings.providers,
        client=client,
        local_models=local_models,
        runtime=LocalRuntime(
            context=local.context, slots=local.slots, threads=local.threads, gpu_layers=local.gpu_layers
        ),
        cache=settings.cache_dir,
        plugins=plugins,
        timeout_s=settings.router.timeout_s,
        offload=resources.offload,
        new_queue=resources.new_queue,
        reading_paces={
            name: test.prompt_tokens_per_s
            for name, test in read_self_tests(settings.home).items()
            if test.prompt_tokens_per_s > 0
        },
        meter=EnergyMeter(local.watts),
    )


def build_connect(connections: ModelConnections) -> ConnectModel:
    """The handler of each model, with tool calls for those that run here."""
    return with_local_tool_calls(connections)


def reach_by_data_class(settings: Settings) -> dict[DataClass, Place]:
    asked = settings.egress
    return {"public": asked.public, "internal": asked.internal, "confidential": asked.confidential}


def build_data_policy(settings: Settings) -> DataPolicy:
    projects = {name: DataRule(each.data_class, each.online == "allow") for name, each in settings.projects.items()}
    policies = {name: DataRule(None, each.online == "allow", each.egress) for name, each in settings.policies.items()}
    said = {name: rule for name, rule in policies.items() if rule != DataRule()}
    return DataPolicy(reach_by_data_class(settings), settings.router.data_class, projects, said)


def build_attempt_limits(settings: Settings, connections: ModelConnections, spend: Limiter) -> AttemptLimits:
    return AttemptLimits(
        may_retry=connections.allow_retry,
        refusal_status=connections.refusal_status,
        retry_after=connections.retry_after_s,
        draw=random,
        timeout_s=settings.router.timeout_s,
        spend_limiter=spend,
    )


def build_client(settings: Settings, cards: tuple[ModelCard, ...]) -> HttpClient:
    """Raises ConfigError."""
    return HttpClient(build_egress_policy(settings, cards), proxies=settings.proxies, ca_file=settings.ca_file)


def build_egress_policy(settings: Settings, cards: tuple[ModelCard, ...]) -> EgressPolicy:
    """Allows every origin in the settings, each at its declared place. Raises ConfigError."""
    egress = EgressPolicy({}, reach_by_data_class(settings))
    for url, place in {(card.endpoint.base_url, card.place) for card in cards if card.endpoint.base_url}:
        egress = egress.with_origin(url, place)
    for provider in settings.providers.values():
        for url in {row.base_url for row in provider.replicas if row.base_url}:
            egress = egress.with_origin(url, provider.place)
    for url, place in settings.outbound_urls:
        egress = egress.with_origin(url, place)
    return with_receivers(egress, settings)


def check_moderation_model(name: str, names: ModelAliases) -> None:
    """Raises ConfigError unless `name` is empty, a role, or a model that can judge texts."""
    if not name or name in names.role_names:
        return
    try:
        card = names.find_card(name)
    except ModelNotFound as error:
        told = f"`moderation.model` is {name!r}, but there is no such model"
        raise ConfigError(told, error.hint or "list the models: sizewise models list") from error
    if card.task not in ("chat", "moderate"):
        told = f"`moderation.model` is {name!r}, which is {MODEL_KINDS[card.task]}"
        raise ConfigError(told, "name a chat model, or one with the task `moderate`")
