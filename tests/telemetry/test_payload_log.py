"""Prompts and replies are kept only where that is wished, sealed, as the client sent them, and read by few."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any, TypeVar

import pytest
from msgspec import Raw

from sizewise.errors import Conflict
from sizewise.handler import Request
from sizewise.messages import ChatRequest, Choice, Reply, Usage
from sizewise.principal import Principal
from sizewise.storage.database import UnitOfWork
from sizewise.storage.encryption import EnvelopeEncryption
from sizewise.storage.keys.tables import DataKeyStore
from sizewise.telemetry.payload_log import MAX_QUEUED, PayloadLog, payload_of
from tests.cli.terminal import sizewise
from tests.graphql.graphql_client import fresh_key, graphql
from tests.running_server import ECHO, Served, serving, until

T = TypeVar("T")
CANARY = "the canary sings at midnight"
KEEPS = ECHO + "[records]\ncontents = true\n"
READ = "query($t: String!) { records(filter: {trace: $t}) { rows { contents { request response truncated } } } }"


def contents(server: Served, trace: str, key: str = "") -> dict[str, Any] | None:
    found: dict[str, Any] | None = graphql(server, READ, key=key, t=trace).data["records"]["rows"][0]["contents"]
    return found


def settled(server: Served, trace: str) -> dict[str, Any]:
    found = contents(server, trace)  # at once, as its record
    assert found is not None
    return found


def test_nothing_is_kept_unless_it_is_wished(echo: Served) -> None:
    trace = echo.chat("echo/small", CANARY).headers["x-sizewise-trace"]
    until(lambda: graphql(echo, READ, t=trace).data["records"]["rows"])
    assert contents(echo, trace) is None
    done = sizewise("records", trace, "--contents", home=echo.home)
    assert done.code == 2 and "contents = true" in done.hint


def test_what_was_asked_and_said_is_kept_sealed_and_read_again(tmp_path: Path) -> None:
    with serving(tmp_path, KEEPS) as server:
        answer = server.chat("echo/small", CANARY, stream=True)
        trace = answer.headers["x-sizewise-trace"]
        found = settled(server, trace)
        assert json.loads(found["request"])["messages"] == [{"role": "user", "content": CANARY}]
        assert json.loads(found["response"])[0]["text"] == CANARY and not found["truncated"]
        shown = sizewise("records", trace[:16], "--contents", home=tmp_path)
        assert shown.code == 0 and shown.out.count(CANARY) == 2
        assert CANARY not in sizewise("records", trace[:16], home=tmp_path).out
        trail = graphql(server, "{ audit(last: 1) { action resource } }").data["audit"]
        assert trail == [{"action": "read_contents", "resource": f"record:{trace}"}]
    files = [each for each in tmp_path.rglob("*") if each.is_file()]
    assert files and not [each for each in files if CANARY.encode() in each.read_bytes()]


def test_other_endpoints_are_kept_as_their_clients_spoke(tmp_path: Path) -> None:
    with serving(tmp_path, KEEPS) as server:
        said = [{"role": "user", "content": CANARY}]
        body = {"model": "echo/small", "max_tokens": 50, "system": "Be kind", "messages": said}
        trace = server.ask("/v1/messages", body).headers["x-sizewise-trace"]
        assert json.loads(settled(server, trace)["request"])["system"] == "Be kind"
        failed = server.chat("echo/small", f"[[fail]] {CANARY}").headers["x-sizewise-trace"]
        assert settled(server, failed)["response"] is None


def test_only_who_may_read_contents_does(tmp_path: Path) -> None:
    with serving(tmp_path, KEEPS) as server:
        trace = server.chat("echo/small", CANARY).headers["x-sizewise-trace"]
        settled(server, trace)
        answer = graphql(server, READ, key=fresh_key(server, "ask", "read"), t=trace)
        assert answer.code == "forbidden" and CANARY not in str(answer)


def asking(messages: bytes = b"[]") -> Request:
    return Request(ChatRequest("m", [], {"messages": Raw(messages)}), Principal(), "t" * 32, 0.0)


def test_what_is_long_is_cut_and_says_so() -> None:
    found = payload_of(asking(b'"%s"' % (b"x" * 5_000)), Reply((Choice(0, "y"),), Usage()), 1_024)
    assert (len(found.request), found.truncated) == (1_024, True) and "y" in str(found.response)


def test_what_waits_is_bounded_and_what_finds_no_room_is_counted(tmp_path: Path) -> None:
    entered, released = threading.Event(), threading.Event()

    class Slow(EnvelopeEncryption):
        def encrypt(self, plain: bytes, tenant: str, table: str, row: str) -> bytes:
            entered.set()
            assert released.wait(60)
            return b""

    def write(work: UnitOfWork[T]) -> T:
        raise Conflict("nothing is written here")

    kept = PayloadLog(Slow(tmp_path, DataKeyStore(write, write)), write, 1_024)
    try:
        kept.enqueue(0, asking(), None)
        assert entered.wait(60)
        for number in range(MAX_QUEUED + 7):
            kept.enqueue(number, asking(), None)
        assert kept.dropped == 7, "nobody waited: what encrypts goes on when this test lets it"
    finally:
        released.set()
        kept.close()
    assert kept.dropped == MAX_QUEUED + 8 and "nothing is written here" in kept.problem


@pytest.mark.long
def test_the_oldest_go_when_there_are_too_many(tmp_path: Path) -> None:
    with serving(tmp_path, KEEPS + "contents_max_rows = 1\n") as server:
        traces = [server.chat("echo/small", f"{CANARY} {number}").headers["x-sizewise-trace"] for number in range(3)]
        until(lambda: all(contents(server, trace) for trace in traces))
    with serving(tmp_path, KEEPS + "contents_max_rows = 1\n") as server:  # retention runs at the start
        until(lambda: contents(server, traces[2]) and contents(server, traces[0]) is None)


def test_what_one_key_asked_is_erased_and_nobody_elses(tmp_path: Path) -> None:
    with serving(tmp_path, KEEPS) as server:
        made = 'mutation { createKey(name: "theirs") { secret key { id } } }'
        theirs = graphql(server, made).data["createKey"]
        body = {"model": "echo/small", "messages": [{"role": "user", "content": CANARY}]}
        answers = [server.ask("/v1/chat/completions", body, key=theirs["secret"]) for _ in range(3)]
        gone = [answer.headers["x-sizewise-trace"] for answer in answers]
        stays = server.chat("echo/small", CANARY).headers["x-sizewise-trace"]
        say = "mutation($t: String!) { feedback(trace: $t, score: 1) { score } }"
        assert graphql(server, say, key=theirs["secret"], t=gone[0]).errors == []
        erase = "mutation($k: String!) { eraseRecords(key: $k) { records } }"
        assert graphql(server, erase, key=theirs["secret"], k=theirs["key"]["id"]).code == "forbidden"
        done = sizewise("records", "--erase", theirs["key"]["id"], "--yes", "--json", home=tmp_path)
        assert done.json == {"records": 3, "contents": 3, "feedback": 1}
        assert not any(graphql(server, READ, t=trace).data["records"]["rows"] for trace in gone)
        assert settled(server, stays)
        trail = graphql(server, "{ audit(last: 5) { action resource } }").data["audit"]
        assert {"action": "erase_records", "resource": f"key:{theirs['key']['id']}"} in trail
