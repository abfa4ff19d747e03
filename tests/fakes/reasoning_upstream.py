"""A double of a reasoning model: thinks by `reasoning_effort`, and is right on sums up to as many digits as it thought.

It speaks OpenAI's wire. At effort `none` it is right on sums of one digit, at `low` of two, at `medium` of three, at
`high` of four. It knows when it is beyond that: its log-probabilities say so. The model `large` is always right.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

DIGITS = {"none": 1, "low": 2, "medium": 3, "high": 4}
THINKS = {"none": 0, "low": 60, "medium": 250, "high": 900}
SURE, UNSURE = -0.01, -2.5
LARGE_TOKENS = 400


class ReasoningUpstream:
    """`bodies`: of the requests so far."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.url = ""


@contextlib.contextmanager
def reasoning_upstream() -> Iterator[ReasoningUpstream]:
    double = ReasoningUpstream()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            double.bodies.append(body)
            answer = json.dumps(_answer(body)).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        double.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield double
        finally:
            server.shutdown()


def _answer(body: dict[str, Any]) -> dict[str, object]:
    effort = body.get("reasoning_effort", "medium")
    asked = re.findall(r"\d+", body["messages"][-1]["content"])
    is_large = body["model"] == "large"
    knows = is_large or max(map(len, asked), default=1) <= DIGITS[effort]
    text = str(sum(map(int, asked)) + (0 if knows else 1))
    thought = LARGE_TOKENS if is_large else THINKS[effort]
    token = {"token": text, "logprob": SURE if knows else UNSURE, "bytes": list(text.encode()), "top_logprobs": []}
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": text},
        "finish_reason": "stop",
        "logprobs": {"content": [token]} if body.get("logprobs") else None,
    }
    usage = {
        "prompt_tokens": 20,
        "completion_tokens": thought + 1,
        "total_tokens": thought + 21,
        "completion_tokens_details": {"reasoning_tokens": thought},
    }
    shown = {"id": "double", "object": "chat.completion", "created": 1, "model": body["model"]}
    return {**shown, "choices": [choice], "usage": usage}
