"""Rate-limit middleware: counts each request once, including those answered by a cache or an idempotency key."""

from __future__ import annotations

from collections.abc import Coroutine

from sizewise.handler import Handler, Request, Send
from sizewise.limits.rate_limiter import Limiter
from sizewise.messages import Reply

INTERNAL_ENDPOINTS = frozenset({"shadow", "judge", "flow"})
"""Internal requests, and the nodes of flows, which were counted with their flow: they use tokens and budget but do not
count as requests.
"""


class RateLimitMiddleware:
    """Wraps a handler. If nothing limits the principal, it returns the inner awaitable."""

    def __init__(self, handler: Handler, limiter: Limiter) -> None:
        self._handler = handler
        self._limiter = limiter

    def __call__(self, request: Request, send: Send) -> Coroutine[object, None, Reply]:
        budgets = self._limiter
        if not budgets.has_limits or request.endpoint in INTERNAL_ENDPOINTS:
            return self._handler(request, send)
        waits = budgets.count_request(request.principal)
        return self._handler(request, send) if waits is None else self._handle_after(waits, request, send)

    async def _handle_after(self, acquisition: Coroutine[object, None, None], request: Request, send: Send) -> Reply:
        await acquisition
        return await self._handler(request, send)
