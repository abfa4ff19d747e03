"""What a list of tools, marks and canaries cost a request, in microseconds of its thread; no sockets, the echo behind.

`python -m bench.guardrails.cost_of_spotlighting`. All houses have the guards that are on at first but for
`injection`; the difference to the one with nothing else is the cost. Each request holds a system prompt, two tools
and a result; streams say 200 words.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from pathlib import Path

from bench.guardrails.cost import CONFIG, PLAIN
from sizewise.app.application import Application, build_application
from sizewise.app.resources import Resources
from sizewise.app.services import open_services
from sizewise.catalog.loader import load_cards
from sizewise.evals.shadow_traffic import ShadowComparisons
from sizewise.gateway.response_metadata import ResponseMetadata
from sizewise.handler import Request
from sizewise.messages import ChatRequest
from sizewise.principal import Principal
from sizewise.providers.local.models import LocalModels
from sizewise.providers.wires.openai.request_response import read_request
from sizewise.settings.load import load_settings
from sizewise.telemetry.metrics import Metrics

KINDS = {
    "a list of tools, nothing on it taken out": 'tools = ["look", "tell*"]',
    "a list of tools, one taken out": 'tools = ["look"]',
    "marks": "spotlighting = true",
    "marks throughout": "spotlighting = true\ndatamarking = true",
    "a canary": "add_canary = true",
}
ROUNDS, TIMES = 30, 20


def asked(size: int, stream: bool) -> ChatRequest:
    found = (PLAIN * (size // len(PLAIN) + 1))[:size]
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    messages = [
        {"role": "system", "content": PLAIN * 3},
        {"role": "user", "content": "What is said there?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": found},
    ]
    tools = [{"type": "function", "function": {"name": name, "parameters": {}}} for name in ("look", "tell_all")]
    body = {"model": "echo/tiny", "messages": messages, "tools": tools, "stream": stream}
    return read_request(json.dumps(body | {"max_tokens": 200 if stream else 1}).encode())[0]


async def best(apps: list[Application], what: ChatRequest) -> list[float]:
    """Microseconds of one answer of each house, in turns, so that a busy moment meets all of them."""
    least = [float("inf")] * len(apps)
    for _ in range(ROUNDS):
        for number, app in enumerate(apps):
            began = time.thread_time()
            for _ in range(TIMES):
                await app.handler(Request(what, Principal(), "0" * 32, time.perf_counter()), ResponseMetadata())
            least[number] = min(least[number], (time.thread_time() - began) / TIMES)
        await asyncio.sleep(0.01)
    return [each * 1e6 for each in least]


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        with open_services(home) as services:
            metrics, houses = Metrics(services.records.queue_counts), list[Application]()
            for more in ("", *KINDS.values()):
                (home / "sizewise.toml").write_text(f"{CONFIG}[guardrails]\ninjection = 'off'\n{more}\n")
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
            requests = [asked(650, False), asked(8_000, False), asked(2_000, True)]
            found = [await best(houses, each) for each in requests]
    print("| adds, us | result of 650 bytes | of 8 KB | of 2 KB, 200 words streamed |\n|---|---|---|---|")
    print(f"| (all of it, without) | {' | '.join(f'{each[0]:.0f}' for each in found)} |")
    for number, kind in enumerate(KINDS, 1):
        print(f"| {kind} | {' | '.join(f'{each[number] - each[0]:.1f}' for each in found)} |")


if __name__ == "__main__":
    asyncio.run(main())
