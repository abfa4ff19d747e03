"""Text completions of an upstream that has an endpoint for them: request, reply and stream; opens no socket.

The prompt goes out as it is, without a chat template. It is read from the messages, which guardrails may have masked.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw, Struct

from sizewise.handler import ChoiceFinished, Event, TextDelta
from sizewise.messages import ChatRequest, Choice, JsonFields, Reply, Usage
from sizewise.providers.wires.openai.completion_request import WIRE_NAME
from sizewise.providers.wires.openai.stream_in import join_logprobs
from sizewise.providers.wires.openai.usage_and_errors import (
    ABSENT,
    OpenAiUsage,
    protocol_error,
    read_error,
    read_usage,
    value_or_none,
)
from sizewise.providers.wires.original_body import ORIGINAL_FIELD, OriginalBody, original_body

PLAIN_ROLES = (("user",), ("user", "assistant"))
"""Of a text completion: the prompt, and the beginning of an answer that another model was cut off in."""

_encode = msgspec.json.Encoder().encode


class TextChoice(Struct):
    text: str = ""
    index: int = 0
    finish_reason: str | None = None
    logprobs: Raw = ABSENT


class UpstreamCompletion(Struct):
    choices: list[TextChoice]
    usage: OpenAiUsage | None = None
    model: str | None = None
    id: str | None = None


class UpstreamLogprobs(Struct):
    """In the API's own form, or with `content` in the chat API's, as llama.cpp has it."""

    tokens: list[str] | None = None
    token_logprobs: list[float | None] | None = None
    content: list[Raw] | None = None


_completion = msgspec.json.Decoder(UpstreamCompletion)


def is_text_completion(chat: ChatRequest) -> bool:
    """Whether the request is a text completion, and no layer made a conversation of it."""
    if ORIGINAL_FIELD not in chat.fields or tuple(each.role for each in chat.messages) not in PLAIN_ROLES:
        return False
    return original_body(chat.fields, WIRE_NAME) is not None


def completion_fields(chat: ChatRequest) -> tuple[OriginalBody, JsonFields]:
    """The client's body for this prompt, with what layers have changed: the texts and the limit of tokens."""
    found = original_body(chat.fields, WIRE_NAME)
    assert found is not None  # is_text_completion
    fields = msgspec.json.decode(found.body, type=JsonFields)
    if bytes(fields["prompt"])[:1] == b'"':
        fields["prompt"] = Raw(_encode("".join(each.text for each in chat.messages)))
    if chat.max_tokens is not None:
        fields["max_tokens"] = Raw(_encode(chat.max_tokens))
    if chat.logprobs and "logprobs" not in fields:
        fields["logprobs"] = Raw(b"1")
    return found, fields


def write_request(chat: ChatRequest, model: str) -> bytes:
    """The body for an upstream, with its model name. Streams always request usage."""
    _, fields = completion_fields(chat)
    fields["model"] = Raw(_encode(model))
    if chat.stream and not chat.include_usage:
        fields["stream_options"] = Raw(b'{"include_usage":true}')
    return _encode(fields)


def read_reply(body: bytes) -> Reply:
    """A whole text completion. Raises UpstreamProtocolError."""
    try:
        seen = _completion.decode(body)
        choices = tuple([_choice(each) for each in seen.choices])
    except (msgspec.DecodeError, RecursionError) as error:
        raise protocol_error(str(error)) from error
    if not choices:
        raise protocol_error("`choices` is empty")
    return Reply(choices, read_usage(seen.usage) or Usage(estimated=True), seen.model or "", seen.id or "")


def _choice(seen: TextChoice) -> Choice:
    return Choice(seen.index, seen.text, seen.finish_reason or "stop", logprobs=_chat_logprobs(seen.logprobs))


def _chat_logprobs(raw: Raw) -> Raw | None:
    """In the chat API's form, for judges, with the upstream's own for the client."""
    told = None if raw is ABSENT else value_or_none(raw)
    if told is None:
        return None
    seen = msgspec.json.decode(told, type=UpstreamLogprobs)
    if seen.content is not None:
        return told
    pairs = zip(seen.tokens or (), seen.token_logprobs or (), strict=False)
    content = [{"token": token, "logprob": chance} for token, chance in pairs if chance is not None]
    return Raw(_encode({"content": content, "text_completion": told}))


class CompletionStreamReader:
    """Reads one stream: `read_frame` turns each payload into events, `reply` returns the whole at the end."""

    def __init__(self, strip_usage: bool) -> None:
        """`strip_usage` changes nothing: no event carries the upstream's frame."""
        self.done = False
        self._texts: dict[int, list[str]] = {}
        self._logprobs: dict[int, list[Raw]] = {}
        self._finished: dict[int, str] = {}
        self._usage: Usage | None = None
        self._model = self._id = ""

    def read_frame(self, payload: bytes) -> list[Event]:
        """Raises UpstreamProtocolError for an invalid chunk, and the upstream's own error if it sends one."""
        if payload == b"[DONE]":
            self.done = True
        if self.done:
            return []
        try:
            seen = _completion.decode(payload)
            events = [event for choice in seen.choices for event in self._events(choice)]
        except (msgspec.DecodeError, RecursionError) as error:
            if _is_error(payload):
                raise read_error(502, None, payload) from None
            raise protocol_error(f"a stream frame is not a chunk ({error})") from error
        if not self._model:
            self._model, self._id = seen.model or "", seen.id or ""
        if seen.usage is not None:
            self._usage = read_usage(seen.usage) or self._usage
        return events

    def _events(self, choice: TextChoice) -> list[Event]:
        events: list[Event] = []
        texts = self._texts.setdefault(choice.index, [])
        logprobs = _chat_logprobs(choice.logprobs)
        if choice.text or logprobs is not None:
            texts.append(choice.text)
            self._logprobs.setdefault(choice.index, []).extend([] if logprobs is None else [logprobs])
            events.append(TextDelta(choice.index, choice.text, logprobs))
        if choice.finish_reason and choice.index not in self._finished:
            self._finished[choice.index] = choice.finish_reason
            events.append(ChoiceFinished(choice.index, choice.finish_reason))
        return events

    def reply(self) -> Reply:
        """The whole reply. Raises UpstreamProtocolError if the stream ended before every choice finished."""
        if not self._texts:
            raise protocol_error("the stream ended without content")
        if self._texts.keys() - self._finished.keys():
            raise protocol_error("the stream ended before the answer was complete")
        choices = [
            Choice(at, "".join(texts), self._finished[at], logprobs=join_logprobs(self._logprobs.get(at, [])))
            for at, texts in sorted(self._texts.items())
        ]
        return Reply(tuple(choices), self._usage or Usage(estimated=True), self._model, self._id)


def _is_error(payload: bytes) -> bool:
    try:
        said: Any = msgspec.json.decode(payload)
    except (msgspec.DecodeError, RecursionError):
        return False
    return isinstance(said, dict) and bool(said.get("error"))
