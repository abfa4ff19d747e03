"""Outbox: adds messages for receivers in the transaction of the state that they report; delivers none."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

import msgspec

from sizewise.notifications import tables
from sizewise.settings.server import WebhookSettings
from sizewise.storage.database import UnitOfWork, no_event

log = logging.getLogger("sizewise.notifications")

MAX_BODY_BYTES = 65_536
"""Of an event; an alert is bounded by its series."""


class Outbox:
    """One per process; outlives a reload. From any thread. `dropped`: messages that were not added, or too many."""

    def __init__(self) -> None:
        self._events: Mapping[str, frozenset[str]] = MappingProxyType({})
        self.on_add: Callable[[], None] = lambda: None  # called before the transaction ends
        self.dropped = 0

    def prepare(self, webhooks: Mapping[str, WebhookSettings]) -> Callable[[], None]:
        """Returns the function that applies the settings."""
        wanted = {webhook_receiver(name): frozenset[str](each.events) for name, each in webhooks.items()}

        def apply() -> None:
            self._events = MappingProxyType(wanted)

        return apply

    def publish(self, event: str, data: Mapping[str, object], tenant: str = "local") -> UnitOfWork[None]:
        """The work that adds an event for each webhook that wants it. `data`: names, counts and sums. Never raises
        but StorageError.
        """
        receivers = [name for name, wanted in self._events.items() if not wanted or event in wanted]
        body = encode_event(event, data, tenant) if receivers else ""
        if not body:
            self.dropped += bool(receivers)
            return no_event(event, data, tenant)
        return self.message(f"msg_{secrets.token_hex(16)}", event, body, tenant, receivers)

    def message(self, id: str, event: str, body: str, tenant: str, receivers: list[str]) -> UnitOfWork[None]:
        """The work that adds a message, once for each receiver and `id`."""
        now = time.time_ns() // 1_000_000
        add = partial(tables.add_message, receivers=receivers, id=id, event=event, body=body, tenant=tenant, now=now)
        return lambda connection: self._after_adding(event, add(connection))

    def _after_adding(self, event: str, dropped: int) -> None:
        if dropped:
            self.dropped += dropped
            log.warning("a receiver of %s is too slow: messages were dropped", event)
        self.on_add()


def webhook_receiver(name: str) -> str:
    """The receiver of `[webhooks.NAME]` in the outbox."""
    return f"webhooks.{name}"


def alert_receiver(name: str) -> str:
    """The receiver of `[receivers.NAME]` in the outbox."""
    return f"receivers.{name}"


def encode_event(event: str, data: Mapping[str, object], tenant: str) -> str:
    """JSON, as Standard Webhooks has it; empty for what cannot be sent."""
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    try:
        body = msgspec.json.encode({"type": event, "timestamp": at, "tenant": tenant, "data": data})
    except (TypeError, ValueError, RecursionError):  # a programming error must not fail a request
        log.error("the data of the event %s cannot be encoded as JSON", event)
        return ""
    return "" if len(body) > MAX_BODY_BYTES else body.decode()
