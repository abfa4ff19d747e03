"""Tool calls of upstreams that send no id, no index or the same twice: every client can still tell its calls apart."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from sizewise.testing.upstream import FakeOpenAI, FaultResponder, _answers, _chunk, _stream
from tests.gateway.server_harness import beside, frames
from tests.running_server import Answer, Served, serving

ABSENT = "absent"
TOOL = {"name": "look", "description": "Looks.", "parameters": {"type": "object", "properties": {}}}
ARGUMENTS = ['{"a":1}', '{"b":2}']


def call(place: int, *, id: Any = ABSENT, index: Any = ABSENT, **more: object) -> dict[str, object]:
    shown = {"id": id, "index": index, "function": {"name": "look", "arguments": ARGUMENTS[place]}, **more}
    return {name: value for name, value in shown.items() if value is not ABSENT}


def streamed(*calls: dict[str, object], together: bool = False) -> FaultResponder:
    deltas = [list(calls)] if together else [[each] for each in calls]
    return _stream(*(_chunk({"tool_calls": each}) for each in deltas), _chunk({}, "tool_calls"))


def in_pieces(**more: Any) -> FaultResponder:
    """Two calls one after the other, each with its arguments in three pieces."""
    pieces = []
    for place, text in enumerate(ARGUMENTS):
        index = {"index": more.get("index", place)} if more.get("index") is not ABSENT else {}
        first = {"function": {"name": "look", "arguments": text[:2]}, **index}
        pieces.append(first | ({"id": more["id"]} if "id" in more else {}))
        pieces += [{"function": {"arguments": part}, **index} for part in (text[2:4], text[4:])]
    return _stream(*(_chunk({"tool_calls": [each]}) for each in pieces), _chunk({}, "tool_calls"))


def whole(*calls: dict[str, object]) -> FaultResponder:
    message = {"role": "assistant", "content": None, "tool_calls": list(calls)}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    return _answers("200 OK", json.dumps({"id": "up-1", "object": "chat.completion", "choices": [choice]}).encode())


STREAMED: dict[str, FaultResponder] = {
    "no-id": streamed(call(0, index=0), call(1, index=1)),
    "id-null": streamed(call(0, id=None, index=0), call(1, id=None, index=1)),
    "id-empty": streamed(call(0, id="", index=0), call(1, id="", index=1)),
    "same-id": streamed(call(0, id="call_0", index=0), call(1, id="call_0", index=1)),
    "no-index": streamed(call(0, id="x"), call(1, id="y")),
    "index-null": streamed(call(0, id="x", index=None), call(1, id="y", index=None)),
    "index-zero": streamed(call(0, id="x", index=0), call(1, id="y", index=0)),
    "nothing": streamed(call(0), call(1)),
    "one-chunk": streamed(call(0), call(1), together=True),
    "pieces-no-id": in_pieces(),
    "pieces-nothing": in_pieces(index=ABSENT),
    "pieces-index-null": in_pieces(index=None, id=None),
    "late-id": _stream(
        _chunk({"tool_calls": [{"index": 0, "function": {"name": "look", "arguments": '{"a"'}}]}),
        _chunk({"tool_calls": [{"index": 0, "id": "late", "function": {"arguments": ":1}"}}]}),
        _chunk({"tool_calls": [call(1, id="y", index=1)]}),
        _chunk({}, "tool_calls"),
    ),
}
WHOLE: dict[str, FaultResponder] = {
    "no-id": whole(call(0, type="function"), call(1, type="function")),
    "id-null": whole(call(0, id=None), call(1, id=None)),
    "id-empty": whole(call(0, id=""), call(1, id="")),
    "same-id": whole(call(0, id="call_0"), call(1, id="call_0")),
    "no-type": whole(call(0, id="x"), call(1, id="y")),
    "type-null": whole(call(0, id="x", type=None), call(1, id="y", type=None)),
}


class CallingUpstream(FakeOpenAI):
    def fault(self, model: str) -> FaultResponder:
        return (STREAMED if self.received.bodies[-1].get("stream") else WHOLE)[model]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with beside(CallingUpstream) as up:
        models = json.dumps(sorted({*STREAMED, *WHOLE}))
        config = "[server]\nembedded = false\ndiscover = false\n"
        config += f'[providers.odd]\nbase_url = "{up.url}"\nplace = "machine"\nmodels = {models}\n'
        with serving(tmp_path_factory.mktemp("calls"), config) as served:
            yield served


def ask(server: Served, endpoint: str, name: str, stream: bool) -> Answer:
    body: dict[str, Any] = {"model": f"odd/{name}", "stream": stream}
    if endpoint == "chat":
        body |= {"messages": [{"role": "user", "content": "hi"}], "tools": [{"type": "function", "function": TOOL}]}
        answer = server.ask("/v1/chat/completions", body)
    elif endpoint == "messages":
        tool = {"name": "look", "description": "Looks.", "input_schema": TOOL["parameters"]}
        body |= {"messages": [{"role": "user", "content": "hi"}], "tools": [tool], "max_tokens": 9}
        answer = server.ask("/v1/messages", body)
    else:
        answer = server.ask("/v1/responses", body | {"input": "hi", "tools": [{"type": "function", **TOOL}]})
    assert answer.status == 200, answer.body
    return answer


def chat_calls(answer: Answer, stream: bool) -> list[tuple[str, str, str]]:
    """(id, name, arguments) as a client puts them together."""
    if not stream:
        found = json.loads(answer.body)["choices"][0]["message"]["tool_calls"]
        assert all(each["type"] == "function" for each in found)
        return [(each["id"], each["function"]["name"], each["function"]["arguments"]) for each in found]
    calls: dict[int, list[str]] = {}
    for chunk in frames(answer.body):
        for choice in chunk["choices"] if chunk != "[DONE]" else ():
            for each in choice["delta"].get("tool_calls") or ():
                known = calls.setdefault(each["index"], ["", "", ""])
                function = each.get("function", {})
                for place, piece in enumerate((each.get("id"), function.get("name"), function.get("arguments"))):
                    known[place] += piece or ""
    return [(id, name, arguments) for _, (id, name, arguments) in sorted(calls.items())]


def data(answer: Answer) -> list[Any]:
    lines = [line for line in answer.body.decode().split("\n") if line.startswith("data: {")]
    return [json.loads(line.removeprefix("data: ")) for line in lines]


def messages_calls(answer: Answer, stream: bool) -> list[tuple[str, str, str]]:
    if not stream:
        blocks = [each for each in json.loads(answer.body)["content"] if each["type"] == "tool_use"]
        return [(each["id"], each["name"], json.dumps(each["input"], separators=(",", ":"))) for each in blocks]
    events = data(answer)
    begun = {each["index"]: each["content_block"] for each in events if each["type"] == "content_block_start"}
    text = dict.fromkeys(begun, "")
    for each in events:
        if each["type"] == "content_block_delta":
            text[each["index"]] += each["delta"]["partial_json"]
    return [(block["id"], block["name"], text[index]) for index, block in begun.items()]


def responses_calls(answer: Answer, stream: bool) -> list[tuple[str, str, str]]:
    whole = data(answer)[-1]["response"] if stream else json.loads(answer.body)
    return [
        (each["call_id"], each["name"], each["arguments"])
        for each in whole["output"]
        if each["type"] == "function_call"
    ]


READERS = {"chat": chat_calls, "messages": messages_calls, "responses": responses_calls}


@pytest.mark.parametrize("endpoint", READERS)
@pytest.mark.parametrize(
    ("name", "stream"),
    [*((name, True) for name in STREAMED), *((name, False) for name in WHOLE)],
    ids=lambda each: each if isinstance(each, str) else ("stream" if each else "whole"),
)
def test_each_call_has_an_id_of_its_own_and_its_own_arguments(
    server: Served, endpoint: str, name: str, stream: bool
) -> None:
    calls = READERS[endpoint](ask(server, endpoint, name, stream), stream)
    assert [(name, arguments) for _, name, arguments in calls] == [("look", each) for each in ARGUMENTS]
    ids = [id for id, _, _ in calls]
    assert len(set(ids)) == 2 and all(ids)
    if name in ("no-index", "index-null", "index-zero", "no-type", "type-null"):
        assert ids == ["x", "y"], "an id that the upstream gave stays"
