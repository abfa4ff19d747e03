"""Card -> Answerer, opened once when the house is built and kept open; decides nothing, books nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from sizewise.catalog.loader import lies
from sizewise.data_class import DataClass
from sizewise.errors import ModelUnavailable, SizewiseError
from sizewise.handler import Answerer, Ask, Send
from sizewise.http.client import Client, Endpoint, Timeouts
from sizewise.messages import Chat, Reply
from sizewise.model_card import Card
from sizewise.plugins import Once
from sizewise.providers.circuit_breaker import Budget, Pulse, Pulses, Watched
from sizewise.providers.concurrency_limiter import Queued, Slots
from sizewise.providers.echo import Echo
from sizewise.providers.http_model import HttpModel
from sizewise.providers.load_balancer import Replica, Replicated
from sizewise.providers.local.models import Local, Locals
from sizewise.providers.local.runtime import Runtime
from sizewise.providers.wires.overrides import bent
from sizewise.providers.wires.wire import Wire, bearer
from sizewise.settings.load import secret
from sizewise.settings.models import Provider
from sizewise.settings.models import Replica as Row
from sizewise.settings.models import Timeouts as Deadlines
from sizewise.settings.validators import is_reference

Objection = Callable[[], str]
"""Why a model should not be asked now, in words; empty when it is well."""
Counts = Callable[[Chat, DataClass], Awaitable[int]]
"""Tells how many tokens a prompt has for one model, exactly."""


Gauges = Mapping[tuple[str, str], Mapping[str, float]]
"""What can be seen of models from outside: (name, meaning) -> model -> value."""

SECRET = 8  # characters; a shorter word ("none", "ollama") protects nothing, and occurs in what servers say
FOUND = 64  # connections to a server that nobody has configured
STATES: Mapping[str, int] = {"closed": 0, "half_open": 1, "open": 2}


def well() -> str:
    return ""


def at_once() -> float:
    return 0.0


@dataclass(frozen=True, slots=True)
class Opened:
    """One model as it stands open. `left` is in seconds: when it may be asked again; `ways` are none for ours."""

    answer: Answerer
    objection: Objection = well
    left: Callable[[], float] = at_once
    ways: tuple[Pulses, ...] = ()
    slots: Slots | None = None


class Absent:
    """Stands where a model cannot be opened: says why, to whoever asks and to the router."""

    def __init__(self, error: SizewiseError) -> None:
        self._error = error

    async def __call__(self, ask: Ask, send: Send) -> Reply:
        raise ModelUnavailable(self._error.message, self._error.hint)

    def objection(self) -> str:
        return f"cannot be reached: {self._error.message}"


class Connections:
    """Every card's Answerer. A provider whose key is missing takes only its own models out, with the reason."""

    def __init__(
        self,
        cards: tuple[Card, ...],
        providers: Mapping[str, Provider],
        client: Client,
        locals: Locals,
        runtime: Runtime,
        cache: Path,
        load: Once,
    ) -> None:
        self._providers = providers
        self._client = client
        self._load = load
        self._endpoints: dict[tuple[str, int], Endpoint] = {}
        self._pulses: dict[tuple[str, str | int], Pulse] = {}
        self._budgets: dict[str, Budget] = {}
        self._counts: dict[str, Counts] = {}
        self.locals: dict[str, Local] = {}
        self._opened: dict[str, Opened] = {}
        for card in cards:
            slots = card.slots
            if card.weights is not None and card.task == "embed":
                embedding = locals.vectors(card, lies(card.weights, cache), runtime.threads)
                slots, opened = 0, Opened(embedding, embedding.objection)
            elif card.weights is not None:
                slots = slots or runtime.slots
                local = locals.open(card, lies(card.weights, cache), replace(runtime, slots=slots))
                self.locals[card.name] = local
                self._counts[card.name] = local.count
                opened = Opened(local, local.objection)
            elif card.endpoint.wire == "echo":
                opened = Opened(Echo(card))
            else:
                opened = self._remote(card)
            self._opened[card.name] = _behind_slots(card, slots, opened) if slots else opened

    def __call__(self, card: Card) -> Answerer:
        return self._opened[card.name].answer

    def health(self, card: Card) -> str:
        return self._opened[card.name].objection()

    def left(self, card: Card) -> float:
        """Seconds until an ill model may be asked; 0 where nobody knows."""
        return self._opened[card.name].left()

    def spare(self, card: Card) -> bool:
        """Whether `card` may be asked once more by a request that it has failed: it is well, and so is the budget."""
        if self.health(card):
            return False
        budget = self._budgets.get(card.endpoint.provider)
        return budget is None or budget.spend()

    def gauges(self) -> Gauges:
        """States of what is remote, and the lines before what has slots."""
        states, busy, waiting, waited, away = ({} for _ in range(5))
        for name, opened in self._opened.items():
            if opened.ways:
                states[name] = min(STATES[way.state()] for way in opened.ways)
            if opened.slots is not None:
                busy[name], waiting[name] = opened.slots.busy, opened.slots.waiting
                waited[name], away[name] = opened.slots.waited_s, opened.slots.turned_away
        return {
            ("sizewise_model_state", "Circuit breaker: 0 closed, 1 half open, 2 open."): states,
            ("sizewise_slots_busy", "Slots in use."): busy,
            ("sizewise_slots_queued", "Requests queued for a slot."): waiting,
            ("sizewise_slots_queue_seconds", "Total time requests spent queued."): waited,
            ("sizewise_slots_rejected", "Requests rejected because the queue was full."): away,
        }

    def counts(self, card: Card) -> Counts | None:
        """None where nobody can count as this model does."""
        return self._counts.get(card.name)

    def _remote(self, card: Card) -> Opened:
        try:
            provider = self._providers.get(card.endpoint.provider, Provider())
            spoken: Wire = self._load("wires", card.endpoint.wire)
            wire = bent(spoken, dict(card.endpoint.rename), card.endpoint.leave_out)
            ways = tuple(self._ways(card, provider, wire))
        except SizewiseError as error:
            absent = Absent(error)
            return Opened(absent, absent.objection)
        pulses = tuple(way.answer.pulses for way in ways)
        if len(ways) == 1:
            return Opened(ways[0].answer, pulses[0].objection, pulses[0].left, pulses)
        several = Replicated(card.name, ways)
        return Opened(several, several.objection, several.left, pulses)

    def _ways(self, card: Card, provider: Provider, wire: Wire) -> Iterator[Replica]:
        """Raises ConfigError for a key that cannot be resolved."""
        name, budget = card.endpoint.provider, self._budgets.setdefault(card.endpoint.provider, Budget())
        for number, row in enumerate(provider.replicas or (Row(),)):
            endpoint = self._endpoint(card, provider, wire, number, row)
            model = HttpModel(card, endpoint, wire, _timeouts(provider.timeouts), tuple(_secrets(card, row)))
            if model.counts and card.name not in self._counts:
                self._counts[card.name] = model.count
            where = self._pulses.setdefault((name, row.base_url or card.endpoint.base_url), Pulse())
            key = self._pulses.setdefault((name, number), Pulse())
            yield Replica(Watched(model, card.name, Pulses(where, key, Pulse(), budget)), row.weight)

    def _endpoint(self, card: Card, provider: Provider, wire: Wire, number: int, row: Row) -> Endpoint:
        """One for each replica of a provider. Raises ConfigError for a key that cannot be resolved."""
        name = card.endpoint.provider, number
        if name not in self._endpoints:
            headers = _headers(card, wire, row)
            url = row.base_url or card.endpoint.base_url
            pool = provider.max_connections if card.endpoint.provider in self._providers else FOUND
            self._endpoints[name] = self._client.endpoint(url, headers, pool=pool)
        return self._endpoints[name]


def _behind_slots(card: Card, number: int, opened: Opened) -> Opened:
    slots = Slots(card.name, number, card.queue, card.wait_s)
    return replace(opened, answer=Queued(opened.answer, slots), slots=slots)


def _away(card: Card, row: Row) -> bool:
    """Whether the replica has an address of its own, where the provider's secrets have no business."""
    return row.base_url not in ("", card.endpoint.base_url)


def _key(card: Card, row: Row) -> str:
    """The reference of the key that goes to this replica."""
    return row.key or ("" if _away(card, row) else card.endpoint.key)


def _headers(card: Card, wire: Wire, row: Row) -> list[tuple[str, str]]:
    """What goes with every request. At an address of its own a replica sends no secret but its own. Raises ConfigError.

    A header of the provider's table stands for the wire's, unless the replica brings a key for it.
    """
    away = _away(card, row)
    given = [(name, value) for name, value in card.endpoint.headers if not (away and is_reference(value))]
    named = _named(_key(card, row), card.endpoint.auth, wire)
    if row.key:
        key = {name.lower() for name, _ in named} - {name.lower() for name, _ in wire.headers("")}
        given = [(name, value) for name, value in given if name.lower() not in key]
    headers = [(name, secret(value) if is_reference(value) else value) for name, value in given]
    said = {name.lower() for name, _ in headers}
    return [*headers, *(each for each in named if each[0].lower() not in said), ("Content-Type", "application/json")]


def _secrets(card: Card, row: Row) -> Iterator[str]:
    """Whatever may stand in those headers and is given by reference. Raises ConfigError."""
    given = [] if _away(card, row) else [value for _, value in card.endpoint.headers]
    for each in (_key(card, row), *given):
        if is_reference(each) and len(word := secret(each)) >= SECRET:
            yield word


def _named(key: str, auth: str, wire: Wire) -> list[tuple[str, str]]:
    """Who we are, as the wire says it, or as the endpoint's row wants it. Raises ConfigError."""
    word = secret(key)
    if word and auth:
        return [*(bearer(word) if auth == "bearer" else [(auth, word)]), *wire.headers("")]
    return wire.headers(word)


def _timeouts(asked: Deadlines) -> Timeouts:
    return Timeouts(asked.connect_s, asked.first_byte_s, asked.idle_s, asked.total_s)
