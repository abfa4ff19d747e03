"""Opens connections to the models that the settings name, within their egress policy."""

from __future__ import annotations

from random import random

from sizewise.app.resources import Resources
from sizewise.app.routing_config import reach_by_data_class
from sizewise.catalog.self_tests import read_self_tests
from sizewise.guardrails.pipeline import GuardrailPipeline
from sizewise.handler import ConnectModel
from sizewise.http.client import HttpClient
from sizewise.http.egress import EgressPolicy
from sizewise.limits.rate_limiter import Limiter
from sizewise.model_card import ModelCard
from sizewise.notifications.receivers import with_receivers
from sizewise.offload.offload import Offload
from sizewise.plugins import PluginRegistry
from sizewise.providers.connections import ModelConnections
from sizewise.providers.energy_meter import EnergyMeter
from sizewise.providers.local.models import LocalModels
from sizewise.providers.local.runtime import LocalRuntime
from sizewise.routing.attempt_limits import AttemptLimits
from sizewise.routing.local_tool_calls import with_local_tool_calls
from sizewise.routing.model_aliases import ModelAliases
from sizewise.settings.load import Settings


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


def build_client(settings: Settings, cards: tuple[ModelCard, ...]) -> HttpClient:
    """Raises ConfigError."""
    return HttpClient(build_egress_policy(settings, cards), proxies=settings.proxies, ca_file=settings.ca_file)


def build_attempt_limits(settings: Settings, connections: ModelConnections, spend: Limiter) -> AttemptLimits:
    return AttemptLimits(
        may_retry=connections.allow_retry,
        refusal_status=connections.refusal_status,
        retry_after=connections.retry_after_s,
        draw=random,
        timeout_s=settings.router.timeout_s,
        spend_limiter=spend,
    )


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
