"""/v1/systemone: questions in TypeSafe's wire, answered by the same decisions; knows no rung of its own.

Source: TypeSafe's API reference, Evaluation endpoint. A `noul` is a yes or no, with the probability of yes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw, Struct

from sizewise.app.application import Application
from sizewise.errors import BadBody
from sizewise.gateway.decisions import DecisionResult, answer_decision
from sizewise.gateway.decisions_request import (
    MAX_CHOICES,
    MAX_QUESTIONS,
    ChoiceOption,
    ChoiceQuestion,
    DecisionCall,
    DecisionQuestion,
    Predicate,
    ScoreLevel,
    ScoreQuestion,
    check_questions,
)
from sizewise.gateway.request_head import RequestHead
from sizewise.gateway.response_writer import ResponseWriter
from sizewise.providers.wires.openai.request_response import decode_client_body

Text = str | dict[str, Any] | list[Any]


class NoulCriteria(Struct):
    true: Text = ""
    false: Text = ""


class NoulQuestion(Struct, tag="noul"):
    instructions: Text
    criteria: NoulCriteria | None = None


class NamedChoice(Struct, tag="choice"):
    instructions: Text
    criteria: Annotated[dict[str, Text], Meta(min_length=2, max_length=MAX_CHOICES)]


class NamedScore(Struct, tag="score"):
    instructions: Text
    criteria: Annotated[list[Text], Meta(min_length=2, max_length=MAX_CHOICES)]


NamedQuestion = NoulQuestion | NamedChoice | NamedScore


class SystemOneBody(Struct):
    state: Text
    questions: Annotated[
        dict[str, NoulQuestion | NamedChoice | NamedScore], Meta(min_length=1, max_length=MAX_QUESTIONS)
    ]
    model: str | None = None


_body = msgspec.json.Decoder(SystemOneBody)


async def systemone(app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
    await answer_decision(app, head, body, writer, _read, _write)


def _read(body: bytes, *, is_checked: bool = False) -> tuple[DecisionCall, Raw | None]:
    """Raises BadBody."""
    seen, fields = decode_client_body(body, _body, is_checked)
    options = fields.pop("sizewise", None)
    for name in fields.keys() - set(SystemOneBody.__struct_fields__):
        raise BadBody(f"`{name[:100]}` is not known", "remove it", param=name[:100])
    state = _text(seen.state)
    if not state.strip():
        raise BadBody("`state` is empty", "send what is to be decided on", param="state")
    questions = [_question(name, each) for name, each in seen.questions.items()]
    check_questions(questions, [f"questions.{name}" for name in seen.questions])
    return DecisionCall(seen.model or "auto", state, questions), options


def _question(name: str, asked: NamedQuestion) -> DecisionQuestion:
    said = _text(asked.instructions)
    if isinstance(asked, NoulQuestion):
        its = asked.criteria
        more = "" if its is None else f"\nTrue: {_text(its.true)}\nFalse: {_text(its.false)}"
        return Predicate(said + more, name)
    if isinstance(asked, NamedChoice):
        options = [ChoiceOption(value, _text(about)) for value, about in asked.criteria.items()]
        return ChoiceQuestion(said, options, name)
    return ScoreQuestion(said, [ScoreLevel(str(at), _text(each)) for at, each in enumerate(asked.criteria)], name)


def _text(value: Text) -> str:
    """Structured data as the JSON that a model reads."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _write(result: DecisionResult) -> bytes:
    (answers, rungs), usage = result.answers(), result.usage
    pairs = list(zip(result.call.questions, answers, strict=True))
    shown = {
        "answers": {str(question.name): _answer(question, said) for question, said in pairs},
        "model": result.model,
        "usage": {"input_tokens": usage.input, "output_tokens": usage.output},
        "sizewise": {"rungs": {str(each.name): rung for (each, _), rung in zip(pairs, rungs, strict=True)}},
    }
    return msgspec.json.encode(shown)


def _answer(question: DecisionQuestion, said: Mapping[str, Any]) -> dict[str, object]:
    """The wire knows no refusal: a question without an answer has only its type."""
    if said["type"] == "predicate":
        return {"type": "noul", "noul": said["probability"]}
    if said["type"] == "choice":
        shares = {each["value"]: each["probability"] for each in said["probabilities"]}
        return {"type": "choice", "choice": said["choice"], "confidence": said["confidence"], "probabilities": shares}
    if said["type"] == "score" and isinstance(question, ScoreQuestion):
        shares = {each["label"]: each["probability"] for each in said["probabilities"]}
        legend = {level.label: level.description for level in question.levels}
        its = {"score": said["score"], "legend": legend, "probabilities": shares, "confidence": said["confidence"]}
        return {"type": "score", **its}
    return {"type": "refusal"}
