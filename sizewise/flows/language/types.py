"""What a value of a flow can be, and whether one fits where another is wanted; pure, knows no node."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct

Json = Any
"""What JSON can say: None, bool, int, float, str, list, dict."""

Name = Literal["text", "number", "integer", "boolean", "json", "file", "messages", "list", "object"]
NAMES: tuple[str, ...] = ("text", "number", "integer", "boolean", "json", "file", "messages")
"""Those that are written as one word; the other two are written {list: T} and {object: {name: T}}."""
DEPTH = 8
"""Lists and objects within each other, in a type that is written down."""


class Type(Struct, frozen=True):
    """`json` is whatever JSON can say, and nothing is known of it; `of` is of a list, `fields` are an object's.

    An `open` object may hold more than is said. `one_of`: all that a text can be, where that is known.
    """

    name: Name
    of: Type | None = None
    fields: Mapping[str, Type] = {}
    open: bool = False
    one_of: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.of is not None:
            return f"list of {self.of}"
        if self.name == "object" and self.fields:
            return f"object with {', '.join(self.fields)}"
        return self.name


TEXT = Type("text")
NUMBER = Type("number")
INTEGER = Type("integer")
BOOLEAN = Type("boolean")
JSON = Type("json")
FILE = Type("file")
MESSAGES = Type("messages")
WORDS: Mapping[str, Type] = {name: Type(name) for name in NAMES}  # type: ignore[arg-type]  # each of them is a Name

INSIDE: Mapping[str, Type] = {
    "file": Type("object", fields={"name": TEXT, "media_type": TEXT, "data": TEXT}),
    "messages": Type("list", Type("object", fields={"role": TEXT, "content": JSON}, open=True)),
}
"""What can be reached within: a file is its name, its media type, and its bytes as base64."""


def list_of(inner: Type) -> Type:
    return Type("list", inner)


def record(**fields: Type) -> Type:
    return Type("object", fields=fields)


class Unknown(ValueError):
    """No type. Its text says what was written, and `near` what it may have meant."""


def written(said: object, depth: int = 0) -> Type:
    """The type that `text`, `{list: text}` or `{object: {name: text}}` stands for. Raises Unknown."""
    if isinstance(said, str) and said in WORDS:
        return WORDS[said]
    if depth >= DEPTH:
        raise Unknown(f"is deeper than {DEPTH} lists and objects")
    if isinstance(said, dict) and len(said) == 1:
        (word, inner), *_ = said.items()
        if word == "list":
            return list_of(written(inner, depth + 1))
        if word == "object" and isinstance(inner, dict) and inner:
            return Type("object", fields={str(name): written(each, depth + 1) for name, each in inner.items()})
    shown = said if isinstance(said, str) else "this"
    raise Unknown(f"{shown[:60]!r} is no type")


def told(kind: Type) -> object:
    """The same as one writes it."""
    if kind.of is not None:
        return {"list": told(kind.of)}
    if kind.name == "object":
        return {"object": {name: told(each) for name, each in kind.fields.items()}} if kind.fields else "json"
    return kind.name


def within(kind: Type, name: str | int) -> Type | None:
    """What `.name` or `[0]` of it is: None where there is no such thing, `json` where nobody can know."""
    kind = INSIDE.get(kind.name, kind)
    if kind.name == "json":
        return JSON
    if kind.of is not None:
        return kind.of if isinstance(name, int) else None
    if kind.name == "object" and isinstance(name, str):
        return kind.fields.get(name, JSON if kind.open or not kind.fields else None)
    return None


def accepts(wanted: Type, given: Type) -> bool:
    """Whether `given` may stand where `wanted` is asked for; what nobody can know beforehand may."""
    if "json" in (wanted.name, given.name) or wanted.name == given.name != "list":
        return wanted.name != "object" or _holds(wanted, given)
    if wanted.name == "number":
        return given.name == "integer"
    wanted, given = INSIDE.get(wanted.name, wanted), INSIDE.get(given.name, given)
    if wanted.of is not None and given.of is not None:
        return accepts(wanted.of, given.of)
    return wanted.name == given.name == "object" and _holds(wanted, given)


def _holds(wanted: Type, given: Type) -> bool:
    if given.name != "object" or given.open or not given.fields:
        return True
    return all(name in given.fields and accepts(each, given.fields[name]) for name, each in wanted.fields.items())


def joined(kinds: Sequence[Type]) -> Type:
    """What a value is that is one of these."""
    first = kinds[0] if kinds else JSON
    if all(each == first for each in kinds):
        return first
    if all(each.name in ("number", "integer") for each in kinds):
        return NUMBER
    return TEXT if all(each.name == "text" for each in kinds) else JSON


def of(value: object) -> Type:
    """What a value that is there is."""
    if isinstance(value, bool):
        return BOOLEAN
    if isinstance(value, int):
        return INTEGER
    if isinstance(value, float):
        return NUMBER
    if isinstance(value, str):
        return TEXT
    if isinstance(value, list):
        return list_of(joined([of(each) for each in value]))
    if isinstance(value, dict):
        return Type("object", fields={str(name): of(each) for name, each in value.items()})
    return JSON


def misfits(kind: Type, value: object, place: str) -> Iterator[str]:
    """What is wrong with a value that should be of a kind, as `<place> is ...`."""
    kind = INSIDE.get(kind.name, kind)
    right = {
        "text": isinstance(value, str),
        "number": isinstance(value, (int, float)) and not isinstance(value, bool),
        "integer": isinstance(value, int) and not isinstance(value, bool),
        "boolean": isinstance(value, bool),
        "list": isinstance(value, list),
        "object": isinstance(value, dict),
    }.get(kind.name, True)
    if not right:
        yield f"{place} is {_called(value)}, and {article(kind)} is asked for"
    elif isinstance(value, list) and kind.of is not None and kind.of.name != "json":
        for number, each in enumerate(value):
            yield from misfits(kind.of, each, f"{place}[{number}]")
    elif isinstance(value, dict):
        for name, inner in kind.fields.items():
            if name not in value:
                yield f"{place} has no {name!r}"
            else:
                yield from misfits(inner, value[name], f"{place}.{name}")


def article(kind: Type) -> str:
    shown = str(kind)
    if kind.name in ("json", "messages"):
        return shown
    return f"{'an' if shown[0] in 'aeio' else 'a'} {shown}"


def _called(value: object) -> str:
    return "nothing" if value is None else article(Type(of(value).name))


def of_schema(schema: object, depth: int = 0) -> Type:
    """What a JSON Schema lets through, as far as we can say it; `json` where we cannot."""
    if not isinstance(schema, dict) or depth > DEPTH:
        return JSON
    kind = schema.get("type")
    if isinstance(kind, list):
        named = [each for each in kind if each != "null"]
        kind = named[0] if len(named) == 1 else None
    if kind in (None, "string") and isinstance(schema.get("enum"), list):
        names = schema["enum"]
        return Type("text", one_of=tuple(names)) if all(isinstance(each, str) for each in names) else JSON
    if kind == "array":
        return list_of(of_schema(schema.get("items"), depth + 1))
    if kind == "object":
        inside = schema.get("properties")
        fields = {str(name): of_schema(each, depth + 1) for name, each in inside.items()} if inside else {}
        return Type("object", fields=fields, open=schema.get("additionalProperties") is not False)
    return {"string": TEXT, "number": NUMBER, "integer": INTEGER, "boolean": BOOLEAN}.get(str(kind), JSON)
