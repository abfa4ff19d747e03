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

from sizewise.app.application import House, build
from sizewise.app.resources import Means
from sizewise.app.routing_config import terms
from sizewise.app.services import Keeper
from sizewise.catalog.loader import cards
from sizewise.evals.shadow_traffic import Shadows
from sizewise.gateway.openai import chat
from sizewise.gateway.request_context import Headers, Heard, knock, meet
from sizewise.handler import Ask, quiet
from sizewise.providers.local.models import Locals
from sizewise.providers.wires.openai.request_response import read_reply, read_request, write_reply, write_request
from sizewise.routing.constraints import field, need
from sizewise.settings.load import load
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

    begun = False
    address = ""

    async def whole(self, status: int, headers: Headers, body: bytes, lines: bytes = b"") -> None:
        assert status == 200, body

    async def begin(self, headers: Headers) -> None: ...
    async def write(self, data: bytes) -> None: ...
    async def end(self) -> None: ...


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


async def measure(house: House, key: str) -> list[tuple[str, float, str]]:
    headers = [(b"host", b"127.0.0.1:8080"), (b"authorization", b"Bearer " + key.encode())]
    headers += [(b"content-type", b"application/json"), (b"accept", b"*/*"), (b"user-agent", b"layers")]
    what, _ = read_request(BODY)
    ask = Ask(what, house.caller(key, "127.0.0.1"), knock(headers, 0.0).trace, time.perf_counter())
    (card,) = house.cards
    model, plan, limits = house.connections(card), house.names(what, None), terms(house.settings)
    reply = await model(ask, quiet)
    body = write_reply(reply, "id", 1)
    needed = need(ask, limits)

    def plain(work: Callable[[], object]) -> Work:
        async def once() -> object:
            return work()

        return once

    async def door() -> None:
        await meet(chat, house, headers, BODY, Nowhere(), time.perf_counter())

    async def answer() -> None:
        await house.answer(ask, Heard())

    async def bare() -> None:
        await model(ask, quiet)

    asked, recorded = await best(bare), await best(answer)
    wire = [lambda: read_request(BODY), lambda: write_request(what, "tiny"), lambda: read_reply(body)]
    rows = [
        ("wire: read, write, read the reply", sum([await best(plain(w)) for w in wire]), "8"),
        ("headers, key and host", await best(plain(lambda: house.caller(knock(headers, 0.0).key, "127.0.0.1"))), "6"),
        (
            "constraints alone",
            await best(plain(lambda: (need(ask, limits), field(plan, needed, _well)))),
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
        settings = load(home / "sizewise.toml", home)
        with Keeper(home) as keeper:
            metrics = Metrics(keeper.waiting)
            means = Means(keeper, metrics, Locals(), Shadows(keeper.watch, metrics))
            house = build(settings, means, cards(settings))
            house.apply()
            rows = await measure(house, keeper.admin)
    print("| layer | us | budget us |\n|---|---|---|")
    for name, cost, budget in rows:
        print(f"| {name} | {cost:.1f} | {budget} |")


if __name__ == "__main__":
    asyncio.run(main())
