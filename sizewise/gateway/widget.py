"""Serves chat widgets to other people's pages: the script, the frame, and the messages of its visitors.

The frame is sandboxed, so its origin is opaque: it has no cookie and no storage, and is refused by pages that the list
of origins leaves out. A message is a chat request by the widget's key, for its one target.
"""

from __future__ import annotations

import html
import secrets
import time
from collections.abc import Mapping
from functools import cached_property
from importlib.resources import files

import msgspec
from msgspec import Struct

from sizewise.app.application import Application
from sizewise.auth.browser_security import check_host, client_address, is_https
from sizewise.errors import BadBody, Forbidden, InvalidApiKey, PathNotFound, SizewiseError
from sizewise.gateway.cors import ALL
from sizewise.gateway.error_response import send_error
from sizewise.gateway.request_handling import handle
from sizewise.gateway.request_head import RequestHead
from sizewise.gateway.response_writer import Headers, ResponseWriter, trace_headers
from sizewise.gateway.visitor_stream import answer_visitor
from sizewise.widgets.origins import frame_ancestors
from sizewise.widgets.tables import Widget
from sizewise.widgets.visitor_limits import VisitorLimits
from sizewise.widgets.visitor_token import read_token, write_token

PATH = "/embed/{body}"
MESSAGES = "/embed/{id}/messages"
CACHE_S = 60
"""For which browsers keep the script: a stopped widget's button goes then."""
TOKEN_HEADER = b"x-sizewise-widget-token"
SANDBOX = "allow-scripts allow-forms allow-popups allow-popups-to-escape-sandbox"
COMMON: tuple[tuple[bytes, bytes], ...] = (
    (b"cross-origin-resource-policy", b"cross-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)
STATIC: Mapping[str, bytes] = {"frame.js": b"text/javascript; charset=utf-8", "frame.css": b"text/css; charset=utf-8"}
MAX_MESSAGES = 100


class VisitorMessage(Struct):
    role: str
    content: str


class VisitorRequest(Struct):
    token: str
    messages: list[VisitorMessage]


class WidgetEndpoints:
    """The route handlers. One per server process, which counts its visitors alone."""

    def __init__(self) -> None:
        self._limits = VisitorLimits()

    @cached_property
    def _public(self) -> dict[str, str]:
        folder = files("sizewise").joinpath("widgets", "public")
        names = ("loader.js", "frame.html", *STATIC)
        return {name: folder.joinpath(name).read_text("utf-8") for name in names}

    async def public(self, app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
        """GET /embed/ID.js, /embed/ID and the two files of the frame. Raises PathNotFound, Forbidden."""
        check_host(head.host, app.allowed_hosts)
        name = body.decode("utf-8", "replace")
        if name in STATIC:
            caching = (b"cache-control", b"public, max-age=%d" % CACHE_S)
            return await writer.send_response(
                200, [(b"content-type", STATIC[name]), caching, *COMMON], self._public[name].encode()
            )
        if name.endswith(".js"):
            return await self._loader(app, head, name.removesuffix(".js"), writer)
        await self._frame(app, head, name, writer)

    async def _loader(self, app: Application, head: RequestHead, id: str, writer: ResponseWriter) -> None:
        """Empty for a stopped widget, so that the button is gone from the page."""
        widget = await app.resources.services.widgets.find(id)
        said = {"id": widget.id, "host": _host(app, head), "title": widget.settings.title}
        # No `</`, no line separators: the text is a script of its own, and stays one if it is pasted into a page.
        shown = msgspec.json.encode(said).decode().replace("<", "\\u003c").replace("\u2028", "").replace("\u2029", "")
        script = "" if widget.revoked is not None else self._public["loader.js"].replace("/*WIDGET*/ {}", shown)
        headers: Headers = [
            (b"content-type", STATIC["frame.js"]),
            (b"cache-control", b"public, max-age=%d" % CACHE_S),
            *COMMON,
        ]
        await writer.send_response(200, headers, script.encode())

    async def _frame(self, app: Application, head: RequestHead, id: str, writer: ResponseWriter) -> None:
        widget = await app.resources.services.widgets.find(id)
        settings, sent = widget.settings, dict(head.headers)
        if widget.revoked is not None:
            raise PathNotFound("this conversation is closed", "the owner of the page has stopped it")
        if sent.get(b"sec-fetch-dest", b"iframe") != b"iframe" and not settings.page:
            raise Forbidden("this page opens inside of another one only", "its owner can allow it: `page`")
        token = write_token(widget.digest, widget.id, secrets.token_hex(16), time.time())
        shown = self._public["frame.html"]
        for mark, text in (
            ("TITLE", settings.title),
            ("GREETING", settings.greeting),
            ("NOTE", settings.note),
            ("ID", widget.id),
            ("TOKEN", token),
            ("CHARACTERS", str(settings.characters)),
        ):
            shown = shown.replace(f"/*{mark}*/", html.escape(text))
        headers: Headers = [
            (b"content-type", b"text/html; charset=utf-8"),
            (b"cache-control", b"no-store"),
            (b"content-security-policy", _frame_policy(widget, _host(app, head)).encode()),
            (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
            *COMMON,
        ]
        await writer.send_response(200, headers, shown.encode())

    async def messages(
        self, ids: Mapping[str, str], app: Application, head: RequestHead, body: bytes, writer: ResponseWriter
    ) -> None:
        """POST /embed/ID/messages: streams the answer of the widget's target. Errors are readable for the frame."""
        out = _AnyOrigin(
            writer, [] if ALL in app.settings.server.cors_origins else [(b"access-control-allow-origin", b"*")]
        )
        try:
            check_host(head.host, app.allowed_hosts)
            widget = await app.resources.services.widgets.find(ids.get("id", ""))
            asked = _read(body, widget)
            now = time.time()
            visit = read_token(widget.digest, widget.id, asked.token, now)
            if visit is None:
                raise InvalidApiKey("this conversation has ended", "close it and open a new one")
            address = client_address(head.peer_address, head.headers, app.settings.server.trusted_proxies)
            visitor = self._limits.enter(widget.id, visit.conversation, address, widget.settings, now)
        except SizewiseError as error:
            return await send_error(out, error, trace_headers(head.trace))
        out.add(TOKEN_HEADER, write_token(widget.digest, widget.id, visit.conversation, now).encode())
        try:
            await handle(answer_visitor, app, _as_widget(head, widget, visit.conversation), _chat(asked, widget), out)
        finally:
            self._limits.leave(visitor)


def _as_widget(head: RequestHead, widget: Widget, conversation: str) -> RequestHead:
    """The head of a request by the widget's key; nothing that the visitor's browser sent stays in it."""
    seen = head.restarted_at(head.started)
    seen.api_key, seen.key_digest, seen.has_cookie = widget.key, bytes.fromhex(widget.digest), False
    seen.options, seen.origin = {"session": conversation}, None
    return seen


def _chat(asked: VisitorRequest, widget: Widget) -> bytes:
    messages = [{"role": each.role, "content": each.content} for each in asked.messages]
    return msgspec.json.encode({"model": widget.target, "messages": messages, "stream": True})


def _read(body: bytes, widget: Widget) -> VisitorRequest:
    """Raises BadBody."""
    try:
        asked = msgspec.json.decode(body, type=VisitorRequest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadBody("the message cannot be read", "send it from the widget") from error
    roles = [each.role for each in asked.messages]
    if not roles or roles[-1] != "user" or set(roles) - {"user", "assistant"} or len(roles) > MAX_MESSAGES:
        raise BadBody("the conversation is not one of this widget", "send it from the widget")
    most = widget.settings.characters
    if any(len(each.content) > most for each in asked.messages if each.role == "user"):
        raise BadBody(f"a message has at most {most:,} characters", "write a shorter one")
    return asked


def _host(app: Application, head: RequestHead) -> str:
    """The server's own origin as the browser sees it."""
    secure = is_https(head.secure, head.peer_address, head.headers, app.settings.server.trusted_proxies)
    return f"{'https' if secure else 'http'}://{head.host}"


def _frame_policy(widget: Widget, host: str) -> str:
    """A policy of the frame's own: `'self'` does not match in all browsers where the origin is opaque."""
    return (
        f"default-src 'none'; script-src {host}/embed/frame.js; style-src {host}/embed/frame.css; connect-src {host}; "
        f"base-uri 'none'; form-action 'none'; frame-ancestors {frame_ancestors(widget.settings.origins)}; "
        f"require-trusted-types-for 'script'; trusted-types 'none'; sandbox {SANDBOX}"
    )


class _AnyOrigin:
    """Wraps a ResponseWriter: the frame's origin is opaque, and reads answers without credentials."""

    def __init__(self, writer: ResponseWriter, added: Headers) -> None:
        self._writer = writer
        self._added = [*added, (b"access-control-expose-headers", b"retry-after, " + TOKEN_HEADER)]
        self.write = writer.write
        self.end_stream = writer.end_stream
        self.cut_stream = writer.cut_stream

    def add(self, name: bytes, value: bytes) -> None:
        self._added.append((name, value))

    async def send_response(self, status: int, headers: Headers, body: bytes, header_lines: bytes = b"") -> None:
        await self._writer.send_response(status, [*headers, *self._added], body, header_lines)

    async def start_stream(self, headers: Headers) -> None:
        await self._writer.start_stream([*headers, *self._added])

    @property
    def has_started(self) -> bool:
        return self._writer.has_started
