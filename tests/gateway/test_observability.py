"""What is known afterwards: a record and a count of every request, exact to the pico-dollar, and never a word of it."""

from __future__ import annotations

import json
import signal
import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sizewise.testing.upstream import FakeOpenAI
from tests.gateway.server_harness import CHAT, SECRET, Line, booked, frames, question, rows, settings, words
from tests.running_server import ECHO, Answer, Served, serving, until

PICO = 1_000_000_000_000


def record(server: Served, answer: Answer) -> dict[str, Any]:
    """The one record of an answer, as soon as it is durable."""
    trace = answer.headers["x-sizewise-trace"]
    until(lambda: booked(server.home, trace))
    (found,) = booked(server.home, trace)
    return found


# ---- records --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("model", "said", "tokens", "pico"),
    [
        # $1 and $2.5 a million: 3 words in, 3 out
        ("echo/small", "one two three", {"input": 3, "output": 3}, 3 * 1_000_000 + 3 * 2_500_000),
        # $0.15 and $0.60: 7 in, 5 out
        ("whole/well", "x", {"input": 7, "output": 5}, 7 * 150_000 + 5 * 600_000),
        # of 1,000 in, 600 from the cache at $0.075; of 50 out, 20 thought, at the price of the others
        (
            "whole/counted",
            "x",
            {"input": 1000, "output": 50, "cached": 600, "reasoning": 20},
            400 * 150_000 + 600 * 75_000 + 50 * 600_000,
        ),
        ("echo/small", "[[say a b]]", {"input": 3, "output": 2}, 3 * 1_000_000 + 2 * 2_500_000),
        # nobody told the price: unknown, and never taken for nothing
        ("flow/well", "x", {"input": 7, "output": 5}, None),
    ],
)
def test_money_and_tokens_are_exact(
    server: Served,
    model: str,
    said: str,
    tokens: dict[str, int],
    pico: int | None,
    stream: bool,
) -> None:
    answer = server.chat(model, said, stream=stream)
    found = record(server, answer)
    whole = {"input": 0, "output": 0, "cached": 0, "cache_write": 0, "reasoning": 0, "estimated": 0} | tokens
    assert {name: found[name] for name in whole} == whole
    assert found["cost"] == pico
    (tried,) = found["tries"]
    assert {name: tried[name] for name in whole} == whole and tried["cost"] == pico
    if stream:
        ours = next(each["sizewise"] for each in frames(answer.body) if "sizewise" in each)
        shown = ours["cost_usd"]
    else:
        shown = answer.headers["x-sizewise-cost-usd"]
    assert shown == ("unknown" if pico is None else f"{pico / PICO:.12f}".rstrip("0"))


@pytest.mark.parametrize("stream", [False, True])
def test_a_record_says_who_asked_what_and_who_answered_when_and_why(server: Served, stream: bool) -> None:
    began = time.time()
    found = record(server, server.chat("small", "one two [[slow 0.05]] [[pace 0.05]]", stream=stream))
    shown = {"asked": "small", "model": "echo/small", "status": 200, "error": "", "attempts": 1, "door": "chat"}
    assert {name: found[name] for name in shown} == shown
    assert "smallest" in found["why"] and found["key"].startswith("sw-") and found["stream"] == stream
    assert began - 1 < found["at"] / 1000 < time.time() + 1
    assert found["total_ms"] >= 90, "the second word came later"
    (tried,) = found["tries"]
    assert (tried["model"], tried["place"], tried["result"], tried["error"]) == (
        "echo/small",
        "process",
        "answered",
        "",
    )
    assert 0 <= tried["began_ms"] < tried["ended_ms"] <= found["total_ms"]
    if stream:  # the first word of a whole reply is nobody's news
        assert 45 <= tried["first_ms"] <= found["first_ms"] < tried["ended_ms"]


def test_a_distrusted_attempt_is_booked_beside_the_one_that_answered(server: Served) -> None:
    found = record(server, server.chat("auto", "[[echo/small: say I am not sure]] one two", stream=True))
    small, large = found["tries"]
    assert (small["result"], small["score"], large["result"]) == ("distrusted", 0.0, "answered")
    assert "does not know" in small["why"]
    assert small["cost"] == 8 * 1_000_000 + 4 * 2_500_000
    assert large["cost"] == 8 * 10_000_000 + 2 * 25_000_000
    assert (found["cost"], found["input"], found["output"]) == (small["cost"] + large["cost"], 16, 6)
    assert small["ended_ms"] <= large["began_ms"] and found["first_ms"] >= large["first_ms"]


@pytest.mark.parametrize(
    ("model", "status", "code"),
    [
        ("echo/smal", 404, "model_not_found"),
        ("recorded/broken", 502, "upstream_error"),
        ("flow/hang", 504, "upstream_timeout"),
    ],
)
def test_what_failed_is_on_record_too(server: Served, model: str, status: int, code: str) -> None:
    found = record(server, server.chat(model))
    assert (found["status"], found["error"], found["model"]) == (status, code, "")
    made = len(found["tries"])
    assert [each["error"] for each in found["tries"]] == [code] * made
    # An upstream that failed is asked once more; one that is slow is not.
    assert made == {404: 0, 502: 2, 504: 1}[status]


def test_what_the_model_did_not_count_is_estimated_and_marked(server: Served) -> None:
    found = record(server, server.chat("echo/small", "eight characters in each [[uncounted]]"))
    assert found["estimated"] == 1 and found["input"] > 0 and found["output"] > 0 and found["cost"] > 0


def test_a_stream_cut_in_the_middle_is_booked_with_what_was_said(server: Served) -> None:
    found = record(server, server.chat("flow/reset-mid", stream=True))
    (tried,) = found["tries"]
    assert (found["status"], tried["result"], tried["estimated"], tried["output"]) == (502, "failed", 1, 1)


def test_a_client_that_leaves_is_499_and_pays_for_what_it_had(server: Served) -> None:
    trace = "1" * 31 + ("a" if "fast" in str(server.home) else "b")
    with Line(server) as line:
        asked = question("one two three four [[pace 0.05]] [[repeat 1000]]", stream=True)
        line.say(line.request(CHAT, asked, f"x-sizewise-trace: {trace}"))
        line.head()
        line.chunk()
    until(lambda: booked(server.home, trace))
    (found,) = booked(server.home, trace)
    assert (found["status"], found["error"], found["model"]) == (499, "cancelled", "echo/small")
    (tried,) = found["tries"]
    assert (tried["result"], tried["estimated"]) == ("cancelled", 1) and tried["output"] >= 1 and tried["cost"] > 0


def test_an_embedding_is_on_record_as_one(server: Served) -> None:
    found = record(server, server.ask("/v1/embeddings", {"model": "echo/vectors", "input": ["one two", "three"]}))
    assert (found["door"], found["input"], found["output"], found["status"]) == ("embeddings", 3, 0, 200)


def test_graphql_tells_the_same_as_the_file(server: Served) -> None:
    answer = server.chat("echo/small", "one two three")
    trace = answer.headers["x-sizewise-trace"]
    query = """query ($t: String!) {
        records(filter: {trace: $t}) { rows { model costUsd tokens { input } attempts { result } } } }"""
    body = json.dumps({"query": query, "variables": {"t": trace}}).encode()
    told: Any = server.ask("/graphql", body, content_type="application/json").json
    expected = {
        "model": "echo/small",
        "costUsd": "0.0000105",
        "tokens": {"input": 3},
        "attempts": [{"result": "answered"}],
    }
    assert told["data"]["records"]["rows"] == [expected]


# ---- counters -------------------------------------------------------------------------------------------------------


def counted(server: Served) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    answer = server.ask("/metrics")
    assert answer.status == 200 and answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = text_string_to_metric_families(answer.body.decode())
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def test_metrics_count_what_was_asked_spent_and_refused(server: Served) -> None:
    before = counted(server)
    for _ in range(3):
        server.chat("echo/small", "one two three")
    server.chat("auto", "[[echo/small: say I am not sure]] one two")
    server.chat("echo/smal")
    server.ask("/v1/models", key="nonsense")
    after = counted(server)

    def more(name: str, **labels: str) -> float:
        key = name, frozenset(labels.items())
        return after.get(key, 0) - before.get(key, 0)

    assert more("sizewise_requests_total", model="echo/small", policy="fixed", status="200") == 3
    assert more("sizewise_requests_total", model="", policy="", status="404") == 1
    assert more("sizewise_attempts_total", model="echo/small", result="answered") == 3
    assert more("sizewise_attempts_total", model="echo/small", result="distrusted") == 1
    assert more("sizewise_escalations_total") == 1
    assert more("sizewise_requests_rejected_total", code="invalid_api_key") == 1
    assert more("sizewise_request_seconds_count", model="echo/small") == 3
    tokens = {"model": "echo/small", "class": "input"}
    assert more("sizewise_tokens_total", **tokens) == 3 * 3 + 8
    assert after["sizewise_requests_in_flight", frozenset()] == 0
    assert after["sizewise_records_dropped_total", frozenset()] == 0


def test_no_word_of_a_client_becomes_a_label(server: Served) -> None:
    for name in ("made-up-by-a-client", "auto:made-up-by-a-client", 'x"} 1\nevil 1'):
        server.chat(name)
        server.chat("echo/small", sizewise={"policy": "made-up-by-a-client"})
    text = server.ask("/metrics").body.decode()
    assert "made-up" not in text and "evil" not in text


def test_health_needs_no_key_and_tells_no_names(server: Served) -> None:
    assert json.loads(server.ask("/healthz", key=None).body) == {"status": "ok"}
    ready = server.ask("/readyz", key=None)
    assert ready.status == 200 and json.loads(ready.body)["status"] == "ready"
    assert server.ask("/metrics", key=None).status == 401


def test_a_key_that_may_only_ask_sees_no_metrics(server: Served) -> None:
    admin = (server.home / "admin.token").read_text().strip()
    body = b'{"query": "mutation { createKey(name: \\"asker\\", permissions: [ask]) { secret } }"}'
    made: Any = server.ask("/graphql", body, key=admin, content_type="application/json").json
    key = made["data"]["createKey"]["secret"]
    assert server.ask("/metrics", key=key).error["code"] == "forbidden"
    assert server.ask(CHAT, question(), key=key).status == 200


# ---- silence --------------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_no_word_of_a_prompt_a_reply_or_a_key_is_kept_anywhere(upstream: FakeOpenAI, tmp_path: Path) -> None:
    home = tmp_path / "home"
    canary = "XyloPhoneCanary7"
    with serving(home, settings(upstream.url), UPSTREAM_KEY=SECRET) as served:
        for stream in (False, True):
            for model in (
                "echo/small",
                "auto",
                "whole/well",
                "whole/parrot",
                "flow/malformed",
                "flow/reset-mid",
                "gone-flow/it",
            ):
                served.chat(model, f"{canary} please", stream=stream)
            served.chat("auto", f"[[echo/small: say I am not sure, {canary}]] again", stream=stream)
            served.chat("auto", f"[[echo/small: fail]] [[echo/large: fail]] {canary}", stream=stream)
            served.chat("echo/small", f"[[think {canary}]] [[nonsense {canary}]]", stream=stream)
        served.chat("echo/small", "x", user=canary, metadata={"a": canary}, messages=[{"role": canary}])
        served.ask(CHAT, question(canary)[:-3])
        served.ask(CHAT, question("x").replace(b"echo/small", b"echo/\\ud800" + canary.encode()), key=canary)
        served.ask("/v1/embeddings", {"model": "echo/vectors", "input": canary})
        served.ask(f"/{canary}", {"query": canary})
        served.ask("/graphql", {"query": f'{{ nothing(a: "{canary}") }}'}, content_type="application/json")
        until(lambda: len(rows(home, "SELECT 1 FROM records")) >= 20)
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(60) == 0
        assert served.process.stdout is not None
        out = served.process.stdout.read()
        until(lambda: not served.said or served.said[-1].endswith("\n"))
        said = out + "".join(served.said)
    files = [path for path in home.rglob("*") if path.is_file() and path.name != "sizewise.toml"]
    assert any(path.name == "sizewise.db" for path in files)
    for word in (canary, SECRET, served.key):
        assert word not in said
        assert [path.name for path in files if word.encode() in path.read_bytes()] == []
    assert "Traceback" not in said


# ---- the end --------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["true", "false"], ids=["fast", "plain"])
def mortal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Served]:
    """A server of this test's own, to be ended; it gives running answers two seconds."""
    config = ECHO.replace("[server]", f"[server]\nfast_path = {request.param}\ndrain_timeout_s = 2")
    with serving(tmp_path, config) as served:
        yield served


@pytest.mark.long
def test_sigterm_lets_a_stream_come_to_its_end_and_takes_nobody_new(mortal: Served) -> None:
    with Line(mortal) as line, Line(mortal) as idle:
        idle.say(idle.request("/healthz", method="GET"))
        assert idle.answer().status == 200
        line.say(line.request(CHAT, question("[[say a]] [[pace 0.02]] [[repeat 40]]", stream=True)))
        assert line.head()[0] == 200
        first = line.chunk()
        mortal.process.send_signal(signal.SIGTERM)
        assert idle.ended(), "nobody waits for an idle connection"
        until(lambda: not listens(mortal))
        body = first + b"".join(iter(line.chunk, b""))
        assert words(frames(body)) == "a" * 40 and frames(body)[-1] == "[DONE]"
    assert mortal.process.wait(60) == 0
    assert [row["status"] for row in rows(mortal.home, "SELECT status FROM records")] == [200]
    assert not any("Traceback" in line for line in mortal.said)


@pytest.mark.long
def test_sigterm_waits_for_nobody_longer_than_it_was_told(mortal: Served) -> None:
    with Line(mortal) as line:
        line.say(line.request(CHAT, question("[[say a b]] [[hang after=1]]", stream=True)))
        assert line.head()[0] == 200
        line.chunk()
        began = time.monotonic()
        mortal.process.send_signal(signal.SIGTERM)
        frames(b"".join(iter(line.chunk, b"")))
        assert mortal.process.wait(60) == 0
        assert time.monotonic() - began > 1.5
    found = rows(mortal.home, "SELECT status, error FROM records")
    assert [(row["status"], row["error"]) for row in found] == [(503, "server_stopping")], "booked as ours"
    assert not any("Traceback" in line for line in mortal.said), "".join(mortal.said)


def listens(served: Served) -> bool:
    host, _, port = served.url.removeprefix("http://").rpartition(":")
    with closing(socket.socket()) as knocking:
        return knocking.connect_ex((host, int(port))) == 0


@pytest.mark.long
def test_kill_9_loses_nothing_that_is_older_than_what_is_kept(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        answered: list[str] = []
        while not rows(tmp_path, "SELECT 1 FROM records LIMIT 1 OFFSET 20"):
            answered.append(served.chat("echo/small").headers["x-sizewise-trace"])
        answered += [served.chat("echo/small").headers["x-sizewise-trace"] for _ in range(5)]
        served.process.kill()
        served.process.wait(60)
    connection = sqlite3.connect(tmp_path / "sizewise.db")
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    kept = {trace for (trace,) in connection.execute("SELECT trace FROM records")}
    connection.close()
    assert len(kept) > 20 and kept == set(answered[: len(kept)]), "what is lost is the last"
    with serving(tmp_path) as again:
        assert again.chat("echo/small").status == 200, "and the next one starts on the same home"
