"""One HTTP request met by one door: who asks, what they wish, and a well-formed end whatever happens.

Knows nothing of the server underneath: the fast lane and ASGI both hand in headers and a body and take an `Out`.
"""

from __future__ import annotations

import logging
import math
import re
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from functools import partial
from random import getrandbits
from typing import Annotated, Literal, Protocol

import msgspec
from msgspec import Meta, Raw, Struct

from sizewise.app.application import House
from sizewise.auth.authenticator import digest
from sizewise.auth.browser_security import PROOF, far_end, meant, named, signed_in
from sizewise.auth.key_scope import admit
from sizewise.data_class import DataClass
from sizewise.errors import BadBody, BodyTooLarge, BodyTooSlow, Forbidden, SizewiseError
from sizewise.guardrails.summary import noted
from sizewise.handler import NO_WISHES, Chosen, Event, Guarded, Tried, Wishes
from sizewise.money import PICO, dollars
from sizewise.principal import Caller
from sizewise.providers.wires.openai.request_response import write_error

log = logging.getLogger("sizewise.gateway")

Headers = list[tuple[bytes, bytes]]
JSON = (b"content-type", b"application/json")


class Out(Protocol):
    """Where a door writes. Either `whole` once, or `begin`, `write`..., `end`. Waits while the client reads slowly.

    `lines`: more headers, written already, each with its end of line.
    """

    async def whole(self, status: int, headers: Headers, body: bytes, lines: bytes = b"") -> None: ...
    async def begin(self, headers: Headers) -> None: ...
    async def write(self, data: bytes) -> None: ...
    async def end(self) -> None: ...
    @property
    def begun(self) -> bool: ...
    @property
    def address(self) -> str: ...


class Knock(Struct):
    """What the headers say: the key, the trace, the wishes; `started` is time.perf_counter() at the door.

    `cookie`: whether one came, of whomever. `safe`: by a method that changes nothing. `secure`: through TLS of ours.
    """

    started: float
    key: str = ""
    trace: str = ""
    host: str = ""
    wishes: dict[str, str] = {}
    headers: Headers = []  # all of them, for a door that has some of its own

    address: str = ""  # where the client is, as far as the connection tells
    cookie: bool = False
    safe: bool = False
    secure: bool = False
    query: bytes = b""
    caller: Caller | None = None  # as soon as one has been let in
    digest: bytes = b""  # of the key
    name: str = ""  # that `host` means, without its port

    def now(self, started: float) -> Knock:
        """The same said anew."""
        seen: Knock = self.__copy__()  # type: ignore[attr-defined]  # every Struct has it
        seen.started = started
        if not seen.trace:
            seen.trace = new_trace()
        return seen

    def enter(self, house: House, door: str, action: str = "ask") -> Caller:
        """Who comes in by `door` to do `action`: by a key, and only where none came by a session. Raises BadKey, or
        Forbidden."""
        if self.name not in house.hosts:
            meant(self.host, house.hosts)
        keys = house.means.keeper.accounts.keys
        if self.cookie and not self.key:
            caller = self.signed_in(house) or keys.caller("")
        else:
            caller = keys.by(self.digest, self.key)
        if caller.scope is not None:
            admit(caller, door, far_end(self.address, self.headers, house.settings.server.trusted_proxies))
        if action and action not in caller.may:
            raise Forbidden(f"this key may not `{action}`", f"use a key that has `{action}`")
        self.caller = caller
        return caller

    def signed_in(self, house: House) -> Caller | None:
        """None where no cookie of ours came. Raises BadKey, or Forbidden."""
        meant(self.host, house.hosts)
        proxies, keys = house.settings.server.trusted_proxies, house.means.keeper.accounts.keys
        return signed_in(keys, self.headers, self.host, self.address, proxies, secure=self.secure, safe=self.safe)


_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_READ = frozenset(
    {b"authorization", b"host", b"x-api-key", b"traceparent", b"idempotency-key", b"cache-control", b"cookie"}
)
_TRACE = re.compile(r"[0-9a-f]{32}")
_CACHE = re.compile(r"no-store|no-cache(?!.*no-store)")  # the stricter of the two; others say nothing to us


def knock(headers: Headers, started: float) -> Knock:
    """What they say, come at time.perf_counter() `started`."""
    seen = read(headers)
    seen.started = started
    if not seen.trace:
        seen.trace = new_trace()
    return seen


def read(headers: Headers) -> Knock:
    """One pass over the headers; without a trace where they name none. Names are lower-case bytes."""
    seen = Knock(0.0, headers=headers)
    for name, value in headers:
        if name not in _READ and name[:11] != b"x-sizewise-":
            continue
        if name == b"authorization":
            scheme, _, key = value.decode("latin-1").partition(" ")
            seen.key = key.strip() if scheme.lower() == "bearer" else ""
        elif name == b"host":
            seen.host = value.decode("latin-1")
        elif name == b"x-api-key":
            seen.key = seen.key or value.decode("latin-1").strip()
        elif name == b"traceparent":
            match = _TRACEPARENT.fullmatch(value.decode("latin-1").strip())
            seen.trace = match.group(1) if match else seen.trace
        elif name == b"idempotency-key":
            seen.wishes["idempotency-key"] = value.decode("latin-1")
        elif name == b"cache-control":
            said = _CACHE.search(value.decode("latin-1").lower())
            if said:
                seen.wishes["cache"] = said.group()
        elif name == b"x-sizewise-trace":
            match = _TRACE.fullmatch(value.decode("latin-1").strip())
            seen.trace = match.group() if match else seen.trace
        elif name == b"cookie":
            seen.cookie = True
        elif name != PROOF:
            _wish(seen.wishes, name[11:].decode("latin-1"), value.decode("latin-1"))
    seen.digest = digest(seen.key)
    seen.name = named(seen.host)
    return seen


def _wish(said: dict[str, str], name: str, value: str) -> None:
    """A header said twice is a list, as HTTP has it, and a wish is none: so no second one can loosen the first."""
    said[name] = f"{said[name]}, {value}" if name in said else value


def traced(trace: str) -> Headers:
    return [(b"x-sizewise-trace", trace.encode()), (b"x-request-id", trace.encode())]


def new_trace() -> str:
    """A W3C trace id. The time in front keeps the records' index in order of time, which the disk likes.

    It names, it does not protect; os.urandom lets go of the interpreter lock, which cost 10 us a request under load.
    """
    return (int(time.time()) << 96 | getrandbits(96)).to_bytes(16, "big").hex()


Decimal = Annotated[str, Meta(pattern=r"^\d{1,9}(\.\d{1,12})?$")]


class SizewiseOptions(Struct, forbid_unknown_fields=True, rename="kebab"):
    """The `sizewise` object of a body and the `x-sizewise-*` headers: the same words in both."""

    policy: str | None = None
    max_cost_usd: Decimal | Annotated[float, Meta(ge=0, le=1e9)] | None = None
    max_ms: Annotated[int, Meta(ge=1)] | None = None
    min_quality: Annotated[float, Meta(ge=0, le=1)] | None = None
    min_window: Annotated[int, Meta(ge=1, le=1_000_000_000)] | None = None
    data_class: DataClass | None = None
    online: Literal["deny", "allow"] | None = None
    session: Annotated[str, Meta(max_length=200)] | None = None
    idempotency_key: Annotated[str, Meta(max_length=200)] | None = None
    cache: Literal["no-cache", "no-store"] | None = None


_SPELT: Mapping[str, str] = {name.replace("-", "_"): name for name in SizewiseOptions.__struct_encode_fields__}


def wishes(headers: dict[str, str], body: Raw | None) -> Wishes:
    """Headers win over the body, but data class and going online they can only tighten. Raises BadBody."""
    if not headers and body is None:
        return NO_WISHES
    try:
        inside = (msgspec.json.decode(body, type=dict[str, object] | None) if body is not None else None) or {}
        said = {_SPELT.get(name, name): value for name, value in inside.items() if value is not None}
        strict = _stricter(headers.get("data-class"), said.get("data-class"))
        merged: dict[str, object] = {**said, **headers, **({"data-class": strict} if strict else {})}
        if "deny" in (headers.get("online"), said.get("online")):
            merged["online"] = "deny"
        seen = msgspec.convert(merged, SizewiseOptions, strict=False)
    except msgspec.ValidationError as error:
        reason = (
            str(error)
            .replace("Object contains unknown field", "there is no wish named")
            .replace(" - at `$.", " - at `")
            .replace(" | null`", "`")
        )
        raise BadBody(f"`sizewise`: {reason}", f"known: {', '.join(sorted(_SPELT))}", param="sizewise") from error
    return Wishes(
        seen.policy,
        None if seen.max_cost_usd is None else round(float(seen.max_cost_usd) * PICO),
        seen.max_ms,
        seen.min_quality,
        seen.data_class,
        seen.online,
        seen.session,
        seen.idempotency_key,
        seen.cache,
        min_window=seen.min_window,
    )


def _stricter(a: object, b: object) -> object:
    order = ["public", "internal", "confidential"]
    known = [x for x in (a, b) if x in order]
    strange = [x for x in (a, b) if x is not None and x not in order]
    if strange:
        return strange[0]  # refused by the schema, in words
    return max(known, key=order.index) if known else None


class Heard:
    """A `send` that keeps what the response headers need and shows nothing."""

    __slots__ = ("chosen", "cost", "guarded", "tried")

    def __init__(self) -> None:
        self.chosen: Chosen | None = None
        self.cost: int | None = 0
        self.tried = 0
        self.guarded: list[Guarded] = []

    async def __call__(self, event: Event) -> None:
        self.hear(event)

    def hear(self, event: Event) -> None:
        kind = type(event)
        if kind is Tried:
            assert isinstance(event, Tried)
            self.tried += 1
            self.cost = None if self.cost is None or event.cost is None else self.cost + event.cost
        elif kind is Chosen:
            assert isinstance(event, Chosen)
            self.chosen = event
        elif isinstance(event, Guarded):
            self.guarded.append(event)

    def headers(self, trace: str) -> Headers:
        """x-sizewise-*: which model, why, and how many were asked, as far as it is known by now."""
        named = traced(trace)
        if self.chosen is not None:
            named.append((b"x-sizewise-model", plain(self.chosen.model)))
            named.append((b"x-sizewise-why", plain(self.chosen.why)))
        asked = self.tried if self.chosen is None else self.chosen.attempts
        if asked > 1:
            named.append((b"x-sizewise-attempts", b"%d" % asked))
        if self.guarded:
            named.append((b"x-sizewise-guards", plain(noted(self.guarded))))
        return named

    def booked(self, trace: str) -> Headers:
        """The same when all is over: with what it cost, also where it came to nothing."""
        return [*self.headers(trace), (b"x-sizewise-cost-usd", self.price())]

    def lines(self, trace: str) -> bytes:
        """The same, with what kind of answer it is, as lines of a head."""
        chosen = self.chosen
        if chosen is None or chosen.attempts > 1 or self.guarded:
            return written([JSON, *self.booked(trace)])
        id, price = trace.encode(), b"0" if self.cost == 0 else self.price()
        return _LINES % (id, id, plain(chosen.model), plain(chosen.why), price)

    def told(self, model: str, trace: str, degraded: str) -> dict[str, object]:
        """The same for a stream, whose headers had left before: the `sizewise` object of its last event."""
        why = self.chosen.why if self.chosen else ""
        ours = {"model": model, "why": why, "cost_usd": self.price().decode(), "attempts": self.tried, "trace": trace}
        ours |= {"guards": noted(self.guarded)} if self.guarded else {}
        return ours | ({"degraded": degraded} if degraded else {})

    def price(self) -> bytes:
        return b"0" if self.cost == 0 else dollars(self.cost).encode()


_LINES = (
    b"content-type: application/json\r\nx-sizewise-trace: %b\r\nx-request-id: %b\r\n"
    b"x-sizewise-model: %b\r\nx-sizewise-why: %b\r\nx-sizewise-cost-usd: %b\r\n"
)


def written(headers: Headers) -> bytes:
    return b"".join([b"%b: %b\r\n" % each for each in headers])


def pairs(lines: bytes) -> Headers:
    """`written`, undone."""
    return [(name, value) for name, _, value in (line.partition(b": ") for line in lines.split(b"\r\n")[:-1])]


def plain(text: str) -> bytes:
    """Safe in a header: no control characters, nothing beyond Latin-1."""
    if text.isascii() and text.isprintable():
        return text.encode()
    return "".join(c if c.isprintable() else " " for c in text).encode("latin-1", "replace")


@dataclass(frozen=True, slots=True)
class Voice:
    """How one wire says no: as a whole body, or as the event of a stream that has begun; both are told the trace."""

    body: Callable[[SizewiseError, str], bytes]
    event: Callable[[SizewiseError, str], bytes]
    id: bytes = b""  # one more header for the trace, where its clients look for the request's id


USUAL = Voice(lambda error, trace: write_error(error), lambda error, trace: b"data: " + write_error(error) + b"\n\n")


async def refuse(out: Out, error: SizewiseError, headers: Headers, voice: Voice = USUAL, trace: str = "") -> None:
    more: Headers = [JSON, *headers]
    if voice.id:
        more.append((voice.id, trace.encode()))
    if error.retry_after is not None:
        more.append((b"retry-after", b"%d" % max(1, round(error.retry_after))))
    if error.status == 401:
        more.append((b"www-authenticate", b'Bearer realm="sizewise"'))
    await out.whole(error.status, more, voice.body(error, trace))


Door = Callable[[House, Knock, bytes, Out], Awaitable[None]]


async def too_large(house: House, seen: Knock, body: bytes, out: Out) -> None:
    """The door for a body that was not read to its end."""
    raise BodyTooLarge(
        f"the body is larger than {house.settings.server.max_body_bytes} bytes",
        "send less, or raise `max_body_bytes` in [server] of sizewise.toml",
    )


async def too_slow(house: House, seen: Knock, body: bytes, out: Out) -> None:
    """The door for a body that has not come to its end in time."""
    raise BodyTooSlow(
        f"the body had not come after {house.settings.server.body_timeout_s:g} seconds",
        "send it faster, or raise `body_timeout_s` in [server] of sizewise.toml",
    )


class Metered:
    """An `Out` around an `Out`, whose headers tell what limits leave to the caller."""

    def __init__(self, out: Out, rooms: Callable[[], bytes]) -> None:
        self._out = out
        self._rooms = rooms
        self.address = out.address
        self.write = out.write
        self.end = out.end

    async def whole(self, status: int, headers: Headers, body: bytes, lines: bytes = b"") -> None:
        await self._out.whole(status, headers, body, lines + self._rooms())

    async def begin(self, headers: Headers) -> None:
        await self._out.begin([*headers, *pairs(self._rooms())])

    @property
    def begun(self) -> bool:
        return self._out.begun


def _rooms(house: House, seen: Knock) -> bytes:
    """x-ratelimit-*, as clients of OpenAI's know them: of the tightest limit of requests and of tokens a minute."""
    lines = b""
    for room in house.means.keeper.budgets.rooms(seen.caller) if seen.caller is not None else ():
        what = b"requests" if room.unit == "requests/minute" else b"tokens"
        reset = max(1, math.ceil(room.until - time.time()))
        lines += _ROOM % (what, room.limit, what, room.left, what, reset)
    return lines


_ROOM = b"x-ratelimit-limit-%b: %d\r\nx-ratelimit-remaining-%b: %d\r\nx-ratelimit-reset-%b: %ds\r\n"


def meet(
    door: Door,
    house: House,
    headers: Headers,
    body: bytes,
    out: Out,
    started: float,
    voice: Voice = USUAL,
    *,
    safe: bool = False,
    secure: bool = False,
    query: bytes = b"",
) -> Coroutine[object, None, None]:
    """`met`, for who has the headers alone."""
    seen = knock(headers, started)
    seen.address, seen.safe, seen.secure, seen.query = out.address, safe, secure, query
    return met(door, house, seen, body, out, voice)


async def met(door: Door, house: House, seen: Knock, body: bytes, out: Out, voice: Voice = USUAL) -> None:
    """Runs a door to a well-formed end. The one catch-all: an unforeseen fault is a 500, never a traceback.

    Only the fault's type and place are logged: its message could hold a prompt.
    """
    if house.means.keeper.budgets.limited:
        out = Metered(out, partial(_rooms, house, seen))
    try:
        await door(house, seen, body, out)
    except SizewiseError as error:
        house.means.metrics.refused(error.code)
        await refuse(out, error, traced(seen.trace), voice, seen.trace)
    except Exception as fault:
        place = fault.__traceback__
        while place is not None and place.tb_next is not None:
            place = place.tb_next
        where = f"{place.tb_frame.f_code.co_filename}:{place.tb_lineno}" if place else "?"
        log.error("unforeseen %s at %s, trace %s", type(fault).__name__, where, seen.trace)
        ours = SizewiseError("something went wrong inside Sizewise", f"report it with the trace {seen.trace}")
        if not out.begun:
            await refuse(out, ours, traced(seen.trace), voice, seen.trace)
        else:  # only streams begin before they are whole: one error event, and no end mark
            await out.write(voice.event(ours, seen.trace))
            await out.end()
