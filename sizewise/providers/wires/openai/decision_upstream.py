"""Decisions of an upstream that has OpenAI's endpoint for them: one question each; opens no socket.

A question travels as a chat with a closed schema, and carries itself along: an upstream with `/decisions` gets it as it
is, an embedded model is asked for the probability of each option, and every other model sees the chat. A layer that
changes what was said before the input makes it a plain chat.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Raw, Struct

from sizewise.messages import ChatRequest, Choice, Message, Reply, Usage
from sizewise.providers.wires.openai.usage_and_errors import protocol_error
from sizewise.providers.wires.original_body import ORIGINAL_FIELD, OriginalBody, original_body

WIRE_NAME = "decisions"
"""In OriginalBody.wire."""
OPTION_FIELD = "sizewise_option"
"""Of a reply: its OptionAnswer."""

NO_QUESTION = Raw(b"null")

_encode = msgspec.json.Encoder().encode


class CarriedQuestion(Struct):
    """`options`: each allowed answer as JSON text; `texts`: what stands for each in the chat's schema; `instructions`:
    the chat's, word for word; `question`: in the wire's form, null where a chat had a closed schema of its own.
    """

    options: list[str]
    texts: list[str]
    instructions: str
    question: Raw = NO_QUESTION


class OptionAnswer(Struct, frozen=True):
    """The probability of each option, and which is chosen. `source`: the rung that gave them. `values`: what each
    probability belongs to, where an upstream says so; empty: in the order of the question.
    """

    option: int
    probabilities: tuple[float, ...]
    source: str
    values: tuple[str | bool | int | None, ...] = ()


class UpstreamShare(Struct):
    probability: float
    value: str | bool | int | None = None
    label: str | None = None  # of a score's level


class UpstreamAnswer(Struct):
    type: str
    probability: float | None = None
    probabilities: list[UpstreamShare] = []


class UpstreamUsage(Struct):
    input_tokens: int = 0
    output_tokens: int = 0


class UpstreamDecision(Struct):
    answers: list[UpstreamAnswer]
    model: str | None = None
    usage: UpstreamUsage | None = None


def carried(question: CarriedQuestion) -> Raw:
    """The private field of a chat that asks it."""
    return OriginalBody(WIRE_NAME, Raw(_encode(question))).to_field()


def carried_question(chat: ChatRequest) -> CarriedQuestion | None:
    """The question of a chat that asks one; None for others, and where a layer has changed what is asked."""
    if ORIGINAL_FIELD not in chat.fields or chat.stream or chat.n != 1 or chat.tools:
        return None
    found = original_body(chat.fields, WIRE_NAME)
    if found is None or not chat.messages or chat.messages[-1].role != "user":
        return None
    asked = msgspec.json.decode(found.body, type=CarriedQuestion)
    return asked if said_before(chat.messages) == asked.instructions else None


def said_before(messages: Sequence[Message]) -> str:
    """All that was said before the input."""
    return "\n".join(each.text for each in messages[:-1])


def is_decision(chat: ChatRequest) -> bool:
    asked = carried_question(chat)
    return asked is not None and bytes(asked.question) != b"null"


def write_request(chat: ChatRequest, model: str) -> bytes:
    """The body for an upstream, with its model name."""
    asked = carried_question(chat)
    assert asked is not None  # is_decision
    return _encode({"model": model, "input": chat.messages[-1].text, "questions": [asked.question]})


def read_reply(body: bytes) -> Reply:
    """The one answer, in the form that the chat's schema allows. A refusal is an empty one. Raises
    UpstreamProtocolError.
    """
    try:
        seen = msgspec.json.decode(body, type=UpstreamDecision)
    except (msgspec.DecodeError, RecursionError) as error:
        raise protocol_error(str(error)) from error
    if len(seen.answers) != 1:
        raise protocol_error(f"{len(seen.answers)} answers to one question")
    used, answer = seen.usage, seen.answers[0]
    usage = Usage(estimated=True) if used is None else Usage(used.input_tokens, used.output_tokens)
    if answer.type == "refusal":
        return Reply((Choice(0, "", "content_filter"),), usage, seen.model or "")
    values, shares = _distribution(answer)
    found = OptionAnswer(shares.index(max(shares)), tuple(shares), "large", tuple(values))
    text = _encode({"answer": values[found.option]}).decode()
    return _reply(text, found, usage, seen.model or "")


def option_reply(asked: CarriedQuestion, found: OptionAnswer, usage: Usage, model: str) -> Reply:
    """The reply of a model that gave the probability of each option."""
    return _reply(asked.texts[found.option], found, usage, model)


def _distribution(answer: UpstreamAnswer) -> tuple[list[Any], list[float]]:
    if answer.type == "predicate" and answer.probability is not None:
        return [True, False], [answer.probability, 1.0 - answer.probability]
    if answer.type not in ("choice", "score") or not answer.probabilities:
        raise protocol_error(f"an answer of the type {answer.type[:100]!r} without probabilities")
    values = [each.value if each.label is None else each.label for each in answer.probabilities]
    return values, [each.probability for each in answer.probabilities]


def _reply(text: str, found: OptionAnswer, usage: Usage, model: str) -> Reply:
    return Reply((Choice(0, text, "stop"),), usage, model, fields={OPTION_FIELD: Raw(_encode(found))})
