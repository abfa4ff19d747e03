"""A line of the log for each request, from the level `info` of the area `gateway` on; holds no text of a client."""

from __future__ import annotations

import logging
from collections.abc import Callable

from sizewise.handler import Request
from sizewise.messages import Usage
from sizewise.money import format_dollars
from sizewise.settings.logs import LogsSettings

LogRequest = Callable[[Request, str, str, int, str, Usage, int | None, float], None]
"""(request, model that answered, policy, status, error code, usage, pico-dollars, seconds)."""

log = logging.getLogger("sizewise.gateway")


def request_log(settings: LogsSettings) -> LogRequest | None:
    """None if the level does not show requests: then they cost nothing."""
    return _log_request if settings.areas.get("gateway", settings.level) in ("debug", "info") else None


def _log_request(
    request: Request,
    model: str,
    policy: str,
    status: int,
    error: str,
    usage: Usage,
    cost: int | None,
    total_s: float,
) -> None:
    fields = {
        "endpoint": request.endpoint,
        "status": status,
        "error": error,
        "model": model,
        "policy": policy,
        "input": usage.input,
        "output": usage.output,
        "cost_usd": None if cost is None else format_dollars(cost),
        "total_ms": round(total_s * 1e3, 1),
        "project": request.principal.project,
        "key": request.principal.key_id,
        "trace": request.trace_id,
    }
    log.info("request", extra={"fields": fields})
