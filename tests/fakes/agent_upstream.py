"""An upstream for coding agents: speaks three wires, calls the scripted tools one a turn, and keeps every body."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Json = dict[str, Any]
FINAL = "All done."
MODEL = "agent-model"


class AgentUpstream:
    """`calls`: (tool, arguments as JSON text) by turn; after them, or if that tool is not offered, FINAL.

    `counts`: the status of endpoints that count tokens (200: 123 tokens).
    """

    def __init__(self, calls: Sequence[tuple[str, str]] = ()) -> None:
        self.calls = list(calls)
        self.counts = 200
        self.requests: list[tuple[str, Json]] = []
        self.url = ""

    @property
    def last(self) -> Json:
        return self.requests[-1][1]

    def answer(self, path: str, body: Json) -> tuple[int, bytes, str]:
        """Status, body and its content type."""
        self.requests.append((path, body))
        if path.endswith(("/count_tokens", "/input_tokens")):
            return self.counts, json.dumps({"input_tokens": 123} if self.counts == 200 else {}).encode(), JSON
        wire = next(wire for wire in (_Chat, _Messages, _Responses) if path.endswith(wire.path))
        turn, offered = wire.results(body), wire.tools(body)
        call = self.calls[turn] if turn < len(self.calls) and self.calls[turn][0] in offered else None
        if not body.get("stream"):
            return 200, json.dumps(wire.whole(call, turn)).encode(), JSON
        return 200, "".join(wire.stream(call, turn)).encode(), "text/event-stream"


JSON = "application/json"


class _Chat:
    path = "/chat/completions"

    @staticmethod
    def results(body: Json) -> int:
        return sum(message["role"] == "tool" for message in body["messages"])

    @staticmethod
    def tools(body: Json) -> list[str]:
        return [tool["function"]["name"] for tool in body.get("tools") or ()]

    @staticmethod
    def whole(call: tuple[str, str] | None, turn: int) -> Json:
        message: Json = {"role": "assistant", "content": None if call else FINAL}
        if call:
            message["tool_calls"] = [_function_call(call, turn)]
        choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if call else "stop"}
        return {"id": "up", "object": "chat.completion", "created": 1, "model": MODEL, "choices": [choice]} | USAGE

    @staticmethod
    def stream(call: tuple[str, str] | None, turn: int) -> Iterator[str]:
        delta: Json = {"tool_calls": [{"index": 0, **_function_call(call, turn)}]} if call else {"content": FINAL}
        head = {"id": "up", "object": "chat.completion.chunk", "created": 1, "model": MODEL}
        finish = "tool_calls" if call else "stop"
        for choice in ({"delta": delta, "finish_reason": None}, {"delta": {}, "finish_reason": finish}):
            yield f"data: {json.dumps({**head, 'choices': [{'index': 0, **choice}]})}\n\n"
        yield f"data: {json.dumps({**head, 'choices': []} | USAGE)}\n\ndata: [DONE]\n\n"


USAGE = {"usage": {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12}}
OUTPUT_USAGE = {"input_tokens": 10, "output_tokens": 2, "total_tokens": 12}


def _function_call(call: tuple[str, str], turn: int) -> Json:
    return {"id": f"call_{turn}", "type": "function", "function": {"name": call[0], "arguments": call[1]}}


class _Messages:
    path = "/messages"

    @staticmethod
    def results(body: Json) -> int:
        blocks = [b for m in body["messages"] if isinstance(m["content"], list) for b in m["content"]]
        return sum(block["type"] == "tool_result" for block in blocks)

    @staticmethod
    def tools(body: Json) -> list[str]:
        return [tool["name"] for tool in body.get("tools") or ()]

    @staticmethod
    def whole(call: tuple[str, str] | None, turn: int) -> Json:
        block: Json = {"type": "text", "text": FINAL}
        if call:
            block = {"type": "tool_use", "id": f"toolu_{turn}", "name": call[0], "input": json.loads(call[1])}
        return {
            "id": "msg_up",
            "type": "message",
            "role": "assistant",
            "model": MODEL,
            "content": [block],
            "stop_reason": "tool_use" if call else "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": 10, "output_tokens": 2},
        }

    @classmethod
    def stream(cls, call: tuple[str, str] | None, turn: int) -> Iterator[str]:
        whole = cls.whole(call, turn)
        [block] = whole["content"]
        delta: Json = {"type": "text_delta", "text": FINAL}
        if call:
            delta = {"type": "input_json_delta", "partial_json": call[1]}
        empty = {**block, "input": {}} if call else {**block, "text": ""}
        yield _event("message_start", message={**whole, "content": [], "stop_reason": None})
        yield _event("content_block_start", index=0, content_block=empty)
        yield _event("content_block_delta", index=0, delta=delta)
        yield _event("content_block_stop", index=0)
        stop = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
        yield _event("message_delta", delta=stop, usage={"output_tokens": 2})
        yield _event("message_stop")


class _Responses:
    path = "/responses"

    @staticmethod
    def results(body: Json) -> int:
        items = body["input"] if isinstance(body["input"], list) else []
        return sum(item.get("type", "").endswith("_output") for item in items)

    @staticmethod
    def tools(body: Json) -> list[str]:
        tools = body.get("tools") or ()
        inner = [each["name"] for tool in tools for each in tool.get("tools") or ()]
        return [tool.get("name", tool["type"]) for tool in tools] + inner

    @staticmethod
    def whole(call: tuple[str, str] | None, turn: int) -> Json:
        item: Json = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed"}
        item["content"] = [{"type": "output_text", "text": FINAL, "annotations": []}]
        if call:
            item = {"type": "function_call", "id": "fc_1", "call_id": f"call_{turn}", "status": "completed"}
            item |= {"name": call[0], "arguments": call[1]}
        head = {"id": "resp_up", "object": "response", "created_at": 1, "status": "completed", "model": MODEL}
        return {**head, "output": [item], "usage": OUTPUT_USAGE}

    @classmethod
    def stream(cls, call: tuple[str, str] | None, turn: int) -> Iterator[str]:
        whole = cls.whole(call, turn)
        [item] = whole["output"]
        yield _event("response.created", response={**whole, "status": "in_progress", "output": []})
        started = {**item, "arguments": ""} if call else {**item, "content": []}
        yield _event("response.output_item.added", output_index=0, item=started)
        kind, delta = ("function_call_arguments", call[1]) if call else ("output_text", FINAL)
        yield _event(f"response.{kind}.delta", output_index=0, content_index=0, item_id=item["id"], delta=delta)
        yield _event("response.output_item.done", output_index=0, item=item)
        yield _event("response.completed", response=whole)


def _event(kind: str, **more: Any) -> str:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **more})}\n\n"


@contextlib.contextmanager
def answering(upstream: AgentUpstream) -> Iterator[AgentUpstream]:
    """The upstream on a free port of this machine; `upstream.url` ends in /v1."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            status, data, kind = upstream.answer(self.path.partition("?")[0], body)
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    upstream.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield upstream
    finally:
        server.shutdown()
        server.server_close()
        thread.join(60)


WIRES = ("openai", "anthropic", "responses")


def settings(url: str, drop: Sequence[str] = ()) -> str:
    """One provider a wire, named after it; and `lenient-WIRE`, which drops `drop`."""
    rows = [
        f'[providers.{name}]\nwire = "{wire}"\nbase_url = "{url}"\nplace = "machine"\nmodels = ["{MODEL}"]\n'
        + (f"drop_params = {json.dumps(list(drop))}\n" if name != wire else "")
        + f'[models."{name}/{MODEL}"]\ntools = true\ninput_modalities = ["image", "file"]\n'
        for wire in WIRES
        for name in (wire, f"lenient-{wire}")
    ]
    return "[server]\nembedded = false\ndiscover = false\n" + "".join(rows)
