"""Tool calls of a local model: forced ones by a grammar, others also from what it writes. Knows no template.

A handler around one attempt: the client gets calls of tools that it offered, with arguments that match their schemas.
"""

from __future__ import annotations

from functools import partial
from hashlib import blake2b

from msgspec import structs

from sizewise.errors import InvalidOutput
from sizewise.handler import (
    ChoiceFinished,
    ConnectModel,
    Event,
    Handler,
    RawDelta,
    ReasoningDelta,
    Request,
    Send,
    TextDelta,
    ToolDelta,
)
from sizewise.messages import ChatRequest, Choice, FunctionCall, Reply, ToolCall
from sizewise.model_card import ModelCard
from sizewise.reply_events import events_of
from sizewise.routing.forced_tool_calls import forced_calls, forced_request, free_request
from sizewise.routing.structured_output import INCOMPLETE_FINISHES
from sizewise.routing.tool_choice import ArgumentSchemas, ToolChoice, read_tool_choice
from sizewise.routing.written_tool_calls import NumberCalls, WrittenToolCalls


def with_local_tool_calls(connect: ConnectModel) -> ConnectModel:
    """`connect`, with tool calls for the models that run here."""

    schemas = ArgumentSchemas()

    def connected(card: ModelCard) -> Handler:
        handler = connect(card)
        return handler if card.weights is None or card.task != "chat" else LocalToolCalls(handler, card, schemas)

    return connected


class LocalToolCalls:
    """A handler that calls `handler`, whose model generates by grammars.

    Raises BadBody if `tool_choice` names an unknown tool or a forced tool has an unusable schema, and InvalidOutput if
    a forced answer is no call, or its arguments break a rule that no grammar expresses.
    """

    def __init__(self, handler: Handler, card: ModelCard, schemas: ArgumentSchemas) -> None:
        self._handler = handler
        self._card = card
        self._schemas = schemas

    async def __call__(self, request: Request, send: Send) -> Reply:
        chat = request.payload
        if not isinstance(chat, ChatRequest) or not chat.tools:
            return await self._handler(request, send)
        choice = read_tool_choice(chat)
        if not choice.tools:
            return await self._handler(request, send)
        if choice.is_required:
            return await self._forced(request, chat, choice, send)
        return await self._free(request, chat, choice, send)

    async def _free(self, request: Request, chat: ChatRequest, choice: ToolChoice, send: Send) -> Reply:
        number = partial(with_id, conversation_id(chat, request.trace_id))
        found: dict[int, WrittenToolCalls] = {}

        def written(index: int) -> WrittenToolCalls:
            if index not in found:
                found[index] = WrittenToolCalls(index, choice, self._schemas, partial(number, index))
            return found[index]

        async def read(event: Event) -> None:
            if isinstance(event, TextDelta | ToolDelta | ChoiceFinished):
                for each in written(event.choice).read(event):
                    await send(each)
            elif isinstance(event, ReasoningDelta | RawDelta):
                await send(structs.replace(event, frame=None))  # it may hold what other events began
            else:
                await send(event)

        reply = await self._handler(structs.replace(request, payload=free_request(chat)), read)
        choices = tuple(written(each.index).whole(each) for each in reply.choices)
        return structs.replace(reply, choices=choices, body=None)

    async def _forced(self, request: Request, chat: ChatRequest, choice: ToolChoice, send: Send) -> Reply:
        for tool in choice.tools.values():
            self._schemas(tool)
        asked = structs.replace(request, payload=forced_request(chat, choice))
        reply = await self._handler(asked, send)
        number = partial(with_id, conversation_id(chat, request.trace_id))
        choices = tuple(self._forced_choice(each, choice, partial(number, each.index)) for each in reply.choices)
        reply = structs.replace(reply, choices=choices, body=None)
        if chat.stream:
            for event in events_of(reply):
                await send(event)
        return reply

    def _forced_choice(self, answer: Choice, choice: ToolChoice, number: NumberCalls) -> Choice:
        found, finish = forced_calls(answer.text), answer.finish_reason
        if finish not in INCOMPLETE_FINISHES:
            finish = "tool_calls"
            if not found:
                raise self._no_call()
            for call in found:
                self._check(call, choice)
        calls = tuple(number(call, place) for place, call in enumerate(found))
        return structs.replace(answer, text="", tool_calls=calls, finish_reason=finish)

    def _check(self, call: FunctionCall, choice: ToolChoice) -> None:
        if call.name not in choice.tools:
            raise self._no_call()
        schema = self._schemas(choice.tools[call.name])
        violation = schema.check_text(call.arguments) if schema is not None else None
        if violation is not None:
            raise InvalidOutput(
                f"arguments of {self._card.name} for {call.name!r} do not match its schema: {violation.description}",
                "simplify the schema, or use a larger model",
                param="tools",
            )

    def _no_call(self) -> InvalidOutput:
        said = f"{self._card.name} had to call a tool, and its answer is no call of one of `tools`"
        return InvalidOutput(said, "use a larger model, or a newer runtime", param="tool_choice")


def conversation_id(chat: ChatRequest, trace_id: str) -> bytes:
    """Another in every turn of a conversation, and in every request."""
    return blake2b(bytes(chat.fields["messages"]), digest_size=12, key=trace_id.encode()).digest()


def with_id(conversation: bytes, choice: int, call: FunctionCall, place: int) -> ToolCall:
    said = blake2b(b"%b.%d.%d" % (conversation, choice, place), digest_size=12).hexdigest()
    return ToolCall(call, f"call_{said}")
