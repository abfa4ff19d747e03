"""Stream unmasking: restores placeholders in a reply, also when one is split across chunks.

The text, the reasoning and each tool call of a choice have a buffer of their own, so that they are never joined. Values
are JSON-escaped in a call's arguments.
"""

from __future__ import annotations

import re

import msgspec
from msgspec.structs import replace

from sizewise.guardrails.pseudonymization import PLACEHOLDER, Unmasker
from sizewise.handler import ChoiceFinished, Event, RawDelta, ReasoningDelta, Send, TextDelta, ToolDelta
from sizewise.messages import Choice, FunctionCall, JsonFields, Reply, ToolCall

PARTIAL_PLACEHOLDER = re.compile(
    r"(?:<|\\u003[cC])([A-Z][A-Z0-9_]{0,48})?(?:\\(?:u(?:0(?:0(?:3)?)?)?)?)?\Z|\\(?:u(?:0(?:0(?:3)?)?)?)?\Z",
)
"""An incomplete placeholder at the end of a text, plain or JSON-escaped."""
MAX_PLACEHOLDER_CHARS = 64

_body = msgspec.json.Decoder(JsonFields).decode


class StreamUnmasker:
    """Holds back the end of a text while it may be the beginning of a placeholder."""

    __slots__ = ("_held", "_json", "_names", "_unmasker")

    def __init__(self, unmasker: Unmasker, json: bool = False) -> None:
        self._unmasker = unmasker
        self._json = json
        self._names = tuple(unmasker.values)
        self._held = ""

    def feed(self, text: str) -> str:
        """The text that can be sent by now. Restored values are not scanned again."""
        if not self._held and "<" not in text and "\\" not in text:
            return text
        text = self._held + text
        whole = 0
        for match in PLACEHOLDER.finditer(text):
            whole = match.end()
        begun = PARTIAL_PLACEHOLDER.search(text, max(whole, len(text) - MAX_PLACEHOLDER_CHARS))
        while begun is not None and not self._may_be_placeholder(begun.group(1) or ""):
            begun = PARTIAL_PLACEHOLDER.search(text, begun.start() + 1)  # another may begin within it
        kept = len(text) if begun is None else begun.start()
        self._held = text[kept:]
        return self._unmasker.json(text[:kept]) if self._json else self._unmasker.text(text[:kept])

    def flush(self) -> str:
        kept, self._held = self._held, ""
        return kept

    def _may_be_placeholder(self, begun: str) -> bool:
        return any(name.startswith(begun) for name in self._names)


StreamPart = tuple[int, str | int]
"""Index of a choice, and its part: "text", "thought", or the index of a tool call."""


class UnmaskingSend:
    """The `send` of an attempt whose request held placeholders. Sends no event with its original frame, and drops log
    probabilities, which are of other words.
    """

    def __init__(self, unmasker: Unmasker, send: Send, unmasker_class: type[StreamUnmasker] = StreamUnmasker) -> None:
        self._unmasker = unmasker
        self._send = send
        self._unmasker_class = unmasker_class
        self._unmaskers: dict[StreamPart, StreamUnmasker] = {}

    async def __call__(self, event: Event) -> None:
        if isinstance(event, TextDelta):
            await self._flush(event.choice, "thought")
            said = self._unmasker_for(event.choice, "text").feed(event.text)
            if said or not event.text:
                await self._send(TextDelta(event.choice, said))
        elif isinstance(event, ReasoningDelta):
            await self._flush(event.choice, "text")
            said = self._unmasker_for(event.choice, "thought").feed(event.text)
            if event.signature:
                said += self._unmasker_for(event.choice, "thought").flush()
            if said or event.signature:
                await self._send(ReasoningDelta(event.choice, said, event.signature))
        elif isinstance(event, ToolDelta):
            await self._flush(event.choice, "text", "thought")
            said = self._unmasker_for(event.choice, event.index).feed(event.json)
            if said or event.id or event.name:
                name = self._unmasker.name(event.name)
                await self._send(ToolDelta(choice=event.choice, index=event.index, id=event.id, name=name, json=said))
        elif isinstance(event, RawDelta):
            await self._flush(event.choice, "text", "thought")
            await self._send(RawDelta(event.choice, self._unmasker.fields(event.fields)))
        elif isinstance(event, ChoiceFinished):
            await self._flush(event.choice)
            await self._send(replace(event, frame=None))
        else:
            await self._send(event)

    async def end(self) -> None:
        """Sends what is held back of choices without a ChoiceFinished event."""
        for choice in {choice for choice, _ in self._unmaskers}:
            await self._flush(choice)

    def _unmasker_for(self, choice: int, part: str | int) -> StreamUnmasker:
        found = self._unmaskers.get((choice, part))
        if found is None:
            found = self._unmaskers[choice, part] = self._unmasker_class(self._unmasker, json=isinstance(part, int))
        return found

    async def _flush(self, choice: int, *parts: str) -> None:
        """Sends what is held back of `parts` of a choice; of all parts if none is given."""
        for (of, part), window in list(self._unmaskers.items()):
            if of == choice and (not parts or part in parts) and (rest := window.flush()):
                if isinstance(part, int):
                    await self._send(ToolDelta(choice, part, json=rest))
                else:
                    await self._send(TextDelta(choice, rest) if part == "text" else ReasoningDelta(choice, rest))


def unmask_reply(reply: Reply, unmasker: Unmasker) -> Reply:
    """The whole reply with all values restored. Without a placeholder, its bytes are unchanged."""
    choices = tuple(_choice(choice, unmasker) for choice in reply.choices)
    fields = unmasker.fields(reply.fields)
    if reply.body is None:
        return replace(reply, choices=choices, fields=fields)
    body = _body(reply.body)
    after = unmasker.fields(body)
    if after == body:
        return replace(reply, choices=choices, fields=fields)
    beside = {name: raw for name, raw in after.items() if name not in ("choices", "usage", "model", "id")}
    return replace(reply, choices=choices, fields=beside | fields, body=None)


def _choice(choice: Choice, unmasker: Unmasker) -> Choice:
    message = choice.message if choice.message is None else unmasker.raw(choice.message)
    calls = tuple(_call(call, unmasker) for call in choice.tool_calls)
    text, thought = unmasker.text(choice.text), unmasker.text(choice.reasoning)
    same = text == choice.text and thought == choice.reasoning and calls == choice.tool_calls
    logprobs = choice.logprobs if same else None
    return replace(choice, text=text, reasoning=thought, tool_calls=calls, message=message, logprobs=logprobs)


def _call(call: ToolCall, unmasker: Unmasker) -> ToolCall:
    if call.function is None:
        return call
    name, arguments = unmasker.name(call.function.name), unmasker.json(call.function.arguments)
    return replace(call, function=FunctionCall(name, arguments))
