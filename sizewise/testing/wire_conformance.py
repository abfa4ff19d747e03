"""Conformance suite for wires, run on what their vendor really sends; knows no vendor and opens no socket.

A wire provides a `WireCase`. Each check raises AssertionError that names the failure. Checks with a `body` must hold
for every body: run them on many. Streams: stream_conformance.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import Raw

from sizewise.errors import NotTranslatable, SizewiseError, UpstreamProtocolError
from sizewise.messages import ChatRequest, ContentPart, JsonFields, Message, Reply, Usage
from sizewise.providers.wires.openai import request_response as ours
from sizewise.providers.wires.wire import Wire

MODEL = "another-model"
KEY = "sk-kit-never-shown"


@dataclass(frozen=True, slots=True)
class ExpectedReply:
    """The content of a vendor's response in the internal format. Arguments of calls are compared as JSON."""

    text: str
    finish: str
    usage: Usage
    reasoning: str = ""
    calls: tuple[tuple[str, str, str], ...] = ()  # id, name, arguments


@dataclass(frozen=True, slots=True)
class WireCase:
    """A wire and what its vendor sends: one response, whole and streamed, and its errors.

    `read_request`: that of our API in the same wire. `stream` has LF and an empty line after each frame; its last
    `end_frames` frames only mark the end, and the frame before them has the usage.
    """

    wire: Wire
    read_request: Callable[[bytes], ChatRequest]
    response: bytes
    stream: bytes
    expected: ExpectedReply
    end_frames: int
    errors: Mapping[int, bytes]  # by status; the one of 401 repeats KEY
    added_fields: frozenset[str] = frozenset()  # body fields that the wire adds or changes
    unsupported_fields: frozenset[str] = frozenset()  # chat body fields that it cannot express and refuses


# ---- requests within the wire ---------------------------------------------------------------------------------------


def passes_requests_through(spoken: WireCase, body: bytes) -> None:
    """From a client to an upstream of the same wire, every value is unchanged, in order."""
    asked, sent = _fields(body), _fields(spoken.wire.write_request(spoken.read_request(body), MODEL))
    expected = {**asked, "model": Raw(msgspec.json.encode(MODEL))}
    added = sent.keys() - asked.keys()
    assert added <= spoken.added_fields, f"the wire adds {sorted(added - spoken.added_fields)}"
    kept = [(name, bytes(raw)) for name, raw in sent.items() if name in asked]
    wanted = [(name, bytes(raw)) for name, raw in expected.items()]
    assert [name for name, _ in kept] == [name for name, _ in wanted], "fields were lost or moved"
    for (name, now), (_, before) in zip(kept, wanted, strict=True):
        assert now == before or name in spoken.added_fields, f"`{name}` changed"


def refuses_untranslatable_requests(spoken: WireCase, body: bytes) -> None:
    """Any body is either written for an upstream of any wire, or rejected as a client error."""
    for read in (spoken.read_request, _chat):
        try:
            chat = read(body)
        except SizewiseError as error:
            assert error.status == 400 and error.hint, f"{error.code} {error.status}, hint {error.hint!r}"
            continue
        for write in (spoken.wire.write_request, ours.write_request):
            try:
                msgspec.json.decode(write(chat, MODEL))
            except SizewiseError as error:
                assert error.status == 400 and error.hint, f"{error.code} {error.status}, hint {error.hint!r}"


# ---- requests translated from the chat wire and back ----------------------------------------------------------------


def round_trips_conversations(spoken: WireCase, body: bytes) -> None:
    """Roles, texts, tools, calls with ids and arguments, and their order survive the translation there and back."""
    chat = _chat(_sayable(spoken, body))
    there = spoken.wire.write_request(chat, MODEL)
    back = spoken.read_request(there)
    assert list(_atoms(back.messages)) == list(_atoms(chat.messages)), "the conversation changed"
    assert _tools(back) == _tools(chat), "the tools changed"
    for name, raw in chat.fields.items():
        if name not in ("model", "messages", "tools", "max_tokens") and bytes(raw) not in (b"null", b"false"):
            assert _same(back.fields.get(name, Raw(b"null"))) == _same(raw), f"`{name}` changed"
    assert back.stream == chat.stream and chat.max_tokens in (None, back.max_tokens), "the stream or its limit changed"
    twice, thrice = (spoken.wire.write_request(_chat(each), MODEL) for each in _round(spoken, back))
    assert _same(twice) == _same(thrice), "repeated translation must not change the request"


def _round(spoken: WireCase, back: ChatRequest) -> Iterator[bytes]:
    """The translated request as a chat body, and that body after another round trip."""
    body = ours.write_request(back, MODEL)
    yield body
    yield ours.write_request(spoken.read_request(spoken.wire.write_request(_chat(body), MODEL)), MODEL)


def _sayable(spoken: WireCase, body: bytes) -> bytes:
    """The body without fields that the wire refuses, after checking that it does."""
    fields = _fields(body)
    if strange := fields.keys() & spoken.unsupported_fields:
        try:
            spoken.wire.write_request(_chat(body), MODEL)
        except NotTranslatable as error:
            assert error.param in strange, f"{sorted(strange)} should be refused, not `{error.param}`"
        else:
            raise AssertionError(f"{sorted(strange)} cannot be translated, and was not refused")
    return msgspec.json.encode({name: raw for name, raw in fields.items() if name not in strange})


def _atoms(messages: Iterable[Message]) -> Iterator[tuple[object, ...]]:
    """A conversation in its smallest pieces: turns may be joined or split, but nothing lost, added or moved.

    `developer` counts as `system`, since some wires do not distinguish the two.
    """
    for message in messages:
        role = "system" if message.role == "developer" else message.role
        if isinstance(message.content, str) and message.content:
            yield role, message.tool_call_id, "text", message.content
        for part in message.content if isinstance(message.content, list) else ():
            if part != ContentPart("text"):
                yield role, message.tool_call_id, part.type, part.text
        for call in message.tool_calls or ():
            assert call.function is not None
            arguments = msgspec.json.decode(call.function.arguments or "{}")
            yield role, message.tool_call_id, "call", call.id, call.function.name, arguments


def _tools(chat: ChatRequest) -> list[tuple[object, ...]]:
    raw: list[dict[str, Any]] = msgspec.json.decode(chat.fields["tools"]) if "tools" in chat.fields else []
    functions = [tool["function"] for tool in raw]
    return [(each["name"], each.get("description"), each.get("parameters")) for each in functions]


# ---- replies --------------------------------------------------------------------------------------------------------


def reads_responses(spoken: WireCase) -> None:
    reply = spoken.wire.read_reply(spoken.response)
    assert_reply(reply, spoken.expected)
    shown = ours.read_reply(ours.write_reply(reply, "chatcmpl-1", 1))
    assert_reply(shown, spoken.expected, check_usage=False)


def reads_responses_without_ids_and_usage(spoken: WireCase) -> None:
    """A null is as good as a missing field: the answer is read, and its usage marked as estimated."""
    full = msgspec.json.decode(spoken.response, type=dict[str, Raw])
    without = {name: raw for name, raw in full.items() if name not in ("id", "model", "usage")}
    for body in (without, {**without, "id": None, "model": None, "usage": None}):
        reply = spoken.wire.read_reply(msgspec.json.encode(body))
        assert_reply(reply, spoken.expected, check_usage=False)
        assert (reply.id, reply.model, reply.usage.estimated) == ("", "", True), reply


def refuses_malformed_responses(spoken: WireCase) -> None:
    for body in (b"", b"{", b"[]", b"{}", b"null", b"<html>", b'"x"', b"[" * 20_000, spoken.response[:-20], b"\xff"):
        try:
            spoken.wire.read_reply(body)
        except UpstreamProtocolError:
            continue
        raise AssertionError(f"{body[:20]!r} was accepted as a reply")


# ---- errors and keys ------------------------------------------------------------------------------------------------

MESSAGE = re.compile(rb'"message"\s*:\s*"([^"]+)"')
AUTH_ERRORS, BUSY_ERRORS, CLIENT_ERRORS = (401, 402, 403, 407), (429, 503, 529), (400, 404, 409, 413, 415, 422)


def maps_error_statuses(spoken: WireCase) -> None:
    """The status decides, whatever the body: the vendor's own, empty, or invalid. The text of a 5xx stays inside."""
    for status in sorted(
        {*spoken.errors, *AUTH_ERRORS, *BUSY_ERRORS, *CLIENT_ERRORS, 302, 405, 408, 418, 500, 502, 504},
    ):
        for body in (spoken.errors.get(status, b""), b"", b"<html>busy</html>", b"[" * 20_000, b"null", b"\xff"):
            error = spoken.wire.read_error(status, "7", body)
            assert (error.code, error.status) == _refusal(status), f"HTTP {status}: {error.code} {error.status}"
            assert error.retry_after == (7.0 if status in BUSY_ERRORS else None), f"HTTP {status}: {error.retry_after}"
            assert KEY not in error.message + error.hint and error.hint, f"HTTP {status}: {error.message!r}"
            own = [each.decode() for each in MESSAGE.findall(body)] if status >= 500 else []
            assert not any(each in error.message for each in own), f"HTTP {status} passes the body: {error.message!r}"


def _refusal(status: int) -> tuple[str, int]:
    if status in BUSY_ERRORS:
        return "upstream_busy", 429 if status == 429 else 503
    if status in CLIENT_ERRORS:
        return "upstream_refused", status
    return ("upstream_refused", 400) if status in (405, 418) else ("upstream_error", 502)


def never_leaks_the_key(spoken: WireCase) -> None:
    carried = [name for name, value in spoken.wire.headers(KEY) if KEY in value]
    assert len(carried) == 1, f"the key is in {carried}"
    assert all(value for _, value in spoken.wire.headers("")), "without a key there must be no empty header"


# ---- comparison -----------------------------------------------------------------------------------------------------


def assert_reply(reply: Reply, expected: ExpectedReply, *, check_usage: bool = True) -> None:
    """Compares a reply with the expected one; with `check_usage`, also its usage."""
    assert len(reply.choices) == 1, f"{len(reply.choices)} choices were read"
    choice = reply.choices[0]
    found = (choice.text, choice.reasoning, choice.finish_reason)
    assert found == (expected.text, expected.reasoning, expected.finish), f"{found} was read"
    calls = [(call.id, call.function.name, call.function.arguments) for call in choice.tool_calls if call.function]
    assert [normalize_call(*call) for call in calls] == [normalize_call(*call) for call in expected.calls], (
        f"{calls} was read"
    )
    assert not check_usage or reply.usage == expected.usage, f"{reply.usage} was read, not {expected.usage}"


def normalize_call(id: str, name: str, arguments: str) -> tuple[object, ...]:
    """A call with its arguments parsed, whatever their spelling."""
    return id, name, msgspec.json.decode(arguments)


def _chat(body: bytes) -> ChatRequest:
    return ours.read_request(body)[0]


def _fields(body: bytes) -> JsonFields:
    return msgspec.json.decode(body, type=JsonFields)


def _same(body: bytes | Raw) -> object:
    return msgspec.json.decode(body)
