"""What clients and the log see of upstreams' error texts: no secret, traceback or prompt; of a 5xx's, no word."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from sizewise.testing.upstream import FakeOpenAI, FaultResponder, _answers, _chunk, _stream
from tests.gateway.server_harness import SECRET, beside
from tests.running_server import Answer, Served, serving, until

PLAIN_WORDS = "`temperature` must be at most 2"
INNER_WORDS = "shard seven lost its disk"
SECRETS = (
    "sk-proj-" + "aB3dE5gH7jK9mN1pQ3sT5",
    "AKIA" + "Q7ZR2MX4LT9WB6KD",
    "wK9xT2" + "vQ/r7LmZ4pB+1nYc8sHd5GfJ3eUa0oXi6bRt",
    "hunter2" + "Xq9",
    "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiI0MiJ9.c2lnbmF0dXJlLW9mLXRoYXQ",
)
TRACEBACK = (
    'Traceback (most recent call last):\n  File "/srv/app/serve.py", line 7, in run\n    go(weights)\nKeyError: 1'
)
LEAK = (
    f"key {SECRETS[0]}, {SECRETS[1]}, aws_secret_access_key={SECRETS[2]}, "
    f"postgres://admin:{SECRETS[3]}@db.internal:5432/x, token {SECRETS[4]}"
)
PROMPT = "Where did Wilhelmina hide the violet lantern?"
ENDPOINTS = ("chat", "messages", "responses")
WIRES = ("openai", "anthropic", "responses")
BODY = f"{PLAIN_WORDS}; {LEAK}\n{TRACEBACK}"


def _error(words: str, kind: str = "server_error") -> dict[str, object]:
    return {"type": "error", "error": {"type": kind, "message": words}}


def _event(value: object) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def _json(status: str, words: str) -> FaultResponder:
    return _answers(status, json.dumps(_error(words)).encode())


FAULTS: dict[str, FaultResponder] = {
    "client": _json("400 Bad Request", BODY),
    "busy": _json("429 Too Many Requests", BODY),
    "cut": _json("400 Bad Request", f"{PLAIN_WORDS} {'x ' * 230}{LEAK}"),  # the 500th character is inside of a secret
    "server": _json("500 Internal Server Error", f"{INNER_WORDS}; {LEAK}"),
    "down": _json("503 Service Unavailable", f"{INNER_WORDS}; {LEAK}"),
    "window": _json("500 Internal Server Error", f"context length is 7; {INNER_WORDS}; {LEAK}"),
    "text": _answers("502 Bad Gateway", f"{INNER_WORDS} {LEAK}\n{TRACEBACK}".encode(), kind="text/plain"),
    "wrong": _answers("200 OK", json.dumps(_error(f"{INNER_WORDS}; {LEAK}")).encode()),
    "locked": _json("401 Unauthorized", f"{INNER_WORDS}; {LEAK}"),
    "parrot": _json("500 Internal Server Error", f"cannot read {PROMPT!r}"),
    "mid": _stream(_chunk({"role": "assistant", "content": "Hel"}), _event(_error(f"{INNER_WORDS}; {LEAK}"))),
    "begin": _stream(_event(_error(f"{INNER_WORDS}; {LEAK}"))),
}
OURS = ("server", "down", "window", "text", "wrong")
"""Faults of which the client gets our sentence."""


class LeakyUpstream(FakeOpenAI):
    """A model's name up to the dash is its fault; the rest gives each test a circuit breaker of its own."""

    def fault(self, model: str) -> FaultResponder:
        return FAULTS[model.partition("-")[0]]


MODELS = [f"{fault}-{end}" for fault in FAULTS for end in (*ENDPOINTS, *(f"{e}-stream" for e in ENDPOINTS), "more")]
FLOW = """
name: leaky
inputs: {question: text}
nodes:
  answer: {kind: ask, model: openai/client-more, prompt: "{{ inputs.question }}"}
outputs: {answer: "{{ answer.text }}"}
"""


@pytest.fixture(scope="module", params=[True, False], ids=["fast", "plain"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("leaky")
    (home / "flows").mkdir()
    (home / "flows" / "leaky.yaml").write_text(FLOW)
    with beside(LeakyUpstream) as up:
        rows = "".join(
            f'[providers.{wire}]\nwire = "{wire}"\nbase_url = "{up.url}"\nkey = "env:UPSTREAM_KEY"\nplace = "machine"\n'
            f"models = {json.dumps(MODELS)}\n"
            for wire in (*WIRES, "locked")
        ).replace('wire = "locked"', 'wire = "openai"')
        head = f"[server]\nembedded = false\ndiscover = false\nfast_path = {str(request.param).lower()}\n"
        with serving(home, head + rows, UPSTREAM_KEY=SECRET) as served:
            yield served


def ask(server: Served, endpoint: str, model: str, stream: bool = False) -> Answer:
    said = [{"role": "user", "content": PROMPT}]
    if endpoint == "responses":
        return server.ask("/v1/responses", {"model": model, "input": PROMPT, "stream": stream})
    body: dict[str, object] = {"model": model, "messages": said, "stream": stream}
    if endpoint == "messages":
        return server.ask("/v1/messages", body | {"max_tokens": 50})
    return server.ask("/v1/chat/completions", body)


def wires(server: Served, endpoint: str) -> tuple[str, ...]:
    """All upstreams' wires behind the fast lane; without it one for each endpoint."""
    return (
        WIRES
        if "fast_path = true" in (server.home / "sizewise.toml").read_text()
        else (WIRES[ENDPOINTS.index(endpoint)],)
    )


def clean(text: str) -> str:
    """`text`, in which nothing stands that an upstream must not tell."""
    assert SECRET not in text
    for secret in SECRETS:
        assert not any(secret[at : at + 8] in text for at in range(3, len(secret) - 7)), text
    assert "Traceback" not in text and "serve.py" not in text, text
    return text


def message(answer: Answer) -> str:
    shown: Any = answer.json
    text: str = shown["error"]["message"]
    return text


@pytest.mark.long
@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_clients_mistake_is_explained_without_the_upstreams_secrets(
    server: Served, endpoint: str, stream: bool
) -> None:
    for wire in wires(server, endpoint):
        for fault, status in (("client", 400), ("busy", 429), ("cut", 400)):
            answer = ask(server, endpoint, f"{wire}/{fault}-{endpoint}{'-stream' if stream else ''}", stream)
            assert answer.status == status, answer.body
            assert PLAIN_WORDS in clean(message(answer)) and clean(answer.body.decode())
            assert "db.internal" in message(answer) or fault == "cut"  # the address helps, the password is gone


@pytest.mark.long
@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_failing_upstreams_own_words_are_replaced_by_ours_and_the_trace(
    server: Served, endpoint: str, stream: bool
) -> None:
    for wire in wires(server, endpoint):
        for fault in OURS:
            if fault == "wrong" and stream:
                continue
            answer = ask(server, endpoint, f"{wire}/{fault}-{endpoint}{'-stream' if stream else ''}", stream)
            assert answer.status >= 400, answer.body
            assert INNER_WORDS not in clean(answer.body.decode())
            if fault != "window":
                assert answer.status >= 500
                assert answer.headers["x-request-id"] in message(answer), answer.body


def test_a_rejected_key_of_ours_is_no_clients_business(server: Served) -> None:
    for endpoint in ENDPOINTS:  # three in a row: then the breaker of the key opens
        answer = ask(server, endpoint, f"locked/locked-{endpoint}")
        assert answer.status == 502 and INNER_WORDS not in clean(answer.body.decode())
    until(lambda: any("locked/locked-chat" in line and INNER_WORDS in line for line in server.said))


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_an_error_in_mid_stream_has_our_words_and_the_trace(server: Served, endpoint: str) -> None:
    answer = ask(server, endpoint, f"openai/mid-{endpoint}-stream", stream=True)
    assert answer.status == 200 and "Hel" in answer.body.decode()
    assert INNER_WORDS not in clean(answer.body.decode())
    assert "the answer was interrupted: the upstream failed: HTTP 502" in answer.body.decode()
    assert f"trace {answer.headers['x-request-id']}" in answer.body.decode()
    for wire in wires(server, endpoint):
        begun = ask(server, endpoint, f"{wire}/begin-{endpoint}-stream", stream=True)
        assert INNER_WORDS not in clean(begun.body.decode()) and begun.headers["x-request-id"] in begun.body.decode()


def test_embeddings_and_flows_tell_no_secrets_either(server: Served) -> None:
    embedded = server.ask("/v1/embeddings", {"model": "openai/client-more", "input": PROMPT})
    assert embedded.status >= 400 and clean(embedded.body.decode())
    flowed = server.chat("flow:leaky", PROMPT)
    assert flowed.status == 400 and PLAIN_WORDS in clean(message(flowed))


def test_the_operator_finds_what_the_upstream_wrote_in_the_log_without_secrets_and_prompts(server: Served) -> None:
    answer = server.chat("openai/server-more", PROMPT)
    parrot = server.chat("openai/parrot-more", PROMPT)
    for one in (answer, parrot):
        until(lambda one=one: any(one.headers["x-request-id"] in line for line in server.said))
    lines = [line for line in server.said if "openai/server-more" in line]
    assert len(lines) == 1 and INNER_WORDS in lines[0] and "server_error" in lines[0]
    assert any("it repeats the prompt" in line for line in server.said if "openai/parrot-more" in line)
    clean("".join(server.said))
    assert "Wilhelmina" not in "".join(server.said)


def test_an_upstream_that_repeats_itself_is_logged_once(server: Served) -> None:
    for _ in range(2):
        server.chat("anthropic/text-more", PROMPT)
    end = server.chat("anthropic/server-more", PROMPT)
    until(lambda: any(end.headers["x-request-id"] in line for line in server.said))
    assert len([line for line in server.said if "anthropic/text-more" in line]) == 1
