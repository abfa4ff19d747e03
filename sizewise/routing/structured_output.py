"""Structured output: the JSON schema that a request demands, and how a reply violates it. Fetches nothing.

`OutputSchema.is_enforced_by` alone decides whether a reply may be streamed before it is checked: only a model with
grammar-constrained decoding can do nothing but satisfy the schema or be cut off. Other replies are held until checked.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable
from typing import Protocol

import msgspec
from msgspec import Raw, Struct

from sizewise.errors import BadBody, InvalidOutput
from sizewise.handler import Event, RawDelta
from sizewise.messages import ChatRequest, Choice, Message, Reply
from sizewise.model_card import ModelCard
from sizewise.routing.schema_limits import MAX_BYTES, Schema, SchemaShape, measure_schema

MAX_CACHED_SCHEMAS = 128  # compiled schemas kept
MAX_EXPLAIN_ATTEMPTS = 4_096  # estimated matching attempts that describing a violation may take
MAX_BACKTRACKS = 10_000  # of one pattern on one text: 0.1 ms
MAX_PATTERN_BYTES = 1024 * 1024  # of one compiled pattern
MAX_MESSAGE_CHARS = 300  # characters of a validator's message
INCOMPLETE_FINISHES = frozenset({"length", "content_filter"})
"""Finish reasons of an incomplete answer, which is not checked."""

_encode = msgspec.json.Encoder().encode


class SchemaError(Protocol):
    """The used part of jsonschema_rs.ValidationError. Its message is configured not to quote the value."""

    @property
    def message(self) -> str: ...
    @property
    def instance_path(self) -> list[str | int]: ...
    @property
    def kind(self) -> object: ...


class SchemaValidator(Protocol):
    def is_valid(self, instance: object) -> bool: ...
    def iter_errors(self, instance: object) -> Iterable[SchemaError]: ...


class SchemaViolation(Struct, frozen=True):
    """How an answer violates the schema. `keyword`: a JSON Schema keyword, safe to record. `description`: where and
    what, for the client and the model; names paths and rules, quotes no value.
    """

    text: str  # the answer
    keyword: str
    description: str

    @property
    def size(self) -> int:
        """Characters that a repair adds to the prompt."""
        return len(self.text) + len(self.description) + len(REPAIR_PROMPT)

    def error(self, card: ModelCard) -> InvalidOutput:
        return InvalidOutput(
            f"the answer of {card.name} does not match the requested JSON schema: {self.description}",
            "simplify the schema, or use a larger model",
            param="response_format",
        )


REPAIR_PROMPT = "Your answer is not the JSON that was asked for: {}. Answer again, with that JSON and nothing else."


class OutputSchema:
    """A compiled JSON schema. Every choice of a reply must satisfy it."""

    __slots__ = ("_shape", "_validator")

    def __init__(self, validator: SchemaValidator, shape: SchemaShape) -> None:
        self._validator = validator
        self._shape = shape

    def is_enforced_by(self, card: ModelCard, chat: ChatRequest) -> bool:
        """Whether this model cannot violate it, so that its reply may be streamed before the check."""
        return card.weights is not None and self._shape.is_grammar_exact and not chat.tools

    def find_violation(self, reply: Reply, events: Iterable[Event]) -> SchemaViolation | None:
        """The first violation of any choice. Choices that call a tool, refuse or were cut are not checked."""
        refusing = {event.choice for event in events if isinstance(event, RawDelta) and "refusal" in event.fields}
        for choice in reply.choices:
            if (
                choice.tool_calls
                or choice.finish_reason in INCOMPLETE_FINISHES
                or choice.index in refusing
                or _refuses(choice)
            ):
                continue
            found = self.check_text(choice.text)
            if found is not None:
                return found
        return None

    def check_text(self, text: str) -> SchemaViolation | None:
        """How `text` violates the schema; None if it does not."""
        try:
            value = msgspec.json.decode(text)
            if self._validator.is_valid(value):
                return None
            return self._describe(text, value)
        except (msgspec.DecodeError, RecursionError):
            return SchemaViolation(text, "json", "it is not JSON")
        except ValueError:  # the validator's own limit
            return SchemaViolation(text, "depth", "it is nested too deeply")

    def _describe(self, text: str, value: object) -> SchemaViolation:
        """A description tries all alternatives at all levels, so it is omitted if there are too many."""
        levels = _levels(value)
        if self._shape.breadth ** min(levels, 64) > MAX_EXPLAIN_ATTEMPTS:
            return SchemaViolation(text, "schema", "it does not satisfy the schema")
        flaw = _deepest(next(iter(self._validator.iter_errors(value))))
        place = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in flaw.instance_path)
        words = f"at ${place}: {flaw.message}"
        return SchemaViolation(
            text,
            _rule(flaw),
            words if len(words) <= MAX_MESSAGE_CHARS else words[:MAX_MESSAGE_CHARS] + "…",
        )


class JsonSchema(Struct, frozen=True):
    schema: Raw = Raw(b"null")


class OutputFormat(Struct, frozen=True):
    """OpenAI's `response_format`; llama.cpp and others also accept `schema` with `json_object`."""

    type: str = "text"
    json_schema: JsonSchema | None = None
    schema: Raw = Raw(b"null")


class OutputSchemaCache:
    """Output schemas by `response_format`; keeps the `max_size` most recently used compiled."""

    def __init__(self, max_size: int = MAX_CACHED_SCHEMAS) -> None:
        self._max_size = max_size
        self._schemas: OrderedDict[bytes, OutputSchema] = OrderedDict()

    def __call__(self, chat: ChatRequest) -> OutputSchema | None:
        """The output schema of a request; None if it requests no JSON, or an unknown format. Raises BadBody."""
        raw = bytes(chat.fields.get("response_format", b"null"))
        key = hashlib.sha256(raw).digest()
        promise = self._schemas.get(key)
        if promise is None:
            promise = _output_schema(raw)
            if promise is None:
                return None
            self._schemas[key] = promise
            if len(self._schemas) > self._max_size:
                self._schemas.popitem(last=False)
        self._schemas.move_to_end(key)
        return promise


def repair_request(chat: ChatRequest, violation: SchemaViolation) -> ChatRequest:
    """The request followed by the model's answer and a description of its violation."""
    added = [Message("user", REPAIR_PROMPT.format(violation.description))]
    if violation.text:  # servers reject an empty message
        added.insert(0, Message("assistant", violation.text))
    messages = msgspec.json.decode(chat.fields["messages"], type=list[Raw])
    messages += [Raw(_encode({"role": each.role, "content": each.content})) for each in added]
    fields = {**chat.fields, "messages": Raw(_encode(messages))}
    return msgspec.structs.replace(chat, messages=[*chat.messages, *added], fields=fields)


def _output_schema(raw: bytes) -> OutputSchema | None:
    asked = _requested_schema(raw)
    if asked is None:
        return None
    return compile_output_schema(*asked)


def compile_output_schema(schema: Schema, path: str) -> OutputSchema:
    """Compiles `schema`, which is at `path` of the request. Raises BadBody if it is invalid or too complex."""
    shape = measure_schema(schema, path)
    return OutputSchema(_compiled(schema, path), shape)


def _requested_schema(raw: bytes) -> tuple[Schema, str] | None:
    """The schema and its path in the request."""
    at = "response_format"
    if len(raw) > MAX_BYTES:
        raise BadBody(f"`{at}` is longer than {MAX_BYTES} bytes", "simplify the schema", param=at)
    try:
        shape = msgspec.json.decode(raw, type=OutputFormat | None)
        if shape is None or shape.type not in ("json_object", "json_schema"):
            return None
        if shape.type == "json_object":
            said, at, least = shape.schema, f"{at}.schema", {"type": "object"}
        else:
            said, at, least = (shape.json_schema or JsonSchema()).schema, f"{at}.json_schema.schema", {}
            if shape.json_schema is None:
                raise BadBody("`response_format.json_schema` is missing", "give it a name and a schema", param=at[:-7])
        return msgspec.json.decode(said, type=dict[str, object] | None) or least, at
    except RecursionError as error:
        raise BadBody(f"`{at}` is nested too deeply", "flatten it", param=at) from error
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at `$")
        where = at + path.rstrip("`")
        raise BadBody(
            f"`{where}`: {reason[:1].lower()}{reason[1:]}", "send a valid JSON schema", param=where
        ) from error


def _compiled(schema: Schema, path: str) -> SchemaValidator:
    import jsonschema_rs  # takes 20 ms, needed only when a schema is used

    patterns = jsonschema_rs.FancyRegexOptions(MAX_BACKTRACKS, MAX_PATTERN_BYTES, MAX_PATTERN_BYTES)
    try:
        return jsonschema_rs.validator_for(
            dict(schema),
            offline=True,
            pattern_options=patterns,
            validate_formats=True,
            mask="the value",
        )
    except jsonschema_rs.ValidationError as error:
        where = path + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.instance_path)
        why = error.message[:MAX_MESSAGE_CHARS]
    except ValueError as error:
        where, why = path, str(error)[:MAX_MESSAGE_CHARS]
    raise BadBody(f"`{where}`: {why}", "fix the JSON schema", param=where)


def _refuses(choice: Choice) -> bool:
    return choice.message is not None and bool(msgspec.json.decode(choice.message, type=RefusalField).refusal)


class RefusalField(Struct, frozen=True):
    refusal: object = None


def _deepest(error: SchemaError) -> SchemaError:
    """Of alternatives that all failed, the error with the deepest path: most likely the intended alternative."""
    inside = [each for branch in getattr(error.kind, "context", ()) for each in branch]
    best = max(inside, key=lambda each: len(each.instance_path), default=error)
    return _deepest(best) if len(best.instance_path) > len(error.instance_path) else error


def _rule(error: SchemaError) -> str:
    return str(getattr(error.kind, "name", "schema"))


def _levels(value: object) -> int:
    level, levels = [value], 0
    while level := [
        each
        for held in level
        for each in (held.values() if isinstance(held, dict) else held if isinstance(held, list) else ())
        if isinstance(each, (dict, list))
    ]:
        levels += 1
    return levels + 1
