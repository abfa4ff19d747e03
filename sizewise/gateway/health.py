"""/healthz (liveness), /readyz (readiness and what is impaired), both without a key, and /metrics with one."""

from __future__ import annotations

import asyncio
from importlib import import_module

import msgspec

from sizewise.app.application import Application
from sizewise.app.readiness import check_readiness
from sizewise.auth.browser_security import LOOPBACK
from sizewise.errors import Forbidden, InvalidApiKey
from sizewise.gateway.request_head import RequestHead
from sizewise.gateway.response_writer import JSON, ResponseWriter


async def healthz(app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
    await writer.send_response(200, [JSON], b'{"status":"ok"}')


async def readyz(app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
    """200 if a model can answer; `impaired` lists components, each with a reason.

    If the Host header is not loopback, `impaired` requires a key that may read metrics, because it names models.
    """
    ready, impaired = check_readiness(app)
    if impaired and not _is_loopback(head.host) and not _may_read_metrics(app, head):
        impaired = ["hidden: use a key with the permission `read_metrics`"]
    shown = {"status": "ready" if ready else "not ready", "impaired": impaired}
    await writer.send_response(200 if ready else 503, [JSON], msgspec.json.encode(shown))


def _is_loopback(host: str) -> bool:
    return not host or (host if host.endswith("]") else host.rpartition(":")[0] or host) in LOOPBACK


def _may_read_metrics(app: Application, head: RequestHead) -> bool:
    try:
        head.authorize(app, "metrics", "read_metrics")
    except (InvalidApiKey, Forbidden):
        return False
    return True


async def metrics(app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
    """Requires a key with `read_metrics`, because it shows model names and volumes."""
    head.authorize(app, "metrics", "read_metrics")
    scraped = await asyncio.to_thread(import_module, "sizewise.telemetry.prometheus")  # imported at the first scrape
    merged, gauges = app.resources.metrics, app.connections.gauges()
    if app.resources.merge_metrics is not None:
        merged, gauges = await app.resources.merge_metrics(gauges)
    text: bytes = scraped.render_metrics(merged, gauges)
    resources = app.resources
    services, leads = resources.services, resources.services.leadership.leads()
    text += scraped.render_task_metrics(resources.periodic_tasks.status, leads)
    otlp = services.otlp
    text += scraped.render_export_metrics(otlp.exported, otlp.dropped, otlp.lag_s if leads else 0.0)
    text += scraped.render_size_metrics(services.size_limit.sizes)
    await writer.send_response(200, [(b"content-type", b"text/plain; version=0.0.4; charset=utf-8")], text)
