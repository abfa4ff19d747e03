"""Request context: HTTP headers -> credentials, trace and options; runs a route handler and writes its errors.

Knows nothing of the server underneath: the fast path and ASGI both pass headers, a body and a `ResponseWriter`.
"""

from __future__ import annotations

import logging
import math
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from random import getrandbits
from typing import Annotated, Any, Literal, Protocol

import msgspec
from msgspec import UNSET, Meta, Raw, Struct

from sizewise.app.application import Application
from sizewise.app.environments import NO_UNIT, Environments
from sizewise.auth.authenticator import digest
from sizewise.auth.browser_security import CSRF_HEADER, authenticate_browser, check_host, client_address, strip_port
from sizewise.auth.key_scope import check_scope
from sizewise.data_class import DataClass
from sizewise.errors import BadBody, BadRequest, Forbidden, SizewiseError
from sizewise.gateway.canary_answer import answer_twice
from sizewise.gateway.request_unit import unit_of
from sizewise.gateway.trace_context import parse_traceparent
from sizewise.guardrails.summary import guardrail_summary
from sizewise.handler import (
    NO_OPTIONS,
    AttemptFinished,
    Event,
    GuardrailTriggered,
    ModelSelected,
    Request,
    RequestOptions,
)
from sizewise.limits.request_body import too_large
from sizewise.limits.upload import UploadLimit
from sizewise.messages import ChatRequest, EmbeddingRequest
from sizewise.money import PICO_PER_DOLLAR, format_dollars
from sizewise.principal import Principal
from sizewise.prompt_reference import PromptReference
from sizewise.providers.wires.openai.request_response import write_error
from sizewise.request_origin import ReleaseLabel, RequestOrigin
from sizewise.telemetry.request_labels import MAX_TAG_CHARS, MAX_TAGS, is_tag

log = logging.getLogger("sizewise.gateway")

Headers = list[tuple[bytes, bytes]]
JSON = (b"content-type", b"application/json")


class ResponseWriter(Protocol):
    """Where a route handler writes. Either `send_response` once, or `start_stream`, `write`..., `end_stream`. Waits
    while the client reads slowly.

    `cut_stream` instead of `end_stream`: closes the connection without the last chunk, so that no client takes the
    stream for whole.

    `header_lines`: further headers, encoded, each with its line end.
    """

    async def send_response(self, status: int, headers: Headers, body: bytes, header_lines: bytes = b"") -> None: ...
    async def start_stream(self, headers: Headers) -> None: ...
    async def write(self, data: bytes) -> None: ...
    async def end_stream(self) -> None: ...
    async def cut_stream(self) -> None: ...
    @property
    def has_started(self) -> bool: ...


class RequestHead(Struct):
    """The parsed headers: key, trace and options; `started` is time.perf_counter() at arrival.

    `has_cookie`: any cookie, of any site. `safe`: the method changes nothing. `secure`: our own TLS.
    """

    started: float
    api_key: str = ""
    trace: str = ""
    host: str = ""
    options: dict[str, str] = {}
    headers: Headers = []  # all of them, for route handlers that read others

    peer_address: str = ""  # the client's address on this connection
    has_cookie: bool = False
    safe: bool = False
    secure: bool = False
    query_string: bytes = b""
    principal: Principal | None = None  # set by `authorize`
    key_digest: bytes = b""  # of the key
    hostname: str = ""  # `host` without its port
    origin: RequestOrigin | None = None  # the span of the client's `traceparent`
    content_encoding: str = ""  # of the body; empty if it is not compressed

    def restarted_at(self, started: float) -> RequestHead:
        """A copy with another start and, if it had none, a new trace."""
        seen: RequestHead = self.__copy__()  # type: ignore[attr-defined]  # every Struct has it
        seen.started = started
        if not seen.trace:
            seen.trace = new_trace_id()
        return seen

    def without_option(self, name: str) -> RequestHead:
        """A copy: heads of one connection may be shared."""
        seen: RequestHead = self.__copy__()  # type: ignore[attr-defined]  # every Struct has it
        seen.options = {each: value for each, value in self.options.items() if each != name}
        return seen

    def authorize(self, app: Application, endpoint: str, action: str = "ask") -> Principal:
        """Authenticates the caller of `endpoint` for `action`, by key, or by session cookie if there is no key. Raises
        InvalidApiKey or Forbidden.
        """
        principal = self.authenticate(app)
        if principal.scope is not None:
            check_scope(
                principal,
                endpoint,
                client_address(self.peer_address, self.headers, app.settings.server.trusted_proxies),
            )
        if action and action not in principal.permissions:
            raise Forbidden(f"this key lacks the permission `{action}`", f"use a key with the permission `{action}`")
        self.principal = principal
        return principal

    def authenticate(self, app: Application) -> Principal:
        """The caller, whatever it is allowed to do. Raises InvalidApiKey or Forbidden."""
        if self.hostname not in app.allowed_hosts:
            check_host(self.host, app.allowed_hosts)
        keys = app.resources.services.api_keys.authenticator
        if self.has_cookie and not self.api_key:
            return self.session_principal(app) or keys.authenticate("")
        return keys.authenticate_digest(self.key_digest, self.api_key)

    def request(self, payload: ChatRequest | EmbeddingRequest, options: RequestOptions, endpoint: str) -> Request:
        """The request of the caller, whom `authorize` found."""
        assert self.principal is not None
        return Request(
            payload=payload,
            principal=self.principal,
            trace_id=self.trace,
            started_at=self.started,
            options=options,
            endpoint=endpoint,
            origin=self.origin,
        )

    def session_principal(self, app: Application) -> Principal | None:
        """None without a session cookie of ours. Raises InvalidApiKey or Forbidden."""
        check_host(self.host, app.allowed_hosts)
        proxies, keys = app.settings.server.trusted_proxies, app.resources.services.api_keys.authenticator
        return authenticate_browser(
            keys,
            self.headers,
            self.host,
            self.peer_address,
            proxies,
            secure=self.secure,
            safe=self.safe,
        )


_READ_HEADERS = frozenset(
    {
        b"authorization",
        b"host",
        b"x-api-key",
        b"traceparent",
        b"idempotency-key",
        b"cache-control",
        b"cookie",
        b"content-encoding",
    },
)
_TRACE = re.compile(r"[0-9a-f]{32}")
_CACHE = re.compile(r"no-store|no-cache(?!.*no-store)")  # the stricter of the two; other directives are ignored


def read_head(headers: Headers, started: float) -> RequestHead:
    """The parsed headers of a request that arrived at time.perf_counter() `started`."""
    seen = parse_headers(headers)
    seen.started = started
    if not seen.trace:
        seen.trace = new_trace_id()
    return seen


def parse_headers(headers: Headers) -> RequestHead:
    """One pass over the headers; adds no trace if they have none. Names are lower-case bytes."""
    seen = RequestHead(0.0, headers=headers)
    for name, value in headers:
        if name not in _READ_HEADERS and name[:11] != b"x-sizewise-":
            continue
        if name == b"authorization":
            scheme, _, key = value.decode("latin-1").partition(" ")
            seen.api_key = key.strip() if scheme.lower() == "bearer" else ""
        elif name == b"host":
            seen.host = value.decode("latin-1")
        elif name == b"x-api-key":
            seen.api_key = seen.api_key or value.decode("latin-1").strip()
        elif name == b"traceparent":
            caused = parse_traceparent(value.decode("latin-1").strip())
            if caused is not None:
                seen.trace, seen.origin = caused
        elif name == b"idempotency-key":
            seen.options["idempotency-key"] = value.decode("latin-1")
        elif name == b"cache-control":
            said = _CACHE.search(value.decode("latin-1").lower())
            if said:
                seen.options["cache"] = said.group()
        elif name == b"x-sizewise-trace":
            match = _TRACE.fullmatch(value.decode("latin-1").strip())
            if match and match.group() != seen.trace:
                seen.trace, seen.origin = match.group(), None
        elif name == b"cookie":
            seen.has_cookie = True
        elif name == b"content-encoding":
            encoding = value.decode("latin-1").strip()
            seen.content_encoding = seen.content_encoding or (encoding if encoding.lower() != "identity" else "")
        elif name != CSRF_HEADER:
            _add_option(seen.options, name[11:].decode("latin-1"), value.decode("latin-1"))
    seen.key_digest = digest(seen.api_key)
    seen.hostname = strip_port(seen.host)
    return seen


def _add_option(options: dict[str, str], name: str, value: str) -> None:
    """A repeated header becomes a list, as in HTTP, which no option accepts: a second one cannot loosen the first."""
    options[name] = f"{options[name]}, {value}" if name in options else value


def trace_headers(trace: str) -> Headers:
    return [(b"x-sizewise-trace", trace.encode()), (b"x-request-id", trace.encode())]


def new_trace_id() -> str:
    """A W3C trace id. It starts with the time, so that the index of the records grows in order.

    Not a secret: random bits, not os.urandom, which releases the GIL and cost 10 us a request under load.
    """
    return (int(time.time()) << 96 | getrandbits(96)).to_bytes(16, "big").hex()


DecimalText = Annotated[str, Meta(pattern=r"^\d{1,9}(\.\d{1,12})?$")]


class PromptOption(Struct, forbid_unknown_fields=True):
    """A prompt of the folder `prompts` by id, and the values of its variables."""

    id: Annotated[str, Meta(max_length=200)]
    version: Annotated[str, Meta(max_length=64)] | None = None
    variables: dict[str, Any] = {}


class SizewiseOptions(Struct, forbid_unknown_fields=True, rename="kebab"):
    """Routing options: the `sizewise` object of a body, or `x-sizewise-*` headers of the same names."""

    policy: str | None = None
    max_cost_usd: DecimalText | Annotated[float, Meta(ge=0, le=1e9)] | None = None
    max_ms: Annotated[int, Meta(ge=1)] | None = None
    min_quality: Annotated[float, Meta(ge=0, le=1)] | None = None
    min_window: Annotated[int, Meta(ge=1, le=1_000_000_000)] | None = None
    data_class: DataClass | None = None
    online: Literal["deny", "allow"] | None = None
    session: Annotated[str, Meta(max_length=200)] | None = None
    idempotency_key: Annotated[str, Meta(max_length=200)] | None = None
    cache: Literal["no-cache", "no-store"] | None = None
    progress: bool | None = None
    end_user: Annotated[str, Meta(max_length=512)] | None = None
    tags: str | list[str] | None = None
    prompt: Annotated[str, Meta(max_length=200)] | PromptOption | None = None


_HEADER_NAME: Mapping[str, str] = {name.replace("-", "_"): name for name in SizewiseOptions.__struct_encode_fields__}


def parse_options(headers: dict[str, str], body: Raw | None) -> RequestOptions:
    """Headers win over the body, but can only tighten its data class and `online`. Raises BadBody."""
    if not headers and body is None:
        return NO_OPTIONS
    try:
        inside = (msgspec.json.decode(body, type=dict[str, object] | None) if body is not None else None) or {}
        said = {_HEADER_NAME.get(name, name): value for name, value in inside.items() if value is not None}
        strict = _stricter(headers.get("data-class"), said.get("data-class"))
        merged: dict[str, object] = {**said, **headers, **({"data-class": strict} if strict else {})}
        if "deny" in (headers.get("online"), said.get("online")):
            merged["online"] = "deny"
        seen = msgspec.convert(merged, SizewiseOptions, strict=False)
    except msgspec.ValidationError as error:
        reason = (
            str(error)
            .replace("Object contains unknown field", "there is no option named")
            .replace(" - at `$.", " - at `")
            .replace(" | null`", "`")
        )
        raise BadBody(f"`sizewise`: {reason}", f"known: {', '.join(sorted(_HEADER_NAME))}", param="sizewise") from error
    return RequestOptions(
        policy=seen.policy,
        max_cost=None if seen.max_cost_usd is None else round(float(seen.max_cost_usd) * PICO_PER_DOLLAR),
        max_latency_ms=seen.max_ms,
        min_quality=seen.min_quality,
        data_class=seen.data_class,
        online=seen.online,
        session=seen.session,
        idempotency_key=seen.idempotency_key,
        cache=seen.cache,
        min_context_tokens=seen.min_window,
        progress=seen.progress or UNSET,
        end_user=seen.end_user or UNSET,
        tags=_tags(seen.tags) or UNSET,
        prompt=UNSET if seen.prompt is None else _prompt(seen.prompt),
    )


def _prompt(given: str | PromptOption) -> PromptReference:
    """`ID` or `ID@VERSION`, as a header has it, or an object."""
    if isinstance(given, str):
        id, _, version = given.partition("@")
        return PromptReference(id, version, {})
    return PromptReference(given.id, given.version or "", given.variables)


def _tags(given: str | list[str] | None) -> tuple[str, ...]:
    """A list, or words between commas. Raises BadBody."""
    words = given.split(",") if isinstance(given, str) else given or []
    tags = tuple(sorted({word.strip() for word in words} - {""}))
    if len(tags) > MAX_TAGS or not all(map(is_tag, tags)):
        raise BadBody(
            "`sizewise`: `tags` has too many tags, or one that is too long or not printable",
            f"use up to {MAX_TAGS} tags of 1 to {MAX_TAG_CHARS} characters",
            param="sizewise",
        )
    return tags


def _stricter(a: object, b: object) -> object:
    order = ["public", "internal", "confidential"]
    known = [x for x in (a, b) if x in order]
    strange = [x for x in (a, b) if x is not None and x not in order]
    if strange:
        return strange[0]  # rejected by the schema, with a message
    return max(known, key=order.index) if known else None


class ResponseMetadata:
    """A `send` that collects what the response headers need and writes nothing."""

    __slots__ = ("attempts", "cost", "guardrails", "selection")

    def __init__(self) -> None:
        self.selection: ModelSelected | None = None
        self.cost: int | None = 0
        self.attempts = 0
        self.guardrails: list[GuardrailTriggered] = []

    async def __call__(self, event: Event) -> None:
        self.record(event)

    def record(self, event: Event) -> None:
        kind = type(event)
        if kind is AttemptFinished:
            assert isinstance(event, AttemptFinished)
            self.attempts += 1
            self.cost = None if self.cost is None or event.cost is None else self.cost + event.cost
        elif kind is ModelSelected:
            assert isinstance(event, ModelSelected)
            self.selection = event
        elif isinstance(event, GuardrailTriggered):
            self.guardrails.append(event)

    def headers(self, trace: str) -> Headers:
        """x-sizewise-*: model, reason, and attempts if more than one, as far as known."""
        named = trace_headers(trace)
        if self.selection is not None:
            named.append((b"x-sizewise-model", header_value(self.selection.model)))
            named.append((b"x-sizewise-why", header_value(self.selection.reason)))
            if self.selection.freshness:
                named.append((b"x-sizewise-freshness", header_value(self.selection.freshness)))
            if self.selection.compacted:
                named.append((b"x-sizewise-compacted", header_value(self.selection.compacted)))
        asked = self.attempts if self.selection is None else self.selection.attempts
        if asked > 1:
            named.append((b"x-sizewise-attempts", b"%d" % asked))
        if self.guardrails:
            named.append((b"x-sizewise-guards", header_value(guardrail_summary(self.guardrails))))
        return named

    def final_headers(self, trace: str) -> Headers:
        """`headers` after the last attempt: with the cost, also of a failed request."""
        return [*self.headers(trace), (b"x-sizewise-cost-usd", self.cost_text())]

    def header_lines(self, trace: str) -> bytes:
        """`final_headers` and the content type, encoded as header lines."""
        chosen = self.selection
        if chosen is None or chosen.attempts > 1 or self.guardrails or chosen.freshness or chosen.compacted:
            return encode_headers([JSON, *self.final_headers(trace)])
        id, price = trace.encode(), b"0" if self.cost == 0 else self.cost_text()
        return _HEADER_LINES % (id, id, header_value(chosen.model), header_value(chosen.reason), price)

    def sizewise_object(self, model: str, trace: str, degraded: str) -> dict[str, object]:
        """The same for a stream, whose headers are sent before: the `sizewise` object of its last event."""
        why = self.selection.reason if self.selection else ""
        ours = {
            "model": model,
            "why": why,
            "cost_usd": self.cost_text().decode(),
            "attempts": self.attempts,
            "trace": trace,
        }
        ours |= {"guards": guardrail_summary(self.guardrails)} if self.guardrails else {}
        ours |= {"freshness": self.selection.freshness} if self.selection and self.selection.freshness else {}
        ours |= {"compacted": self.selection.compacted} if self.selection and self.selection.compacted else {}
        return ours | ({"degraded": degraded} if degraded else {})

    def answer_id(self, own: str) -> str:
        """The id of the answer: `own`, or in a retry that of the first answer."""
        first = self.selection.first_answer if self.selection is not None else None
        return own if first is None else first.id

    def created_at(self) -> int:
        """Unix seconds, the same in a retry."""
        first = self.selection.first_answer if self.selection is not None else None
        return int(time.time()) if first is None else first.created

    def cost_text(self) -> bytes:
        return b"0" if self.cost == 0 else format_dollars(self.cost).encode()


_HEADER_LINES = (
    b"content-type: application/json\r\nx-sizewise-trace: %b\r\nx-request-id: %b\r\n"
    b"x-sizewise-model: %b\r\nx-sizewise-why: %b\r\nx-sizewise-cost-usd: %b\r\n"
)


def encode_headers(headers: Headers) -> bytes:
    return b"".join([b"%b: %b\r\n" % each for each in headers])


def decode_headers(lines: bytes) -> Headers:
    """Inverse of `encode_headers`."""
    return [(name, value) for name, _, value in (line.partition(b": ") for line in lines.split(b"\r\n")[:-1])]


def header_value(text: str) -> bytes:
    """`text` without control characters and characters beyond Latin-1."""
    if text.isascii() and text.isprintable():
        return text.encode()
    return "".join(c if c.isprintable() else " " for c in text).encode("latin-1", "replace")


@dataclass(frozen=True, slots=True)
class ErrorFormat:
    """How a wire writes errors: as a whole body, or as an event of a started stream; both receive the trace."""

    body: Callable[[SizewiseError, str], bytes]
    event: Callable[[SizewiseError, str], bytes]
    trace_header: bytes = b""  # additional header for the trace, where clients of this wire look for the request id


OPENAI_ERRORS = ErrorFormat(
    lambda error, trace: write_error(error),
    lambda error, trace: b"data: " + write_error(error) + b"\n\n",
)


async def send_error(
    writer: ResponseWriter,
    error: SizewiseError,
    headers: Headers,
    error_format: ErrorFormat = OPENAI_ERRORS,
    trace: str = "",
) -> None:
    more: Headers = [JSON, *headers]
    if error_format.trace_header:
        more.append((error_format.trace_header, trace.encode()))
    if error.retry_after is not None:  # rounded up: a client that is back too early is refused again
        more.append((b"retry-after", b"%d" % max(1, math.ceil(error.retry_after))))
    if error.status == 401:
        more.append((b"www-authenticate", b'Bearer realm="sizewise"'))
    await writer.send_response(error.status, more, error_format.body(error, trace))


RouteHandler = Callable[[Application, RequestHead, bytes, ResponseWriter], Awaitable[None]]


async def body_compressed(app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
    """The route handler for a compressed body. It is not decoded: it may be a thousand times as large."""
    raise BadRequest(
        f"the body is compressed as {head.content_encoding[:40]!r}",
        "send it uncompressed, without the header `content-encoding`",
        status=415,
    )


def refusal(app: Application, head: RequestHead, *, authenticated: bool = True) -> RouteHandler | None:
    """A route handler that refuses a request by its head alone, before its body arrives; None if it may arrive.

    `authenticated`: whether the route needs a key or a session.
    """
    if declared_length(head.headers) > app.settings.server.max_body_bytes:
        return refuse_with(too_large(app.settings.server))
    try:
        if authenticated:
            head.authenticate(app)
    except SizewiseError as error:
        return refuse_with(error)
    return body_compressed if head.content_encoding and not head.safe else None


def upload_refusal(app: Application, head: RequestHead, limit: UploadLimit) -> RouteHandler | None:
    """As `refusal`, for an upload."""
    if declared_length(head.headers) > limit.max_bytes:
        return refuse_with(limit.error)
    try:
        head.authenticate(app)
    except SizewiseError as error:
        return refuse_with(error)
    return body_compressed if head.content_encoding else None


def refuse_with(error: SizewiseError) -> RouteHandler:
    """The route handler of a request that is refused before its body is there."""
    return partial(_raise, error)


async def _raise(
    error: SizewiseError, app: Application, head: RequestHead, body: bytes, writer: ResponseWriter
) -> None:
    raise error


def declared_length(headers: Headers) -> int:
    """Content-Length in bytes, else 0."""
    return next((int(value) for name, value in headers if name == b"content-length"), 0)


class RateLimitHeaders:
    """Wraps a ResponseWriter and adds the rate-limit headers."""

    def __init__(self, writer: ResponseWriter, header_lines: Callable[[], bytes]) -> None:
        self._writer = writer
        self._header_lines = header_lines
        self.write = writer.write
        self.end_stream = writer.end_stream
        self.cut_stream = writer.cut_stream

    async def send_response(self, status: int, headers: Headers, body: bytes, header_lines: bytes = b"") -> None:
        await self._writer.send_response(status, headers, body, header_lines + self._header_lines())

    async def start_stream(self, headers: Headers) -> None:
        await self._writer.start_stream([*headers, *decode_headers(self._header_lines())])

    @property
    def has_started(self) -> bool:
        return self._writer.has_started


class ReleaseHeaders:
    """Wraps a ResponseWriter and adds what answered, unless the process that a request was forwarded to said so."""

    def __init__(self, writer: ResponseWriter, label: ReleaseLabel) -> None:
        self._writer = writer
        self._added: Headers = []
        self.say(label)
        self.write = writer.write
        self.end_stream = writer.end_stream
        self.cut_stream = writer.cut_stream

    def say(self, label: ReleaseLabel) -> None:
        arm = [(b"x-sizewise-arm", label.arm.encode())] if label.arm else []
        self._added = [(RELEASE_HEADER, label.release.encode()), *arm]

    async def send_response(self, status: int, headers: Headers, body: bytes, header_lines: bytes = b"") -> None:
        await self._writer.send_response(status, self._with_release(headers), body, header_lines)

    async def start_stream(self, headers: Headers) -> None:
        await self._writer.start_stream(self._with_release(headers))

    def _with_release(self, headers: Headers) -> Headers:
        said = any(name == RELEASE_HEADER for name, _ in headers)
        return headers if said else [*headers, *self._added]

    @property
    def has_started(self) -> bool:
        return self._writer.has_started


RELEASE_HEADER = b"x-sizewise-release"


async def choose_release(
    environments: Environments[Application], app: Application, head: RequestHead, body: bytes, writer: ResponseWriter
) -> tuple[Application, RequestHead, ResponseWriter]:
    """What answers in the environment of the caller. Raises what `Environments.choose` raises."""
    try:
        principal = head.authenticate(app)
    except SizewiseError:
        return app, head, writer  # the route refuses it, if it needs a caller
    forced = head.options.get("release", "")
    if forced:
        head = head.without_option("release")
    split = environments.has_canary(principal)
    unit = unit_of(head.options, principal, head.trace, body) if split else NO_UNIT
    chosen = await environments.choose(principal, unit, forced)
    label = chosen.label
    return chosen, head, writer if label is None or not label.release else ReleaseHeaders(writer, label)


async def answer_in_split(
    environments: Environments[Application] | None,
    route_handler: RouteHandler,
    app: Application,
    head: RequestHead,
    body: bytes,
    writer: ResponseWriter,
) -> None:
    """Runs a route handler where there is a canary: counted as open, and once more by stable if the canary fails."""
    assert environments is not None
    assert environments.canaries is not None
    assert app.label is not None

    async def by_stable() -> None:
        stable = await environments.stable(head.authenticate(app))
        if stable.label is not None and isinstance(writer, ReleaseHeaders):
            writer.say(stable.label)
        await route_handler(stable, head, body, writer)

    with environments.canaries.open_requests.entered():
        if app.label.arm == "canary":
            await answer_twice(partial(route_handler, app, head, body), by_stable, writer, body)
        else:
            await route_handler(app, head, body, writer)


SPLIT_ARMS = ("stable", "canary")


def _rate_limit_headers(app: Application, head: RequestHead) -> bytes:
    """x-ratelimit-*, as in OpenAI's API: the tightest limits of requests and of tokens a minute."""
    lines = b""
    for room in app.resources.services.limiter.remaining_quotas(head.principal) if head.principal is not None else ():
        what = b"requests" if room.unit == "requests/minute" else b"tokens"
        reset = max(1, math.ceil(room.resets_in_s))
        lines += _RATE_LIMIT_LINES % (what, room.limit, what, room.remaining, what, reset)
    return lines


_RATE_LIMIT_LINES = b"x-ratelimit-limit-%b: %d\r\nx-ratelimit-remaining-%b: %d\r\nx-ratelimit-reset-%b: %ds\r\n"


async def handle(
    route_handler: RouteHandler,
    app: Application,
    head: RequestHead,
    body: bytes,
    writer: ResponseWriter,
    error_format: ErrorFormat = OPENAI_ERRORS,
) -> None:
    """Runs a route handler and always ends the response. The one catch-all: an unexpected exception is a 500.

    Only its type and place are logged: the message could contain a prompt.
    """
    if head.content_encoding and not head.safe:
        route_handler = body_compressed
    if app.resources.services.limiter.has_limits:
        writer = RateLimitHeaders(writer, partial(_rate_limit_headers, app, head))
    try:
        if app.environments is not None:
            app, head, writer = await choose_release(app.environments, app, head, body, writer)
            if app.label is not None and app.label.arm in SPLIT_ARMS:
                route_handler = partial(answer_in_split, app.environments, route_handler)
        await route_handler(app, head, body, writer)
    except SizewiseError as error:
        app.resources.metrics.count_rejection(error.code)
        await send_error(writer, error, trace_headers(head.trace), error_format, head.trace)
    except Exception as fault:
        place = fault.__traceback__
        while place is not None and place.tb_next is not None:
            place = place.tb_next
        where = f"{place.tb_frame.f_code.co_filename}:{place.tb_lineno}" if place else "?"
        log.error("unexpected %s at %s, trace %s", type(fault).__name__, where, head.trace)
        ours = SizewiseError("internal error", f"report it with the trace {head.trace}")
        if not writer.has_started:
            await send_error(writer, ours, trace_headers(head.trace), error_format, head.trace)
        else:  # only streams start before they are complete: one error event, and no end mark
            await writer.write(error_format.event(ours, head.trace))
            await writer.cut_stream()
