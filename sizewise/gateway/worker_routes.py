"""Which requests a gateway worker answers itself, and which it forwards to the store process."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.types import ASGIApp, Receive, Scope, Send

from sizewise.app.application import Application
from sizewise.app.store_dispatcher import NeedsStore
from sizewise.gateway.fast_path import ROUTES, FastRoute
from sizewise.gateway.request_head import RequestHead, RouteHandler
from sizewise.gateway.response_writer import ResponseWriter
from sizewise.gateway.store_forwarding import StoreForwarder

SERVED = frozenset(
    {
        "/v1/chat/completions",
        "/v1/responses",
        "/v1/completions",
        "/v1/moderations",
        "/v1/embeddings",
        "/v1/audio/speech",
        "/v1/audio/transcriptions",
        "/v1/audio/translations",
        "/v1/images/generations",
        "/v1/images/edits",
        "/v1/images/variations",
        "/v1/decisions",
        "/v1/systemone",
        "/v1/rerank",
        "/v2/rerank",
        "/v1/messages",
        "/v1/messages/count_tokens",
        "/healthz",
        "/readyz",
    },
)
"""Paths whose requests need nothing that the store process owns. All others, unknown ones too, are forwarded."""
KEY_HEADERS = frozenset({b"idempotency-key", b"x-sizewise-idempotency-key"})
"""Two requests with one key must meet in one process."""


class WorkerRoutes:
    """ASGI app of a worker. `served` answers SERVED, and `forwarder` the rest."""

    def __init__(self, served: ASGIApp, forwarder: StoreForwarder) -> None:
        self._served = served
        self._forwarder = forwarder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_here = scope["type"] == "http" and scope["path"] in SERVED
        if is_here and not any(name in KEY_HEADERS for name, _ in scope["headers"]):
            return await self._served(scope, receive, send)
        await self._forwarder(scope, receive, send)


def forwarding(forwarder: StoreForwarder, path: str, handler: RouteHandler) -> RouteHandler:
    """`handler`, but requests that raise NeedsStore are forwarded."""

    async def handle_or_forward(app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
        try:
            await handler(app, head, body, writer)
        except NeedsStore:
            await forwarder.forward(path, head, body, writer)

    return handle_or_forward


def fast_routes(forwarder: StoreForwarder) -> Mapping[bytes, FastRoute]:
    """Those of the fast path, forwarding what they must."""
    return {
        path: (forwarding(forwarder, path.decode("ascii"), handler), error_format)
        for path, (handler, error_format) in ROUTES.items()
    }
