"""Puts hidden values back into a stream, also where a placeholder comes in pieces; keeps back no more than one of them.

One window for each choice's words, its thoughts and each of its calls: what a model says in one is never joined with
what it says in another. In a call's arguments the value is written as JSON wants it.
"""

from __future__ import annotations

import re

import msgspec
from msgspec.structs import replace

from sizewise.guardrails.pseudonymization import HELD, Restore
from sizewise.handler import Event, Extra, Finished, Send, Text, Thought, ToolDelta
from sizewise.messages import Choice, Fields, Function, Reply, ToolCall

BEGUN = re.compile(
    r"(?:<|\\u003[cC])([A-Z][A-Z0-9_]{0,48})?(?:\\(?:u(?:0(?:0(?:3)?)?)?)?)?\Z|\\(?:u(?:0(?:0(?:3)?)?)?)?\Z"
)
"""A placeholder that has begun at the end of a text, in either spelling."""
LONGEST = 64

_body = msgspec.json.Decoder(Fields).decode


class Window:
    """The end of what was said, as long as it may be the beginning of a placeholder."""

    __slots__ = ("_json", "_kept", "_names", "_restore")

    def __init__(self, restore: Restore, json: bool = False) -> None:
        self._restore = restore
        self._json = json
        self._names = tuple(restore.values)
        self._kept = ""

    def feed(self, text: str) -> str:
        """What can be told by now. A value that was put back is never looked at again."""
        if not self._kept and "<" not in text and "\\" not in text:
            return text
        text = self._kept + text
        whole = 0
        for match in HELD.finditer(text):
            whole = match.end()
        begun = BEGUN.search(text, max(whole, len(text) - LONGEST))
        while begun is not None and not self._may_be(begun.group(1) or ""):
            begun = BEGUN.search(text, begun.start() + 1)  # its end may be the beginning of another
        kept = len(text) if begun is None else begun.start()
        self._kept = text[kept:]
        return self._restore.json(text[:kept]) if self._json else self._restore.text(text[:kept])

    def rest(self) -> str:
        kept, self._kept = self._kept, ""
        return kept

    def _may_be(self, begun: str) -> bool:
        return any(name.startswith(begun) for name in self._names)


Part = tuple[int, str | int]
"""A choice, and which of its parts: words, thoughts, or the number of a call."""


class Restoring:
    """The `send` of an attempt that saw placeholders. No event keeps its frame, for the others of its stream cannot;
    log-probabilities are dropped, for they are those of other words."""

    def __init__(self, restore: Restore, send: Send, window: type[Window] = Window) -> None:
        self._restore = restore
        self._send = send
        self._new = window
        self._windows: dict[Part, Window] = {}

    async def __call__(self, event: Event) -> None:
        if isinstance(event, Text):
            await self._flush(event.choice, "thought")
            said = self._window(event.choice, "text").feed(event.text)
            if said or not event.text:
                await self._send(Text(event.choice, said))
        elif isinstance(event, Thought):
            await self._flush(event.choice, "text")
            said = self._window(event.choice, "thought").feed(event.text)
            if event.signature:
                said += self._window(event.choice, "thought").rest()
            if said or event.signature:
                await self._send(Thought(event.choice, said, event.signature))
        elif isinstance(event, ToolDelta):
            await self._flush(event.choice, "text", "thought")
            said = self._window(event.choice, event.index).feed(event.json)
            if said or event.id or event.name:
                name = self._restore.name(event.name)
                await self._send(ToolDelta(event.choice, event.index, event.id, name, said))
        elif isinstance(event, Extra):
            await self._flush(event.choice, "text", "thought")
            await self._send(Extra(event.choice, self._restore.fields(event.fields)))
        elif isinstance(event, Finished):
            await self._flush(event.choice)
            await self._send(replace(event, frame=None))
        else:
            await self._send(event)

    async def end(self) -> None:
        """What was kept back of choices that were never said to be finished."""
        for choice in {choice for choice, _ in self._windows}:
            await self._flush(choice)

    def _window(self, choice: int, part: str | int) -> Window:
        found = self._windows.get((choice, part))
        if found is None:
            found = self._windows[choice, part] = self._new(self._restore, json=isinstance(part, int))
        return found

    async def _flush(self, choice: int, *parts: str) -> None:
        """What was kept back of these parts of a choice; of all, where none is named."""
        for (of, part), window in list(self._windows.items()):
            if of == choice and (not parts or part in parts) and (rest := window.rest()):
                if isinstance(part, int):
                    await self._send(ToolDelta(choice, part, json=rest))
                else:
                    await self._send(Text(choice, rest) if part == "text" else Thought(choice, rest))


def restored(reply: Reply, restore: Restore) -> Reply:
    """The whole reply with every value back. Where none was in it, the bytes stay as they came."""
    choices = tuple(_choice(choice, restore) for choice in reply.choices)
    fields = restore.fields(reply.fields)
    if reply.body is None:
        return replace(reply, choices=choices, fields=fields)
    body = _body(reply.body)
    after = restore.fields(body)
    if after == body:
        return replace(reply, choices=choices, fields=fields)
    beside = {name: raw for name, raw in after.items() if name not in ("choices", "usage", "model", "id")}
    return replace(reply, choices=choices, fields=beside | fields, body=None)


def _choice(choice: Choice, restore: Restore) -> Choice:
    message = choice.message if choice.message is None else restore.raw(choice.message)
    calls = tuple(_call(call, restore) for call in choice.tool_calls)
    text, thought = restore.text(choice.text), restore.text(choice.thought)
    same = text == choice.text and thought == choice.thought and calls == choice.tool_calls
    logprobs = choice.logprobs if same else None
    return replace(choice, text=text, thought=thought, tool_calls=calls, message=message, logprobs=logprobs)


def _call(call: ToolCall, restore: Restore) -> ToolCall:
    if call.function is None:
        return call
    name, arguments = restore.name(call.function.name), restore.json(call.function.arguments)
    return replace(call, function=Function(name, arguments))
