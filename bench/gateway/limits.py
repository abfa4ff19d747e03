"""What limits cost one request in process, in microseconds: without any, with those of others, with one, with many.

`python -m bench.gateway.limits`. The best of many rounds, of the work of the limits alone and of a whole request to the
echo model; slices last, as they do in nearly every request.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from bench.gateway.layers import BODY, CONFIG, best
from sizewise.app.application import Application, build_application
from sizewise.app.resources import Resources
from sizewise.app.services import open_services
from sizewise.catalog.loader import load_cards
from sizewise.evals.shadow_traffic import ShadowComparisons
from sizewise.gateway.response_metadata import ResponseMetadata
from sizewise.handler import Request
from sizewise.limits.rate_limiter import Limiter
from sizewise.principal import Principal
from sizewise.providers.local.models import LocalModels
from sizewise.providers.wires.openai.request_response import read_request
from sizewise.settings.load import load_settings
from sizewise.telemetry.metrics import Metrics

PRICE = """
[models."echo/tiny".price]
input = "0.001"
output = "0.002"
"""
ALL = """requests_per_minute = 1000000000000
tokens_per_minute = 1000000000000
usd_per_day = '1000000'
usd_per_month = '1000000'
"""
CASES: Mapping[str, str] = {
    "no limit anywhere": "",
    "limits of others only": f'[limits."project:other"]\n{ALL}',
    "one: dollars a day": "[limits.organization]\nusd_per_day = '1000000'\n",
    "two: requests and tokens a minute": f"[limits.organization]\n{''.join(ALL.splitlines(True)[:2])}",
    "twelve: all four of organization, project and model": "".join(
        f'[limits."{scope}"]\n{ALL}' for scope in ("organization", "project:default", "model:echo/tiny")
    ),
}
CALLER = Principal("local", "default", "sw-bench")


async def measure(app: Application, budgets: Limiter) -> tuple[float, float]:
    """(the limits alone, a whole request), in microseconds."""
    what, _ = read_request(BODY)
    (card,) = app.cards
    request = Request(what, CALLER, "0" * 32, time.perf_counter())

    async def alone() -> None:
        waits = budgets.count_request(CALLER)
        if waits is not None:
            await waits
        lease = budgets.reserve(CALLER, card, what)
        if lease is not None:
            if not lease.try_acquire():
                await lease.acquire()
            lease.settle(40_000, 120)

    async def whole() -> None:
        await app.handler(request, ResponseMetadata())

    return await best(alone), await best(whole)


async def nothing() -> None: ...


async def cost(limits: str) -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "sizewise.toml").write_text(CONFIG + PRICE + limits)
        settings = load_settings(home / "sizewise.toml", home)
        with open_services(home) as services:
            metrics = Metrics(services.records.queue_counts)
            resources = Resources(
                services=services,
                metrics=metrics,
                local_models=LocalModels(),
                shadow_tasks=ShadowComparisons(services.quality_monitor, metrics),
            )
            app = build_application(settings, resources, load_cards(settings))
            app.apply()
            return await measure(app, services.limiter)


async def main(empty: Callable[[], Awaitable[object]] = nothing) -> None:
    bare = await best(empty)
    print("| limits | alone, us | whole request, us |\n|---|---|---|")
    for name, limits in CASES.items():
        alone, whole = await cost(limits)
        print(f"| {name} | {alone - bare:.2f} | {whole:.1f} |", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
