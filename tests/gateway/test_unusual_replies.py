"""Replies with null deltas, no usage, no ids or a byte order mark reach the client as an answer, at each endpoint."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from sizewise.testing.upstream import FakeOpenAI, FaultResponder, _answers, _chunk, _stream
from tests.gateway.server_harness import beside, booked, frames
from tests.running_server import Answer, Served, serving, until

BOM = b"\xef\xbb\xbf"
USAGE = {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}


def _event(choice: object, **more: object) -> bytes:
    shown = {"id": "up-1", "object": "chat.completion.chunk", "created": 1, "model": "up", "choices": [choice], **more}
    return b"data: " + json.dumps(shown).encode() + b"\n\n"


def _whole(**more: object) -> bytes:
    """A completion; a field that is `...` is left out."""
    choice = {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
    shown = {
        "id": "up-1",
        "object": "chat.completion",
        "created": 1,
        "model": "up",
        "choices": [choice],
        "usage": USAGE,
    }
    return json.dumps({name: value for name, value in (shown | more).items() if value is not ...}).encode()


HI, END = _chunk({"content": "Hi"}), _chunk({}, "stop")
EMPTY = {"index": 0, "delta": None, "finish_reason": None}
NO_IDS: dict[str, object] = {"id": None, "model": None, "object": None, "created": None}
STREAMED: dict[str, FaultResponder] = {
    "delta-null": _stream(_event(EMPTY), HI, _event(EMPTY), _event({**EMPTY, "finish_reason": "stop"})),
    "delta-missing": _stream(_event({"index": 0}), HI, _event({"index": 0, "finish_reason": "stop"})),
    "usage-null": _stream(_event({"index": 0, "delta": {"content": "Hi"}}, usage=None), END),
    "ids-null": _stream(_event({"index": 0, "delta": {"content": "Hi"}}, **NO_IDS), END),
    "ids-missing": _stream(
        b'data: {"choices":[{"delta":{"content":"Hi"}}]}\n\n',
        b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n',
    ),
    "bom": _stream(BOM + HI, END),
    "bom-cut": _stream(BOM[:1], BOM[1:], HI, END),
}
WHOLE: dict[str, FaultResponder] = {
    "usage-null": _answers("200 OK", _whole(usage=None)),
    "usage-missing": _answers("200 OK", _whole(usage=...)),
    "ids-null": _answers("200 OK", _whole(**NO_IDS)),
    "ids-missing": _answers("200 OK", _whole(**dict.fromkeys(NO_IDS, ...))),
    "bom": _answers("200 OK", BOM + _whole()),
}


class UnusualUpstream(FakeOpenAI):
    def fault(self, model: str) -> FaultResponder:
        if model == "refuses":
            return _answers("400 Bad Request", BOM + b'{"error":{"message":"this model takes no images"}}')
        return (STREAMED if self.received.bodies[-1].get("stream") else WHOLE)[model]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with beside(UnusualUpstream) as up:
        models = json.dumps(["refuses", *sorted({*STREAMED, *WHOLE})])
        config = "[server]\nembedded = false\ndiscover = false\n"
        config += f'[providers.odd]\nbase_url = "{up.url}"\nplace = "machine"\nmodels = {models}\n'
        with serving(tmp_path_factory.mktemp("unusual"), config) as served:
            yield served


def ask(server: Served, endpoint: str, name: str, stream: bool) -> Answer:
    body: dict[str, object] = {"model": f"odd/{name}", "stream": stream}
    if endpoint == "responses":
        return server.ask("/v1/responses", body | {"input": "Hello"})
    body["messages"] = [{"role": "user", "content": "Hello"}]
    if endpoint == "messages":
        return server.ask("/v1/messages", body | {"max_tokens": 9})
    return server.ask("/v1/chat/completions", body)


@pytest.mark.parametrize("endpoint", ["chat", "messages", "responses"])
def test_an_unusual_stream_is_an_answer(server: Served, endpoint: str) -> None:
    end = {"chat": "[DONE]", "messages": "message_stop", "responses": "response.completed"}[endpoint]
    for name in STREAMED:
        answer = ask(server, endpoint, name, stream=True)
        text = answer.body.decode()
        assert answer.status == 200 and '"Hi"' in text and end in text, (name, text)


@pytest.mark.parametrize("endpoint", ["chat", "messages", "responses"])
def test_an_unusual_reply_is_an_answer(server: Served, endpoint: str) -> None:
    for name in WHOLE:
        answer = ask(server, endpoint, name, stream=False)
        assert answer.status == 200 and '"Hi"' in answer.body.decode(), (name, answer.body)
        assert not answer.body.startswith(BOM)


@pytest.mark.parametrize("name", ["delta-null", "delta-missing"])
def test_each_choice_of_a_chunk_has_a_delta_for_the_client(server: Served, name: str) -> None:
    chunks = [each for each in frames(ask(server, "chat", name, stream=True).body) if each != "[DONE]"]
    assert all(isinstance(choice["delta"], dict) for chunk in chunks for choice in chunk["choices"]), chunks
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"


def test_missing_usage_is_estimated_in_the_record(server: Served) -> None:
    for stream in (False, True):
        trace = ask(server, "chat", "usage-null", stream).headers["x-request-id"]
        until(lambda trace=trace: booked(server.home, trace))
        (row,) = booked(server.home, trace)
        assert row["estimated"] and row["input"] > 0 and row["output"] > 0


def test_an_error_with_a_byte_order_mark_keeps_its_text(server: Served) -> None:
    assert ask(server, "chat", "refuses", stream=False).error["message"] == "this model takes no images"
