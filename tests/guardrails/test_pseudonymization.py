"""What is hidden of a request and how it comes back, also cut into pieces anywhere; all else stays as it was."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from sizewise.errors import BadBody
from sizewise.guardrails import pii, secrets
from sizewise.guardrails.base import Finding, Guard
from sizewise.guardrails.pseudonymization import Unmasker, pseudonymize
from sizewise.guardrails.stream_unmasking import StreamUnmasker, UnmaskingSend, unmask_reply
from sizewise.handler import ChoiceFinished, Event, RawDelta, ReasoningDelta, TextDelta, ToolDelta
from sizewise.messages import ChatRequest, Choice, EmbeddingRequest, FunctionCall, Reply, ToolCall, Usage
from sizewise.providers.wires.openai.request_response import read_embed, read_reply, read_request, write_reply
from tests.properties import examples, tried_with_all

pytestmark = tried_with_all

GUARDS: dict[str, Guard] = {"pii": pii.find_pii, "secrets": secrets.find_secrets}
JANE, CARD = "jane@example.com", "4111 1111 1111 1111"


def chat(*messages: dict[str, Any], **more: Any) -> ChatRequest:
    body = {"model": "m", "messages": list(messages), **more}
    return read_request(json.dumps(body).encode())[0]


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def hidden(what: ChatRequest) -> tuple[dict[str, Any], Unmasker]:
    after, restore = pseudonymize(what, GUARDS)
    assert restore is not None
    return {name: msgspec.json.decode(raw) for name, raw in after.fields.items()}, restore

    what = chat(user("hello"), {"role": "assistant", "content": None, "strange": [1.50, "x"]})
    assert pseudonymize(what, GUARDS) == (what, None)
    assert pseudonymize(what, GUARDS)[0] is what

    body, restore = hidden(chat(user(f"{JANE} and joe@example.com"), user(f"again {JANE}")))
    assert [each["content"] for each in body["messages"]] == ["<EMAIL_1> and <EMAIL_2>", "again <EMAIL_1>"]
    assert restore.text("to <EMAIL_2>, <EMAIL_1>") == f"to joe@example.com, {JANE}"
    longer, _ = hidden(chat(user(f"{JANE} and joe@example.com"), user(f"again {JANE}"), user("new@example.com")))
    assert longer["messages"][:2] == body["messages"]  # so that a prompt cache helps


def test_a_placeholder_that_the_request_holds_already_is_never_given_out() -> None:
    body, restore = hidden(chat(user(f"what is <EMAIL_1>? and \\u003cEMAIL_2\\u003e? write to {JANE}")))
    assert body["messages"][0]["content"].endswith("write to <EMAIL_3>")
    assert restore.text("<EMAIL_1> <EMAIL_3>") == f"<EMAIL_1> {JANE}"


def test_words_are_hidden_wherever_a_body_holds_them() -> None:
    body, _ = hidden(
        chat(
            {"role": "system", "content": f"You work for {JANE}."},
            {"role": "user", "content": [{"type": "text", "text": JANE}], "name": "jane"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {
                        "id": "call_1",
                        "type": "function",
                        "function": {
                            "name": "send",
                            "arguments": json.dumps({"to": f"\n{JANE}", "n": 4111111111111111}),
                        },
                    },
                ],
            },
            {"role": "tool", "tool_call_id": "call_1", "content": json.dumps({"sent": {JANE: True}})},
            tools=[{"type": "function", "function": {"name": "send", "description": f"as {JANE}", "parameters": {}}}],
            response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": {"const": JANE}}},
            user=JANE,
            metadata={"who": JANE},
        ),
    )
    assert JANE not in json.dumps(body) and "4111111111111111" not in json.dumps(body)
    system, asked, called, result = body["messages"]
    assert system["content"] == "You work for <EMAIL_1>."
    assert asked == {"role": "user", "content": [{"type": "text", "text": "<EMAIL_1>"}], "name": "jane"}
    arguments = json.loads(called["tool_calls"][0]["function"]["arguments"])
    assert arguments == {"to": "\n<EMAIL_1>", "n": "<CARD_1>"}  # the escape before it is whole
    assert json.loads(result["content"]) == {"sent": {"<EMAIL_1>": True}}
    assert called["tool_calls"][0]["id"] == result["tool_call_id"] == "call_1"


def test_what_a_word_gives_away_in_one_place_is_hidden_in_the_others_too() -> None:
    body, _ = hidden(chat(user("my passport is C01234567"), user("is C01234567 valid?")))
    assert [each["content"] for each in body["messages"]] == ["my passport is <PASSPORT_1>", "is <PASSPORT_1> valid?"]


def test_escapes_hide_nothing() -> None:
    raw = b'{"model":"m","messages":[{"role":"user","content":"jane\\u0040example.com"}]}'
    body, _ = hidden(read_request(raw)[0])
    assert body["messages"][0]["content"] == "<EMAIL_1>"


def test_a_file_in_base64_stays_as_it_is() -> None:
    part = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "4111111111111111" * 40}}
    body, _ = hidden(chat({"role": "user", "content": [part, {"type": "text", "text": JANE}]}))
    assert body["messages"][0]["content"] == [part, {"type": "text", "text": "<EMAIL_1>"}]


def test_inputs_of_embeddings_are_hidden_and_tokens_are_not_looked_into() -> None:
    for given_, seen in ((f"of {JANE}", ["of <EMAIL_1>"]), ([JANE, "b"], ["<EMAIL_1>", "b"])):
        what, _ = read_embed(json.dumps({"model": "m", "input": given_}).encode())
        after, restore = pseudonymize(what, GUARDS)
        assert isinstance(after, EmbeddingRequest) and restore is not None
        assert after.inputs == seen and JANE not in bytes(after.fields["input"]).decode()
    tokens, _ = read_embed(b'{"model":"m","input":[1,2,3]}')
    assert pseudonymize(tokens, GUARDS) == (tokens, None)


def test_what_cannot_be_gone_through_is_refused() -> None:
    what = ChatRequest("m", [], {"messages": Raw(b"[" * 5_000 + json.dumps(JANE).encode() + b"]" * 5_000)})
    with pytest.raises(BadBody, match="messages"):
        pseudonymize(what, GUARDS)


# ---- back -----------------------------------------------------------------------------------------------------------

VALUES = ["a@b.co", 'quote " and \\', "back\\slash", "<", "<EMAIL", "line\nbreak", "ü", "EMAIL_1>", "\\u003cEMAIL_2"]
values = st.lists(st.sampled_from(VALUES), min_size=1, max_size=6)
bits = st.sampled_from(
    [
        *("<EMAIL_1>", "<EMAIL_2>", "<EMAIL_10>", "<CARD_1>", "\\u003cEMAIL_1\\u003e", "<EMAIL_1\\u003E", "<EMAIL_9>"),
        *("<", ">", "<E", "<EMAIL_", "\\", "\\u", "\\u003c", "\\u003", "EMAIL_1>", "1>", "_", " ", "words", "\\n", '"'),
    ],
)


def restoring(given_: list[str]) -> Unmasker:
    names = ["EMAIL_1", "EMAIL_2", "EMAIL_10", "CARD_1", "EMAIL_3", "KEY_1"]
    return Unmasker(dict(zip(names, given_, strict=False)), Counter())


def test_the_end_of_what_is_none_may_begin_another() -> None:
    window = StreamUnmasker(restoring(["a@b.co"]))
    assert window.feed("<EMAIL__\\") + window.feed("u003cEMAIL_1\\u003e") + window.flush() == "<EMAIL__a@b.co"


@examples(600)
@given(values, st.lists(bits, max_size=14).map("".join), st.data(), st.booleans())
def test_a_stream_cut_anywhere_says_what_the_whole_says(
    given_: list[str],
    text: str,
    data: st.DataObject,
    in_json: bool,
) -> None:
    restore = restoring(given_)
    window = StreamUnmasker(restore, in_json)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=len(text))))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    said = ""
    for piece in pieces:
        said += window.feed(piece)
        assert len(window._held) <= max(len(name) for name in restore.values) + 12, "no more than one is kept back"
    assert said + window.flush() == (restore.json(text) if in_json else restore.text(text))


def streamed(restore: Unmasker, *events: Event) -> list[Event]:
    said: list[Event] = []

    async def send(event: Event) -> None:
        said.append(event)

    async def scene() -> None:
        through = UnmaskingSend(restore, send)
        for event in events:
            await through(event)
        await through.end()

    asyncio.run(scene())
    return said


def test_each_choice_and_each_call_has_a_window_of_its_own() -> None:
    restore = restoring(['j"@x.co'])
    said = streamed(
        restore,
        TextDelta(0, "<EMA", frame=b"x"),
        TextDelta(1, "IL_1>"),
        TextDelta(0, "IL_1> ok", logprobs=Raw(b"{}")),
        ToolDelta(0, 0, "c0", "f", '{"a":"<EMAIL'),
        ToolDelta(0, 1, "c1", "g", '{"b":"<EMA'),
        ToolDelta(0, 0, json='_1>"}'),
        ToolDelta(0, 1, json='IL_1>"}'),
        ChoiceFinished(0, "tool_calls", frame=b"x"),
        ChoiceFinished(1, "stop"),
    )
    texts = {n: "".join(each.text for each in said if isinstance(each, TextDelta) and each.choice == n) for n in (0, 1)}
    assert texts == {0: 'j"@x.co ok', 1: "IL_1>"}
    calls = {n: "".join(e.json for e in said if isinstance(e, ToolDelta) and e.index == n) for n in (0, 1)}
    assert calls == {0: '{"a":"j\\"@x.co"}', 1: '{"b":"j\\"@x.co"}'}
    assert not [each for each in said if getattr(each, "frame", None) or getattr(each, "logprobs", None)]


def test_what_was_kept_back_comes_before_what_is_said_next() -> None:
    restore = restoring(["a@b.co"])
    said = streamed(
        restore,
        ReasoningDelta(0, "so <EM"),
        TextDelta(0, "x <E"),
        ToolDelta(0, 0, "c", "f", "{}"),
        ChoiceFinished(0, "stop"),
    )
    assert [type(each).__name__ for each in said] == [
        "ReasoningDelta",
        "ReasoningDelta",
        "TextDelta",
        "TextDelta",
        "ToolDelta",
        "ChoiceFinished",
    ]
    cut = streamed(restore, TextDelta(0, "so <EM"))  # nobody said that it was over
    assert [each.text for each in cut if isinstance(each, TextDelta)] == ["so ", "<EM"]


def test_a_signed_thought_keeps_its_signature_behind_its_words() -> None:
    said = streamed(
        restoring(["a@b.co"]),
        ReasoningDelta(0, "ask <EMA"),
        ReasoningDelta(0, "IL_1>"),
        ReasoningDelta(0, "", "sig"),
    )
    assert "".join(each.text for each in said if isinstance(each, ReasoningDelta)) == "ask a@b.co"
    assert said[-1] == ReasoningDelta(0, "", "sig")


def test_what_nobody_here_reads_is_put_back_as_json() -> None:
    (said,) = streamed(restoring(['a"@b.co']), RawDelta(0, {"refusal": Raw(b'"not <EMAIL_1>"')}, frame=b"x"))
    assert said == RawDelta(0, {"refusal": Raw(b'"not a\\"@b.co"')})


def test_a_whole_reply_is_put_back_in_words_calls_and_the_message() -> None:
    body = {
        "id": "x",
        "model": "up",
        "system_fingerprint": "fp",
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "logprobs": {"content": []},
                "message": {"role": "assistant", "content": "to <EMAIL_1>", "annotations": [{"of": "<EMAIL_1>"}]},
            },
        ],
    }
    reply = read_reply(json.dumps(body).encode())
    after = unmask_reply(reply, restoring([JANE]))
    shown = json.loads(write_reply(after, "id", 1))
    assert shown["choices"][0]["message"]["content"] == f"to {JANE}"
    assert shown["choices"][0]["message"]["annotations"] == [{"of": JANE}]
    assert shown["system_fingerprint"] == "fp" and shown["choices"][0]["logprobs"] is None


def test_a_reply_without_placeholders_keeps_its_bytes() -> None:
    body = b'{"choices": [{"message": {"role":"assistant","content":"hi"},"logprobs":{"content":[]}}]}'
    after = unmask_reply(read_reply(body), restoring([JANE]))
    assert after.body == body


def test_arguments_are_put_back_as_json_wants_them() -> None:
    call = ToolCall(FunctionCall("f", '{"a": "<EMAIL_1>", "b": "\\u003cEMAIL_1\\u003e"}'), "c")
    after = unmask_reply(Reply((Choice(0, "", None, (call,)),), Usage()), restoring(['x"\\@y']))
    function = after.choices[0].tool_calls[0].function
    assert function is not None and json.loads(function.arguments) == {"a": 'x"\\@y', "b": 'x"\\@y'}

    def badge(text: str) -> list[Finding]:
        place = text.find("B-77")
        return [Finding("badges", "badge no.", place, place + 4)] if place >= 0 else []

    masked, restore = pseudonymize(chat(user("B-77 here")), {"badges": badge})
    assert isinstance(masked, ChatRequest) and restore is not None
    assert masked.messages[0].content == "<BADGE_NO__1> here"
    assert restore.text("<BADGE_NO__1>") == "B-77"
