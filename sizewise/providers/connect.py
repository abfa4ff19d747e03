"""Card -> Answerer, opened once when the house is built and kept open; decides nothing, books nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from sizewise.answer import Answerer, Ask, Send
from sizewise.cards import Card
from sizewise.cards import Endpoint as Row
from sizewise.catalog.read import lies
from sizewise.chat import Reply
from sizewise.client import Client, Endpoint, Timeouts
from sizewise.config import secret
from sizewise.errors import ModelUnavailable, SizewiseError
from sizewise.kinds import load
from sizewise.providers.echo import Echo
from sizewise.providers.http import HttpModel
from sizewise.providers.local import Local, Locals
from sizewise.providers.pulse import Pulse, Watched
from sizewise.providers.runtime import Runtime
from sizewise.providers.wires.bent import bent
from sizewise.providers.wires.wire import Wire, bearer
from sizewise.settings import Provider, is_reference
from sizewise.settings import Timeouts as Deadlines

Objection = Callable[[], str]
"""Why a model should not be asked now, in words; empty when it is well."""


def well() -> str:
    return ""


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
    ) -> None:
        self._providers = providers
        self._client = client
        self._endpoints: dict[str, Endpoint] = {}
        self.locals: dict[str, Local] = {}
        self._opened: dict[str, tuple[Answerer, Objection]] = {}
        for card in cards:
            if card.weights is not None:
                local = locals.open(card, lies(card.weights, cache), runtime)
                self.locals[card.name] = local
                self._opened[card.name] = local, local.objection
            elif card.endpoint.wire == "echo":
                self._opened[card.name] = Echo(card), well
            else:
                self._opened[card.name] = self._remote(card)

    def __call__(self, card: Card) -> Answerer:
        return self._opened[card.name][0]

    def health(self, card: Card) -> str:
        return self._opened[card.name][1]()

    def _remote(self, card: Card) -> tuple[Answerer, Objection]:
        try:
            provider = self._providers.get(card.endpoint.provider)
            spoken: Wire = load("wires", card.endpoint.wire)
            wire = bent(spoken, dict(card.endpoint.rename), card.endpoint.leave_out)
            endpoint = self._endpoint(card, provider, wire)
            timeouts = _timeouts(provider.timeouts if provider else Deadlines())
        except SizewiseError as error:
            absent = Absent(error)
            return absent, absent.objection
        pulse = Pulse()
        return Watched(HttpModel(card, endpoint, wire, timeouts), pulse), pulse.objection

    def _endpoint(self, card: Card, provider: Provider | None, wire: Wire) -> Endpoint:
        """One pool a provider. Raises ConfigError for a key that cannot be resolved."""
        name = card.endpoint.provider
        if name not in self._endpoints:
            headers = [(key, secret(value) if is_reference(value) else value) for key, value in card.endpoint.headers]
            said = {key.lower() for key, _ in headers}
            headers += [(key, value) for key, value in _named(card.endpoint, wire) if key.lower() not in said]
            headers.append(("Content-Type", "application/json"))
            pool = provider.pool if provider else 64
            self._endpoints[name] = self._client.endpoint(card.endpoint.base_url, headers, pool=pool)
        return self._endpoints[name]


def _named(row: Row, wire: Wire) -> list[tuple[str, str]]:
    """Who we are, as the wire says it, or as the endpoint's row wants it. Raises ConfigError."""
    key = secret(row.key) if row.key else ""
    if key and row.auth:
        return [*(bearer(key) if row.auth == "bearer" else [(row.auth, key)]), *wire.headers("")]
    return wire.headers(key)


def _timeouts(asked: Deadlines) -> Timeouts:
    return Timeouts(asked.connect_s, asked.first_s, asked.idle_s, asked.total_s)
