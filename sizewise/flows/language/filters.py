"""Built-in filters of expressions (`| join`, `| default`), each in time linear in its input."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Any

import msgspec
from msgspec import Struct

from sizewise.flows.language import types
from sizewise.flows.language.types import BOOLEAN, INTEGER, JSON, NUMBER, TEXT, Json, Type
from sizewise.guardrails.untrusted_content import ContentMarkers, suspect_label

MAX_TEXT = 16 * 1024 * 1024
"""Maximum characters that a filter may produce."""
MAX_ITEMS = 1_000_000
ANY = JSON
LIST = Type("list", JSON)
OBJECT = Type("object")


class FilterError(ValueError):
    """A filter received a value that it does not accept."""


class Filter(Struct, frozen=True):
    """`input_types`: types before the |. `argument_types`: its arguments; None accepts any. `output_type`: the type of
    the result.
    """

    description: str
    apply: Callable[..., Any]
    output_type: Callable[[Type, tuple[Any, ...]], Type]
    input_types: Sequence[Type] = (ANY,)
    argument_types: tuple[Type | None, ...] = ()
    min_arguments: int = 0

    @property
    def usage(self) -> str:
        if not self.argument_types:
            return "no arguments"
        return (
            "("
            + ", ".join("a value" if each is None else types.with_article(each) for each in self.argument_types)
            + ")"
        )


def to_text(value: Json) -> str:
    """A value as text: null is empty, lists and objects are JSON."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    return _json(value)


def is_equal(left: Json, right: Json) -> bool:
    """Equality as in JSON: true is not 1, also inside of lists and objects."""
    pairs: list[tuple[Any, Any]] = [(left, right)]
    while pairs:
        one, other = pairs.pop()
        if isinstance(one, bool) is not isinstance(other, bool):
            return False
        if isinstance(one, list) and isinstance(other, list):
            if len(one) != len(other):
                return False
            pairs += zip(one, other, strict=True)
        elif isinstance(one, dict) and isinstance(other, dict):
            if one.keys() != other.keys():
                return False
            pairs += ((each, other[name]) for name, each in one.items())
        elif one != other:
            return False
    return True


def _json(found: Any) -> str:
    return msgspec.json.encode(found).decode()


def _always(value_type: Type) -> Callable[[Type, tuple[Any, ...]], Type]:
    return lambda given, arguments: value_type


def _same(input_type: Type, arguments: tuple[Any, ...]) -> Type:
    return input_type


def _item(input_type: Type, arguments: tuple[Any, ...]) -> Type:
    return types.MEMBER_TYPES.get(input_type.name, input_type).item_type or (
        TEXT if input_type.name == "text" else JSON
    )


def _or(input_type: Type, arguments: tuple[Any, ...]) -> Type:
    other = types.type_of_value(arguments[0])
    return input_type if types.is_assignable(input_type, other) else types.union_of([input_type, other])


def _plucked(input_type: Type, arguments: tuple[Any, ...]) -> Type:
    inner = types.MEMBER_TYPES.get(input_type.name, input_type).item_type or JSON
    return types.list_of(types.member_type(inner, arguments[0]) or JSON)


def _text(found: Any) -> str:
    if found is None:
        return ""
    if not isinstance(found, str):
        raise FilterError("the value is not text; apply `| text` first")
    return found


def _list(found: Any) -> list[Any]:
    if found is None:
        return []
    if not isinstance(found, list):
        raise FilterError("the value is not a list")
    return found


def _length(found: Any) -> int:
    if not isinstance(found, (str, list, dict, type(None))):
        raise FilterError("a number has no length")
    return len(found or ())


def _first(found: Any) -> Any:
    return found[0] if isinstance(found, (str, list)) and found else None


def _last(found: Any) -> Any:
    return found[-1] if isinstance(found, (str, list)) and found else None


def _join(found: Any, between: str = ", ") -> str:
    parts = [to_text(each) for each in _list(found)]
    _bounded(sum(map(len, parts)) + len(between) * len(parts))
    return between.join(parts)


def _replace(found: Any, old: str, new: str) -> str:
    text = _text(found)
    if not old:
        raise FilterError("an empty string cannot be replaced")
    _bounded(len(text) + text.count(old) * (len(new) - len(old)))
    return text.replace(old, new)


def _bounded(length: int) -> None:
    if length > MAX_TEXT:
        raise FilterError(f"the text would be longer than {MAX_TEXT} characters")


def _split(found: Any, at: str = "\n") -> list[str]:
    if not at:
        raise FilterError("the separator is empty")
    text = _text(found)
    if text.count(at) > MAX_ITEMS:
        raise FilterError(f"the result has more than {MAX_ITEMS} parts")
    return text.split(at)


def _slice(found: Any, begin: int, end: int | None = None) -> Any:
    if found is None:
        return None
    if not isinstance(found, (str, list)):
        raise FilterError("only text and lists can be sliced")
    return found[begin:end]


def _unique(found: Any) -> list[Any]:
    seen: dict[str, Any] = {}
    for each in _list(found):
        seen.setdefault(_json(each), each)
    return list(seen.values())


def _flat(found: Any) -> list[Any]:
    return [inner for each in _list(found) for inner in (each if isinstance(each, list) else [each])]


def _pluck(found: Any, name: str) -> list[Any]:
    return [each.get(name) if isinstance(each, dict) else None for each in _list(found)]


def _where(found: Any, name: str, wanted: Any) -> list[Any]:
    return [each for each in _list(found) if isinstance(each, dict) and is_equal(each.get(name), wanted)]


def _number(found: Any) -> int | float | None:
    if isinstance(found, bool) or not isinstance(found, (int, float, str)):
        return None
    if not isinstance(found, str):
        return found
    text = found.strip()[:40]
    try:
        return int(text)
    except ValueError:
        try:
            number = float(text)
        except ValueError:
            return None
        return number if number - number == 0 else None  # neither NaN nor infinite


def _round(found: Any, digits: int = 0) -> int | float:
    if isinstance(found, bool) or not isinstance(found, (int, float)):
        raise FilterError("the value is not a number; apply `| number` first")
    made = round(found, max(-15, min(digits, 15)))
    return made if digits > 0 else int(made)


def _parsed(found: Any) -> Any:
    """Parses JSON from a text, also inside a code fence; null if there is none."""
    text = _text(found).strip()
    if text.startswith("```") and text.endswith("```"):
        text = text[3:-3].removeprefix("json")
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None


def _passages(found: Any) -> str:
    """Passages numbered for citation, between markers that no document can forge: they are derived from all passages,
    which the author of one cannot know.
    """
    listed = _list(found)
    if not listed:
        return "(no passage was found)"
    marks = ContentMarkers(blake2b(_json(listed).encode(), digest_size=8).hexdigest())
    parts = [marks.instruction]
    for number, each in enumerate(listed, 1):
        held = each if isinstance(each, dict) else {"text": to_text(each)}
        where = to_text(held.get("cited") or held.get("title") or held.get("source"))
        where = suspect_label(where) if held.get("suspect") else where
        parts.append(marks.wrap(to_text(held.get("text")), f"[{number}] {where}".strip()))
    _bounded(sum(map(len, parts)))
    return "\n\n".join(parts)


FILTERS: Mapping[str, Filter] = {
    "text": Filter("convert to text; lists and objects as JSON", to_text, _always(TEXT)),
    "json": Filter("serialize as JSON", _json, _always(TEXT)),
    "parsed": Filter("parse JSON from a text; null if there is none", _parsed, _always(JSON), (TEXT,)),
    "number": Filter("parse a number; null if it is not one", _number, _always(NUMBER), (TEXT, NUMBER)),
    "round": Filter(
        description="round to this many digits",
        apply=_round,
        output_type=_always(NUMBER),
        input_types=(NUMBER,),
        argument_types=(INTEGER,),
    ),
    "boolean": Filter("false for null, false, 0 and empty values; else true", bool, _always(BOOLEAN)),
    "length": Filter("characters of a text, or items of a list", _length, _always(INTEGER), (TEXT, LIST, OBJECT)),
    "default": Filter(
        description="replace null by a default",
        apply=lambda found, other: other if found is None else found,
        output_type=_or,
        input_types=(ANY,),
        argument_types=(None,),
        min_arguments=1,
    ),
    "trim": Filter("remove white space at both ends", lambda found: _text(found).strip(), _always(TEXT), (TEXT,)),
    "upper": Filter("convert to upper case", lambda found: _text(found).upper(), _always(TEXT), (TEXT,)),
    "lower": Filter("convert to lower case", lambda found: _text(found).lower(), _always(TEXT), (TEXT,)),
    "replace": Filter(
        description="replace one text by another",
        apply=_replace,
        output_type=_always(TEXT),
        input_types=(TEXT,),
        argument_types=(TEXT, TEXT),
        min_arguments=2,
    ),
    "split": Filter(
        description="split at a separator; without one, into lines",
        apply=_split,
        output_type=_always(types.list_of(TEXT)),
        input_types=(TEXT,),
        argument_types=(TEXT,),
    ),
    "join": Filter(
        description="join a list into one text",
        apply=_join,
        output_type=_always(TEXT),
        input_types=(LIST,),
        argument_types=(TEXT,),
    ),
    "slice": Filter(
        description="from the first index up to the second",
        apply=_slice,
        output_type=_same,
        input_types=(TEXT, LIST),
        argument_types=(INTEGER, INTEGER),
        min_arguments=1,
    ),
    "first": Filter("first item", _first, _item, (LIST, TEXT)),
    "last": Filter("last item", _last, _item, (LIST, TEXT)),
    "unique": Filter("remove duplicates", _unique, _same, (LIST,)),
    "flat": Filter("flatten one level of lists", _flat, _always(LIST), (LIST,)),
    "pluck": Filter(
        description="one field of each object",
        apply=_pluck,
        output_type=_plucked,
        input_types=(LIST,),
        argument_types=(TEXT,),
        min_arguments=1,
    ),
    "where": Filter(
        description="objects whose field has this value",
        apply=_where,
        output_type=_same,
        input_types=(LIST,),
        argument_types=(TEXT, None),
        min_arguments=2,
    ),
    "keys": Filter("names of the fields", lambda found: list(found or ()), _always(types.list_of(TEXT)), (OBJECT,)),
    "passages": Filter("passages numbered for citation by a model", _passages, _always(TEXT), (LIST,)),
}
