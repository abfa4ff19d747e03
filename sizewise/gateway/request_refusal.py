"""Refusal of a request by its head alone, before its body arrives: too large, compressed, or without a key."""

from __future__ import annotations

from functools import partial

from sizewise.app.application import Application
from sizewise.errors import BadRequest, SizewiseError
from sizewise.gateway.request_head import RequestHead, RouteHandler, declared_length
from sizewise.gateway.response_writer import ResponseWriter
from sizewise.limits.request_body import too_large
from sizewise.limits.upload import UploadLimit


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
