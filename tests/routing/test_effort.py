"""Effort as a rung: a model at several efforts, on a double of a reasoning model, through the real server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.terminal import sizewise
from tests.fakes.reasoning_upstream import ReasoningUpstream, reasoning_upstream
from tests.running_server import Served, serving

CONFIG = """
[server]
embedded = false
discover = false
[providers.double]
base_url = "URL"
place = "machine"
models = ["thinker", "large"]
[models."double/thinker"]
parameters = 1_000_000_000
logprobs = true
efforts = ["high", "none", "low"]
price = {input = "1", output = "1"}
[models."double/large"]
parameters = 100_000_000_000
logprobs = true
price = {input = "10", output = "10"}
[policies.default]
kind = "cascade"
threshold = 0.5
[policies.named]
kind = "cascade"
models = ["double/thinker@low", "double/large"]
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, ReasoningUpstream]]:
    with reasoning_upstream() as double:
        home = tmp_path_factory.mktemp("effort")
        with serving(home, CONFIG.replace("URL", double.url)) as server:
            yield server, double


def asked(running: tuple[Served, ReasoningUpstream], words: str, model: str = "auto", **more: object) -> Any:
    server, double = running
    double.bodies.clear()
    answer = server.chat(model, words, **more)
    assert answer.status == 200, answer.body
    body: Any = answer.json
    efforts = [(each["model"], each.get("reasoning_effort")) for each in double.bodies]
    return body["choices"][0]["message"]["content"], efforts, answer.headers


def test_the_same_model_thinks_more_before_a_larger_one_is_asked(running: tuple[Served, ReasoningUpstream]) -> None:
    text, efforts, headers = asked(running, "1 + 2 =")
    assert (text, efforts) == ("3", [("thinker", "none")])
    assert headers["x-sizewise-model"] == "double/thinker@none"
    assert asked(running, "11 + 22 =")[:2] == ("33", [("thinker", "none"), ("thinker", "low")])
    text, efforts, headers = asked(running, "123456 + 1 =")
    assert text == "123457"
    assert efforts == [("thinker", "none"), ("thinker", "low"), ("thinker", "high"), ("large", None)]
    assert headers["x-sizewise-model"] == "double/large"


def test_a_request_with_an_effort_of_its_own_is_answered_at_it(running: tuple[Served, ReasoningUpstream]) -> None:
    text, efforts, headers = asked(running, "11 + 22 =", reasoning_effort="low")
    assert (text, efforts, headers["x-sizewise-model"]) == ("33", [("thinker", "low")], "double/thinker@low")
    assert asked(running, "11 + 22 =", "double/thinker", reasoning_effort="medium")[1] == [("thinker", "medium")]
    assert asked(running, "11 + 22 =", "thinker@low")[1] == [("thinker", "low")]
    answer = running[0].chat("double/thinker@low", "1 + 1 =", reasoning_effort="high")
    assert answer.status == 400
    assert "thinks at the effort 'low', and the request asks for 'high'" in answer.error["message"]


def test_roles_leave_the_effort_to_the_request(running: tuple[Served, ReasoningUpstream]) -> None:
    assert asked(running, "1 + 1 =", "small")[1] == [("thinker", None)]
    assert asked(running, "1 + 1 =", "small", reasoning_effort="high")[1] == [("thinker", "high")]


def test_explain_shows_each_effort_with_its_measured_thinking_and_cost(
    running: tuple[Served, ReasoningUpstream],
) -> None:
    for effort in ("none", "low", "high"):
        asked(running, "11 + 22 =", f"double/thinker@{effort}")
    told = sizewise("route", "explain", "11 + 22 =", "--json", home=running[0].home).json
    seen = {each["model"]: each for each in told["candidates"]}
    assert {name: each["thinkingTokens"] for name, each in seen.items() if each["effort"]} == {
        "double/thinker@none": 0, "double/thinker@low": 60, "double/thinker@high": 900,
    }  # fmt: skip
    low, high = (float(seen[f"double/thinker@{each}"]["costUsd"]) for each in ("low", "high"))
    assert high / low > 8  # 901 output tokens against 61, at the same price
    assert seen["double/thinker"]["why"] == "is asked at one of its efforts"
    assert [step["models"] for step in told["steps"]] == [
        ["double/thinker@none"], ["double/thinker@low"], ["double/thinker@high"], ["double/large"],
    ]  # fmt: skip
    assert "the same model may think more before a larger one is asked (effort low)" in told["steps"][1]["why"]
    shown = sizewise("route", "explain", "11 + 22 =", home=running[0].home).out
    assert "900 tokens" in shown


@pytest.mark.long
def test_an_effort_that_costs_more_than_the_large_model_is_no_second_try(tmp_path: Path) -> None:
    with reasoning_upstream() as double:
        dear = CONFIG.replace("URL", double.url).replace('{input = "10", output = "10"}', '{input = "1", output = "1"}')
        with serving(tmp_path / "home", dear) as server:
            for model in ("thinker@none", "thinker@low", "thinker@high", "large"):
                server.chat(f"double/{model}", "1 + 1 =")  # measures their tokens: 1, 61, 901 and 401
            text, efforts, _ = asked((server, double), "123456 + 1 =")
            assert text == "123457"
            assert efforts == [("thinker", "none"), ("thinker", "low"), ("large", None)]


@pytest.mark.long
def test_efforts_that_never_answered_are_tried_before_a_larger_model_that_did(tmp_path: Path) -> None:
    with reasoning_upstream() as double:
        dear = CONFIG.replace("URL", double.url).replace('{input = "10", output = "10"}', '{input = "1", output = "2"}')
        with serving(tmp_path / "home", dear) as server:
            server.chat("double/large", "1 + 1 =")  # 401 tokens, where nothing is known of the efforts
            assert asked((server, double), "1 + 1 =")[1] == [("thinker", "none")]
            assert asked((server, double), "11 + 22 =")[1] == [("thinker", "none"), ("thinker", "low")]


def test_records_name_the_effort_and_its_thinking_tokens(running: tuple[Served, ReasoningUpstream]) -> None:
    asked(running, "11 + 23 =", "auto")
    told = sizewise("records", "--json", "--last", "1", home=running[0].home).json
    record = told[0] if isinstance(told, list) else told["records"][0]
    assert "double/thinker@low" in json.dumps(record)


@pytest.mark.long
def test_outcomes_calibrate_and_replay_take_efforts_as_models(
    running: tuple[Served, ReasoningUpstream], tmp_path: Path
) -> None:
    home = running[0].home
    rows = [
        {"prompt_id": str(at), "prompt": f"{10 ** (at % 4) + at} + {at} =", "reference": 10 ** (at % 4) + 2 * at}
        for at in range(120)
    ]
    file = tmp_path / "sums.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    models = "double/thinker@low,double/thinker@high,double/large"
    done = sizewise("route", "outcomes", str(file), "--models", models, "--scorer", "number", "--json", home=home)
    assert done.code == 0, done.err
    thought = {name: each["tokens_thinking"] for name, each in done.json["models"].items()}
    assert thought == {"double/thinker@low": 60, "double/thinker@high": 900, "double/large": 400}
    folder = str(tmp_path / "sums.outcomes")
    prices = [
        word for name in models.split(",") for word in ("--price", f"{name}={'10,10' if 'large' in name else '1,1'}")
    ]
    replayed = sizewise("route", "replay", "default", folder, "--models", models, *prices, "--json", home=home)
    assert replayed.code == 0, replayed.err
    rows_of = replayed.json["rows"]
    assert rows_of["default"]["quality"] == 1.0
    assert rows_of["default"]["cost"] < rows_of["double/large alone"]["cost"]
    calibrated = sizewise(
        "route", "calibrate", folder, "--small", "double/thinker@low", "--second", "double/thinker@high",
        "--large", "double/large", "--quality", "0.9", *prices, "--json", home=home,
    )  # fmt: skip
    assert calibrated.code in (0, 1), calibrated.err
    assert "double/thinker@low" in calibrated.out
