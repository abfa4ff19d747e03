"""Lamatic's conditions as expressions of ours: operands, operators, and how they are joined; pure.

What is compared there are texts as often as not ("true", "1"), so both sides become texts for ==, and numbers for <.
"""

from __future__ import annotations

from collections.abc import Mapping

from sizewise.flows.language.types import Json
from sizewise.lamatic.template_parser import Unsayable, pieces
from sizewise.lamatic.translator import Bench, quoted, within

DEPTH = 8
SAME: Mapping[str, str] = {
    "==": "==",
    "===": "==",
    "=": "==",
    "eq": "==",
    "equals": "==",
    "!=": "!=",
    "!==": "!=",
    "ne": "!=",
    "neq": "!=",
}
ORDER: Mapping[str, str] = {"<": "<", "<=": "<=", ">": ">", ">=": ">=", "lt": "<", "lte": "<=", "gt": ">", "gte": ">="}


def condition(bench: Bench, said: Json, depth: int = 0) -> str:
    """Raises Unsayable."""
    found = bench.data(said, "condition") if isinstance(said, str) else said
    if depth > DEPTH:
        raise Unsayable(f"conditions deeper than {DEPTH}", "Split them.")
    if not isinstance(found, Mapping) or not isinstance(found.get("operands"), list) or not found["operands"]:
        raise Unsayable("a condition that cannot be read", 'Write it as {"operator": null, "operands": [...]}.')
    parts = [
        condition(bench, each, depth + 1) if isinstance(each, Mapping) and "operands" in each else _one(bench, each)
        for each in found["operands"]
    ]
    word = str(found.get("operator") or "and").lower()
    if word not in ("and", "or"):
        raise Unsayable(f"conditions joined by {word[:40]!r}", "Join them by AND or OR.")
    joined = f" {word} ".join(within(each) if len(parts) > 1 else each for each in parts)
    return joined


def _one(bench: Bench, said: Json) -> str:
    if not isinstance(said, Mapping):
        raise Unsayable("a condition that cannot be read", "Each has a name, an operator and a value.")
    sign = str(said.get("operator") or "==").strip().lower()
    left, right = said.get("name", said.get("path")), said.get("value")
    if sign in SAME:
        return f"{_text(bench, left)} {SAME[sign]} {_text(bench, right)}"
    if sign in ORDER:
        return f"{_number(bench, left)} {ORDER[sign]} {_number(bench, right)}"
    if sign in ("ilike", "like", "not ilike", "not like", "nilike", "nlike"):
        found = _like(bench, left, right, "i" in sign.removeprefix("not ").removeprefix("n").replace("like", ""))
        return f"not ({found})" if sign.startswith("n") else found
    if sign in ("contains", "not contains", "notcontains", "includes"):
        found = f"{_text(bench, right)} in {_text(bench, left)}"
        return f"not ({found})" if sign.startswith("not") else found
    if sign in ("in", "not in", "nin"):
        listed = bench.data(right, "value") if isinstance(right, str) else right
        listed = listed if isinstance(listed, list) else str(right).split(",")
        word, join = ("!=", " and ") if sign != "in" else ("==", " or ")
        return join.join(f"({_text(bench, left)} {word} {quoted(str(each).strip())})" for each in listed)
    if sign in ("is null", "is empty", "isempty", "isnull", "null", "empty"):
        return f'{_text(bench, left)} == ""'
    if sign in ("is not null", "is not empty", "isnotempty", "isnotnull", "exists"):
        return f'{_text(bench, left)} != ""'
    if sign in ("startswith", "starts with"):
        return _like(bench, left, f"{right}%", False)
    if sign in ("endswith", "ends with"):
        return _like(bench, left, f"%{right}", False)
    raise Unsayable(f"the operator {sign[:40]!r}", f"Known: {', '.join((*SAME, *ORDER, 'ilike', 'in'))}.")


def _like(bench: Bench, left: object, pattern: object, fold: bool) -> str:
    said = str(pattern)
    inner = said.strip("%")
    if "%" in inner or ("_" in inner.replace("\\_", "") and "{{" not in inner) or not inner:
        raise Unsayable("a pattern with more than % at its ends", "Compare it in a javascript node.")
    right = _text(bench, inner.lower() if fold and "{{" not in inner else inner)
    found = _text(bench, left)
    if fold:
        found = f"({found} | lower)"
        right = right if "{{" not in inner else f"({right} | lower)"
    if said.startswith("%") and said.endswith("%"):
        return f"{right} in {found}"
    if "{{" in inner and "%" in said:
        raise Unsayable("the beginning or end of a text that is not written down", "Compare it in a javascript node.")
    if said.endswith("%"):
        return f"({found} | slice(0, {len(inner)})) == {right}"
    if said.startswith("%"):
        return f"({found} | slice(-{len(inner)})) == {right}"
    return f"{found} == {right}"


def _text(bench: Bench, said: object) -> str:
    """Something that is compared, as a text."""
    alone = _alone(said)
    if alone is None:
        return quoted(_plain(bench, said))
    found, certain = bench.expression(alone)
    return found if certain and " " not in found else f"({found} | text)"


def _number(bench: Bench, said: object) -> str:
    alone = _alone(said)
    if alone is not None:
        return f"({bench.expression(alone)[0]} | number)"
    try:
        number = float(_plain(bench, said))
    except ValueError as error:
        raise Unsayable("it compares with what is no number", "Write a number.") from error
    return repr(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)


def _alone(said: object) -> str | None:
    """What stands in the one {{ }} that a value is."""
    found = [each for each in pieces(said.strip()) if isinstance(each, tuple)] if isinstance(said, str) else []
    if found and isinstance(said, str) and len(list(pieces(said.strip()))) == 1:
        return found[0][0]
    return None


def _plain(bench: Bench, said: object) -> str:
    text = bench.text(said, "value")
    if "{{" in text:
        raise Unsayable("it compares a text that is put together", "Put it together in a template node before.")
    return text
