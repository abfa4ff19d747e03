"""A fake server of OpenAI's Responses API: the `model` of a request selects a scripted response.

Run it: `python -m tests.fakes.fake_responses PORT`. Names: see SCRIPTS, ERRORS, MID and ODD. Every other one says two
words. It keeps nothing, and refuses a request that builds on what it would have to remember.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from sizewise.testing.upstream import FakeOpenAI, FaultResponder

Json = dict[str, Any]
Items = Sequence[Mapping[str, Any]]

USAGE: Mapping[str, Any] = {
    "input_tokens": 640,
    "input_tokens_details": {"cached_tokens": 600, "cache_write_tokens": 30},
    "output_tokens": 20,
    "output_tokens_details": {"reasoning_tokens": 5},
    "total_tokens": 660,
}
CITED: Mapping[str, object] = {
    "type": "url_citation",
    "start_index": 0,
    "end_index": 4,
    "title": "T",
    "url": "https://e.org",
}


def message(number: int, text: str, *annotations: Mapping[str, object], **more: object) -> Json:
    part = {"type": "output_text", "text": text, "annotations": list(annotations), "logprobs": []}
    shown = {"id": f"msg_{number}", "type": "message", "status": "completed", "role": "assistant", "content": [part]}
    return {**shown, **more}


def call(number: int, city: str) -> Json:
    arguments = json.dumps({"city": city}, ensure_ascii=False)
    shown = {"id": f"fc_{number}", "type": "function_call", "status": "completed", "call_id": f"call_{number}"}
    return {**shown, "name": "weather", "arguments": arguments}


SUMMARY = ("They greet me.", "I greet back.")
REASONING: Mapping[str, Any] = {
    "id": "rs_1",
    "type": "reasoning",
    "summary": [{"type": "summary_text", "text": text} for text in SUMMARY],
    "encrypted_content": "c2VhbGVk",
}
RAW: Mapping[str, Any] = {
    "id": "rs_2",
    "type": "reasoning",
    "summary": [],
    "content": [{"type": "reasoning_text", "text": "Hm, well."}],
}
SEARCH: Mapping[str, Any] = {
    "id": "ws_1",
    "type": "web_search_call",
    "status": "completed",
    "action": {"type": "search", "query": "rivers"},
}
REFUSAL: Mapping[str, Any] = message(1, "") | {"content": [{"type": "refusal", "refusal": "I cannot."}]}

SCRIPTS: Mapping[str, tuple[Items, str | None]] = {
    "well": ((message(1, "Good day."),), None),
    "calls": ((message(1, "Wait."), call(1, "Zürich"), call(2, "Oslo")), None),
    "thinks": ((REASONING, message(1, "Good day."), call(1, "Zürich")), None),
    "ponders": ((RAW, message(1, "Good day.")), None),
    "searches": ((SEARCH, message(1, "It is good.", CITED)), None),
    "comments": ((message(1, "Wait.", phase="commentary"), message(2, "Done.", phase="final_answer")), None),
    "declines": ((REFUSAL,), None),
    "cut": ((message(1, "Good day.", status="incomplete"),), "max_output_tokens"),
    "filtered": ((message(1, "Good day.", status="incomplete"),), "content_filter"),
}
"""Model -> the items of its answer, and why it is incomplete."""

ERRORS: Mapping[str, tuple[int, str | None, str]] = {
    "locked": (401, "invalid_api_key", "Incorrect API key provided: sk-responses-secret"),
    "busy": (429, "rate_limit_exceeded", "slow down"),
    "long": (400, "context_length_exceeded", "Your input exceeds the context window of this model."),
    "refuses": (400, "invalid_value", "this model takes no images"),
    "broken": (500, "server_error", "out of luck"),
}
MID = ("error-mid", "failed-mid", "reset-mid", "end-mid", "half-mid")
"""Models whose stream breaks off after the first word: by an error event, a failed response, a reset, a clean end that
is none, half a frame."""
ODD = ("silent", "empty-end", "failed", "queued")
"""Say all in their last event; end with an empty output; come whole and have failed, or have not begun."""


class FakeResponses(FakeOpenAI):
    """`async with FakeResponses() as up:` as its base; `up.received` what came."""

    def fault(self, model: str) -> FaultResponder:
        return _answer


async def _answer(body: Json, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    model, response = body["model"], _response(body)
    refused = ERRORS.get(model) or _objection(body)
    if refused:
        status, code, words = refused
        error = {"message": words, "type": "invalid_request_error", "param": None, "code": code}
        _whole(writer, status, {"error": error})
        return True
    if not body.get("stream"):
        _whole(writer, 200, response)
        return True
    kind = "content-type: text/event-stream; charset=utf-8"
    writer.write(f"HTTP/1.1 200 OK\r\n{kind}\r\ntransfer-encoding: chunked\r\n\r\n".encode())
    for number, event in enumerate(_events(response, model)):
        _chunk(writer, event, number)
        await writer.drain()
        if model in MID and event["type"] == "response.output_text.delta":
            return await _break(model, response, writer, number + 1)
    writer.write(b"0\r\n\r\n")
    return True


def _objection(body: Json) -> tuple[int, str | None, str] | None:
    """As the vendor would: what is not kept there cannot be pointed to."""
    if body.get("previous_response_id") or body.get("conversation"):
        return 400, "previous_response_not_found", "nothing is kept here"
    items = body["input"] if isinstance(body["input"], list) else []
    for item in items:
        if item.get("type") == "reasoning" and not (item.get("encrypted_content") or item.get("content")):
            return 404, None, f"Item with id {item.get('id')!r} not found."
    return None


def _response(body: Json) -> Json:
    model = body["model"]
    items, reason = SCRIPTS.get(model, SCRIPTS["well"])
    response: Json = {"id": "resp_double", "object": "response", "created_at": 1, "model": model, "status": "completed"}
    response |= {"output": [dict(item) for item in items], "usage": USAGE, "error": None, "incomplete_details": None}
    response |= {name: body.get(name) for name in ("instructions", "metadata", "store", "tools", "text", "temperature")}
    if reason:
        response |= {"status": "incomplete", "incomplete_details": {"reason": reason}}
    if model == "failed":
        response |= {"status": "failed", "output": [], "error": {"code": "server_error", "message": "out of luck"}}
    if model == "queued":
        response |= {"status": "queued", "output": []}
    return response


async def _break(model: str, response: Json, writer: asyncio.StreamWriter, number: int) -> bool:
    match model:
        case "reset-mid":
            writer.transport.abort()
            return False
        case "error-mid":
            _chunk(writer, {"type": "error", "code": "server_error", "message": "overloaded", "param": None}, number)
        case "failed-mid":
            error = {"code": "rate_limit_exceeded", "message": "slow down"}
            _chunk(writer, {"type": "response.failed", "response": {**response, "error": error}}, number)
        case "half-mid":
            data = b'event: response.output_text.delta\ndata: {"type":"response.outp'
            writer.write(b"%x\r\n%b\r\n" % (len(data), data))
    writer.write(b"0\r\n\r\n")
    return True


def _events(response: Json, model: str) -> list[Json]:
    """A response as its stream: each text and argument in two deltas, an event of a later day among them."""
    begun = {**response, "status": "in_progress", "output": [], "usage": None, "incomplete_details": None}
    events: list[Json] = [{"type": f"response.{kind}", "response": begun} for kind in ("created", "in_progress")]
    events.append({"type": "response.later", "delta": {"x": 1}})
    if model != "silent":
        for place, item in enumerate(response["output"]):
            events += [{**event, "output_index": place} for event in _item(item)]
    last = {**response, "output": []} if model == "empty-end" else response
    return [*events, {"type": f"response.{response['status']}", "response": last}]


def _item(item: Json) -> list[Json]:
    at = {"item_id": item["id"]}
    begun = {**item, "status": "in_progress"} if "status" in item else {**item}
    told: list[Json] = []
    match item["type"]:
        case "message":
            begun["content"] = []
            told = [
                event for i, part in enumerate(item["content"]) for event in _part(part, {**at, "content_index": i})
            ]
        case "function_call":
            begun["arguments"], kind = "", "response.function_call_arguments"
            told = _halves(kind, at, item["arguments"])
            told.append({"type": f"{kind}.done", **at, "arguments": item["arguments"]})
        case "reasoning":
            begun = {name: value for name, value in item.items() if name != "encrypted_content"}
            begun["summary"] = []
            for i, part in enumerate(item["summary"]):
                told += _summary(part, {**at, "summary_index": i})
            for i, part in enumerate(item.get("content", ())):
                told += _part(part, {**at, "content_index": i})
        case "web_search_call":
            told = [{"type": f"response.web_search_call.{kind}", **at} for kind in ("searching", "completed")]
    added, done = (
        {"type": f"response.output_item.{kind}", "item": each} for kind, each in (("added", begun), ("done", item))
    )
    return [added, *told, done]


def _part(part: Json, at: Json) -> list[Json]:
    field = "refusal" if part["type"] == "refusal" else "text"
    kind = f"response.{part['type']}"
    events = [{"type": "response.content_part.added", **at, "part": {**part, field: "", "annotations": []}}]
    events += _halves(kind, at, part[field])
    for i, each in enumerate(part.get("annotations") or ()):
        events.append({"type": f"{kind}.annotation.added", **at, "annotation": each, "annotation_index": i})
    return [
        *events,
        {"type": f"{kind}.done", **at, field: part[field]},
        {"type": "response.content_part.done", **at, "part": part},
    ]


def _summary(part: Json, at: Json) -> list[Json]:
    kind = "response.reasoning_summary_text"
    added, done = (
        {"type": f"response.reasoning_summary_part.{each}", **at, "part": part} for each in ("added", "done")
    )
    return [added, *_halves(kind, at, part["text"]), {"type": f"{kind}.done", **at, "text": part["text"]}, done]


def _halves(kind: str, at: Json, text: str) -> list[Json]:
    half = len(text) // 2
    return [{"type": f"{kind}.delta", **at, "delta": each, "logprobs": []} for each in (text[:half], text[half:])]


def _whole(writer: asyncio.StreamWriter, status: int, body: Json) -> None:
    data = json.dumps(body).encode()
    more = "retry-after: 7\r\n" if status == 429 else ""
    head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{more}content-length: {len(data)}\r\n\r\n"
    writer.write(head.encode() + data)


def _chunk(writer: asyncio.StreamWriter, event: Json, number: int) -> None:
    data = f"event: {event['type']}\ndata: {json.dumps({**event, 'sequence_number': number})}\n\n".encode()
    writer.write(b"%x\r\n%b\r\n" % (len(data), data))


async def main(port: int) -> None:
    async with FakeResponses(port):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
