"""What an answer cost is exact to the pico-dollar: vendors' usage bodies through the house, against sums by hand."""

from __future__ import annotations

import asyncio
import json
import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sizewise.settings.provider_presets import provider_presets
from tests.gateway.server_harness import booked
from tests.money.fake_vendors import FakeVendors, Json, vectors
from tests.running_server import Answer, Served, serving, until

CASES = vectors()
PICO = 1_000_000_000_000
CLASSES = ("input", "output", "cached", "cache_write", "reasoning", "estimated")


def config(url: str) -> str:
    """Every endpoint that has vectors, moved to the double: its row and its models' names are all that is said."""
    parts = ["[server]\nembedded = false\ndiscover = false\n"]
    for endpoint in sorted({case["endpoint"] for case in CASES.values()}):
        models = sorted({case["model"] for case in CASES.values() if case["endpoint"] == endpoint})
        parts.append(
            f'[providers.{endpoint}]\nendpoint = "{endpoint}"\nbase_url = "{url}"\nmodels = {json.dumps(models)}\n',
        )
    return "\n".join(parts)


@pytest.fixture(scope="module")
def vendors() -> Iterator[FakeVendors]:
    ready: queue.Queue[tuple[FakeVendors, asyncio.AbstractEventLoop, asyncio.Event]] = queue.Queue()

    async def serve() -> None:
        over = asyncio.Event()
        async with FakeVendors() as up:
            ready.put((up, asyncio.get_running_loop(), over))
            await over.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    up, loop, over = ready.get(timeout=60)
    yield up
    loop.call_soon_threadsafe(over.set)
    thread.join(60)


@pytest.fixture(scope="module")
def house(vendors: FakeVendors, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    keys = {row.key.removeprefix("env:"): "sk-nobody" for row in provider_presets().values() if row.key}
    with serving(tmp_path_factory.mktemp("money"), config(vendors.url), **keys) as served:
        yield served


def record(app: Served, answer: Answer) -> dict[str, Any]:
    trace = answer.headers["x-sizewise-trace"]
    until(lambda: booked(app.home, trace))
    (found,) = booked(app.home, trace)
    return found


def shown(pico: int | str) -> str:
    return pico if isinstance(pico, str) else f"{pico // PICO}.{pico % PICO:012d}".rstrip("0").rstrip(".")


def agrees(app: Served, answer: Answer, case: Json) -> None:
    """Tokens by class and the cost, in the record and in its only attempt."""
    found = record(app, answer)
    tokens = {name: case["tokens"].get(name, 0) for name in CLASSES}
    pico = None if case["pico"] == "unknown" else case["pico"]
    for row in (found, *found["tries"]):
        assert {name: row[name] for name in CLASSES} == tokens
        assert row["cost"] == pico
    assert len(found["tries"]) == 1


@pytest.mark.parametrize("name", CASES)
def test_a_whole_answer_costs_what_was_worked_out_by_hand(name: str, house: Served) -> None:
    case = CASES[name]
    answer = house.chat(f"{case['endpoint']}/{case['model']}", name)
    assert answer.status == 200, answer.body
    assert answer.headers["x-sizewise-cost-usd"] == shown(case["pico"])
    agrees(house, answer, case)


@pytest.mark.parametrize("name", CASES)
def test_a_stream_costs_the_same(name: str, house: Served) -> None:
    case = CASES[name]
    answer = house.chat(f"{case['endpoint']}/{case['model']}", name, stream=True)
    payloads = [line[6:] for line in answer.body.decode().split("\n\n") if line.startswith("data: {")]
    ours = next(each["sizewise"] for each in map(json.loads, payloads) if "sizewise" in each)
    assert ours["cost_usd"] == shown(case["pico"])
    agrees(house, answer, case)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case["endpoint"] in ("anthropic", "xai")])
def test_through_the_messages_endpoint_it_costs_the_same(name: str, stream: bool, house: Served) -> None:
    case = CASES[name]
    body = {"model": f"{case['endpoint']}/{case['model']}", "max_tokens": 9, "stream": stream}
    answer = house.ask("/v1/messages", {**body, "messages": [{"role": "user", "content": name}]})
    assert answer.status == 200, answer.body
    if not stream:
        assert answer.headers["x-sizewise-cost-usd"] == shown(case["pico"])
    agrees(house, answer, case)


def test_there_are_vectors_of_enough_vendors_and_each_file_says_its_sources() -> None:
    assert len({case["endpoint"] for case in CASES.values() if case["pico"] != "unknown"}) >= 6
    heads = [path.read_text().partition("[[case]]")[0] for path in Path(__file__).with_name("vectors").glob("*.toml")]
    assert all("\nusage = " in head and "\nrule = " in head and "price = " in head for head in heads)


@pytest.mark.parametrize("stream", [False, True])
def test_audio_in_the_question_makes_a_price_for_text_unknown(stream: bool, house: Served) -> None:
    name = "google/no audio"
    audio = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
    content = [{"type": "text", "text": name}, audio]
    answer = house.chat("google/gemini-2.5-flash", messages=[{"role": "user", "content": content}], stream=stream)
    assert answer.status == 200, answer.body
    assert record(house, answer)["cost"] is None
