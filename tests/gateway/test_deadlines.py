"""`x-sizewise-max-ms` on a running server: refused at once with a prediction, or another model in time; shown paces."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.terminal import sizewise
from tests.gateway.server_harness import CHAT
from tests.running_server import ECHO, Answer, Served, serving

SETTINGS = f"""{ECHO.replace('["small", "large"]', '["small", "large", "new-small", "new-large"]')}
[models."echo/small"]
parameters = 100_000_000
logprobs = true
price = {{input = "0", output = "0"}}
[models."echo/large"]
parameters = 70_000_000_000
logprobs = true
price = {{input = "0", output = "0"}}
[models."echo/new-small"]
parameters = 100_000_000
[models."echo/new-large"]
parameters = 70_000_000_000
[policies.default]
kind = "cascade"
threshold = 0.5
models = ["echo/small", "echo/large"]
[policies.unmeasured]
kind = "cascade"
threshold = 0.5
models = ["echo/new-small", "echo/new-large"]
"""
ENDPOINTS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": (CHAT, {"messages": [{"role": "user", "content": "one two"}]}),
    "messages": ("/v1/messages", {"max_tokens": 9, "messages": [{"role": "user", "content": "one two"}]}),
    "responses": ("/v1/responses", {"input": "one two"}),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """`echo/small` has been measured: 0.4 s to the first token."""
    with serving(tmp_path_factory.mktemp("paces"), SETTINGS) as served:
        assert served.chat("echo/small", "one two [[slow 0.4]]").status == 200
        yield served


def ask(served: Served, model: str, text: str = "one two", max_ms: int = 100, **more: object) -> Answer:
    body = {"model": model, "messages": [{"role": "user", "content": text}], **more}
    return served.ask(CHAT, body, x_sizewise_max_ms=str(max_ms))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_a_deadline_that_cannot_be_met_is_refused_at_once_with_the_prediction(
    server: Served, endpoint: str, stream: bool
) -> None:
    path, body = ENDPOINTS[endpoint]
    answer = server.ask(path, {"model": "echo/small", "stream": stream, **body}, x_sizewise_max_ms="100")
    assert answer.status == 422, answer.body
    assert "echo/small would take about" in answer.error["message"]
    assert "the request has 0.1 s" in answer.error["message"]
    assert answer.headers["x-sizewise-cost-usd"] == "0" and answer.headers.get("x-sizewise-attempts", "0") == "0"


@pytest.mark.long
def test_where_no_model_can_make_it_the_hint_says_how_much_time_would_do(tmp_path: Path) -> None:
    with serving(tmp_path, SETTINGS) as served:
        for model, pause in (("echo/small", 3), ("echo/large", 0.4)):
            assert served.chat(model, f"one two [[slow {pause}]]").status == 200
        answer = ask(served, "auto")
        assert (answer.status, answer.error["code"], answer.error["param"]) == (422, "no_model_fits", "max_ms")
        hint = re.fullmatch(r"allow (\d+) ms, set a lower `max_tokens`, or use a faster model", answer.error["hint"])
        assert hint and int(hint[1]) < 3_000, "the time of the faster model"


def test_the_first_deadline_of_a_model_is_predicted_by_its_self_test(tmp_path: Path) -> None:
    measured: dict[str, object] = {"date": "2026-11-28", "prompt_tokens_per_s": 10.0, "output_tokens_per_s": 4.0}
    measured |= {"memory_bytes": None, "tools": False, "tokens_per_character": {}}
    (tmp_path / "self-tests.json").write_text(json.dumps({"echo/large": measured}))
    with serving(tmp_path, SETTINGS) as served:
        answer = ask(served, "echo/large", max_ms=1_000)
        assert answer.status == 422, answer.body
        assert "echo/large would take about" in answer.error["message"]
        assert ask(served, "echo/large", max_ms=600_000).status == 200
        assert ask(served, "echo/large", max_ms=2_000).status == 200, "a request has shown that it is quicker"


def test_a_deadline_that_passed_says_so_in_its_hint(server: Served) -> None:
    answer = ask(server, "echo/new-large", "one [[slow 3]]", max_ms=150)
    assert answer.status == 504 and answer.error["hint"].startswith("allow more than 150 ms")


def test_auto_leaves_out_who_cannot_make_it_and_the_record_says_why(server: Served) -> None:
    """A long prompt is predicted to take the small model ten times as long as the short one."""
    answer = ask(server, "auto", "word " * 4_000, max_ms=2_000, max_tokens=3)
    assert answer.status == 200, answer.body
    assert answer.headers["x-sizewise-model"] == "echo/large"
    assert "echo/small would take about" in answer.headers["x-sizewise-why"]
    assert "echo/small would take about" in sizewise("records", "--json", home=server.home).out


def test_a_hanging_model_is_followed_by_an_idle_one_before_the_deadline(server: Served) -> None:
    """It ended as a 504 at the deadline while the large model was idle."""
    answer = ask(server, "auto:unmeasured", "one two [[echo/new-small: hang]]", max_ms=1_500)
    assert answer.status == 200, answer.body
    assert answer.headers["x-sizewise-model"] == "echo/new-large"
    assert answer.headers["x-sizewise-attempts"] == "2"


def test_the_measured_pace_is_shown(server: Served) -> None:
    shown = sizewise("models", "show", "echo/small", home=server.home).out
    assert "FIRST TOKEN" in shown and "OUTPUT TOKENS/S" in shown
    (pace, *_) = sizewise("models", "show", "echo/small", "--json", home=server.home).json["pace"]
    assert pace["load"] == 1 and pace["requests"] >= 1


def test_explain_takes_a_deadline_and_tells_the_predicted_times(server: Served) -> None:
    told = sizewise("route", "explain", "one two", "--max-ms", "150", home=server.home)
    assert told.code == 0 and "would take about" in told.out and "TIME" in told.out
    alone = sizewise("route", "explain", "one two", "--model", "small", "--max-ms", "150", home=server.home)
    assert alone.code == 1 and "No model is used" in alone.out


@pytest.mark.parametrize("bad", ["0", "-1", "soon"])
def test_explain_refuses_a_deadline_that_is_none(server: Served, bad: str) -> None:
    told = sizewise("route", "explain", "one two", "--max-ms", bad, home=server.home)
    assert told.code == 2 and "--max-ms" in told.err


def test_without_a_server_the_pace_is_unknown_and_says_how_it_is_measured(tmp_path: Path) -> None:
    assert (
        "pace: unknown; a running server measures it" in sizewise("models", "show", "smollm2-135m", home=tmp_path).out
    )
