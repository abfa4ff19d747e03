"""Types of values in flows, assignability and conversion to and from JSON Schema; knows no node."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct

Json = Any
"""A JSON value: None, bool, int, float, str, list, dict."""

TypeName = Literal["text", "number", "integer", "boolean", "json", "file", "messages", "list", "object"]
TYPE_NAMES: tuple[str, ...] = ("text", "number", "integer", "boolean", "json", "file", "messages")
"""Types written as one word; the other two are written {list: T} and {object: {name: T}}."""
MAX_DEPTH = 8
"""Nesting of lists and objects in a declared type."""


class Type(Struct, frozen=True):
    """The type of a value; `json` is any JSON value. `item_type`: of a list; `fields`: of an object.

    An `open` object may have more fields. `enum`: the possible values of a text, if they are known.
    """

    name: TypeName
    item_type: Type | None = None
    fields: Mapping[str, Type] = {}
    open: bool = False
    enum: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.item_type is not None:
            return f"list of {self.item_type}"
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
TYPES_BY_NAME: Mapping[str, Type] = {name: Type(name) for name in TYPE_NAMES}  # type: ignore[arg-type]  # each of them is a TypeName

MEMBER_TYPES: Mapping[str, Type] = {
    "file": Type("object", fields={"name": TEXT, "media_type": TEXT, "data": TEXT}),
    "messages": Type("list", Type("object", fields={"role": TEXT, "content": JSON}, open=True)),
}
"""The structure of files and messages. `data` of a file is its bytes as base64."""


def list_of(item_type: Type) -> Type:
    return Type("list", item_type)


def object_of(**fields: Type) -> Type:
    return Type("object", fields=fields)


class UnknownType(ValueError):
    """A type declaration is invalid."""


def parse_type(spec: object, depth: int = 0) -> Type:
    """Parses `text`, `{list: text}` or `{object: {name: text}}`. Raises UnknownType."""
    if isinstance(spec, str) and spec in TYPES_BY_NAME:
        return TYPES_BY_NAME[spec]
    if depth >= MAX_DEPTH:
        raise UnknownType(f"the type is nested deeper than {MAX_DEPTH}")
    if isinstance(spec, dict) and len(spec) == 1:
        (word, inner), *_ = spec.items()
        if word == "list":
            return list_of(parse_type(inner, depth + 1))
        if word == "object" and isinstance(inner, dict) and inner:
            return Type("object", fields={str(name): parse_type(each, depth + 1) for name, each in inner.items()})
    shown = spec if isinstance(spec, str) else "this"
    raise UnknownType(f"{shown[:60]!r} is not a type")


def format_type(value_type: Type) -> object:
    """The inverse of `parse_type`."""
    if value_type.item_type is not None:
        return {"list": format_type(value_type.item_type)}
    if value_type.name == "object":
        return (
            {"object": {name: format_type(each) for name, each in value_type.fields.items()}}
            if value_type.fields
            else "json"
        )
    return value_type.name


def member_type(value_type: Type, name: str | int) -> Type | None:
    """The type of `.name` or `[0]`: None if there is no such member, `json` if it is unknown."""
    value_type = MEMBER_TYPES.get(value_type.name, value_type)
    if value_type.name == "json":
        return JSON
    if value_type.item_type is not None:
        return value_type.item_type if isinstance(name, int) else None
    if value_type.name == "object" and isinstance(name, str):
        return value_type.fields.get(name, JSON if value_type.open or not value_type.fields else None)
    return None


def is_assignable(expected: Type, actual: Type) -> bool:
    """Whether a value of type `actual` is accepted as `expected`; unknown types are accepted."""
    if "json" in (expected.name, actual.name) or expected.name == actual.name != "list":
        return expected.name != "object" or _has_fields(expected, actual)
    if expected.name == "number":
        return actual.name == "integer"
    expected, actual = MEMBER_TYPES.get(expected.name, expected), MEMBER_TYPES.get(actual.name, actual)
    if expected.item_type is not None and actual.item_type is not None:
        return is_assignable(expected.item_type, actual.item_type)
    return expected.name == actual.name == "object" and _has_fields(expected, actual)


def _has_fields(expected: Type, actual: Type) -> bool:
    if actual.name != "object" or actual.open or not actual.fields:
        return True
    return all(
        name in actual.fields and is_assignable(each, actual.fields[name]) for name, each in expected.fields.items()
    )


def union_of(types: Sequence[Type]) -> Type:
    """The type of a value that has one of these types."""
    first = types[0] if types else JSON
    if all(each == first for each in types):
        return first
    if all(each.name in ("number", "integer") for each in types):
        return NUMBER
    return TEXT if all(each.name == "text" for each in types) else JSON


def type_of_value(value: object) -> Type:
    if isinstance(value, bool):
        return BOOLEAN
    if isinstance(value, int):
        return INTEGER
    if isinstance(value, float):
        return NUMBER
    if isinstance(value, str):
        return TEXT
    if isinstance(value, list):
        return list_of(union_of([type_of_value(each) for each in value]))
    if isinstance(value, dict):
        return Type("object", fields={str(name): type_of_value(each) for name, each in value.items()})
    return JSON


def type_errors(value_type: Type, value: object, label: str) -> Iterator[str]:
    """Errors of a value that should have `value_type`, as `<label> is ...`."""
    value_type = MEMBER_TYPES.get(value_type.name, value_type)
    right = {
        "text": isinstance(value, str),
        "number": isinstance(value, (int, float)) and not isinstance(value, bool),
        "integer": isinstance(value, int) and not isinstance(value, bool),
        "boolean": isinstance(value, bool),
        "list": isinstance(value, list),
        "object": isinstance(value, dict),
    }.get(value_type.name, True)
    if not right:
        yield f"{label} is {_value_type_name(value)}, not {with_article(value_type)}"
    elif isinstance(value, list) and value_type.item_type is not None and value_type.item_type.name != "json":
        for number, each in enumerate(value):
            yield from type_errors(value_type.item_type, each, f"{label}[{number}]")
    elif isinstance(value, dict):
        for name, inner in value_type.fields.items():
            if name not in value:
                yield f"{label} has no {name!r}"
            else:
                yield from type_errors(inner, value[name], f"{label}.{name}")


def with_article(value_type: Type) -> str:
    shown = str(value_type)
    if value_type.name in ("json", "messages"):
        return shown
    return f"{'an' if shown[0] in 'aeio' else 'a'} {shown}"


def _value_type_name(value: object) -> str:
    return "nothing" if value is None else with_article(Type(type_of_value(value).name))


def from_json_schema(schema: object, depth: int = 0) -> Type:
    """The type of values that a JSON Schema accepts; `json` for what Type cannot express."""
    if not isinstance(schema, dict) or depth > MAX_DEPTH:
        return JSON
    kind = schema.get("type")
    if isinstance(kind, list):
        named = [each for each in kind if each != "null"]
        kind = named[0] if len(named) == 1 else None
    if kind in (None, "string") and isinstance(schema.get("enum"), list):
        names = schema["enum"]
        return Type("text", enum=tuple(names)) if all(isinstance(each, str) for each in names) else JSON
    if kind == "array":
        return list_of(from_json_schema(schema.get("items"), depth + 1))
    if kind == "object":
        inside = schema.get("properties")
        fields = {str(name): from_json_schema(each, depth + 1) for name, each in inside.items()} if inside else {}
        return Type("object", fields=fields, open=schema.get("additionalProperties") is not False)
    return {"string": TEXT, "number": NUMBER, "integer": INTEGER, "boolean": BOOLEAN}.get(str(kind), JSON)
