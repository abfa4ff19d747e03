"""A small model's probabilities of the options of a question, asked through all layers; decides nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from sizewise.handler import Handler, Request, discard_events
from sizewise.limits.middleware import INTERNAL_ENDPOINTS
from sizewise.messages import ChatRequest
from sizewise.providers.wires.openai.decision_upstream import (
    OPTION_FIELD,
    CarriedQuestion,
    OptionAnswer,
    carried,
    said_before,
)
from sizewise.providers.wires.original_body import ORIGINAL_FIELD

_encode = msgspec.json.Encoder().encode


class OptionModel:
    """Asks one question at a time: a model on this machine has other work."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._turn = asyncio.Lock()

    async def ask(self, request: Request, options: Sequence[str], model: str) -> Sequence[float] | None:
        """The probability of each of `options`, JSON texts, in their order; None if the model gives none. Raises
        SizewiseError.
        """
        payload = request.payload
        assert isinstance(payload, ChatRequest)  # of a question
        question = CarriedQuestion(option_texts(options), [*options], "")
        question.instructions = said_before(payload.messages)
        fields = {
            "model": Raw(_encode(model)),
            "messages": payload.fields["messages"],
            ORIGINAL_FIELD: carried(question),
        }
        chat = ChatRequest(model, payload.messages, fields)
        endpoint = request.endpoint if request.endpoint in INTERNAL_ENDPOINTS else "decisions"
        routing = replace(request.options, policy=None, idempotency_key=None, session=None)
        own = replace(request, payload=chat, options=routing, endpoint=endpoint, scan=None, spotlighting=None)
        async with self._turn:
            reply = await self._handler(own, discard_events)
        raw = reply.fields.get(OPTION_FIELD)
        return None if raw is None else msgspec.json.decode(raw, type=OptionAnswer).probabilities


def option_texts(options: Sequence[str]) -> list[str]:
    """What a model writes for each: of objects with one property, its value alone."""
    values = [msgspec.json.decode(each) for each in options]
    names = {tuple(value) if isinstance(value, dict) else () for value in values}
    if len(names) == 1 and len(name := next(iter(names))) == 1:
        return [_encode(value[name[0]]).decode() for value in values]
    return list(options)


def options_line(options: Sequence[str]) -> str:
    """All of `options`, JSON texts, as people read them: strings without their quotes."""
    texts = option_texts(options)
    values = [msgspec.json.decode(text) for text in texts]
    return ", ".join(value if isinstance(value, str) else text for value, text in zip(values, texts, strict=True))
