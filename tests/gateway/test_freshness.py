"""Freshness on a running server: an answer about a time after the model's training says that it may be out of date."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.terminal import sizewise
from tests.gateway.server_harness import CHAT, frames
from tests.running_server import ECHO, Served, serving

SETTINGS = f"""{ECHO}
[models."echo/small"]
parameters = 135_000_000
knowledge_cutoff = "2024-06"
[policies.default]
kind = "cheapest"
models = ["echo/small"]
[policies.unknown]
kind = "cheapest"
models = ["echo/large"]
"""
FRESH, TIMELESS = "Who won the Nobel Prize in Physics in October 2025?", "Who wrote Faust?"
WARNING = "the question is about the time after 2024-06, where the model's knowledge ends"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("freshness"), SETTINGS) as served:
        yield served


def asked(question: str, **more: Any) -> dict[str, Any]:
    return {"model": "auto", "messages": [{"role": "user", "content": question}], **more}


def test_an_answer_records_and_explain_say_that_the_model_cannot_know(server: Served) -> None:
    answer = server.ask(CHAT, asked(FRESH))
    assert answer.headers["x-sizewise-freshness"] == WARNING
    assert "x-sizewise-freshness" not in server.ask(CHAT, asked(TIMELESS)).headers
    assert sizewise("records", "--json", home=server.home).out.count(WARNING) == 1
    trace = answer.headers["x-sizewise-trace"]
    assert f"may be out of date: {WARNING}" in sizewise("records", trace, home=server.home).out
    shown = sizewise("route", "explain", FRESH, home=server.home)
    assert "The answer may be out of date: the question is about the time after" in shown.out
    told = sizewise("route", "explain", FRESH, "--json", home=server.home)
    assert told.json["freshness"] == WARNING and "2025" not in told.out


@pytest.mark.long
@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CHAT, asked(FRESH, stream=True)),
        ("/v1/messages", asked(FRESH, max_tokens=9)),
        ("/v1/responses", {"model": "auto", "input": FRESH}),
        ("/v1/completions", {"model": "auto", "prompt": FRESH}),
    ],
    ids=["streamed", "messages", "responses", "completions"],
)
def test_each_endpoint_says_it(server: Served, path: str, body: dict[str, Any]) -> None:
    assert server.ask(path, body).headers["x-sizewise-freshness"] == WARNING


@pytest.mark.long
def test_the_last_chunk_of_a_stream_and_the_command_say_it(server: Served) -> None:
    chunks = frames(server.ask(CHAT, asked(FRESH, stream=True)).body)
    assert [each["sizewise"]["freshness"] for each in chunks if "sizewise" in each] == [WARNING]
    assert f"may be out of date: {WARNING}" in sizewise("ask", FRESH, home=server.home).err


@pytest.mark.long
def test_a_named_model_pays_nothing_and_says_nothing(server: Served) -> None:
    assert "x-sizewise-freshness" not in server.ask(CHAT, {**asked(FRESH), "model": "echo/small"}).headers


@pytest.mark.long
@pytest.mark.parametrize(("question", "says"), [("What is the latest version of Python?", True), (TIMELESS, False)])
def test_an_unknown_cutoff_is_not_guessed(server: Served, question: str, says: bool) -> None:
    answer = server.ask(CHAT, asked(question, sizewise={"policy": "unknown"}))
    warning = answer.headers.get("x-sizewise-freshness", "")
    assert warning.endswith("the model's knowledge ends at an unknown date before") == says


@pytest.mark.long
def test_a_cutoff_is_shown_with_its_source(server: Served) -> None:
    lines = sizewise("models", "show", "echo/small", home=server.home).out.splitlines()
    assert any(line.split()[:2] == ["knowledge_cutoff", "2024-06"] for line in lines), lines


@pytest.mark.long
@pytest.mark.parametrize("bad", ['"June 2024"', '"2024-13"', "2024", '"2024-06-32"', '""'])
def test_a_cutoff_that_is_no_date_is_refused_with_an_example(tmp_path: Path, bad: str) -> None:
    (tmp_path / "sizewise.toml").write_text(SETTINGS.replace('"2024-06"', bad))
    done = sizewise("models", "list", home=tmp_path)
    assert done.code == 2 and "knowledge_cutoff" in done.err
