"""Request handling: runs a route handler, writes its errors, and always ends the response; knows no route.

Knows nothing of the server underneath: the fast path and ASGI both pass a head, a body and a `ResponseWriter`.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from functools import partial

from sizewise.app.application import Application
from sizewise.errors import SizewiseError
from sizewise.gateway.error_response import OPENAI_ERRORS, ErrorFormat, send_error
from sizewise.gateway.release_choice import SPLIT_ARMS, answer_in_split, choose_release
from sizewise.gateway.request_head import RequestHead, RouteHandler
from sizewise.gateway.request_refusal import body_compressed
from sizewise.gateway.response_writer import Headers, ResponseWriter, decode_headers, trace_headers

log = logging.getLogger("sizewise.gateway")


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
