"""Questions with a closed set of answers, as chat requests ask them; reads requests and writes answers, asks no model.

A question is what stays the same from request to request: the instructions, the schema and who would answer. Its input
is what changes: the last user message. The answers that the schema allows are listed, each as its JSON text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import msgspec
from msgspec import Struct

from sizewise.messages import ChatRequest

MAX_OPTIONS = 256
"""Answers that a schema may allow; with more it is not a choice among a few."""
MAX_INPUT_CHARS = 20_000
NAMED_PREFIX = "decision_"
"""A schema whose name begins so is the same question as before, whatever its instructions say of its options."""
PREDICATE_PROMPT = "Decide whether this statement about the input is true."
CHOICE_PROMPT = "Choose the one option that fits the input best."
SCORE_PROMPT = "Rate the input: choose the one level that fits it best."
"""What instructions begin with that /v1/decisions makes of a question."""
IGNORED_KEYWORDS = frozenset({"$schema", "title", "description", "default", "examples", "$comment"})
"""JSON Schema keywords that allow and forbid nothing."""

_encode = msgspec.json.Encoder(order="deterministic").encode


class ClosedQuestion(Struct, frozen=True):
    """`instructions`: a digest of all that was said before the input; `options`: the allowed answers, as JSON texts in
    the order of the schema; `route`: the model or policy whose answers it would get; `name`: what stays the same when
    its options change.
    """

    instructions: str
    options: tuple[str, ...]
    route: str
    name: str

    @property
    def id(self) -> str:
        """Equal for equal questions; 32 hex digits."""
        return _digest([self.instructions, self.options, self.route])

    @property
    def family(self) -> str:
        """Equal for questions that differ in their options alone."""
        return _digest([self.name, self.route])


class _Format(Struct):
    json_schema: dict[str, Any]


class ClosedRequest(Struct, frozen=True):
    """A chat request that is a question about one input."""

    question: ClosedQuestion
    input: str
    instructions: str  # all that was said before the input


def read_closed_request(chat: ChatRequest, route: str, scope: object = None) -> ClosedRequest | None:
    """`scope`: what a caller may see; callers with another one share nothing.

    None if `chat` is not a single question with a closed set of answers about one text.
    """
    if not chat.schema or chat.tools or chat.n != 1 or chat.logprobs or chat.input_modalities() or not chat.messages:
        return None
    last = chat.messages[-1]
    if last.role != "user" or not last.text.strip() or len(last.text) > MAX_INPUT_CHARS:
        return None
    said = _schema_of(chat)
    values = None if said is None else closed_values(said.get("schema"))
    if said is None or values is None:
        return None
    options = tuple(_encode(value).decode() for value in values)
    before = [(each.role, each.text) for each in chat.messages[:-1]]
    shown = "\n".join(text for _, text in before)
    instructions, named = _digest([before, scope]), str(said.get("name"))
    name = _digest([named, scope]) if named.startswith(NAMED_PREFIX) else instructions
    return ClosedRequest(ClosedQuestion(instructions, options, route, name), last.text, shown)


def option_index(question: ClosedQuestion, text: str) -> int | None:
    """Index of the option that the model's answer is; None if it is none of them."""
    try:
        return question.options.index(_encode(msgspec.json.decode(text)).decode())
    except (msgspec.DecodeError, ValueError):
        return None


def _schema_of(chat: ChatRequest) -> Mapping[str, Any] | None:
    try:
        return msgspec.json.decode(chat.fields["response_format"], type=_Format).json_schema
    except (KeyError, msgspec.DecodeError):
        return None


def closed_values(schema: object) -> Sequence[object] | None:
    """All values that `schema` allows, if they are 2 to MAX_OPTIONS: an enum, a boolean, a bounded integer, or an
    object of such; None for every other schema, also for one with a keyword that is not known here.
    """
    values = _values(schema)
    return values if values is not None and 2 <= len(values) <= MAX_OPTIONS else None


def _values(schema: Any) -> Sequence[Any] | None:
    if not isinstance(schema, Mapping):
        return None
    said = {name: value for name, value in schema.items() if name not in IGNORED_KEYWORDS}
    kind = said.pop("type", None)
    if "const" in said and not said.keys() - {"const"}:
        return [said["const"]]
    if isinstance(said.get("enum"), list) and not said.keys() - {"enum"}:
        return _enum(kind, said["enum"])
    if kind == "boolean" and not said:
        return [True, False]
    if kind == "integer" and said.keys() == {"minimum", "maximum"}:
        return _integers(said["minimum"], said["maximum"])
    return _objects(said) if kind == "object" else None


def _enum(kind: object, values: list[Any]) -> Sequence[Any] | None:
    scalars = all(isinstance(value, str | bool | int) for value in values)
    if (
        not scalars
        or kind not in (None, "string", "boolean", "integer")
        or len({_encode(v) for v in values}) != len(values)
    ):
        return None
    return values


def _integers(low: object, high: object) -> Sequence[int] | None:
    if type(low) is not int or type(high) is not int or not 0 <= high - low < MAX_OPTIONS:
        return None
    return range(low, high + 1)


def _objects(said: Mapping[str, Any]) -> Sequence[Any] | None:
    """All objects whose properties are all required, in the order in which they are named."""
    properties = said.get("properties")
    if not isinstance(properties, Mapping) or said.keys() - {"properties", "required", "additionalProperties"}:
        return None
    required = said.get("required")
    if not isinstance(required, list) or set(properties) != set(map(str, required)) or said.get("additionalProperties"):
        return None
    allowed, count = list[Sequence[Any]](), 1
    for inner in properties.values():
        values = _values(inner)
        if values is None or (count := count * len(values)) > MAX_OPTIONS:
            return None
        allowed.append(values)
    return [dict(zip(properties, chosen, strict=True)) for chosen in product(*allowed)]


def _digest(said: object) -> str:
    return hashlib.sha256(_encode(said)).hexdigest()[:32]


def question_asked(instructions: str) -> str:
    """What a model was asked to decide, on one line: of a prompt of ours its question alone."""
    first, *more = instructions.split("\n\n")
    ours = more and first in (PREDICATE_PROMPT, CHOICE_PROMPT, SCORE_PROMPT)
    return " ".join((more[0].removeprefix("Statement: ") if ours else instructions).split())
