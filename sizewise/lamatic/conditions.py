"""Translation of Lamatic's conditions to boolean expressions.

Lamatic often compares texts ("true", "1"), so both sides are converted: to texts for ==, to numbers for <.
"""

from __future__ import annotations

from collections.abc import Mapping

from sizewise.flows.language.types import Json
from sizewise.lamatic.template_parser import TranslationError, split_template
from sizewise.lamatic.translator import Translator, parenthesize, string_literal

MAX_DEPTH = 8
EQUIVALENT_OPERATORS: Mapping[str, str] = {
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
ORDERING_OPERATORS: Mapping[str, str] = {
    "<": "<",
    "<=": "<=",
    ">": ">",
    ">=": ">=",
    "lt": "<",
    "lte": "<=",
    "gt": ">",
    "gte": ">=",
}


def translate_condition(translator: Translator, logic: Json, depth: int = 0) -> str:
    """Raises TranslationError."""
    found = translator.parse_data(logic, "condition") if isinstance(logic, str) else logic
    if depth > MAX_DEPTH:
        raise TranslationError(f"conditions are nested deeper than {MAX_DEPTH}", "Split them.")
    if not isinstance(found, Mapping) or not isinstance(found.get("operands"), list) or not found["operands"]:
        raise TranslationError("the condition cannot be parsed", 'Write it as {"operator": null, "operands": [...]}.')
    parts = [
        translate_condition(translator, each, depth + 1)
        if isinstance(each, Mapping) and "operands" in each
        else _translate_comparison(translator, each)
        for each in found["operands"]
    ]
    word = str(found.get("operator") or "and").lower()
    if word not in ("and", "or"):
        raise TranslationError(f"conditions cannot be joined by {word[:40]!r}", "Join them with AND or OR.")
    joined = f" {word} ".join(parenthesize(each) if len(parts) > 1 else each for each in parts)
    return joined


def _translate_comparison(translator: Translator, said: Json) -> str:
    if not isinstance(said, Mapping):
        raise TranslationError("the condition cannot be parsed", "A condition has a name, an operator and a value.")
    sign = str(said.get("operator") or "==").strip().lower()
    left, right = said.get("name", said.get("path")), said.get("value")
    if sign in EQUIVALENT_OPERATORS:
        return f"{_text(translator, left)} {EQUIVALENT_OPERATORS[sign]} {_text(translator, right)}"
    if sign in ORDERING_OPERATORS:
        return f"{_number(translator, left)} {ORDERING_OPERATORS[sign]} {_number(translator, right)}"
    if sign in ("ilike", "like", "not ilike", "not like", "nilike", "nlike"):
        found = _like(translator, left, right, "i" in sign.removeprefix("not ").removeprefix("n").replace("like", ""))
        return f"not ({found})" if sign.startswith("n") else found
    if sign in ("contains", "not contains", "notcontains", "includes"):
        found = f"{_text(translator, right)} in {_text(translator, left)}"
        return f"not ({found})" if sign.startswith("not") else found
    if sign in ("in", "not in", "nin"):
        listed = translator.parse_data(right, "value") if isinstance(right, str) else right
        listed = listed if isinstance(listed, list) else str(right).split(",")
        word, join = ("!=", " and ") if sign != "in" else ("==", " or ")
        return join.join(f"({_text(translator, left)} {word} {string_literal(str(each).strip())})" for each in listed)
    if sign in ("is null", "is empty", "isempty", "isnull", "null", "empty"):
        return f'{_text(translator, left)} == ""'
    if sign in ("is not null", "is not empty", "isnotempty", "isnotnull", "exists"):
        return f'{_text(translator, left)} != ""'
    if sign in ("startswith", "starts with"):
        return _like(translator, left, f"{right}%", False)
    if sign in ("endswith", "ends with"):
        return _like(translator, left, f"%{right}", False)
    raise TranslationError(
        f"the operator {sign[:40]!r} is not supported",
        f"Known: {', '.join((*EQUIVALENT_OPERATORS, *ORDERING_OPERATORS, 'ilike', 'in'))}.",
    )


def _like(translator: Translator, left: object, pattern: object, fold: bool) -> str:
    said = str(pattern)
    inner = said.strip("%")
    if "%" in inner or ("_" in inner.replace("\\_", "") and "{{" not in inner) or not inner:
        raise TranslationError(
            "patterns with % elsewhere than at the ends are not supported", "Compare it in a javascript node."
        )
    right = _text(translator, inner.lower() if fold and "{{" not in inner else inner)
    found = _text(translator, left)
    if fold:
        found = f"({found} | lower)"
        right = right if "{{" not in inner else f"({right} | lower)"
    if said.startswith("%") and said.endswith("%"):
        return f"{right} in {found}"
    if "{{" in inner and "%" in said:
        raise TranslationError(
            "the beginning or end of a text can only be compared with a literal",
            "Compare it in a javascript node.",
        )
    if said.endswith("%"):
        return f"({found} | slice(0, {len(inner)})) == {right}"
    if said.startswith("%"):
        return f"({found} | slice(-{len(inner)})) == {right}"
    return f"{found} == {right}"


def _text(translator: Translator, said: object) -> str:
    """An operand as an expression that yields a text."""
    alone = _single_expression(said)
    if alone is None:
        return string_literal(_plain(translator, said))
    found, certain = translator.translate_expression(alone)
    return found if certain and " " not in found else f"({found} | text)"


def _number(translator: Translator, said: object) -> str:
    alone = _single_expression(said)
    if alone is not None:
        return f"({translator.translate_expression(alone)[0]} | number)"
    try:
        number = float(_plain(translator, said))
    except ValueError as error:
        raise TranslationError("the condition compares with a value that is not a number", "Write a number.") from error
    return repr(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)


def _single_expression(said: object) -> str | None:
    """The content of the {{ }} if the value is a single one; else None."""
    found = [each for each in split_template(said.strip()) if isinstance(each, tuple)] if isinstance(said, str) else []
    if found and isinstance(said, str) and len(list(split_template(said.strip()))) == 1:
        return found[0][0]
    return None


def _plain(translator: Translator, said: object) -> str:
    text = translator.translate_text(said, "value")
    if "{{" in text:
        raise TranslationError(
            "the condition compares with a concatenated text", "Concatenate it in a template node first."
        )
    return text
