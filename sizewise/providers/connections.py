"""Model connections: model card -> handler, opened at startup with circuit breakers, load balancing and queues."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from sizewise.catalog.loader import weights_path
from sizewise.data_class import THIS_MACHINE, DataClass
from sizewise.errors import ConfigError, ModelUnavailable, SizewiseError
from sizewise.handler import Handler, Request, Send
from sizewise.http.client import HttpClient, HttpEndpoint, HttpTimeouts
from sizewise.messages import ChatRequest, Reply
from sizewise.model_card import MEDIA_TASKS, ModelCard
from sizewise.offload.offload import Offload
from sizewise.plugins import PluginRegistry
from sizewise.providers.circuit_breaker import BreakerSet, CircuitBreaker, CircuitBreakerHandler, RetryBudget
from sizewise.providers.concurrency_limiter import ConcurrencyLimitHandler, FairQueue, NewQueue
from sizewise.providers.echo import EchoModel
from sizewise.providers.energy_meter import EnergyMeter, MeteredModel
from sizewise.providers.http_model import HttpModel
from sizewise.providers.load_balancer import LoadBalancer, Replica
from sizewise.providers.local.adapters import adapter_problem, adapters_by_base
from sizewise.providers.local.models import AdaptedModel, LocalModel, LocalModels
from sizewise.providers.local.runtime import LocalRuntime
from sizewise.providers.media_model import MediaModel
from sizewise.providers.stop_sequences import StopSequences
from sizewise.providers.wires.overrides import apply_overrides
from sizewise.providers.wires.wire import Wire, bearer_header
from sizewise.settings.load import resolve_secret
from sizewise.settings.models import ProviderSettings, ReplicaSettings, TimeoutsSettings
from sizewise.settings.validators import is_reference

UnavailableReason = Callable[[], str]
"""Why a model is unavailable now; empty when it is available."""
PromptTokenCounter = Callable[[ChatRequest, DataClass], Awaitable[int | None]]
"""Counts the tokens of a prompt exactly, for one model; None if its upstream does not count."""


ModelGauges = Mapping[tuple[str, str], Mapping[str, float]]
"""Gauges for the metrics: (metric name, help text) -> model -> value."""

MIN_SECRET_LENGTH = 8  # characters; shorter values ("none", "ollama") protect nothing and occur in ordinary error texts
STATE_VALUES: Mapping[str, int] = {"closed": 0, "half_open": 1, "open": 2}


JSON_TYPE = ("Content-Type", "application/json")


def always_available() -> str:
    return ""


def no_wait() -> float:
    return 0.0


@dataclass(frozen=True, slots=True)
class ModelConnection:
    """An opened model. `retry_after_s`: seconds until it may be called; `breakers` is empty for models run here."""

    handler: Handler
    unavailable_reason: UnavailableReason = always_available
    retry_after_s: Callable[[], float] = no_wait
    breakers: tuple[BreakerSet, ...] = ()
    queue: FairQueue | None = None


class UnavailableModel:
    """Placeholder for a model that cannot be opened: reports why to callers and to the router."""

    def __init__(self, error: SizewiseError) -> None:
        self._error = error

    async def __call__(self, request: Request, send: Send) -> Reply:
        raise ModelUnavailable(self._error.message, self._error.hint)

    def unavailable_reason(self) -> str:
        return f"is unreachable: {self._error.message}"


class ModelConnections:
    """The handler of every model card. A provider whose key is missing disables only its own models."""

    def __init__(
        self,
        *,
        cards: tuple[ModelCard, ...],
        providers: Mapping[str, ProviderSettings],
        client: HttpClient,
        local_models: LocalModels,
        runtime: LocalRuntime,
        cache: Path,
        plugins: PluginRegistry,
        timeout_s: float,
        offload: Offload,
        new_queue: NewQueue = FairQueue,
        reading_paces: Mapping[str, float] = MappingProxyType({}),
        meter: EnergyMeter | None = None,
    ) -> None:
        """`timeout_s`: of a request with all its attempts; none waits longer for a slot. `new_queue`: makes the queue
        of a model with slots. `reading_paces`: prompt tokens per second of local models that were measured here.
        `meter`: of this machine, for the models on it; None: their energy is unknown.
        """
        self._offload = offload
        self._providers = providers
        self._client = client
        self._plugins = plugins
        self._endpoints: dict[tuple[str, int], HttpEndpoint] = {}
        self._breakers: dict[tuple[str, str | int], CircuitBreaker] = {}
        self._retry_budgets: dict[str, RetryBudget] = {}
        self._token_counters: dict[str, PromptTokenCounter] = {}
        self.local_models: dict[str, LocalModel] = {}
        self._connections: dict[str, ModelConnection] = {}
        adapters = adapters_by_base(cards, cache)
        for card in cards:
            if card.effort is not None:
                continue  # another effort is another request to the same connection
            slots = card.slots
            if card.weights is not None and card.task == "embed":
                embedding = local_models.open_embedding_model(card, weights_path(card.weights, cache), runtime.threads)
                slots, opened = 0, ModelConnection(embedding, embedding.unavailable_reason)
            elif card.weights is not None:
                slots = slots or runtime.slots
                file = weights_path(card.weights, cache)
                sharing = adapters.get(file, ())
                shown = "\n".join(sharing)
                asked, pace = replace(runtime, slots=slots, adapters=shown), reading_paces.get(card.name)
                local = local_models.open_chat_model(card, file, asked, pace)
                self.local_models[card.name] = local
                self._token_counters[card.name] = local.count_tokens
                opened = _open_local(card, local, sharing)
            elif card.endpoint.wire == "echo" and card.task in MEDIA_TASKS:
                none = UnavailableModel(ConfigError("the echo model has no audio and no images"))
                opened = ModelConnection(none, none.unavailable_reason)
            elif card.endpoint.wire == "echo":
                echo = EchoModel(card)
                self._token_counters[card.name] = echo.count_tokens
                opened = ModelConnection(echo)
            else:
                opened = self._open_remote(card)
            if meter is not None and card.place in THIS_MACHINE:
                opened = replace(opened, handler=MeteredModel(opened.handler, meter))
            self._connections[card.name] = _with_queue(card, slots, opened, timeout_s, new_queue) if slots else opened

    def __call__(self, card: ModelCard) -> Handler:
        return self._connections[card.base_name].handler

    def unavailable_reason(self, card: ModelCard) -> str:
        return self._connections[card.base_name].unavailable_reason()

    def retry_after_s(self, card: ModelCard) -> float:
        """Seconds until an unavailable model may be called; 0 if unknown."""
        return self._connections[card.base_name].retry_after_s()

    def refusal_status(self, card: ModelCard) -> int:
        """The HTTP status while the model is unavailable: 429 where it limits our rate, else 503."""
        return min((each.refusal_status() for each in self._connections[card.base_name].breakers), default=503)

    def queue(self, card: ModelCard) -> FairQueue | None:
        """The queue in front of a model with slots."""
        return self._connections[card.base_name].queue

    def allow_retry(self, card: ModelCard) -> bool:
        """Whether a failed request may retry `card`: the model is available, and the budget has a retry left."""
        if self.unavailable_reason(card):
            return False
        budget = self._retry_budgets.get(card.endpoint.provider)
        return budget is None or budget.try_withdraw()

    def gauges(self) -> ModelGauges:
        """Circuit states of remote models, and slot and queue figures of models with slots."""
        states, busy, waiting, waited, away, predicted = ({} for _ in range(6))
        for name, opened in self._connections.items():
            if opened.breakers:
                states[name] = min(STATE_VALUES[way.state()] for way in opened.breakers)
            if opened.queue is not None:
                busy[name], waiting[name] = opened.queue.in_use, opened.queue.waiting
                waited[name], away[name] = opened.queue.total_wait_s, opened.queue.rejected_count
                predicted[name] = opened.queue.predicted_wait_s("")
        return {
            ("sizewise_model_state", "Circuit breaker: 0 closed, 1 half open, 2 open."): states,
            ("sizewise_slots_busy", "Slots in use."): busy,
            ("sizewise_slots_queued", "Requests queued for a slot."): waiting,
            ("sizewise_slots_queue_seconds", "Total time requests spent queued."): waited,
            ("sizewise_slots_rejected", "Requests rejected because the queue was full or the wait too long."): away,
            ("sizewise_slots_predicted_wait_seconds", "Predicted wait of a new request for a slot."): predicted,
        }

    def token_counter(self, card: ModelCard) -> PromptTokenCounter | None:
        """None if no exact count is available for this model."""
        return self._token_counters.get(card.base_name)

    def tokenizer(self, card: ModelCard) -> PromptTokenCounter | None:
        """As `token_counter`, of a tokenizer in this process or in a model that is loaded here."""
        local = self.local_models.get(card.base_name)
        here = card.endpoint.wire == "echo" if local is None else local.is_started
        return self._token_counters.get(card.base_name) if here else None

    def _open_remote(self, card: ModelCard) -> ModelConnection:
        try:
            provider = self._providers.get(card.endpoint.provider, ProviderSettings())
            spoken: Wire = self._plugins("wires", card.endpoint.wire)
            if card.completions and spoken.completions is None:
                raise ConfigError(
                    f"models.{card.name!r}.completions: the wire {card.endpoint.wire!r} has no text completions",
                    "remove it: text completions are sent as a chat",
                )
            if card.decisions and spoken.decisions is None:
                raise ConfigError(
                    f"models.{card.name!r}.decisions: the wire {card.endpoint.wire!r} has no decisions",
                    "remove it: decisions are sent as a chat with a closed schema",
                )
            if card.task == "moderate" and spoken.moderations is None:
                raise ConfigError(
                    f"models.{card.name!r}.task: the wire {card.endpoint.wire!r} has no moderations",
                    "use a model of a provider that has them",
                )
            if card.task in MEDIA_TASKS and spoken.media is None:
                raise ConfigError(
                    f"models.{card.name!r}.task: the wire {card.endpoint.wire!r} has no audio and no images",
                    "use a model of a provider that has them",
                )
            wire = apply_overrides(spoken, dict(card.endpoint.renamed_fields), card.endpoint.dropped_fields)
            ways = tuple(self._replicas(card, provider, wire))
        except SizewiseError as error:
            absent = UnavailableModel(error)
            return ModelConnection(absent, absent.unavailable_reason)
        pulses = tuple(way.handler.breakers for way in ways)
        if len(ways) == 1:
            return ModelConnection(ways[0].handler, pulses[0].unavailable_reason, pulses[0].retry_after_s, pulses)
        several = LoadBalancer(card.name, ways)
        return ModelConnection(several, several.unavailable_reason, several.retry_after_s, pulses)

    def _replicas(self, card: ModelCard, provider: ProviderSettings, wire: Wire) -> Iterator[Replica]:
        """Raises ConfigError for a key that cannot be resolved."""
        name, budget = card.endpoint.provider, self._retry_budgets.setdefault(card.endpoint.provider, RetryBudget())
        for number, row in enumerate(provider.replicas or (ReplicaSettings(),)):
            model = self._remote_model(card, provider, wire, number, row)
            where = self._breakers.setdefault((name, row.base_url or card.endpoint.base_url), CircuitBreaker())
            key = self._breakers.setdefault((name, number), CircuitBreaker())
            obeys = wire.has_stop or "stop" in card.endpoint.dropped_fields
            handler: Handler = model if obeys else StopSequences(model, card.model)
            yield Replica(
                CircuitBreakerHandler(handler, card.name, BreakerSet(where, key, CircuitBreaker(), budget)),
                row.weight,
            )

    def _remote_model(
        self, card: ModelCard, provider: ProviderSettings, wire: Wire, number: int, row: ReplicaSettings
    ) -> Handler:
        """Raises ConfigError for a key that cannot be resolved."""
        timeouts, secrets = _timeouts(provider.timeouts), tuple(_secrets(card, row))
        if card.task in MEDIA_TASKS and wire.media is not None:
            headers = [each for each in request_headers(card, wire, row) if each != JSON_TYPE]
            url, most = row.base_url or card.endpoint.base_url, provider.max_connections
            return MediaModel(
                card=card,
                endpoint=self._client.endpoint(url, headers, max_connections=most),
                wire=wire,
                media=wire.media,
                timeouts=timeouts,
                secrets=secrets,
                offload=self._offload,
            )
        model = HttpModel(
            card=card,
            endpoint=self._endpoint(card, provider, wire, number, row),
            wire=wire,
            timeouts=timeouts,
            secrets=secrets,
            offload=self._offload,
        )
        if model.can_count_tokens and card.name not in self._token_counters:
            self._token_counters[card.name] = model.count_tokens
        return model

    def _endpoint(
        self, card: ModelCard, provider: ProviderSettings, wire: Wire, number: int, row: ReplicaSettings
    ) -> HttpEndpoint:
        """The endpoint of one replica, created once. Raises ConfigError for a key that cannot be resolved."""
        name = card.endpoint.provider, number
        if name not in self._endpoints:
            headers = request_headers(card, wire, row)
            url = row.base_url or card.endpoint.base_url
            self._endpoints[name] = self._client.endpoint(url, headers, max_connections=provider.max_connections)
        return self._endpoints[name]


def _open_local(card: ModelCard, local: LocalModel, adapters: tuple[str, ...]) -> ModelConnection:
    """`local`, or the adapter of `card` on it, which is one of `adapters` unless it cannot be used."""
    if card.weights is None or not card.weights.adapter:
        return ModelConnection(local, local.unavailable_reason)
    if (problem := adapter_problem(card.name, card.weights)) is not None:
        none = UnavailableModel(problem)
        return ModelConnection(none, none.unavailable_reason)
    adapted = AdaptedModel(local, card, adapters.index(card.weights.adapter))
    return ModelConnection(adapted, local.unavailable_reason)


def _with_queue(
    card: ModelCard, slot_count: int, connection: ModelConnection, timeout_s: float, new_queue: NewQueue
) -> ModelConnection:
    max_wait_s = min(card.queue_timeout_s, timeout_s)
    slots = new_queue(card.name, slots=slot_count, max_waiting=card.queue, max_wait_s=max_wait_s)
    return replace(connection, handler=ConcurrencyLimitHandler(connection.handler, slots), queue=slots)


def _has_own_address(card: ModelCard, row: ReplicaSettings) -> bool:
    """Whether the replica has another address than the provider, which must not get the provider's secrets."""
    return row.base_url not in ("", card.endpoint.base_url)


def _key(card: ModelCard, row: ReplicaSettings) -> str:
    """The reference of the API key to send to this replica."""
    return row.key or ("" if _has_own_address(card, row) else card.endpoint.key)


def request_headers(card: ModelCard, wire: Wire, row: ReplicaSettings) -> list[tuple[str, str]]:
    """Headers of every request. A replica at its own address gets no secret but its own. Raises ConfigError.

    Headers in the provider's table replace the wire's, unless the replica has its own key for that header.
    """
    away = _has_own_address(card, row)
    given = [(name, value) for name, value in card.endpoint.headers if not (away and is_reference(value))]
    named = _auth_headers(_key(card, row), card.endpoint.auth, wire)
    if row.key:
        key = {name.lower() for name, _ in named} - {name.lower() for name, _ in wire.headers("")}
        given = [(name, value) for name, value in given if name.lower() not in key]
    headers = [(name, resolve_secret(value) if is_reference(value) else value) for name, value in given]
    said = {name.lower() for name, _ in headers}
    return [*headers, *(each for each in named if each[0].lower() not in said), JSON_TYPE]


def _secrets(card: ModelCard, row: ReplicaSettings) -> Iterator[str]:
    """The resolved secrets in those headers, for redaction. Raises ConfigError."""
    given = [] if _has_own_address(card, row) else [value for _, value in card.endpoint.headers]
    for each in (_key(card, row), *given):
        if is_reference(each) and len(word := resolve_secret(each)) >= MIN_SECRET_LENGTH:
            yield word


def _auth_headers(key: str, auth: str, wire: Wire) -> list[tuple[str, str]]:
    """Authentication headers, in the wire's form or as the endpoint's `auth` sets it. Raises ConfigError."""
    word = resolve_secret(key)
    if word and auth:
        return [*(bearer_header(word) if auth == "bearer" else [(auth, word)]), *wire.headers("")]
    return wire.headers(word)


def _timeouts(settings: TimeoutsSettings) -> HttpTimeouts:
    return HttpTimeouts(settings.connect_s, settings.first_byte_s, settings.idle_s, settings.total_s)
