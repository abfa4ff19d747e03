"""Limits of visitors in memory: messages of a conversation and of an address, and answers open at once.

An address is kept as a hash whose key dies with the process, and is never recorded. Each server process counts alone.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict, deque
from hashlib import blake2b
from math import ceil
from typing import TypeVar

from msgspec import Struct

from sizewise.errors import Busy, InvalidApiKey
from sizewise.widgets.tables import WidgetSettings

K = TypeVar("K")
V = TypeVar("V")

MINUTE_S, HOUR_S = 60.0, 3_600.0
MAX_KNOWN = 20_000
"""Conversations, and addresses, that are remembered; those seen longest ago are forgotten."""


class Visitor(Struct):
    """Of one address at one widget. `times`: unix seconds of its messages in the last hour."""

    times: deque[float]
    open: int = 0


class VisitorLimits:
    """One per server process."""

    def __init__(self) -> None:
        self._salt = secrets.token_bytes(32)
        self._visitors: OrderedDict[bytes, Visitor] = OrderedDict()
        self._messages: OrderedDict[str, int] = OrderedDict()

    def enter(self, widget: str, conversation: str, address: str, limits: WidgetSettings, now: float) -> Visitor:
        """Counts a message; call `leave` when its answer has ended. `now`: unix seconds.

        Raises Busy, and InvalidApiKey for a conversation that has had all its messages.
        """
        visitor = self._visitor(widget, address)
        while visitor.times and visitor.times[0] <= now - HOUR_S:
            visitor.times.popleft()
        if visitor.open >= limits.open_answers:
            raise _refused("several answers are being written for you", 5)
        if len(visitor.times) >= limits.per_hour:
            raise _refused("that is all for this hour", visitor.times[-limits.per_hour] + HOUR_S - now)
        if len(visitor.times) >= limits.per_minute and visitor.times[-limits.per_minute] > now - MINUTE_S:
            raise _refused("that was quick", visitor.times[-limits.per_minute] + MINUTE_S - now)
        sent = self._messages.get(conversation, 0)
        if sent >= limits.per_conversation:
            raise InvalidApiKey("this conversation has had all its messages", "close it and open a new one")
        _remember(self._messages, conversation, sent + 1)
        visitor.times.append(now)
        visitor.open += 1
        return visitor

    def leave(self, visitor: Visitor) -> None:
        visitor.open -= 1

    def _visitor(self, widget: str, address: str) -> Visitor:
        key = blake2b(f"{widget} {address}".encode(), key=self._salt, digest_size=16).digest()
        found = self._visitors.get(key) or Visitor(deque())
        _remember(self._visitors, key, found)
        return found


def _remember(known: OrderedDict[K, V], key: K, value: V) -> None:
    known[key] = value
    known.move_to_end(key)
    while len(known) > MAX_KNOWN:
        known.popitem(last=False)


def _refused(message: str, wait_s: float) -> Busy:
    seconds = max(1, ceil(wait_s))
    return Busy(message, f"try again in {seconds} s", retry_after=seconds)
