"""A reply on its way out, cleared of what leaks: word by word in a stream, or whole; knows not why something leaks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from sizewise.guardrails.base import Finding, Guard
from sizewise.handler import Event, Extra, Finished, Send, Text, Thought, ToolDelta, Tried
from sizewise.messages import Choice, Fields, Function, Reply, ToolCall

HELD = 240
"""Characters that are kept back: more than anything that is looked for takes until it is known for what it is."""
MOST = 4 * HELD
"""Characters that are kept back for a finding that does not end."""

Part = tuple[int, str | int]
Counts = dict[tuple[str, str], int]
"""How often something was found, by guard and kind."""

_body = msgspec.json.Decoder(Fields).decode


def hidden(text: str, found: list[Finding]) -> str:
    """`text` with the kind of each finding in its place; there is no way back."""
    pieces: list[str] = []
    place = 0
    for each in found:
        start = each.start + (each.start > 0 and text[each.start - 1] == "\\")  # half an escape is no JSON
        pieces += [text[place:start], f"[{each.kind}]"]
        place = each.end
    return "".join([*pieces, text[place:]])


class Outgoing:
    """The `send` of a stream. `blocked` once something was found that shall block it: then nothing more is sent, and
    `stop` was called."""

    def __init__(self, send: Send, guard: Guard, blocks: bool) -> None:
        self.stop: Callable[[], object] = bool
        self.blocked = False
        self.counts: Counter[tuple[str, str]] = Counter()
        self._send = send
        self._guard = guard
        self._blocks = blocks
        self._kept: dict[Part, str] = {}

    async def __call__(self, event: Event) -> None:
        if self.blocked:
            if isinstance(event, Tried):  # booked whatever is done
                await self._send(event)
            return
        if isinstance(event, Text):
            await self._said((event.choice, "text"), event.text)
        elif isinstance(event, Thought):
            await self._said((event.choice, "thought"), event.text)
            if event.signature:
                await self._flush(event.choice)
                await self._pass(Thought(event.choice, "", event.signature))
        elif isinstance(event, ToolDelta):
            if event.id or event.name:
                await self._flush(event.choice)
                await self._pass(replace(event, json="", frame=None))
            await self._said((event.choice, event.index), event.json)
        elif isinstance(event, Extra | Finished):
            await self._flush(event.choice)
            await self._pass(replace(event, frame=None))
        else:
            await self._send(event)

    async def end(self) -> None:
        for choice in {choice for choice, _ in self._kept}:
            await self._flush(choice)

    async def _said(self, part: Part, words: str) -> None:
        if part not in self._kept and any(of == part[0] for of, _ in self._kept) and not isinstance(part[1], int):
            await self._flush(part[0])
        self._kept[part] = self._kept.get(part, "") + words
        if len(self._kept[part]) > HELD:
            await self._release(part, len(self._kept[part]) - HELD)

    async def _flush(self, choice: int) -> None:
        for part in [part for part in self._kept if part[0] == choice]:
            await self._release(part, len(self._kept[part]))
            self._kept.pop(part, None)

    async def _release(self, part: Part, cut: int) -> None:
        text = self._kept[part]
        found = self._guard(text)
        if found and self._blocks:
            self.counts.update((each.guard, each.kind) for each in found)
            self.blocked = True
            self.stop()
            return
        whole = cut == len(text)
        for each in found:
            if each.start < cut < each.end:
                cut = each.start if each.end - each.start < MOST else each.end
        if not whole:
            blank = max(text.rfind(" ", 0, cut), text.rfind("\n", 0, cut))
            cut = blank if blank > 0 and cut - blank < HELD else cut
        told = [each for each in found if each.end <= cut]
        self.counts.update((each.guard, each.kind) for each in told)
        self._kept[part] = text[cut:]
        said = hidden(text[:cut], told) if told else text[:cut]
        if said:
            await self._pass(_event(part, said))

    async def _pass(self, event: Event) -> None:
        if not self.blocked:
            await self._send(event)


def _event(part: Part, said: str) -> Event:
    choice, kind = part
    if isinstance(kind, int):
        return ToolDelta(choice, kind, json=said)
    return Text(choice, said) if kind == "text" else Thought(choice, said)


def leaks(reply: Reply, guard: Guard) -> Counts:
    """What leaks in a whole reply, without a change to it."""
    found: list[Finding] = []
    for choice in reply.choices:
        if choice.text:
            found += guard(choice.text)
        if choice.thought:
            found += guard(choice.thought)
        for call in choice.tool_calls:
            if call.function is not None and call.function.arguments:
                found += guard(call.function.arguments)
    return Counter((each.guard, each.kind) for each in found) if found else {}


def cleared(reply: Reply, guard: Guard) -> tuple[Reply, Counts]:
    """The whole reply without what leaks, and what that was; itself where nothing does."""
    counts: Counter[tuple[str, str]] = Counter()

    def clear(text: str) -> str:
        found = guard(text) if text else []
        counts.update((each.guard, each.kind) for each in found)
        return hidden(text, found) if found else text

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
    after = replace(choice, text=clear(choice.text), thought=clear(choice.thought), tool_calls=calls)
    return after if after == choice else replace(after, message=None, logprobs=None)


def _call(call: ToolCall, clear: Callable[[str], str]) -> ToolCall:
    if call.function is None:
        return call
    return replace(call, function=Function(call.function.name, clear(call.function.arguments)))
