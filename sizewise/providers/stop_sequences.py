"""Stop sequences for a wire whose API has none: a reply ends before the first one, and a stream ends the call.

Knows no wire. What a cancelled call has cost is estimated, as its usage never arrives.
"""

from __future__ import annotations

from collections.abc import Coroutine, Sequence

import msgspec
from msgspec import structs

from sizewise.handler import ChoiceFinished, Event, Handler, ReasoningDelta, Request, Send, TextDelta
from sizewise.messages import ChatRequest, Choice, Reply, Usage
from sizewise.providers.wires.original_body import without_original

_stop = msgspec.json.Decoder(str | list[str] | None)


class StopSequences:
    """A handler that obeys the `stop` of chats in place of `handler`, which never sees it. `model`: its name."""

    __slots__ = ("_handler", "_model")

    def __init__(self, handler: Handler, model: str) -> None:
        self._handler = handler
        self._model = model

    def __call__(self, request: Request, send: Send) -> Coroutine[object, object, Reply]:
        chat = request.payload
        if not isinstance(chat, ChatRequest) or "stop" not in chat.fields:
            return self._handler(request, send)
        stops = stop_sequences(chat)
        fields = {name: raw for name, raw in chat.fields.items() if name != "stop"}
        asked = structs.replace(request, payload=structs.replace(chat, fields=fields))
        return self._until_stop(asked, send, stops, chat.stream) if stops else self._handler(asked, send)

    async def _until_stop(self, request: Request, send: Send, stops: Sequence[str], streams: bool) -> Reply:
        if not streams:
            return _cut(await self._handler(request, send), stops)
        watching = StopWatch(send, stops)
        try:
            return await self._handler(request, watching)
        except Stopped:
            choice = Choice(0, watching.text, "stop", reasoning=watching.reasoning)
            return Reply((choice,), Usage(estimated=True), self._model)


class Stopped(Exception):
    """A stop sequence has come: leaves the handler, which closes its connection."""


class StopWatch:
    """A `send` for one choice: holds back text that may begin a stop sequence. Raises Stopped after the last text."""

    def __init__(self, send: Send, stops: Sequence[str]) -> None:
        self._send = send
        self._stops = stops
        self._held: list[TextDelta] = []
        self.text = ""
        self.reasoning = ""

    async def __call__(self, event: Event) -> None:
        if not isinstance(event, TextDelta):
            await self._release()
            if isinstance(event, ReasoningDelta):
                self.reasoning += event.text
            return await self._send(event)
        self._held.append(event)
        text = "".join(each.text for each in self._held)
        end = find_stop(text, self._stops)
        if end is not None:
            await self._write(TextDelta(event.choice, text[:end]) if end else None)
            await self._send(ChoiceFinished(event.choice, "stop"))
            raise Stopped
        if not may_begin_stop(text, self._stops):
            await self._release()

    async def _release(self) -> None:
        held, self._held = self._held, []
        for each in held:
            await self._write(each)

    async def _write(self, event: TextDelta | None) -> None:
        if event is not None:
            self.text += event.text
            await self._send(event)


def stop_sequences(chat: ChatRequest) -> list[str]:
    """The `stop` of a chat, without empty ones."""
    raw = chat.fields.get("stop")
    stop = None if raw is None else _stop.decode(raw)
    return [each for each in ([stop] if isinstance(stop, str) else stop or ()) if each]


def find_stop(text: str, stops: Sequence[str]) -> int | None:
    """Where the first stop sequence begins."""
    return min((at for stop in stops if (at := text.find(stop)) >= 0), default=None)


def may_begin_stop(text: str, stops: Sequence[str]) -> bool:
    """Whether `text` ends with the beginning of a stop sequence."""
    return any(text.endswith(stop[:length]) for stop in stops for length in range(1, len(stop)))


def _cut(reply: Reply, stops: Sequence[str]) -> Reply:
    """The reply up to the first stop sequence; what the model did after it is dropped."""
    choices = tuple(_cut_choice(choice, stops) for choice in reply.choices)
    if choices == reply.choices:
        return reply
    return structs.replace(reply, choices=choices, fields=without_original(reply.fields), body=None)


def _cut_choice(choice: Choice, stops: Sequence[str]) -> Choice:
    end = find_stop(choice.text, stops)
    if end is None:
        return choice
    return Choice(choice.index, choice.text[:end], "stop", reasoning=choice.reasoning)
