"""Upstream stream of OpenAI's chat API -> our events and the whole reply; opens no socket."""

from __future__ import annotations

import msgspec
from msgspec import Raw, Struct

from sizewise.handler import ChoiceFinished, Event, RawDelta, ReasoningDelta, TextDelta, ToolDelta
from sizewise.messages import Choice, JsonFields, Reply, Usage
from sizewise.providers.wires.openai.tool_calls import (
    NumberedDelta,
    ToolCallCollector,
    ToolCallDelta,
    renumbered_chunk,
)
from sizewise.providers.wires.openai.usage_and_errors import (
    ABSENT,
    OpenAiUsage,
    protocol_error,
    read_error,
    read_usage,
    value_or_none,
)

_encode = msgspec.json.Encoder().encode


class ChunkDelta(Struct):
    role: str | None = None
    content: str | None = None
    tool_calls: list[ToolCallDelta] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None


class ChunkChoice(Struct):
    index: int = 0
    delta: ChunkDelta | None = None
    finish_reason: str | None = None
    logprobs: Raw = ABSENT


class ChatCompletionChunk(Struct):
    choices: list[ChunkChoice] | None = None
    usage: OpenAiUsage | None = None
    model: str | None = None
    id: str | None = None
    error: Raw = ABSENT
    service_tier: str | None = None


class RawDeltaChoice(Struct):
    index: int = 0
    delta: JsonFields = {}


class RawDeltaChunk(Struct):
    choices: list[RawDeltaChoice] = []


_chunk = msgspec.json.Decoder(ChatCompletionChunk)


def _is_text_only(choice: ChunkChoice) -> bool:
    """The fast path for most chunks: one choice with text only."""
    delta = choice.delta
    return (
        delta is not None
        and bool(delta.content)
        and choice.finish_reason is None
        and delta.tool_calls is None
        and delta.reasoning_content is None
        and delta.reasoning is None
    )


class _PartialChoice:
    """One choice of a stream, as received so far."""

    __slots__ = ("calls", "finish", "logprobs", "reasoning", "text")

    def __init__(self) -> None:
        self.text: list[str] = []
        self.reasoning: list[str] = []
        self.logprobs: list[Raw] = []
        self.calls: ToolCallCollector | None = None
        self.finish: str | None = None


class OpenAiStreamReader:
    """Reads one stream: `read_frame` turns each payload into events, `reply` returns the whole at the end.

    A frame without an event (the role, a content filter's report) is passed on with the next one that has an event.
    """

    def __init__(self, strip_usage: bool) -> None:
        self.done = False
        self._strip = strip_usage
        self._choices: dict[int, _PartialChoice] = {}
        self._usage: Usage | None = None
        self._model = self._id = ""
        self._pending = b""

    def read_frame(self, payload: bytes) -> list[Event]:
        """Raises UpstreamProtocolError for an invalid chunk, and the upstream's own error if it sends one."""
        if payload == b"[DONE]":
            self.done = True
            return []
        if self.done:
            return []
        try:
            chunk = _chunk.decode(payload)
        except (msgspec.DecodeError, RecursionError) as error:
            raise protocol_error(f"a stream frame is not a chunk ({error})") from error
        if value_or_none(chunk.error) is not None:
            raise read_error(502, None, payload)
        if not self._model:
            self._model, self._id = chunk.model or "", chunk.id or ""
        if chunk.usage is not None:
            self._usage = read_usage(chunk.usage, chunk.service_tier) or self._usage
            if not chunk.choices:
                return []
        choices = chunk.choices
        if choices and len(choices) == 1 and _is_text_only(choices[0]) and chunk.usage is None:
            return [self._text_delta(choices[0], payload)]
        return self._any(chunk, payload)

    def _text_delta(self, choice: ChunkChoice, payload: bytes) -> TextDelta:
        text = choice.delta.content if choice.delta else None
        assert text is not None  # _is_text_only
        grown = self._partial_choice(choice.index)
        grown.text.append(text)
        logprobs = value_or_none(choice.logprobs)
        if logprobs is not None:
            grown.logprobs.append(logprobs)
        return TextDelta(choice.index, text, logprobs, self._with_pending(payload))

    def _any(self, chunk: ChatCompletionChunk, payload: bytes) -> list[Event]:
        events: list[Event] = []
        numbered: list[NumberedDelta] = []
        has_deltas = True
        renumbered = False
        for choice in chunk.choices or ():
            events += self._events(choice)
            if choice.delta is not None and choice.delta.tool_calls:
                renumbered |= self._add_calls(choice.index, choice.delta.tool_calls, payload, events, numbered)
            if choice.finish_reason:
                self._partial_choice(choice.index).finish = choice.finish_reason
                events.append(ChoiceFinished(choice.index, choice.finish_reason))
            has_deltas = has_deltas and choice.delta is not None
        if not has_deltas:
            return events  # clients' libraries need a delta, so the writer encodes these events anew
        if not events and chunk.choices and (extra := self._raw_deltas(payload)):
            events = extra
        if not events:
            self._pending = self._with_pending(payload)
            return []
        if chunk.usage is not None and self._strip:
            return events  # the client did not request usage, so the writer encodes these events anew
        if renumbered:
            payload = renumbered_chunk(payload, numbered)
        whole = self._with_pending(payload)
        *early, last = events
        return [msgspec.structs.replace(event, frame=b"") for event in early] + [
            msgspec.structs.replace(last, frame=whole),
        ]

    def _with_pending(self, payload: bytes) -> bytes:
        if not self._pending:
            return payload
        payload, self._pending = self._pending + b"\n\ndata: " + payload, b""
        return payload

    def _partial_choice(self, index: int) -> _PartialChoice:
        grown = self._choices.get(index)
        if grown is None:
            grown = self._choices[index] = _PartialChoice()
        return grown

    def _events(self, choice: ChunkChoice) -> list[Event]:
        grown, delta, events = self._partial_choice(choice.index), choice.delta or ChunkDelta(), list[Event]()
        logprobs = value_or_none(choice.logprobs)
        if logprobs is not None:
            grown.logprobs.append(logprobs)
        if thought := delta.reasoning_content or delta.reasoning:
            grown.reasoning.append(thought)
            events.append(ReasoningDelta(choice.index, thought))
        if delta.content or logprobs is not None:
            grown.text.append(delta.content or "")
            events.append(TextDelta(choice.index, delta.content or "", logprobs))
        return events

    def _add_calls(
        self,
        choice: int,
        deltas: list[ToolCallDelta],
        payload: bytes,
        events: list[Event],
        numbered: list[NumberedDelta],
    ) -> bool:
        """Appends the events of tool calls; returns whether the client sees another id or index than was sent."""
        grown, differs = self._partial_choice(choice), False
        grown.calls = grown.calls or ToolCallCollector(choice)
        for delta in deltas:
            call, changed = grown.calls.add(delta, payload)
            differs |= changed
            numbered.append(call)
            events.append(ToolDelta(choice=choice, index=call.index, id=call.id, name=call.name, json=call.arguments))
        return differs

    def _raw_deltas(self, payload: bytes) -> list[Event]:
        seen = msgspec.json.decode(payload, type=RawDeltaChunk)
        return [
            RawDelta(choice.index, choice.delta)
            for choice in seen.choices
            if choice.delta.keys() - {"role", "content"} and any(value_or_none(v) for v in choice.delta.values())
        ]

    def reply(self) -> Reply:
        """The whole reply. Raises UpstreamProtocolError if the stream ended before every choice finished."""
        if not self._choices:
            raise protocol_error("the stream ended without content")
        if any(grown.finish is None for grown in self._choices.values()):
            raise protocol_error("the stream ended before the answer was complete")
        return self.partial_reply()

    def partial_reply(self) -> Reply:
        choices = tuple(
            Choice(
                index=index,
                text="".join(grown.text),
                finish_reason=grown.finish,
                tool_calls=grown.calls.whole_calls() if grown.calls is not None else (),
                reasoning="".join(grown.reasoning),
                logprobs=join_logprobs(grown.logprobs),
            )
            for index, grown in sorted(self._choices.items())
        )
        return Reply(choices, self._usage or Usage(estimated=True), self._model, self._id)


class LogprobsBody(Struct):
    content: list[Raw] | None = None


def join_logprobs(pieces: list[Raw]) -> Raw | None:
    """The log-probabilities of all pieces of a choice, in the chat API's form."""
    if not pieces:
        return None
    tokens = [token for piece in pieces for token in msgspec.json.decode(piece, type=LogprobsBody).content or ()]
    return Raw(_encode({"content": tokens}))
