"""What the Responses wire says, whole and streamed, as its reference has it; and bodies its clients send."""

from __future__ import annotations

from pathlib import Path

from hypothesis import strategies as st

from sizewise.providers.wires.responses.request_in import read_request
from sizewise.providers.wires.responses.wire import WIRE
from sizewise.testing.wire_conformance import WireCase
from tests.wires.speaking import openai
from tests.wires.strategies import anything, encoded, objects, texts, unknown

HERE = Path(__file__).parent

SPOKEN = WireCase(
    wire=WIRE,
    read_request=lambda body: read_request(body).to_chat([]),
    response=(HERE / "responses.whole.json").read_bytes(),
    stream=(HERE / "responses.stream.sse").read_bytes(),
    expected=openai.SAID,
    end_frames=0,
    errors=openai.SPOKEN.errors,
    added_fields=frozenset({"store", "include"}),
    unsupported_fields=frozenset({"stop"}),
)

said = st.builds(lambda text: {"type": "input_text", "text": text}, texts)
image = {"type": "input_image", "image_url": "data:image/png;base64,aGk=", "detail": "auto"}
stored = {"type": "input_file", "file_id": "file_1"}
later = st.builds(lambda more: {"type": "later", **more}, unknown)
users = st.builds(
    lambda content, kind: {**kind, "role": "user", "content": content},
    texts | st.lists(said | later | st.sampled_from([image, stored]), max_size=3),
    st.sampled_from([{}, {"type": "message"}]),
)
spoken = st.builds(
    lambda text, id: {
        "type": "message",
        "role": "assistant",
        "content": [{"type": "output_text", "text": text, "annotations": []}],
        **id,
    },
    texts,
    st.sampled_from([{}, {"id": "msg_1", "status": "completed"}]),
)
calls = st.builds(
    lambda given: {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": str(given)},
    objects,
)
results = st.builds(
    lambda output: {"type": "function_call_output", "call_id": "call_1", "output": output},
    texts | st.lists(said, min_size=1, max_size=2),
)
sealed = st.just({"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "c2VhbGVk"})
patches = st.builds(
    lambda text: {"type": "custom_tool_call", "call_id": "call_2", "name": "patch", "input": text},
    texts,
)
patched = st.builds(
    lambda output: {"type": "custom_tool_call_output", "call_id": "call_2", "output": output},
    texts | st.lists(said | st.just(image), max_size=2),
)
shells = st.builds(
    lambda words: {
        "type": "local_shell_call",
        "call_id": "call_3",
        "action": {"type": "exec", "command": words, "env": {}},
    },
    st.lists(texts, max_size=2),
)
items = st.lists(users | spoken | calls | results | sealed | later | patches | patched | shells, max_size=5)
tools = st.lists(
    st.builds(lambda schema: {"type": "function", "name": "f", "parameters": schema, "strict": True}, objects)
    | st.sampled_from([{"type": "web_search"}, {"type": "custom", "name": "patch"}, {"type": "local_shell"}]),
    max_size=2,
)
REQUESTS = encoded(
    st.fixed_dictionaries(
        {"model": texts, "input": st.builds(lambda first, rest: [first, *rest], users, items)},
        optional={
            "instructions": texts | st.none(),
            "tools": tools,
            "tool_choice": st.sampled_from(["auto", {"type": "function", "name": "f"}, None]),
            "stream": st.booleans() | st.none(),
            "store": st.booleans() | st.none(),
            "temperature": st.floats(0, 2),
            "max_output_tokens": st.integers(1, 99),
            "text": st.just({"format": {"type": "json_object"}, "verbosity": "low"}) | st.none(),
            "reasoning": st.sampled_from([{"effort": "low", "summary": "auto"}, None]),
            "include": st.sampled_from([["message.output_text.logprobs"], None]),
            "metadata": st.none() | st.dictionaries(texts, texts, max_size=2),
            "later": anything,
        },
    ),
)
