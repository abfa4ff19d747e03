"""Calls that a model writes into its text, as tool calls: the events and choices of one answer. Makes no call.

Only calls of offered tools, with arguments that their schemas allow, are taken; everything else stays text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec import Raw, structs

from sizewise.errors import BadBody
from sizewise.handler import ChoiceFinished, Event, TextDelta, ToolDelta
from sizewise.messages import Choice, FunctionCall, ToolCall
from sizewise.providers.wires.openai.stream_in import join_logprobs
from sizewise.routing.forced_tool_calls import arguments_text
from sizewise.routing.text.tool_call_splitter import Piece, ToolCallSplitter
from sizewise.routing.text.tool_call_text import WrittenCall
from sizewise.routing.tool_choice import ArgumentSchemas, ToolChoice

NumberCalls = Callable[[FunctionCall, int], ToolCall]
"""A call with the id that it has as call number ... of its choice."""


class WrittenToolCalls:
    """The text and calls of one choice. `number` gives calls their ids. Calls that the runtime found pass unchanged."""

    def __init__(self, index: int, choice: ToolChoice, schemas: ArgumentSchemas, number: NumberCalls) -> None:
        self._index = index
        self._choice = choice
        self._schemas = schemas
        self._number = number
        self._splitter = ToolCallSplitter(choice.tools, self._is_call)
        self._text: list[str] = []
        self._calls: list[ToolCall] = []
        self._logprobs: list[Raw] = []  # of text that is held
        self._runtime_calls = 0

    def read(self, event: TextDelta | ToolDelta | ChoiceFinished) -> Iterable[Event]:
        """The events that the client gets instead."""
        if isinstance(event, ToolDelta):
            self._runtime_calls = max(self._runtime_calls, event.index + 1)
            return [structs.replace(event, frame=None)]
        if isinstance(event, ChoiceFinished):
            return [*self._events(self._splitter.finish()), self._finished(event)]
        if event.logprobs is not None:
            self._logprobs.append(event.logprobs)
        return self._events(self._splitter.feed(event.text))

    def whole(self, answer: Choice) -> Choice:
        """The choice, once all its events were read; of an answer that was not streamed, from its text."""
        if not self._text and not self._calls:
            for event in (TextDelta(self._index, answer.text), ChoiceFinished(self._index, "")):
                list(self.read(event))
        if not self._calls:
            return answer
        calls = (*answer.tool_calls, *self._calls)
        finish = "tool_calls" if answer.finish_reason == "stop" else answer.finish_reason
        return structs.replace(answer, text="".join(self._text), tool_calls=calls, finish_reason=finish, message=None)

    def _events(self, pieces: Iterable[Piece]) -> list[Event]:
        events: list[Event] = []
        for piece in pieces:
            logprobs, self._logprobs = join_logprobs(self._logprobs), []
            if isinstance(piece, str):
                self._text.append(piece)
                events.append(TextDelta(self._index, piece, logprobs))
                continue
            for name, arguments in piece:
                place = self._runtime_calls + len(self._calls)
                if place and not self._choice.is_parallel:
                    break
                call = self._number(FunctionCall(name, arguments_text(arguments)), place)
                self._calls.append(call)
                assert call.function is not None
                made = call.function.arguments
                events.append(ToolDelta(choice=self._index, index=place, id=call.id, name=name, json=made))
        return events

    def _finished(self, event: ChoiceFinished) -> ChoiceFinished:
        finish = "tool_calls" if self._calls and event.finish_reason == "stop" else event.finish_reason
        return ChoiceFinished(self._index, finish)

    def _is_call(self, call: WrittenCall) -> bool:
        name, arguments = call
        tool = self._choice.tools.get(name)
        if tool is None or not isinstance(arguments, dict):
            return False
        try:
            schema = self._schemas(tool)
        except BadBody:  # a schema that cannot be used forbids nothing
            return True
        return schema is None or schema.check_text(arguments_text(arguments)) is None
