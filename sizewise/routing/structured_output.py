"""What JSON a request was promised, and where an answer breaks that; asks nobody, repairs nothing, fetches nothing.

Who may be shown at once is said here and nowhere else (`Promise.kept_by`): a model that writes by a grammar made of
the schema cannot break it but by being cut, so its words pass as they come. Everyone else's are held until checked.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable
from typing import Protocol

import msgspec
from msgspec import Raw, Struct

from sizewise.errors import BadBody, InvalidOutput
from sizewise.handler import Event, Extra
from sizewise.messages import Chat, Choice, Message, Reply
from sizewise.model_card import Card
from sizewise.routing.schema_limits import MAX_BYTES, Schema, Shape, measured

KEPT = 128  # schemas that stay compiled
WORDS_MOST = 4_096  # attempts to match, as estimated, that finding the words for a failure may cost
BACKTRACKS = 10_000  # of one pattern on one text: 0.1 ms
PATTERN_BYTES = 1024 * 1024  # of one compiled pattern
WORDS = 300  # characters of what the checker says
UNTOLD = frozenset({"length", "content_filter"})
"""Ends after which nobody expects a whole answer."""

_encode = msgspec.json.Encoder().encode


class Flaw(Protocol):
    """Of jsonschema_rs.ValidationError what we look at. Its message was told not to quote the value."""

    @property
    def message(self) -> str: ...
    @property
    def instance_path(self) -> list[str | int]: ...
    @property
    def kind(self) -> object: ...


class Validator(Protocol):
    def is_valid(self, instance: object) -> bool: ...
    def iter_errors(self, instance: object) -> Iterable[Flaw]: ...


class Breach(Struct, frozen=True):
    """How an answer breaks its promise. `rule` is a keyword of JSON Schema, fit for the books; `words` say where and
    what, for the asker and the model: they name places and rules and quote no value."""

    text: str  # of the answer
    rule: str
    words: str

    @property
    def size(self) -> int:
        """Characters that a repair adds to the prompt."""
        return len(self.text) + len(self.words) + len(PLEA)

    def error(self, card: Card) -> InvalidOutput:
        return InvalidOutput(
            f"the answer of {card.name} is not the JSON that was asked for: {self.words}",
            "simplify the schema, or name a larger model",
            param="response_format",
        )


PLEA = "Your answer is not the JSON that was asked for: {}. Answer again, with that JSON and nothing else."


class Promise:
    """JSON that satisfies one schema. Every choice of a reply must keep it."""

    __slots__ = ("_shape", "_validator")

    def __init__(self, validator: Validator, shape: Shape) -> None:
        self._validator = validator
        self._shape = shape

    def kept_by(self, card: Card, chat: Chat) -> bool:
        """Whether this model cannot but keep it, so that its words may be shown before they are checked."""
        return card.weights is not None and self._shape.grammatical and not chat.tools

    def breach(self, reply: Reply, said: Iterable[Event]) -> Breach | None:
        """The first of all choices. One that calls a tool, refuses or was cut promises nothing."""
        refusing = {event.choice for event in said if isinstance(event, Extra) and "refusal" in event.fields}
        for choice in reply.choices:
            if choice.tool_calls or choice.finish in UNTOLD or choice.index in refusing or _refuses(choice):
                continue
            found = self.broken(choice.text)
            if found is not None:
                return found
        return None

    def broken(self, text: str) -> Breach | None:
        """How one text breaks it."""
        try:
            value = msgspec.json.decode(text)
            if self._validator.is_valid(value):
                return None
            return self._worded(text, value)
        except (msgspec.DecodeError, RecursionError):
            return Breach(text, "json", "it is not JSON")
        except ValueError:  # the checker's own limit
            return Breach(text, "depth", "it is nested too deeply")

    def _worded(self, text: str, value: object) -> Breach:
        """Naming what is wrong tries all alternatives at all levels, so not where they are too many."""
        levels = _levels(value)
        if self._shape.breadth ** min(levels, 64) > WORDS_MOST:
            return Breach(text, "schema", "it does not satisfy the schema")
        flaw = _deepest(next(iter(self._validator.iter_errors(value))))
        place = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in flaw.instance_path)
        words = f"at ${place}: {flaw.message}"
        return Breach(text, _rule(flaw), words if len(words) <= WORDS else words[:WORDS] + "…")


class JsonSchema(Struct, frozen=True):
    schema: Raw = Raw(b"null")


class Format(Struct, frozen=True):
    """OpenAI's `response_format`; `schema` beside `json_object` is what llama.cpp and others understand too."""

    type: str = "text"
    json_schema: JsonSchema | None = None
    schema: Raw = Raw(b"null")


class Schemas:
    """Promises by what was asked for, each schema compiled once while it is among the last `most` in use."""

    def __init__(self, most: int = KEPT) -> None:
        self._most = most
        self._known: OrderedDict[bytes, Promise] = OrderedDict()

    def __call__(self, chat: Chat) -> Promise | None:
        """The promise of a request; None where it asks for no JSON, or for what we do not know. Raises BadBody."""
        raw = bytes(chat.fields.get("response_format", b"null"))
        key = hashlib.sha256(raw).digest()
        promise = self._known.get(key)
        if promise is None:
            promise = _promise(raw)
            if promise is None:
                return None
            self._known[key] = promise
            if len(self._known) > self._most:
                self._known.popitem(last=False)
        self._known.move_to_end(key)
        return promise


def corrected(chat: Chat, breach: Breach) -> Chat:
    """The request that shows a model its answer and what is wrong with it."""
    added = [Message("user", PLEA.format(breach.words))]
    if breach.text:  # servers refuse a message without words
        added.insert(0, Message("assistant", breach.text))
    messages = msgspec.json.decode(chat.fields["messages"], type=list[Raw])
    messages += [Raw(_encode({"role": each.role, "content": each.content})) for each in added]
    fields = {**chat.fields, "messages": Raw(_encode(messages))}
    return msgspec.structs.replace(chat, messages=[*chat.messages, *added], fields=fields)


def _promise(raw: bytes) -> Promise | None:
    asked = _asked(raw)
    if asked is None:
        return None
    return promised(*asked)


def promised(schema: Schema, at: str) -> Promise:
    """JSON that satisfies `schema`, which stands in the request at `at`. Raises BadBody for one that is refused."""
    shape = measured(schema, at)
    return Promise(_compiled(schema, at), shape)


def _asked(raw: bytes) -> tuple[Schema, str] | None:
    """The schema and its path in the request."""
    at = "response_format"
    if len(raw) > MAX_BYTES:
        raise BadBody(f"`{at}` is longer than {MAX_BYTES} bytes", "simplify the schema", param=at)
    try:
        shape = msgspec.json.decode(raw, type=Format | None)
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
        raise BadBody(f"`{where}`: {reason[:1].lower()}{reason[1:]}", "send a JSON schema", param=where) from error


def _compiled(schema: Schema, at: str) -> Validator:
    import jsonschema_rs  # 20 ms, needed only when a schema is used

    patterns = jsonschema_rs.FancyRegexOptions(BACKTRACKS, PATTERN_BYTES, PATTERN_BYTES)
    try:
        return jsonschema_rs.validator_for(
            dict(schema), offline=True, pattern_options=patterns, validate_formats=True, mask="the value"
        )
    except jsonschema_rs.ValidationError as error:
        where = at + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.instance_path)
        why = error.message[:WORDS]
    except ValueError as error:
        where, why = at, str(error)[:WORDS]
    raise BadBody(f"`{where}`: {why}", "mend the JSON schema", param=where)


def _refuses(choice: Choice) -> bool:
    return choice.message is not None and bool(msgspec.json.decode(choice.message, type=Refusing).refusal)


class Refusing(Struct, frozen=True):
    refusal: object = None


def _deepest(flaw: Flaw) -> Flaw:
    """Of alternatives that all failed the flaw that lies deepest: most likely the one that was meant."""
    inside = [each for branch in getattr(flaw.kind, "context", ()) for each in branch]
    best = max(inside, key=lambda each: len(each.instance_path), default=flaw)
    return _deepest(best) if len(best.instance_path) > len(flaw.instance_path) else flaw


def _rule(flaw: Flaw) -> str:
    return str(getattr(flaw.kind, "name", "schema"))


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
