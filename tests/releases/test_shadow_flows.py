"""Flows in the shadow run of a canary: run twice in the dark, unless a node of theirs may act; which are said."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.releases.test_environments import live, run
from tests.running_server import ECHO, Answer, Served, serving, until
from tests.stories.test_canary_stories import state

SETTINGS = """{echo}
[policies.default]
threshold = 0.5
[hosts.crm]
url = "{url}"
[environments.prod]
from = "any"
[environments.prod.canary]
steps = [0.5]
shadow_pairs = 6
shadow_rate = 1.0
promote = "manual"
"""
ANSWER = """name: answer
inputs: {question: text, tone: text}
nodes:
  found: {kind: http, host: crm, path: /find}
  say: {kind: ask, model: echo/small, prompt: "WORDS {{ inputs.tone }} {{ inputs.question }} {{ found.status }}"}
outputs: {answer: "{{ say.text }}"}
"""
NOTIFY = """name: notify
inputs: {question: text}
nodes:
  told: {kind: http, host: crm, path: /notify, method: POST, json: {text: "{{ inputs.question }}"}}
outputs: {answer: "{{ told.status }}"}
"""
OUTER = """name: outer
inputs: {question: text}
nodes:
  inner: {kind: subflow, flow: notify, inputs: {question: "{{ inputs.question }}"}}
outputs: {answer: "{{ inner.answer }}"}
"""


@contextmanager
def crm() -> Iterator[tuple[str, list[str]]]:
    """Its URL, and what it was asked."""
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(f"{self.command} {self.path}")
            self.rfile.read(int(self.headers.get("content-length") or 0))
            self.send_response(200)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        do_POST = do_GET

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        server.server_close()


def ask(server: Served, flow: str, number: int) -> Answer:
    body: dict[str, Any] = {"model": f"flow:{flow}", "messages": [{"role": "user", "content": f"Hello {number}"}]}
    if flow == "answer":
        body["metadata"] = {"tone": "kindly"}
    answer = server.ask("/v1/chat/completions", body, x_sizewise_session=f"{flow}{number}")
    assert answer.status == 200, answer.body
    return answer


@pytest.mark.long
def test_a_flow_that_acts_on_nothing_is_compared_and_one_that_may_is_run_once_and_named(tmp_path: Path) -> None:
    flows = tmp_path / "flows"
    flows.mkdir()
    for name, text in (("answer", ANSWER), ("notify", NOTIFY), ("outer", OUTER)):
        (flows / f"{name}.yaml").write_text(text)
    with crm() as (url, seen):
        settings = SETTINGS.format(echo=ECHO, url=url)
        with serving(tmp_path, settings) as server:
            until(lambda: live(tmp_path)["prod"])
            (flows / "answer.yaml").write_text(ANSWER.replace("WORDS", "OTHER WORDS"))
            run(tmp_path, "release", "apply", ".", "--to", "prod")
            assert state(tmp_path)["limits"] == [
                "The shadow run leaves out the flow 'notify': its node told (http) may act.",
                "The shadow run leaves out the flow 'outer': its node told (http) may act.",
            ]
            for number in range(8):
                ask(server, "notify", number)
                ask(server, "outer", number)
            number = 0

            def compared() -> bool:
                nonlocal number
                number += 1
                assert "WORDS kindly Hello" in str(ask(server, "answer", number).json)
                return bool(state(tmp_path)["pairs"]["seen"] >= 6)

            until(compared, 60)
            assert sum(each.startswith("POST") for each in seen) == 16, "each acted once"
            assert state(tmp_path)["units"]["canary"] == 0
            records = run(tmp_path, "records", "--last", "1000")["records"]
            copies = [each for each in records if each["arm"] == "shadow"]
            assert copies and {each["status"] for each in copies} == {200}
