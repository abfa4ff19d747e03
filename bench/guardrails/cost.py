"""What guards cost a request, in microseconds of its thread; no sockets, the echo behind; the best of many rounds.

`python -m bench.guardrails.cost`. One house has the guards that are on at first, one has none: the difference is the
cost. The echo stands at `anyone`, so that what is found is masked and put back. The words are the person's own, which
all guards look at.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from pathlib import Path

from sizewise.app.application import Application, build_application
from sizewise.app.resources import Resources
from sizewise.app.services import open_services
from sizewise.catalog.loader import load_cards
from sizewise.evals.shadow_traffic import ShadowComparisons
from sizewise.gateway.response_metadata import ResponseMetadata
from sizewise.handler import Request
from sizewise.principal import Principal
from sizewise.providers.local.models import LocalModels
from sizewise.providers.wires.openai.request_response import read_request
from sizewise.settings.load import load_settings
from sizewise.telemetry.metrics import Metrics

CONFIG = """
[server]
embedded = false
discover = false
[providers.echo]
wire = "echo"
place = "anyone"
models = ["tiny"]
"""
OFF = '[guardrails]\npii = "off"\nsecrets = "off"\ninjection = "off"\nleakage = "off"\n'
WITHOUT_INJECTION = '[guardrails]\ninjection = "off"\n'
PLAIN = "Please summarise what follows in a few sentences, and say what is missing in it for somebody new to it. "
FOUND = "Write to jane.doe@example.com or call +44 20 7946 0958; the card is 4111 1111 1111 1111. "
ROUNDS, TIMES = 60, 200
GROUPS = (
    ("650 bytes, nothing in it", PLAIN * 6),
    ("650 bytes with a year and a few numbers", (PLAIN * 6)[:600] + " in 2024, at 3 of 12 places, by 45 %"),
    ("650 bytes, an e-mail address, a telephone number and a card", FOUND + PLAIN * 5),
    ("40 KB, nothing in it", PLAIN * 390),
    ("40 KB, the same three at its end", PLAIN * 390 + FOUND),
)


async def best(apps: list[Application], words: str) -> list[float]:
    """Microseconds of one answer of each house, in turns, so that a busy moment meets all of them. The reply is one
    word: what is measured is the request's.
    """
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": words}]
    what, _ = read_request(json.dumps({"model": "echo/tiny", "messages": messages, "max_tokens": 1}).encode())
    least, times = [float("inf")] * len(apps), max(10, TIMES * 650 // max(650, len(words)))
    for _ in range(ROUNDS):
        for number, app in enumerate(apps):
            began = time.thread_time()
            for _ in range(times):
                await app.handler(Request(what, Principal(), "0" * 32, time.perf_counter()), ResponseMetadata())
            least[number] = min(least[number], (time.thread_time() - began) / times)
        await asyncio.sleep(0.02)
    return [each * 1e6 for each in least]


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        with open_services(home) as services:
            metrics = Metrics(services.records.queue_counts)
            houses = []
            for more in (OFF, WITHOUT_INJECTION, ""):
                (home / "sizewise.toml").write_text(CONFIG + more)
                settings = load_settings(home / "sizewise.toml", home)
                resources = Resources(
                    services=services,
                    metrics=metrics,
                    local_models=LocalModels(),
                    shadow_tasks=ShadowComparisons(services.quality_monitor, metrics),
                )
                app = build_application(settings, resources, load_cards(settings))
                app.apply()
                houses.append(app)
            print("| request | without guards, us | pii, secrets and leakage add | injection adds |\n|---|---|---|---|")
            for name, words in GROUPS:
                bare, usual, whole = await best(houses, words)
                print(f"| {name} | {bare:.0f} | {usual - bare:.1f} | {whole - usual:.1f} |")


if __name__ == "__main__":
    asyncio.run(main())
