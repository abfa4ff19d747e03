"""The body of a decisions request in OpenAI's shape, read and checked, and the chat that asks one of its questions."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw, Struct
from msgspec.structs import replace

from sizewise.decisions.certificate import RungAnswer
from sizewise.decisions.question import CHOICE_PROMPT, NAMED_PREFIX, PREDICATE_PROMPT, SCORE_PROMPT
from sizewise.errors import BadBody, NotTranslatable
from sizewise.messages import ChatRequest
from sizewise.providers.wires.openai.decision_upstream import CarriedQuestion, OptionAnswer, carried
from sizewise.providers.wires.openai.request_response import decode_client_body, read_request
from sizewise.providers.wires.original_body import ORIGINAL_FIELD

MAX_QUESTIONS = 400
MAX_CHOICES = 255
IGNORED_FIELDS = frozenset({"prompt_cache_key", "prompt_cache_options", "safety_identifier"})
"""They change no answer."""

_encode = msgspec.json.Encoder().encode


class InstructionPart(Struct):
    text: str
    type: str = "input_text"


class Predicate(Struct, tag="predicate", omit_defaults=True):
    """Whether a statement about the input is true."""

    instructions: str | list[InstructionPart]
    name: str | None = None


class ChoiceOption(Struct, omit_defaults=True):
    value: str | bool
    description: str = ""


class ChoiceQuestion(Struct, tag="choice", omit_defaults=True):
    """One of several options. Values are typed: `true` and `"true"` are two."""

    instructions: str | list[InstructionPart]
    choices: Annotated[list[ChoiceOption], Meta(min_length=2, max_length=MAX_CHOICES)]
    name: str | None = None


class ScoreLevel(Struct, omit_defaults=True):
    label: str
    description: str = ""


class ScoreQuestion(Struct, tag="score", omit_defaults=True):
    """One of several levels, from the lowest on."""

    instructions: str | list[InstructionPart]
    levels: Annotated[list[ScoreLevel], Meta(min_length=2, max_length=MAX_CHOICES)]
    name: str | None = None


DecisionQuestion = Predicate | ChoiceQuestion | ScoreQuestion


class DecisionBody(Struct):
    """OpenAI's body of `POST /v1/decisions`."""

    input: str | list[dict[str, Any]]
    questions: Annotated[list[DecisionQuestion], Meta(min_length=1, max_length=MAX_QUESTIONS)]
    model: str | None = None


_body = msgspec.json.Decoder(DecisionBody)


class DecisionCall(Struct, frozen=True):
    """`text`: the input as the models see it."""

    model: str
    text: str
    questions: list[DecisionQuestion]


def read_decision(body: bytes, *, is_checked: bool = False) -> tuple[DecisionCall, Raw | None]:
    """The call and the body's `sizewise` object. Raises BadBody, NotTranslatable."""
    seen, fields = decode_client_body(body, _body, is_checked)
    options = fields.pop("sizewise", None)
    for name in fields.keys() - set(DecisionBody.__struct_fields__) - IGNORED_FIELDS:
        raise BadBody(f"`{name[:100]}` is not known", "remove it", param=name[:100])
    check_questions(seen.questions, [f"questions[{at}]" for at in range(len(seen.questions))])
    text = seen.input if isinstance(seen.input, str) else _conversation(seen.input)
    if not text.strip():
        raise BadBody("`input` is empty", "send what is to be decided on", param="input")
    return DecisionCall(seen.model or "auto", text, seen.questions), options


def question_chat(question: DecisionQuestion, model: str, text: str) -> ChatRequest:
    """A chat whose schema allows the answers of `question` alone."""
    told, values = _told(question)
    schema: dict[str, object] = {"enum": values}
    if all(isinstance(value, str) for value in values):
        schema["type"] = "string"
    body = {
        "model": model,
        "messages": [{"role": "system", "content": told}, {"role": "user", "content": text}],
        "response_format": {
            "type": "json_schema",
            "json_schema": {
                "name": f"{NAMED_PREFIX}{hashlib.sha256(_question_text(question).encode()).hexdigest()[:16]}",
                "strict": True,
                "schema": {
                    "type": "object",
                    "properties": {"answer": {"type": "boolean"} if isinstance(question, Predicate) else schema},
                    "required": ["answer"],
                    "additionalProperties": False,
                },
            },
        },
    }
    payload, _ = read_request(_encode(body), is_checked=True)
    carries = CarriedQuestion(
        options=[_encode(value).decode() for value in values],
        texts=[_encode({"answer": value}).decode() for value in values],
        instructions=told,
        question=Raw(_encode(question)),
    )
    return replace(payload, fields={**payload.fields, ORIGINAL_FIELD: carried(carries)})


def answer_of(question: DecisionQuestion, text: str, found: RungAnswer | OptionAnswer | None) -> dict[str, object]:
    """The wire's answer. `text`: what the model said; without `found`, its answer has the probability 1. An answer
    that is not allowed is a refusal.
    """
    values = question_values(question)
    try:
        said = msgspec.json.decode(text)["answer"]
        chosen = next(at for at, value in enumerate(values) if value == said and type(value) is type(said))
    except (msgspec.DecodeError, KeyError, TypeError, StopIteration):
        return {"type": "refusal", "name": question.name}
    shares = _shares(found, values, chosen)
    answer: dict[str, object]
    if isinstance(question, Predicate):
        answer = {"type": "predicate", "probability": shares[0]}
    elif isinstance(question, ChoiceQuestion):
        each = [{"value": value, "probability": share} for value, share in zip(values, shares, strict=True)]
        answer = {"type": "choice", "choice": values[chosen], "confidence": shares[chosen], "probabilities": each}
    else:
        levels = [
            {"value": at, "label": level.label, "probability": share}
            for at, (level, share) in enumerate(zip(question.levels, shares, strict=True))
        ]
        mean = sum(at * share for at, share in enumerate(shares))
        answer = {"type": "score", "score": mean, "confidence": shares[chosen], "probabilities": levels}
    return {"name": question.name, **answer}


def _shares(found: RungAnswer | OptionAnswer | None, values: Sequence[str | bool], chosen: int) -> Sequence[float]:
    """The probability of each value, in their order."""
    if found is None:
        return [float(at == chosen) for at in range(len(values))]
    if isinstance(found, RungAnswer) or not found.values:
        return found.probabilities
    known = {(type(value), value): share for value, share in zip(found.values, found.probabilities, strict=True)}
    return [known.get((type(value), value), 0.0) for value in values]


def _question_text(question: DecisionQuestion) -> str:
    said = question.instructions
    return said if isinstance(said, str) else "\n".join(part.text for part in said)


def question_values(question: DecisionQuestion) -> Sequence[str | bool]:
    if isinstance(question, Predicate):
        return (True, False)
    if isinstance(question, ChoiceQuestion):
        return [option.value for option in question.choices]
    return [level.label for level in question.levels]


def _told(question: DecisionQuestion) -> tuple[str, Sequence[str | bool]]:
    """The instructions for a model, and the values that it may answer."""
    text, values = _question_text(question), question_values(question)
    if isinstance(question, Predicate):
        return f"{PREDICATE_PROMPT}\n\nStatement: {text}", values
    shown = question.choices if isinstance(question, ChoiceQuestion) else question.levels
    described = zip(values, [each.description for each in shown], strict=True)
    lines = [f"- {_encode(value).decode()}{f': {about}' if about else ''}" for value, about in described]
    prompt = CHOICE_PROMPT if isinstance(question, ChoiceQuestion) else SCORE_PROMPT
    return "\n".join([prompt, "", text, "", *lines]), values


def check_questions(questions: Sequence[DecisionQuestion], paths: Sequence[str]) -> None:
    """`paths`: of each in the body. Raises BadBody."""
    for question, where in zip(questions, paths, strict=True):
        if not _question_text(question).strip():
            said = "say what is to be decided"
            raise BadBody(f"`{where}.instructions` is empty", said, param=f"{where}.instructions")
        values = [(type(value), value) for value in question_values(question)]
        if len(set(values)) != len(values):
            raise BadBody(f"`{where}` has the same option twice", "make each unique", param=where)


def _conversation(items: list[dict[str, Any]]) -> str:
    """One user message is its text; anything else is written line by line, each with its role. Raises NotTranslatable
    for what is no text.
    """
    lines = [_line(item, f"input[{at}]") for at, item in enumerate(items)]
    if len(lines) == 1 and lines[0][0] == "user":
        return lines[0][1]
    return "\n".join(f"{role}: {text}" for role, text in lines)


def _line(item: dict[str, Any], where: str) -> tuple[str, str]:
    match item.get("type", "message"):
        case "message":
            return str(item.get("role", "user")), _text(item.get("content"), f"{where}.content")
        case "function_call":
            return f"call of {item.get('name')}", str(item.get("arguments", ""))
        case "custom_tool_call":
            return f"call of {item.get('name')}", str(item.get("input", ""))
        case "function_call_output" | "custom_tool_call_output":
            return "result", _text(item.get("output"), f"{where}.output")
        case other:
            raise BadBody(f"`{where}` has the unknown type {str(other)[:100]!r}", "send messages", param=where)


def _text(content: object, where: str) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise BadBody(f"`{where}` is no text", "send a string, or a list of parts", param=where)
    texts = []
    for part in content:
        if isinstance(part, dict) and part.get("type") == "input_image":
            hint = "send the text alone, or describe the image"
            raise NotTranslatable("decisions on images are not supported", hint, param=where)
        said = part.get("text", part.get("json", part.get("refusal"))) if isinstance(part, dict) else None
        if said is None:
            raise BadBody(f"`{where}` has a part without text", "send parts of the type `input_text`", param=where)
        texts.append(said if isinstance(said, str) else _encode(said).decode())
    return "\n".join(texts)
