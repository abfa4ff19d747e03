"""Cost of each feature per request, in microseconds: key scope, data class, limits, guardrails, encryption.

`python -m bench.gateway.feature_cost`. In process, from the endpoint to the last byte, with the echo model at `anyone`;
all cases in turns, so that a busy moment slows each of them; the event loop's own thread; the best of many rounds.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from bench.gateway.layers import Nowhere
from bench.gateway.limits import ALL, PRICE
from sizewise.app.application import Application, build_application
from sizewise.app.resources import Resources
from sizewise.app.services import open_services
from sizewise.catalog.loader import load_cards
from sizewise.evals.shadow_traffic import ShadowComparisons
from sizewise.gateway.openai import chat_completions
from sizewise.gateway.request_handling import handle
from sizewise.gateway.request_head import read_head
from sizewise.gateway.response_writer import Headers
from sizewise.principal import KeyScope
from sizewise.providers.local.models import LocalModels
from sizewise.settings.load import load_settings
from sizewise.telemetry.metrics import Metrics

BASE = """
[server]
embedded = false
discover = false
[providers.echo]
wire = "echo"
place = "anyone"
models = ["tiny"]
"""
OFF = '[guardrails]\npii = "off"\nsecrets = "off"\ninjection = "off"\nleakage = "off"\n'
LIMITS = PRICE + "".join(f'[limits."{scope}"]\n{ALL}' for scope in ("organization", "project:default"))
PROJECT = '[projects.default]\ndata_class = "internal"\n'
CONTENTS = "[records]\ncontents = true\n"
CONFINED = KeyScope(("chat",), ("echo/*",), (), (), ("127.0.0.0/8",))
CASES: Mapping[str, tuple[str, bool, bool]] = {  # settings; is the key confined; is there something to hide
    "nothing of it": (OFF, False, False),
    "a key confined to an API, models and a network": (OFF, True, False),
    "a project with a data class": (OFF + PROJECT, False, False),
    "eight limits": (OFF + LIMITS, False, False),
    "guards as they come, nothing found": ("", False, False),
    "guards as they come, three values hidden and put back": ("", False, True),
    "prompts and replies kept, sealed": (OFF + CONTENTS, False, False),
    "all of it, nothing found": (PROJECT + LIMITS + CONTENTS, True, False),
    "all of it, three values hidden and put back": (PROJECT + LIMITS + CONTENTS, True, True),
}
PLAIN = "Please summarise what follows in a few sentences, and say what is missing in it for somebody new to it. "
FOUND = "Write to jane.doe@example.com or call +44 20 7946 0958; the card is 4111 1111 1111 1111. "
ROUNDS, TIMES = 120, 100


def body(found: bool) -> bytes:
    """Some 700 bytes; the answer is one word."""
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": FOUND * found + PLAIN * 5}]
    return json.dumps({"model": "echo/tiny", "messages": messages, "max_tokens": 1}).encode()


class Case:
    """One application with its settings, and one request."""

    def __init__(self, home: Path, config: str, confined: bool, found: bool) -> None:
        home.mkdir()
        (home / "sizewise.toml").write_text(BASE + config)
        settings = load_settings(home / "sizewise.toml", home)
        self.services = open_services(home, settings)
        metrics = Metrics(self.services.records.queue_counts)
        resources = Resources(
            services=self.services,
            metrics=metrics,
            local_models=LocalModels(),
            shadow_tasks=ShadowComparisons(self.services.quality_monitor, metrics),
        )
        self.app: Application = build_application(settings, resources, load_cards(settings))
        self.app.apply()
        self.body = body(found)
        self.confined = confined
        self.least = float("inf")

    async def open(self) -> None:
        made = await self.services.api_keys.create(name="bench", scope=CONFINED if self.confined else None)
        self.headers: Headers = [
            (b"host", b"127.0.0.1:8080"),
            (b"authorization", b"Bearer " + made.text.encode()),
            (b"content-type", b"application/json"),
        ]

    async def round(self) -> None:
        out = Nowhere()
        began = time.thread_time()
        for _ in range(TIMES):
            head = read_head(self.headers, time.perf_counter())
            head.peer_address = "127.0.0.1"
            await handle(chat_completions, self.app, head, self.body, out)
        self.least = min(self.least, (time.thread_time() - began) / TIMES)


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        made = {name: Case(Path(folder) / str(n), *case) for n, (name, case) in enumerate(CASES.items())}
        for case in made.values():
            await case.open()
        for _ in range(ROUNDS):
            for case in made.values():
                await case.round()
            await asyncio.sleep(0.05)  # the writers catch up outside the measure
        bare = next(iter(made.values())).least
        print("| what is on | us a request | more than nothing of it |\n|---|---|---|")
        for name, case in made.items():
            print(f"| {name} | {case.least * 1e6:.1f} | {(case.least - bare) * 1e6:+.1f} |")
        for case in made.values():
            case.services.close()


if __name__ == "__main__":
    asyncio.run(main())
