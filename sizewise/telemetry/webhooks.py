"""Tells the receivers in the settings what happened, signed; and checks what others signed; knows no event's meaning.

The scheme is Standard Webhooks: HMAC-SHA256 over `id.timestamp.body`, several signatures while a secret is changed.
Telling never waits and never fails: each receiver has a bounded queue and a task of its own, so a dead one delays
nobody. Messages wait in memory; what a receiver has not taken when the server ends, or after TRIES, is lost and logged.
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
from sizewise.http.client import Client, Timeouts
from sizewise.http.egress import origin
from sizewise.settings.load import secret
from sizewise.settings.server import Webhook

log = logging.getLogger("sizewise.telemetry.webhooks")

TOLERANCE_S = 300.0
"""How far a message's time may be from ours, either way."""
PREFIX = "whsec_"
MOST_SIGNATURES = 16
MOST_HEADER = 4_096
ID = re.compile(r"[!-\-/-~]{1,200}\Z")  # printable and without a dot, which would blur where the id ends
TIME = re.compile(r"[0-9]{1,12}\Z")

WAITING = 1_000
"""Messages that wait for one receiver; beyond, the oldest is lost."""
BODY = 65_536
TRIES = 8
PAUSES_S = (0.5, 5.0, 30.0, 120.0, 600.0, 1_800.0, 3_600.0)
"""Before each further try, half of it by chance: some two hours in all."""
DATA_CLASS: DataClass = "internal"
"""Of what is told: names, counts and sums; never a word of a prompt."""
PATIENT = Timeouts(connect=5, first_byte=15, between_bytes=5, total=20)
FAREWELL_S = 2.0
"""What the server's end waits for messages that were not tried yet."""


# What is signed, and whether it was


def sign(secrets: Sequence[str], id: str, at: int, body: bytes) -> dict[str, str]:
    """The three headers. `secrets` as `whsec_<base64>`, each signs; `at`: unix s. Raises ConfigError."""
    if not ID.match(id):
        raise ConfigError("a webhook's id is printable, without a dot, and not longer than 200 characters")
    marks = (base64.b64encode(_mark(key, id, at, body)).decode() for key in map(_key, secrets))
    return {
        "webhook-id": id,
        "webhook-timestamp": str(at),
        "webhook-signature": " ".join(f"v1,{mark}" for mark in marks),
    }


class Seen:
    """Ids of messages that were taken, for as long as they would still be in time. For one thread."""

    def __init__(self, most: int = 100_000, tolerance_s: float = TOLERANCE_S) -> None:
        self._most = most
        self._tolerance_s = tolerance_s
        self._ids: set[str] = set()
        self._order: deque[tuple[float, str]] = deque()

    def note(self, id: str, now: float) -> None:
        """Raises Forbidden for an id that was noted before, Busy where no more can be remembered (fail-closed)."""
        while self._order and self._order[0][0] < now - 2 * self._tolerance_s:
            self._ids.discard(self._order.popleft()[1])
        if id in self._ids:
            raise Forbidden("this webhook was taken before", "a new message takes a new webhook-id")
        if len(self._ids) >= self._most:
            raise Busy("too many webhooks within a few minutes", "send it again later", retry_after=self._tolerance_s)
        self._ids.add(id)
        self._order.append((now, id))


def verify(headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: float, seen: Seen) -> str:
    """The message's id. Raises Forbidden for what is not signed by one of `secrets`, too old, too new or a replay."""
    said = {name.lower(): value for name, value in headers.items()}
    id, at, marks = (said.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature"))
    if not ID.match(id) or not TIME.match(at) or not marks or len(marks) > MOST_HEADER:
        raise Forbidden("the webhook is not signed", "send webhook-id, webhook-timestamp and webhook-signature")
    if abs(now - int(at)) > TOLERANCE_S:
        hint = f"sign it when it is sent, by a clock that is right within {TOLERANCE_S:.0f} s"
        raise Forbidden("the webhook's time is too far from ours", hint)
    if not _signed(marks.split()[:MOST_SIGNATURES], [_mark(_key(each), id, int(at), body) for each in secrets]):
        raise Forbidden(
            "the webhook's signature does not fit", "sign the very bytes that are sent, by the shared secret"
        )
    seen.note(id, now)
    return id


def _signed(marks: Sequence[str], ours: Sequence[bytes]) -> bool:
    """Each is compared with each, all in the same time, so that nobody learns how near he came."""
    found = False
    for mark in marks:
        version, _, text = mark.partition(",")
        theirs = b""
        with suppress(binascii.Error, ValueError):
            theirs = base64.b64decode(text, validate=True)
        for own in ours:
            found |= hmac.compare_digest(own, theirs) and version == "v1"
    return found


def _mark(key: bytes, id: str, at: int, body: bytes) -> bytes:
    return hmac.new(key, b"%b.%d.%b" % (id.encode(), at, body), hashlib.sha256).digest()


def _key(text: str) -> bytes:
    """Raises ConfigError, which repeats nothing of it."""
    try:
        key = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not 24 <= len(key) <= 64:
        hint = f"`printf {PREFIX}; openssl rand -base64 32` makes one"
        raise ConfigError(f"a webhook's secret is {PREFIX!r} and 24 to 64 bytes in base64", hint)
    return key


# What is told


class Message(Struct, frozen=True):
    """`at`: unix s when it happened. The same id and body at each try; signed anew each time."""

    id: str
    event: str
    body: bytes
    tried: int = 0


class Hooks:
    """Receivers and what waits for them; outlives Houses. `tell` from any thread, the rest from the event loop's."""

    def __init__(self) -> None:
        self._lines: dict[str, Line] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self.lost = 0

    def prepare(self, wanted: Mapping[str, Webhook], client: Client) -> Callable[[], None]:
        """The change to these receivers, by this client; what waits for one that is still wanted goes on. Raises
        ConfigError."""
        for each in wanted.values():
            client.endpoint(origin(each.url))  # raises for what cannot be spoken to

        def apply() -> None:
            with suppress(RuntimeError):  # a house that is built without a loop tells nobody yet
                self._loop = asyncio.get_running_loop()
            lines = {name: self._lines.get(name) or Line(name) for name in wanted}
            for name, line in lines.items():
                line.aim(wanted[name], client)
            for name, line in self._lines.items():
                if name not in lines:
                    line.stop()
            self._lines = lines

        return apply

    def tell(self, event: str, data: Mapping[str, object], tenant: str = "local") -> None:
        """Never waits, never raises. `data` is JSON of names, counts and sums."""
        if not self._lines:
            return
        now = time.gmtime()
        shown = {"type": event, "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", now), "tenant": tenant, "data": data}
        try:
            body = msgspec.json.encode(shown)
        except (TypeError, ValueError, RecursionError):  # a colleague's slip, and no reason to fail a request
            log.error("what %s tells is no JSON", event)
            self.lost += 1
            return
        if len(body) > BODY or self._loop is None:
            self.lost += 1
            return
        message = Message(f"msg_{chance.token_hex(16)}", event, body)
        try:
            here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            here = False
        if here:
            self._put(message)
        else:
            with suppress(RuntimeError):  # the loop is closed: nobody is told any more
                self._loop.call_soon_threadsafe(self._put, message)

    def _put(self, message: Message) -> None:
        for line in self._lines.values():
            line.put(message)

    def limps(self) -> list[str]:
        """Which receivers do not answer, in words."""
        return [line.trouble for line in self._lines.values() if line.trouble]

    async def stop(self) -> None:
        """What was not tried yet is tried, for FAREWELL_S together; the rest is lost, and said."""
        fresh = [line.task for line in self._lines.values() if line.task is not None and line.fresh]
        if fresh:
            await asyncio.wait(fresh, timeout=FAREWELL_S)
        tasks = [line.stop() for line in self._lines.values()]
        await asyncio.gather(*(task for task in tasks if task is not None), return_exceptions=True)


class Line:
    """One receiver's messages, the one that is due first in front."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.task: asyncio.Task[None] | None = None
        self.trouble = ""
        self._waiting: list[tuple[float, int, Message]] = []  # due (loop time), order
        self._numbers = count()
        self._woken = asyncio.Event()
        self._wanted = Webhook()
        self._client: Client | None = None

    def aim(self, wanted: Webhook, client: Client) -> None:
        self._wanted, self._client = wanted, client

    @property
    def fresh(self) -> bool:
        """Whether something waits that was never tried."""
        return any(not message.tried for _, _, message in self._waiting)

    def put(self, message: Message) -> None:
        if self._wanted.events and message.event not in self._wanted.events:
            return
        if len(self._waiting) >= WAITING:
            oldest = min(self._waiting, key=lambda each: each[1])
            self._waiting.remove(oldest)
            log.warning("the webhook %r does not keep up: a message is lost", self.name)
        self._later(message, 0.0)

    def _later(self, message: Message, pause_s: float) -> None:
        loop = asyncio.get_running_loop()
        heappush(self._waiting, (loop.time() + pause_s, next(self._numbers), message))
        self._woken.set()
        if self.task is None or self.task.done():
            self.task = loop.create_task(self._run())

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            self._woken.clear()
            pause = self._waiting[0][0] - loop.time()
            if pause > 0:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._woken.wait(), pause)
                continue
            _, _, message = heappop(self._waiting)
            why = await self._tried(message)
            self.trouble = f"the webhook {self.name!r} was not taken: {why}" if why else ""
            if why:
                self._again(message, why)

    def _again(self, message: Message, why: str) -> None:
        tried = message.tried + 1
        if tried >= TRIES:
            log.warning("the webhook %r is given up after %d tries, one message is lost: %s", self.name, tried, why)
            return
        pause = PAUSES_S[min(message.tried, len(PAUSES_S) - 1)]
        self._later(msgspec.structs.replace(message, tried=tried), pause * (0.5 + chance.randbelow(1_000) / 2_000))

    async def _tried(self, message: Message) -> str:
        """Why it was not taken, in words; empty when it was. Neither the path nor the secret is in them."""
        assert self._client is not None
        parts = urlsplit(self._wanted.url)
        try:
            signed = sign(secret(self._wanted.secret).split(), message.id, int(time.time()), message.body)
            response = await self._client.endpoint(origin(self._wanted.url)).request(
                "POST",
                parts.path or "/",
                message.body,
                [("content-type", "application/json"), *signed.items()],
                why="a webhook",
                data_class=DATA_CLASS,
                timeouts=PATIENT,
            )
        except SizewiseError as error:
            return error.message
        response.finish()
        return "" if 200 <= response.status < 300 else f"it answered with status {response.status}"

    def stop(self) -> asyncio.Task[None] | None:
        if self._waiting:
            log.warning("%d messages for the webhook %r are lost", len(self._waiting), self.name)
            self._waiting.clear()
        if self.task is not None:
            self.task.cancel()
        return self.task
