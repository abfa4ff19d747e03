"""Outbound webhooks: signing, delivery with retries, and verification (Standard Webhooks).

Standard Webhooks: HMAC-SHA256 over `id.timestamp.body`, with several signatures during a secret rotation. Publishing
never waits and never fails: each receiver has its own bounded queue and task, so that a dead one delays no other.
Messages are queued in memory; undelivered ones are lost and logged at shutdown or after MAX_ATTEMPTS.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import logging
import re
import secrets as chance
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from heapq import heappop, heappush
from itertools import count
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from sizewise.data_class import DataClass
from sizewise.errors import Busy, ConfigError, Forbidden, SizewiseError
from sizewise.http.client import HttpClient, HttpTimeouts
from sizewise.http.egress import origin
from sizewise.settings.load import resolve_secret
from sizewise.settings.server import WebhookSettings

log = logging.getLogger("sizewise.telemetry.webhooks")

TOLERANCE_S = 300.0
"""Allowed clock difference in seconds, either way."""
PREFIX = "whsec_"
MAX_SIGNATURES = 16
MAX_SIGNATURE_HEADER = 4_096
MESSAGE_ID = re.compile(r"[!-\-/-~]{1,200}\Z")  # printable, without a dot, which separates the signed parts
TIMESTAMP = re.compile(r"[0-9]{1,12}\Z")

MAX_QUEUED = 1_000
"""Queued messages per receiver; beyond this, the oldest is dropped."""
MAX_BODY_BYTES = 65_536
MAX_ATTEMPTS = 8
RETRY_DELAYS_S = (0.5, 5.0, 30.0, 120.0, 600.0, 1_800.0, 3_600.0)
"""Before each retry, half of it random: about two hours in all."""
DATA_CLASS: DataClass = "internal"
"""The data class of events: names, counts and sums, never prompt text."""
DELIVERY_TIMEOUTS = HttpTimeouts(connect=5, first_byte=15, between_bytes=5, total=20)
SHUTDOWN_TIMEOUT_S = 2.0
"""Seconds that a shutdown waits for messages not yet tried."""


# ---- signing and verification


def sign_webhook(secrets: Sequence[str], id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers. `secrets`: `whsec_<base64>`, each signs; `timestamp`: unix seconds. Raises ConfigError."""
    if not MESSAGE_ID.match(id):
        raise ConfigError("the webhook id is not valid: use up to 200 printable characters without a dot")
    marks = (base64.b64encode(_signature(key, id, timestamp, body)).decode() for key in map(_decode_secret, secrets))
    return {
        "webhook-id": id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{mark}" for mark in marks),
    }


class ReplayGuard:
    """Remembers message ids as long as their timestamps are valid. Not thread-safe."""

    def __init__(self, max_ids: int = 100_000, tolerance_s: float = TOLERANCE_S) -> None:
        self._max_ids = max_ids
        self._tolerance_s = tolerance_s
        self._ids: set[str] = set()
        self._order: deque[tuple[float, str]] = deque()

    def register(self, id: str, now: float) -> None:
        """Raises Forbidden for a known id, Busy if no more ids can be stored (fails closed)."""
        while self._order and self._order[0][0] < now - 2 * self._tolerance_s:
            self._ids.discard(self._order.popleft()[1])
        if id in self._ids:
            raise Forbidden("this webhook was received before", "send a new webhook-id with a new message")
        if len(self._ids) >= self._max_ids:
            raise Busy("too many webhooks within a few minutes", "send it again later", retry_after=self._tolerance_s)
        self._ids.add(id)
        self._order.append((now, id))


def verify_webhook(
    headers: Mapping[str, str],
    body: bytes,
    secrets: Sequence[str],
    now: float,
    replay_guard: ReplayGuard,
) -> str:
    """The message's id. Raises Forbidden if it is not signed by one of `secrets`, too old, too new or a replay."""
    said = {name.lower(): value for name, value in headers.items()}
    id, at, marks = (said.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature"))
    if not MESSAGE_ID.match(id) or not TIMESTAMP.match(at) or not marks or len(marks) > MAX_SIGNATURE_HEADER:
        raise Forbidden("the webhook is not signed", "send webhook-id, webhook-timestamp and webhook-signature")
    if abs(now - int(at)) > TOLERANCE_S:
        hint = f"sign the message when you send it, and check the clock: at most {TOLERANCE_S:.0f} s off"
        raise Forbidden("webhook-timestamp is too far from this server's time", hint)
    if not _has_valid_signature(
        marks.split()[:MAX_SIGNATURES],
        [_signature(_decode_secret(each), id, int(at), body) for each in secrets],
    ):
        raise Forbidden(
            "the webhook's signature is not valid",
            "sign the exact bytes of the body with the shared secret",
        )
    replay_guard.register(id, now)
    return id


def _has_valid_signature(signatures: Sequence[str], expected: Sequence[bytes]) -> bool:
    """Compares every pair in constant time."""
    found = False
    for mark in signatures:
        version, _, text = mark.partition(",")
        theirs = b""
        with suppress(binascii.Error, ValueError):
            theirs = base64.b64decode(text, validate=True)
        for own in expected:
            found |= hmac.compare_digest(own, theirs) and version == "v1"
    return found


def _signature(key: bytes, id: str, at: int, body: bytes) -> bytes:
    return hmac.new(key, b"%b.%d.%b" % (id.encode(), at, body), hashlib.sha256).digest()


def _decode_secret(text: str) -> bytes:
    """Raises ConfigError, which never shows the secret."""
    try:
        key = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not 24 <= len(key) <= 64:
        hint = f"create one: printf {PREFIX}; openssl rand -base64 32"
        raise ConfigError(f"the webhook secret is not {PREFIX!r} and 24 to 64 bytes in base64", hint)
    return key


# ---- delivery


class WebhookMessage(Struct, frozen=True):
    """An event. Id and body are the same in each attempt; the signature is made anew."""

    id: str
    event: str
    body: bytes
    attempts: int = 0


class WebhookDispatcher:
    """Receivers and their queues; outlives a reload. Call `publish` from any thread, the rest from the event loop."""

    def __init__(self) -> None:
        self._queues: dict[str, WebhookQueue] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self.dropped = 0

    def prepare(self, wanted: Mapping[str, WebhookSettings], client: HttpClient) -> Callable[[], None]:
        """Checks new receivers and returns the function that applies them. Receivers that stay keep their queues.
        Raises ConfigError.
        """
        for each in wanted.values():
            client.endpoint(origin(each.url))  # raises for an invalid URL

        def apply() -> None:
            with suppress(RuntimeError):  # an application built without an event loop publishes nothing yet
                self._loop = asyncio.get_running_loop()
            lines = {name: self._queues.get(name) or WebhookQueue(name) for name in wanted}
            for name, line in lines.items():
                line.configure(wanted[name], client)
            for name, line in self._queues.items():
                if name not in lines:
                    line.stop()
            self._queues = lines

        return apply

    def publish(self, event: str, data: Mapping[str, object], tenant: str = "local") -> None:
        """Never waits, never raises. `data` is JSON of names, counts and sums."""
        if not self._queues:
            return
        now = time.gmtime()
        shown = {"type": event, "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", now), "tenant": tenant, "data": data}
        try:
            body = msgspec.json.encode(shown)
        except (TypeError, ValueError, RecursionError):  # a programming error must not fail a request
            log.error("the data of the event %s cannot be encoded as JSON", event)
            self.dropped += 1
            return
        if len(body) > MAX_BODY_BYTES or self._loop is None:
            self.dropped += 1
            return
        message = WebhookMessage(f"msg_{chance.token_hex(16)}", event, body)
        try:
            here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            here = False
        if here:
            self._enqueue(message)
        else:
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._enqueue, message)

    def _enqueue(self, message: WebhookMessage) -> None:
        for line in self._queues.values():
            line.enqueue(message)

    def impaired(self) -> list[str]:
        """Receivers that do not respond, with the reason."""
        return [line.problem for line in self._queues.values() if line.problem]

    async def stop(self) -> None:
        """Tries new messages for at most SHUTDOWN_TIMEOUT_S together; the rest is lost and logged."""
        fresh = [line.task for line in self._queues.values() if line.task is not None and line.has_untried]
        if fresh:
            await asyncio.wait(fresh, timeout=SHUTDOWN_TIMEOUT_S)
        tasks = [line.stop() for line in self._queues.values()]
        await asyncio.gather(*(task for task in tasks if task is not None), return_exceptions=True)


class WebhookQueue:
    """The messages of one receiver, by due time."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.task: asyncio.Task[None] | None = None
        self.problem = ""
        self._waiting: list[tuple[float, int, WebhookMessage]] = []  # due (loop time), sequence number
        self._sequence = count()
        self._wake = asyncio.Event()
        self._webhook = WebhookSettings()
        self._client: HttpClient | None = None

    def configure(self, webhook: WebhookSettings, client: HttpClient) -> None:
        self._webhook, self._client = webhook, client

    @property
    def has_untried(self) -> bool:
        """Whether a message was never tried."""
        return any(not message.attempts for _, _, message in self._waiting)

    def enqueue(self, message: WebhookMessage) -> None:
        if self._webhook.events and message.event not in self._webhook.events:
            return
        if len(self._waiting) >= MAX_QUEUED:
            oldest = min(self._waiting, key=lambda each: each[1])
            self._waiting.remove(oldest)
            log.warning("the webhook %r is too slow: a message was dropped", self.name)
        self._schedule(message, 0.0)

    def _schedule(self, message: WebhookMessage, pause_s: float) -> None:
        loop = asyncio.get_running_loop()
        heappush(self._waiting, (loop.time() + pause_s, next(self._sequence), message))
        self._wake.set()
        if self.task is None or self.task.done():
            self.task = loop.create_task(self._run())

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            self._wake.clear()
            pause = self._waiting[0][0] - loop.time()
            if pause > 0:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), pause)
                continue
            _, _, message = heappop(self._waiting)
            why = await self._deliver(message)
            self.problem = f"the webhook {self.name!r} failed: {why}" if why else ""
            if why:
                self._retry(message, why)

    def _retry(self, message: WebhookMessage, reason: str) -> None:
        tried = message.attempts + 1
        if tried >= MAX_ATTEMPTS:
            log.warning("the webhook %r failed %d times, the message was dropped: %s", self.name, tried, reason)
            return
        pause = RETRY_DELAYS_S[min(message.attempts, len(RETRY_DELAYS_S) - 1)]
        self._schedule(
            msgspec.structs.replace(message, attempts=tried),
            pause * (0.5 + chance.randbelow(1_000) / 2_000),
        )

    async def _deliver(self, message: WebhookMessage) -> str:
        """Why the delivery failed; empty if it succeeded. Contains neither the path nor the secret."""
        assert self._client is not None
        parts = urlsplit(self._webhook.url)
        try:
            signed = sign_webhook(
                resolve_secret(self._webhook.secret).split(),
                message.id,
                int(time.time()),
                message.body,
            )
            response = await self._client.endpoint(origin(self._webhook.url)).request(
                "POST",
                parts.path or "/",
                message.body,
                [("content-type", "application/json"), *signed.items()],
                purpose="a webhook",
                data_class=DATA_CLASS,
                timeouts=DELIVERY_TIMEOUTS,
            )
        except SizewiseError as error:
            return error.message
        response.release()
        return "" if 200 <= response.status < 300 else f"status {response.status}"

    def stop(self) -> asyncio.Task[None] | None:
        if self._waiting:
            log.warning("%d messages for the webhook %r were dropped at shutdown", len(self._waiting), self.name)
            self._waiting.clear()
        if self.task is not None:
            self.task.cancel()
        return self.task
