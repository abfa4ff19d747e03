"""No key and no word of a prompt is logged, told or left in a file, whatever goes wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sizewise.testing.upstream import FAULTS, FakeOpenAI
from tests.gateway.server_harness import CHAT, SECRET, Line, settings
from tests.graphql.graphql_client import graphql
from tests.running_server import serving

PROMPT = "canary-prompt-7f3a91c2"
KEY = "canary-key-5d1e8a0b77aa2200"
WRONG = "canary-wrong-key-91ab33"


def test_a_canary_is_in_no_log_no_error_and_no_file(upstream: FakeOpenAI, tmp_path: Path) -> None:
    home, told_back = tmp_path / "home", []
    with serving(home, settings(upstream.url), key=KEY, UPSTREAM_KEY=SECRET) as app:
        said = [{"role": "user", "content": PROMPT}]
        for fault in ("well", *FAULTS):
            for name in ("whole", "flow"):
                body = {"model": f"{name}/{fault}", "messages": said, "stream": name == "flow"}
                told_back.append(app.ask(CHAT, body).body if "hang" not in fault else b"")
        for broken in (b'{"model": "%b' % PROMPT.encode(), b'{"messages": "%b"}' % PROMPT.encode(), PROMPT.encode()):
            for path in (CHAT, "/v1/messages", "/v1/responses", "/v1/embeddings", "/graphql"):
                told_back.append(app.ask(path, broken).body)
        for cue in ("[[fail]]", "[[fail garbled]]", "[[fail after=2]]", "[[nonsense]]", "[[finish length]]"):
            for stream in (False, True):
                app.chat("echo/small", f"{PROMPT} {cue}", stream=stream)
        app.ask("/v1/responses", {"model": "echo/small", "input": PROMPT})
        app.ask(CHAT, {"model": "echo/small", "messages": said}, idempotency_key="once")
        app.chat("auto", PROMPT, response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": {}}})
        graphql(app, f'{{ explain(prompt: "{PROMPT}") {{ why }} nonsense }}')
        ways: list[dict[str, Any]] = [
            {"authorization": f"Bearer {WRONG}"},
            {"x_api_key": WRONG},
            {"authorization": f"Basic {WRONG}"},
        ]
        for way in ways:
            told_back.append(app.ask(CHAT, {"model": "auto", "messages": said}, key=None, **way).body)
        with Line(app) as line:
            line.say(f"GET /{PROMPT} {WRONG}\r\n\r\n".encode())
            told_back.append(line.answer().body)
    lines, answers = "".join(app.said), b"".join(told_back)
    for canary in (PROMPT, KEY, WRONG, SECRET):
        assert canary not in lines, "a log holds it"
    for secret in (KEY, WRONG, SECRET):
        assert secret.encode() not in answers, "an answer holds it"
    files = [file for file in home.rglob("*") if file.is_file()]
    assert len(files) > 3
    for canary in (PROMPT, KEY, WRONG, SECRET):
        assert [file.name for file in files if canary.encode() in file.read_bytes()] == []
