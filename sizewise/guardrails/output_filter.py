"""Output filter: redacts leaks from a reply, in a stream or as a whole. The guard decides what a leak is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from sizewise.guardrails.base import Finding, Guard
from sizewise.handler import (
    AttemptFinished,
    ChoiceFinished,
    Event,
    RawDelta,
    ReasoningDelta,
    Send,
    TextDelta,
    ToolDelta,
)
from sizewise.messages import Choice, FunctionCall, JsonFields, Reply, ToolCall

HOLD_CHARS = 240
"""Characters of a stream held back: more than a guard needs to recognize a finding."""
MAX_FINDING_CHARS = 4 * HOLD_CHARS
"""Findings longer than this are not held back until they end."""

OutputPart = tuple[int, str | int]
FindingCounts = dict[tuple[str, str], int]
"""(guard, kind) -> number of findings."""

_body = msgspec.json.Decoder(JsonFields).decode


def redact(text: str, findings: list[Finding]) -> str:
    """Replaces each finding by its kind, irreversibly."""
    pieces: list[str] = []
    place = 0
    for each in findings:
        start = each.start + (each.start > 0 and text[each.start - 1] == "\\")  # half an escape is invalid JSON
        pieces += [text[place:start], f"[{each.kind}]"]
        place = each.end
    return "".join([*pieces, text[place:]])


class OutputFilter:
    """The `send` of a stream. With `blocks`, the first finding sets `blocked` and calls `stop`; only AttemptFinished is
    sent from then on.
    """

    def __init__(self, send: Send, guard: Guard, blocks: bool) -> None:
        self.stop: Callable[[], object] = bool
        self.blocked = False
        self.counts: Counter[tuple[str, str]] = Counter()
        self._send = send
        self._guard = guard
        self._blocks = blocks
        self._buffers: dict[OutputPart, str] = {}

    async def __call__(self, event: Event) -> None:
        if self.blocked:
            if isinstance(event, AttemptFinished):  # always recorded
                await self._send(event)
            return
        if isinstance(event, TextDelta):
            await self._add_text((event.choice, "text"), event.text)
        elif isinstance(event, ReasoningDelta):
            await self._add_text((event.choice, "thought"), event.text)
            if event.signature:
                await self._flush(event.choice)
                await self._forward(ReasoningDelta(event.choice, "", event.signature))
        elif isinstance(event, ToolDelta):
            if event.id or event.name:
                await self._flush(event.choice)
                await self._forward(replace(event, json="", frame=None))
            await self._add_text((event.choice, event.index), event.json)
        elif isinstance(event, RawDelta | ChoiceFinished):
            await self._flush(event.choice)
            await self._forward(replace(event, frame=None))
        else:
            await self._send(event)

    async def end(self) -> None:
        for choice in {choice for choice, _ in self._buffers}:
            await self._flush(choice)

    async def _add_text(self, part: OutputPart, text: str) -> None:
        if part not in self._buffers and any(of == part[0] for of, _ in self._buffers) and not isinstance(part[1], int):
            await self._flush(part[0])
        self._buffers[part] = self._buffers.get(part, "") + text
        if len(self._buffers[part]) > HOLD_CHARS:
            await self._release(part, len(self._buffers[part]) - HOLD_CHARS)

    async def _flush(self, choice: int) -> None:
        for part in [part for part in self._buffers if part[0] == choice]:
            await self._release(part, len(self._buffers[part]))
            self._buffers.pop(part, None)

    async def _release(self, part: OutputPart, cut: int) -> None:
        text = self._buffers[part]
        found = self._guard(text)
        if found and self._blocks:
            self.counts.update((each.guard, each.kind) for each in found)
            self.blocked = True
            self.stop()
            return
        whole = cut == len(text)
        for each in found:
            if each.start < cut < each.end:
                cut = each.start if each.end - each.start < MAX_FINDING_CHARS else each.end
        if not whole:
            blank = max(text.rfind(" ", 0, cut), text.rfind("\n", 0, cut))
            cut = blank if blank > 0 and cut - blank < HOLD_CHARS else cut
        told = [each for each in found if each.end <= cut]
        self.counts.update((each.guard, each.kind) for each in told)
        self._buffers[part] = text[cut:]
        said = redact(text[:cut], told) if told else text[:cut]
        if said:
            await self._forward(_event(part, said))

    async def _forward(self, event: Event) -> None:
        if not self.blocked:
            await self._send(event)


def _event(part: OutputPart, text: str) -> Event:
    choice, kind = part
    if isinstance(kind, int):
        return ToolDelta(choice, kind, json=text)
    return TextDelta(choice, text) if kind == "text" else ReasoningDelta(choice, text)


def find_leaks(reply: Reply, guard: Guard) -> FindingCounts:
    """Counts the leaks in a whole reply without changing it."""
    found: list[Finding] = []
    for text in reply_texts(reply):
        found += guard(text)
    return Counter((each.guard, each.kind) for each in found) if found else {}


def reply_texts(reply: Reply) -> list[str]:
    """All texts of a reply: answers, reasoning and the arguments of calls."""
    texts: list[str] = []
    for choice in reply.choices:
        texts += (choice.text, choice.reasoning)
        for call in choice.tool_calls:
            if call.function is not None:
                texts.append(call.function.arguments)
    return [text for text in texts if text]


def redact_reply(reply: Reply, guard: Guard) -> tuple[Reply, FindingCounts]:
    """The whole reply with leaks redacted, and their counts; unchanged if there are none."""
    counts: Counter[tuple[str, str]] = Counter()

    def clear(text: str) -> str:
        found = guard(text) if text else []
        counts.update((each.guard, each.kind) for each in found)
        return redact(text, found) if found else text

    choices = tuple(_choice(choice, clear) for choice in reply.choices)
    if not counts:
        return reply, counts
    fields = reply.fields
    if reply.body is not None:
        body = _body(reply.body)
        fields = {name: raw for name, raw in body.items() if name not in ("choices", "usage", "model", "id")}
    beside = {name: raw for name, raw in fields.items() if name != "sizewise_origin"}
    return replace(reply, choices=choices, fields=beside, body=None), counts


def _choice(choice: Choice, clear: Callable[[str], str]) -> Choice:
    calls = tuple(_call(call, clear) for call in choice.tool_calls)
    after = replace(choice, text=clear(choice.text), reasoning=clear(choice.reasoning), tool_calls=calls)
    return after if after == choice else replace(after, message=None, logprobs=None)


def _call(call: ToolCall, clear: Callable[[str], str]) -> ToolCall:
    if call.function is None:
        return call
    return replace(call, function=FunctionCall(call.function.name, clear(call.function.arguments)))
