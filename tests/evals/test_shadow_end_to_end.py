"""The same of a real server: what leaves it, what is kept of it, and what a client and an operator notice of it."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.evals.fake_judge import Judge, judging
from tests.running_server import serving, until

CONFIG = """
[server]
embedded = false
discover = false
[shadow]
sample_rate = {share}
judge = "outside/judge"
[providers.echo]
wire = "echo"
place = "process"
models = ["small", "large"]
[models."echo/small"]
parameters = 100_000_000
[models."echo/large"]
parameters = 70_000_000_000
[providers.outside]
base_url = "{url}"
place = "anyone"
models = ["judge"]
[policies.default]
kind = "cascade"
threshold = 0.5
models = ["echo/small", "echo/large"]
"""
CANARY = "canary-51c0"
DIFFERS = f"[[echo/small: say a BAD answer {CANARY}]] {CANARY} a good answer"


@pytest.fixture
def judge() -> Iterator[Judge]:
    with judging() as found:
        yield found


def rows(home: Path) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(home / "sizewise.db")) as db:
        db.row_factory = sqlite3.Row
        return [dict(row) for row in db.execute("SELECT * FROM shadows ORDER BY number")]


def endpoints(home: Path) -> list[tuple[str, int]]:
    with closing(sqlite3.connect(home / "sizewise.db")) as db:
        return list(db.execute("SELECT door, status FROM records ORDER BY id"))


def test_a_pair_is_judged_in_both_orders_by_who_sees_no_names_and_no_word_is_kept(tmp_path: Path, judge: Judge) -> None:
    with serving(tmp_path, CONFIG.format(share=1, url=judge.url)) as server:
        answer = server.chat("auto", DIFFERS)
        assert answer.headers["x-sizewise-model"] == "echo/small"
        until(lambda: rows(tmp_path))
        (row,) = rows(tmp_path)
        assert (row["worse"], row["judge"], row["trace"]) == (1.0, "outside/judge", answer.headers["x-sizewise-trace"])
        assert len(judge.shown) == 2 and all(CANARY in prompt for prompt in judge.shown)
        assert not [prompt for prompt in judge.shown if "echo" in prompt.replace("[[echo/small", "")]
        counted = b'sizewise_shadow_requests_total{result="judged"} 1.0'
        until(lambda: counted in server.ask("/metrics").body)  # after the row
    assert CANARY.encode() not in b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_confidential_words_are_never_shown_to_a_judge_outside(tmp_path: Path, judge: Judge) -> None:
    with serving(tmp_path, CONFIG.format(share=1, url=judge.url)) as server:
        body = {"model": "auto", "messages": [{"role": "user", "content": DIFFERS}]}
        answer = server.ask("/v1/chat/completions", body, x_sizewise_data_class="confidential")
        assert answer.status == 200
        until(lambda: rows(tmp_path))
        (row,) = rows(tmp_path)
        assert (row["worse"], row["error"], judge.shown) == (None, "forbidden", [])
        until(lambda: len(endpoints(tmp_path)) == 3)
        assert endpoints(tmp_path) == [("chat", 200), ("shadow", 200), ("judge", 403)]


def test_without_a_share_nobody_else_is_asked(tmp_path: Path, judge: Judge) -> None:
    with serving(tmp_path, CONFIG.format(share=0, url=judge.url)) as server:
        for _ in range(5):
            assert server.chat("auto", DIFFERS).status == 200
    assert (rows(tmp_path), judge.shown, endpoints(tmp_path)) == ([], [], [("chat", 200)] * 5)


def test_a_server_that_stops_waits_for_no_comparison_and_books_it(tmp_path: Path, judge: Judge) -> None:
    with serving(tmp_path, CONFIG.format(share=1, url=judge.url)) as server:
        assert server.chat("auto", "[[echo/large: hang]] [[echo/small: say it]] one").status == 200
        until(lambda: b"sizewise_requests_in_flight 1.0" in server.ask("/metrics").body)
        os.kill(server.process.pid, signal.SIGTERM)
        assert server.process.wait(60) == 0
        assert not [line for line in server.said if "Traceback" in line or "never retrieved" in line]
    assert endpoints(tmp_path) == [("chat", 200), ("shadow", 503)]


def test_a_streaming_client_that_is_killed_is_not_compared(tmp_path: Path, judge: Judge) -> None:
    with serving(tmp_path, CONFIG.format(share=1, url=judge.url)) as server:
        stream = server.connection()
        message = {"role": "user", "content": "[[echo/small: fail]] [[pace 0.05]] " + "word " * 100}
        body = json.dumps({"model": "auto", "stream": True, "messages": [message]})
        stream.request("POST", "/v1/chat/completions", body, {"Authorization": f"Bearer {server.key}"})
        stream.getresponse().read1(50)
        stream.close()
        until(lambda: ("chat", 499) in endpoints(tmp_path))
        assert server.chat("auto", DIFFERS).status == 200
        until(lambda: rows(tmp_path))
    assert len(rows(tmp_path)) == 1
