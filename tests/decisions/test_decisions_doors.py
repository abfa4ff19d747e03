"""Decisions of upstreams that have them, of embedded models by the next token, and the System One API."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sizewise.testing.upstream import FaultResponder
from tests.decisions.test_decisions_served import CONFIG, MOOD, TEAM, URGENT, Decides, decide, rows, shown
from tests.gateway.server_harness import beside
from tests.running_server import Answer, Served, serving, until

NATIVE = """
[providers.native]
base_url = "{url}"
place = "machine"
models = ["jev"]
[models."native/jev"]
decisions = true
"""
NAMED = {
    "urgent": {"type": "noul", "instructions": "Is it urgent?", "criteria": {"true": "today", "false": "later"}},
    "team": {"type": "choice", "instructions": "Which team?", "criteria": {"billing": "money", "support": "bugs"}},
    "mood": {"type": "score", "instructions": "How glad?", "criteria": ["sad", "glad"]},
}


class DecidesNatively(Decides):
    """Has `/decisions`: probabilities for what speaks of an invoice, in another order than asked; else a refusal."""

    def fault(self, model: str) -> FaultResponder:
        return _native if self.received.paths[-1].endswith("/decisions") else super().fault(model)


async def _native(body: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    (question,) = body["questions"]
    answer: dict[str, Any] = {"type": "refusal", "name": question.get("name")}
    if "invoice" in body["input"]:
        answer["type"] = question["type"]
        if question["type"] == "predicate":
            answer["probability"] = 0.3
        elif question["type"] == "choice":
            shares = [{"value": each["value"], "probability": 0.1} for each in question["choices"]]
            shares[0]["probability"] = 0.8
            answer |= {"choice": shares[0]["value"], "confidence": 0.8, "probabilities": shares[::-1]}
        else:
            labels = [each["label"] for each in question["levels"]]
            shares = [{"value": at, "label": label, "probability": 0.5} for at, label in enumerate(labels)]
            answer |= {"score": 0.5, "confidence": 0.5, "probabilities": shares}
    usage = {"input_tokens": 9, "output_tokens": 1, "total_tokens": 10}
    raw = json.dumps({"answers": [answer], "model": "jev", "usage": usage}).encode()
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(raw) + raw)
    return True


@pytest.fixture(scope="module")
def upstream() -> Iterator[DecidesNatively]:
    with beside(DecidesNatively) as up:
        yield up


@pytest.fixture(scope="module")
def server(upstream: DecidesNatively, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    config = CONFIG.format(url=upstream.url, keep="off") + NATIVE.format(url=upstream.url)
    with serving(tmp_path_factory.mktemp("doors"), config) as served:
        yield served


def test_a_model_with_decisions_of_its_own_is_asked_for_them(server: Served, upstream: DecidesNatively) -> None:
    answer = decide(server, "an invoice", TEAM, URGENT, MOOD, model="native/jev")
    team, urgent, mood = shown(answer)["answers"]
    assert upstream.received.paths[-3:] == ["/v1/decisions"] * 3
    bodies: list[Any] = list(upstream.received.bodies[-3:])
    asked = next(each for each in bodies if each["questions"][0]["type"] == "choice")
    assert asked["input"] == "an invoice" and asked["questions"] == [TEAM]
    assert team["choice"] == "billing" and team["confidence"] == 0.8
    assert [each["probability"] for each in team["probabilities"]] == [0.8, 0.1, 0.1]
    assert urgent["probability"] == 0.3 and mood["score"] == 0.5
    assert shown(answer)["usage"]["input_tokens"] == 27


def test_a_refusal_of_an_upstream_is_one_for_the_client(server: Served) -> None:
    answer = decide(server, "a crash", TEAM, model="native/jev")
    assert shown(answer)["answers"] == [{"type": "refusal", "name": "team"}]


def test_system_one_names_its_questions_and_gets_its_own_answers(server: Served) -> None:
    answer = system_one(server, {"message": "an invoice"})
    said = shown(answer)
    assert said["answers"]["urgent"] == {"type": "noul", "noul": 1.0}
    assert said["answers"]["team"]["choice"] == "billing"
    assert said["answers"]["team"]["probabilities"] == {"billing": 1.0, "support": 0.0}
    assert said["answers"]["mood"]["legend"] == {"0": "sad", "1": "glad"}
    assert said["usage"] == {"input_tokens": 30, "output_tokens": 6}
    assert said["sizewise"]["rungs"] == {"urgent": "large", "team": "large", "mood": "large"}


@pytest.mark.parametrize(
    ("state", "questions", "where"),
    [
        ("", NAMED, "state"),
        ("an invoice", {}, "questions"),
        ("an invoice", {"why": {"type": "essay", "instructions": "Why?"}}, ""),
        ("an invoice", {"why": {"type": "noul", "instructions": " "}}, "questions.why.instructions"),
        ("an invoice", {"why": {"type": "score", "instructions": "?", "criteria": ["one"]}}, ""),
    ],
)
def test_a_bad_request_of_system_one_says_where(server: Served, state: str, questions: Any, where: str) -> None:
    answer = system_one(server, state, questions)
    assert answer.status == 400 and where in answer.error["message"]


def system_one(server: Served, state: object, questions: object = NAMED) -> Answer:
    return server.ask("/v1/systemone", {"model": "large", "state": state, "questions": questions})


def test_decisions_need_a_wire_that_has_them(tmp_path: Path) -> None:
    config = '[server]\nembedded = false\ndiscover = false\n[providers.echo]\nwire = "echo"\nplace = "process"\n'
    config += 'models = ["m"]\n[providers.a]\nwire = "anthropic"\nbase_url = "http://127.0.0.1:9/v1"\nmodels = ["b"]\n'
    config += '[models."a/b"]\ndecisions = true\n'
    with serving(tmp_path, config) as served:
        answer = served.chat("a/b")
        assert "the wire 'anthropic' has no decisions" in answer.error["message"]


@pytest.mark.long
def test_an_embedded_model_gives_the_probability_of_each_option(tmp_path: Path, smollm_gguf: Path) -> None:
    with serving(tmp_path, "[server]\ndiscover = false\n[local]\nslots = 1\ncontext = 2048\n") as served:
        answer = decide(served, "I was charged twice, send my money back.", TEAM, model="local/smollm2-135m")
        (team,) = shown(answer)["answers"]
        shares = [each["probability"] for each in team["probabilities"]]
        assert sum(shares) == pytest.approx(1.0) and all(0.0 < share < 1.0 for share in shares), shares
        assert team["confidence"] == max(shares) and shown(answer)["sizewise"]["rungs"] == ["next token"]
        assert 0 < shown(answer)["usage"]["output_tokens"] < 8, "no more tokens than tell the options apart"


@pytest.mark.long
def test_a_small_model_is_asked_about_what_is_learned(upstream: Decides, tmp_path: Path, smollm_gguf: Path) -> None:
    config = CONFIG.format(url=upstream.url, keep="vectors").replace("embedded = false", "embedded = true")
    config = config.replace('keep = "vectors"', 'keep = "vectors"\nmodel = "local/smollm2-135m"')
    with serving(tmp_path, config) as served:
        assert shown(decide(served, "an invoice", model="up/large"))["sizewise"] == {"rungs": ["large"]}
        until(lambda: rows(served, "SELECT count(*) FROM decision_answers") == [(1,)])
        asked = "SELECT count(*) FROM records WHERE model = 'local/smollm2-135m'"
        until(lambda: rows(served, asked) == [(1,)])  # in the background, with a record of its own
