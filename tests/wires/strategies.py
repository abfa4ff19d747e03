"""Chat bodies as clients send them, odd ones too, for Hypothesis; each is a valid conversation, whatever it says."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

Json = dict[str, Any]

texts = st.text(max_size=30)
keys = texts.filter("__proto__".__ne__)  # refused wherever it is
words = st.text(min_size=1, max_size=30)
anything: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(keys, anything, max_size=3)
unknown = st.dictionaries(st.text("xyz_", min_size=1, max_size=6).map("later_".__add__), anything, max_size=2)


def encoded(bodies: st.SearchStrategy[Json]) -> st.SearchStrategy[bytes]:
    """As JSON, with other letters as themselves or escaped, with and without spaces."""
    spelt = st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", " : ")])
    return st.builds(lambda b, a, s: json.dumps(b, ensure_ascii=a, separators=s).encode(), bodies, st.booleans(), spelt)


def deep(depth: int) -> bytes:
    """A chat body with a tool whose schema is nested `depth` levels deep."""
    schema = b'{"a":' * depth + b"1" + b"}" * depth
    tool = b'{"type":"function","function":{"name":"f","parameters":{"type":"object","x":' + schema + b"}}}"
    return b'{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"x"}],"tools":[' + tool + b"]}"


# ---- conversations that every wire can say --------------------------------------------------------------------------

said = st.builds(lambda text: {"type": "text", "text": text}, words)
image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
web = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
file = {"type": "file", "file": {"filename": "ä.pdf", "file_data": "data:application/pdf;base64,aGk="}}
user = st.builds(
    lambda content: [{"role": "user", "content": content}],
    words | st.lists(said | st.sampled_from([image, web, file]), min_size=1, max_size=4),
)


@st.composite
def calling(draw: st.DrawFn) -> list[Json]:
    """An assistant's turn with calls, and what came of each."""
    ids = draw(st.lists(st.uuids().map("call_{}".format), min_size=1, max_size=3, unique=True))
    arguments = [json.dumps(draw(objects), ensure_ascii=draw(st.booleans())) for _ in ids]
    calls = [
        {"id": id, "type": "function", "function": {"name": draw(st.sampled_from("fgh")), "arguments": given}}
        for id, given in zip(ids, arguments, strict=True)
    ]
    requests = {"role": "assistant", "content": draw(st.none() | words), "tool_calls": calls}
    results = [{"role": "tool", "tool_call_id": id, "content": draw(words | st.lists(said, min_size=1))} for id in ids]
    return [requests, *results]


speaks = st.builds(lambda text: [{"role": "assistant", "content": text}], words)
rules = st.lists(st.builds(lambda text, role: {"role": role, "content": text}, words, st.sampled_from(["system"])))
tool = st.builds(
    lambda name, words, schema: {
        "type": "function",
        "function": {"name": name, **words, "parameters": {"type": "object", "properties": schema}},
    },
    st.sampled_from("fgh"),
    st.sampled_from([{}, {"description": "Does it. 做"}]),
    objects,
)


@st.composite
def conversations(draw: st.DrawFn) -> Json:
    turns: list[list[Json]] = draw(st.lists(user | speaks | calling(), max_size=4))
    messages = [*draw(rules), *draw(user), *(message for turn in turns for message in turn)]
    tools: list[Json] = draw(st.lists(tool, max_size=3))
    choice = st.sampled_from(["required", "none", {"type": "function", "function": {"name": "f"}}])
    choosing = {"tool_choice": choice, "parallel_tool_calls": st.just(False)} if tools else {}
    more = st.fixed_dictionaries(
        {"tools": st.just(tools)} if tools else {},
        optional={
            **choosing,
            "max_tokens": st.integers(1, 9_999),
            "stream": st.booleans(),
            "temperature": st.floats(0, 1),
            "top_p": st.floats(0, 1),
            "stop": st.lists(words, min_size=1, max_size=3),
            "user": words,
            "reasoning_effort": st.sampled_from(["low", "medium", "high"]),
        },
    )
    return {"model": "m", "messages": messages, **draw(more)}


chats = encoded(conversations())
bodies = encoded(st.builds(lambda chat, more: {**chat, **more}, conversations(), unknown))
