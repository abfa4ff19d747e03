"""What each layer of a named-model request costs in process, in microseconds; no sockets, the echo model behind.

`python -m bench.gateway.layers`. The best of many rounds: what a layer costs when nobody disturbs it. Budgets are the
design's for 10,000 requests a second.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from sizewise.app.application import Application, build_application
from sizewise.app.resources import Resources
from sizewise.app.routing_config import build_data_policy
from sizewise.app.services import open_services
from sizewise.catalog.loader import load_cards
from sizewise.evals.shadow_traffic import ShadowComparisons
from sizewise.gateway.openai import chat_completions
from sizewise.gateway.request_handling import handle
from sizewise.gateway.request_head import read_head
from sizewise.gateway.response_metadata import ResponseMetadata
from sizewise.gateway.response_writer import Headers
from sizewise.handler import Request, discard_events
from sizewise.providers.local.models import LocalModels
from sizewise.providers.wires.openai.request_response import read_reply, read_request, write_reply, write_request
from sizewise.routing.constraints import eligible_models
from sizewise.routing.requirements import requirements_of
from sizewise.settings.load import load_settings
from sizewise.telemetry.metrics import Metrics

CONFIG = """
[server]
embedded = false
discover = false
[providers.echo]
wire = "echo"
place = "process"
models = ["tiny"]
"""
SYSTEM = "You are kind. " * 38  # 650 bytes in all; the echo model repeats the user's one word
MESSAGES = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": "hello"}]
BODY = json.dumps({"model": "echo/tiny", "messages": MESSAGES, "temperature": 0.3, "max_tokens": 64}).encode()
ROUNDS, TIMES = 12, 1_500
Work = Callable[[], Awaitable[object]]


class Nowhere:
    """An `Out` that keeps nothing."""

    has_started = False

    async def send_response(self, status: int, headers: Headers, body: bytes, header_lines: bytes = b"") -> None:
        assert status == 200, body

    async def start_stream(self, headers: Headers) -> None: ...
    async def write(self, data: bytes) -> None: ...
    async def end_stream(self) -> None: ...
    async def cut_stream(self) -> None: ...


async def best(work: Work) -> float:
    """Microseconds of one call, in the best round."""
    least = float("inf")
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for _ in range(TIMES):
            await work()
        least = min(least, (time.perf_counter() - began) / TIMES)
        await asyncio.sleep(0.1)  # the writer catches up outside the measure
    return least * 1e6


async def measure(app: Application, key: str) -> list[tuple[str, float, str]]:
    headers = [(b"host", b"127.0.0.1:8080"), (b"authorization", b"Bearer " + key.encode())]
    headers += [(b"content-type", b"application/json"), (b"accept", b"*/*"), (b"user-agent", b"layers")]
    what, _ = read_request(BODY)
    request = Request(what, app.authenticate(key, "127.0.0.1"), read_head(headers, 0.0).trace, time.perf_counter())
    (card,) = app.cards
    model, plan, limits = app.connections(card), app.aliases(what, None), build_data_policy(app.settings)
    reply = await model(request, discard_events)
    body = write_reply(reply, "id", 1)
    needed = requirements_of(request, limits)

    def plain(work: Callable[[], object]) -> Work:
        async def once() -> object:
            return work()

        return once

    async def door() -> None:
        await handle(chat_completions, app, read_head(headers, time.perf_counter()), BODY, Nowhere())

    async def answer() -> None:
        await app.handler(request, ResponseMetadata())

    async def bare() -> None:
        await model(request, discard_events)

    asked, recorded = await best(bare), await best(answer)
    wire = [lambda: read_request(BODY), lambda: write_request(what, "tiny"), lambda: read_reply(body)]
    rows = [
        ("wire: read, write, read the reply", sum([await best(plain(w)) for w in wire]), "8"),
        (
            "headers, key and host",
            await best(plain(lambda: app.authenticate(read_head(headers, 0.0).api_key, "127.0.0.1"))),
            "6",
        ),
        (
            "constraints alone",
            await best(plain(lambda: (requirements_of(request, limits), eligible_models(plan, needed, _well)))),
            "",
        ),
        ("waist, policy, record and metrics", recorded - asked, "15 + 9"),
        ("echo model", asked, ""),
        ("whole door", await best(door), ""),
    ]
    return rows


def _well(card: object) -> str:
    return ""


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "sizewise.toml").write_text(CONFIG)
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
            rows = await measure(app, services.admin_token)
    print("| layer | us | budget us |\n|---|---|---|")
    for name, cost, budget in rows:
        print(f"| {name} | {cost:.1f} | {budget} |")


if __name__ == "__main__":
    asyncio.run(main())
