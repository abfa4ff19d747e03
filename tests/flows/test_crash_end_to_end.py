"""A real server that is killed at every step of a real flow of ten: each run ends, and no answer is paid for again."""

from __future__ import annotations

import contextlib
import json
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.cli.terminal import sizewise
from tests.flows.test_triggers import publish
from tests.running_server import Served, serving, until

STEPS = 10
CONFIG = """
[server]
embedded = false
discover = false
[providers.up]
base_url = "{url}"
place = "machine"
models = ["one"]
"""
NODE = """
  step{number}:
    kind: ask
    model: up/one
    prompt: "run {{{{ inputs.run }}}} step {number} {before}"
"""


def flow() -> str:
    nodes = [
        NODE.format(number=number, before="" if not number else f"after {{{{ step{number - 1}.text }}}}")
        for number in range(STEPS)
    ]
    return (
        "name: ten\ninputs: {run: text}\nnodes:"
        + "".join(nodes)
        + 'outputs: {last: "{{ step9.text }}"}\ntriggers: [{kind: webhook}]\n'
    )


class Upstream:
    """Counts what it is asked, by run and step; run number N is held at its step N until `gate` is set."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: Counter[tuple[int, int]] = Counter()
        self.gate = threading.Event()


@contextlib.contextmanager
def upstream() -> Iterator[Upstream]:
    found = Upstream()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            words = body["messages"][-1]["content"].split()
            run, step = int(words[1]), int(words[3])
            found.asked[run, step] += 1
            if run == step:
                found.gate.wait(30)
            said = {"role": "assistant", "content": f"{run}-{step}"}
            usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
            streams, part = body.get("stream"), "delta" if body.get("stream") else "message"
            choices = [{"index": 0, part: said, "finish_reason": "stop"}]
            answer = json.dumps({"id": "x", "object": "chat.completion", "choices": choices, "usage": usage}).encode()
            if streams:
                answer = b"data: %b\n\ndata: [DONE]\n\n" % answer
            self.send_response(200)
            self.send_header("content-type", "text/event-stream" if streams else "application/json")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # whoever asked was killed
                self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    found.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield found
    finally:
        found.gate.set()
        server.shutdown()
        server.server_close()


@pytest.mark.long
def test_a_server_killed_at_each_of_ten_steps_goes_on_there_and_asks_nothing_twice_that_was_answered(
    tmp_path: Path,
) -> None:
    home = tmp_path / "home"
    publish(home, flow())
    with upstream() as up:
        config = CONFIG.format(url=up.url)
        with serving(home, config) as server:
            for number in range(STEPS):
                assert server.ask("/hooks/flows/ten", {"run": str(number)}).status == 202
            until(lambda: all(up.asked[n, n] for n in range(STEPS)))
            server.process.kill()
            server.process.wait()
        up.gate.set()
        with serving(home, config):
            until(lambda: sum(up.asked.values()) == STEPS * STEPS + STEPS)
            assert all(up.asked[n, step] == (2 if n == step else 1) for n in range(STEPS) for step in range(STEPS))


SUMMARY = """
name: pages
inputs: {text: text}
nodes:
  short:
    {kind: summarize, text: "{{ inputs.text }}", prompt: "[[say noted]] [[slow 1]]", model: echo/small, max_tokens: 50}
outputs: {short: "{{ short.text }}"}
triggers: [{kind: webhook}]
"""
ECHO = """
[server]
embedded = false
discover = false
[providers.echo]
wire = "echo"
place = "process"
models = ["small"]
[models."echo/small"]
context = 2_000
slots = 2
"""


@pytest.mark.long
def test_a_long_summary_goes_on_after_a_crash_and_asks_no_piece_again_that_was_answered(tmp_path: Path) -> None:
    home = tmp_path / "home"
    publish(home, SUMMARY)
    text = "\n\n".join(f"Clause {number} says that the rent is paid. " * 25 for number in range(24))
    with serving(home, ECHO) as server:
        assert server.ask("/hooks/flows/pages", {"text": text}).status == 202
        until(lambda: answered(server) >= 2)
        server.process.kill()
        server.process.wait()
    with serving(home, ECHO) as server:
        until(lambda: sizewise("flow", "runs", "--json", home=home).json["runs"][0]["state"] in ("done", "failed"))
        assert sizewise("flow", "runs", "--json", home=home).json["runs"][0]["state"] == "done"
        told = sizewise("records", "--last", "100", "--json", home=home).json["records"]
    replayed = [each for each in told if each["why"].startswith("replayed")]
    assert len(replayed) >= 2
    assert [each["error"] for each in told if each["status"] == 409] == ["outcome_unknown"]


def answered(server: Served) -> int:
    told = sizewise("records", "--last", "100", "--json", home=server.home).json["records"]
    return sum(each["status"] == 200 for each in told)
