"""What Anthropic's Messages wire says, whole and streamed, as its reference has it; and bodies its clients send."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import strategies as st

from sizewise.providers.wires.anthropic.request_in import read_request
from sizewise.providers.wires.anthropic.wire import WIRE
from sizewise.testing.wire_conformance import KEY, WireCase
from tests.wires.speaking.openai import SAID
from tests.wires.strategies import anything, encoded, objects, texts, unknown

HERE = Path(__file__).parent


def error(words: str, kind: str) -> bytes:
    return json.dumps({"type": "error", "error": {"type": kind, "message": words}, "request_id": "req_1"}).encode()


SPOKEN = WireCase(
    wire=WIRE,
    read_request=lambda body: read_request(body)[0],
    response=(HERE / "anthropic.whole.json").read_bytes(),
    stream=(HERE / "anthropic.stream.sse").read_bytes(),
    expected=SAID,
    end_frames=1,
    errors={
        400: error("messages.0: this model takes no images", "invalid_request_error"),
        401: error(f"invalid x-api-key {KEY}", "authentication_error"),
        404: error("model: x", "not_found_error"),
        413: error("Request exceeds the maximum size", "request_too_large"),
        429: error("slow down", "rate_limit_error"),
        500: error("Internal server error", "api_error"),
        529: error("Overloaded", "overloaded_error"),
    },
)

marks = st.sampled_from([{}, {"cache_control": {"type": "ephemeral"}}])
image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}
document = {"type": "document", "source": {"type": "file", "file_id": "file_1"}, "title": "Ä"}
thinking = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
said = st.builds(lambda text, mark: {"type": "text", "text": text, **mark}, texts, marks)
results = st.builds(
    lambda content, error: {"type": "tool_result", "tool_use_id": "toolu_1", "content": content, "is_error": error},
    texts | st.lists(said, max_size=2),
    st.none() | st.booleans(),
)
uses = st.builds(lambda given: {"type": "tool_use", "id": "toolu_1", "name": "f", "input": given}, objects)
later = st.builds(lambda more: {"type": "later", **more}, unknown)
user = st.lists(said | results | later | st.sampled_from([image, document]), max_size=3)
assistant = st.lists(said | uses | later | st.just(thinking), max_size=3)
turns = st.lists(
    st.one_of(
        st.builds(lambda content: {"role": "user", "content": content}, texts | user),
        st.builds(lambda content: {"role": "assistant", "content": content}, texts | assistant),
    ),
    min_size=1,
    max_size=5,
)
tools = st.lists(
    st.builds(lambda schema, mark: {"name": "f", "input_schema": schema, **mark}, objects, marks)
    | st.just({"type": "web_search_20250305", "name": "web_search", "max_uses": 3}),
    max_size=2,
)
REQUESTS = encoded(
    st.fixed_dictionaries(
        {"model": texts, "max_tokens": st.integers(1, 99), "messages": turns},
        optional={
            "system": texts | st.lists(said, max_size=2),
            "tools": tools,
            "tool_choice": st.sampled_from([{"type": "auto"}, {"type": "tool", "name": "f"}, None]),
            "stream": st.booleans() | st.none(),
            "temperature": st.floats(0, 1),
            "stop_sequences": st.lists(texts, max_size=2),
            "metadata": st.none() | st.just({"user_id": "u"}),
            "thinking": st.sampled_from([{"type": "enabled", "budget_tokens": 1024}, {"type": "adaptive"}, None]),
            "output_config": st.sampled_from([{"effort": "max"}, {"effort": "low", "format": {"schema": {}}}]),
            "later": anything,
        },
    ),
)
