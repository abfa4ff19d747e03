"""Asking again says that the answer before was not good, and only to whoever wants to know; no word of it is kept."""

from __future__ import annotations

from pathlib import Path

from tests.evals.test_shadow_end_to_end import CONFIG
from tests.graphql.graphql_client import fresh_key, graphql
from tests.running_server import Served, serving, until

QUALITY = '{ quality(policy: "default") { feedback { model kind count mean } } }'
ALONE = CONFIG.replace("sample_rate = {share}", "repeat_window_s = {again}").replace('judge = "outside/judge"', "")
CANARY = "canary-77aa"


def opinions(server: Served) -> list[dict[str, object]]:
    found = graphql(server, QUALITY)
    assert found.errors == []
    return [each for quality in found.data["quality"] for each in quality["feedback"]]


def test_the_same_words_of_the_same_key_tell_of_the_answer_before(tmp_path: Path) -> None:
    with serving(tmp_path, ALONE.format(again=60, url="http://127.0.0.1:9/v1")) as server:
        other = fresh_key(server, "ask")
        for words in (f"{CANARY} one", f"{CANARY} two", "one"):
            assert server.chat("auto", words).status == 200
        body = {"model": "auto", "messages": [{"role": "user", "content": f"{CANARY} one"}]}
        assert server.ask("/v1/chat/completions", body, key=other).status == 200
        assert server.chat("echo/small", f"{CANARY} one").status == 200  # nobody routed it
        assert opinions(server) == []
        assert server.chat("auto", f"{CANARY} one").status == 200
        until(lambda: opinions(server))
        assert opinions(server) == [{"model": "echo/small", "kind": "asked-again", "count": 1, "mean": 0.0}]
    assert CANARY.encode() not in b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_it_is_off_unless_it_is_wanted(tmp_path: Path) -> None:
    with serving(tmp_path, ALONE.format(again=0, url="http://127.0.0.1:9/v1")) as server:
        for _ in range(3):
            assert server.chat("auto", "one two").status == 200
        assert opinions(server) == []
