"""/healthz (liveness) and /readyz (readiness, with what is impaired), both without a key, and /metrics with one."""

from __future__ import annotations

import asyncio
from importlib import import_module

import msgspec

from sizewise.app.application import LOOPBACK, House
from sizewise.errors import BadKey, Forbidden
from sizewise.gateway.request_context import JSON, Knock, Out


async def healthz(house: House, seen: Knock, body: bytes, out: Out) -> None:
    await out.whole(200, [JSON], b'{"status":"ok"}')


async def readyz(house: House, seen: Knock, body: bytes, out: Out) -> None:
    """200 when some model can answer; `impaired` lists components and why, one sentence each.

    To whom comes by a name of the outside, only with a key that may see metrics: names of models are nobody's business.
    """
    ready, impaired = house.ready()
    if impaired and not _near(seen.host) and not _may(house, seen):
        impaired = ["ask with a key that may `read_metrics`"]
    shown = {"status": "ready" if ready else "not ready", "impaired": impaired}
    await out.whole(200 if ready else 503, [JSON], msgspec.json.encode(shown))


def _near(host: str) -> bool:
    return not host or (host if host.endswith("]") else host.rpartition(":")[0] or host) in LOOPBACK


def _may(house: House, seen: Knock) -> bool:
    try:
        seen.enter(house, "metrics", "read_metrics")
    except (BadKey, Forbidden):
        return False
    return True


async def metrics(house: House, seen: Knock, body: bytes, out: Out) -> None:
    """Needs a key that may read: model names and volumes are nobody else's business."""
    seen.enter(house, "metrics", "read_metrics")
    scraped = await asyncio.to_thread(import_module, "sizewise.telemetry.prometheus")  # who is not scraped never pays
    text: bytes = scraped.text(house.means.metrics, house.connections.gauges())
    await out.whole(200, [(b"content-type", b"text/plain; version=0.0.4; charset=utf-8")], text)
