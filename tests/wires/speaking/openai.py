"""What OpenAI's chat wire says, whole and streamed, as its reference has it; and bodies its clients send."""

from __future__ import annotations

import json
from pathlib import Path

from sizewise.messages import Usage
from sizewise.providers.wires.openai.request_response import read_request
from sizewise.providers.wires.openai.wire import WIRE
from sizewise.testing.wire_conformance import KEY, ExpectedReply, WireCase
from tests.wires.strategies import bodies

HERE = Path(__file__).parent
SAID = ExpectedReply(
    "Guten  Tag – 你好 🌊.",
    "tool_calls",
    Usage(640, 20, 600, 30, 5),
    "They greet me; ¿qué?",
    (("call_1", "weather", '{"city": "Zürich", "days": [1, 2]}'), ("call_2", "time", "{}")),
)


def error(words: str, kind: str, code: str | None = None) -> bytes:
    return json.dumps({"error": {"message": words, "type": kind, "param": None, "code": code}}).encode()


SPOKEN = WireCase(
    wire=WIRE,
    read_request=lambda body: read_request(body)[0],
    response=(HERE / "openai.whole.json").read_bytes(),
    stream=(HERE / "openai.stream.sse").read_bytes(),
    expected=SAID,
    end_frames=1,
    errors={
        400: error("Unknown parameter: 'later'.", "invalid_request_error", "unknown_parameter"),
        401: error(f"Incorrect API key provided: {KEY}.", "invalid_request_error", "invalid_api_key"),
        404: error("The model `x` does not exist", "invalid_request_error", "model_not_found"),
        429: error("Rate limit reached", "tokens", "rate_limit_exceeded"),
        500: error("The server had an error", "server_error"),
        503: error("The engine is currently overloaded", "server_error"),
    },
    added_fields=frozenset({"stream_options"}),
)
REQUESTS = bodies
