"""Nunjucks templates of promptfoo, as far as they are names: `{{ name }}` and `{{ name.field[0] }}`; runs none."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from sizewise.evals.imports.imported_eval import JsonValue

_NAME = re.compile(r"[A-Za-z_]\w*(?:\.\w+|\[\d+\])*")
_STEP = re.compile(r"\w+")


class UnknownTemplate(ValueError):
    """What it uses that is not carried."""


def render(text: str, values: Mapping[str, JsonValue]) -> str:
    """Raises UnknownTemplate for a statement, a filter, or a name without a value."""
    if "{%" in text:
        raise UnknownTemplate("a template statement {% %}")
    pieces, rest = list[str](), text
    while "{{" in rest:
        before, _, rest = rest.partition("{{")
        inside, closed, rest = rest.partition("}}")
        if not closed:
            raise UnknownTemplate("a template that is not closed")
        pieces += [before, _value(inside.strip("- \n\t"), values)]
    return "".join([*pieces, rest])


def render_all(value: JsonValue, values: Mapping[str, JsonValue]) -> JsonValue:
    """Each text within. Raises UnknownTemplate."""
    if isinstance(value, str):
        return render(value, values)
    if isinstance(value, list):
        return [render_all(each, values) for each in value]
    if isinstance(value, dict):
        return {name: render_all(each, values) for name, each in value.items()}
    return value


def _value(inside: str, values: Mapping[str, JsonValue]) -> str:
    if _NAME.fullmatch(inside) is None:
        raise UnknownTemplate(f"the template {{{{ {inside[:60]} }}}}")
    found: JsonValue = values
    for step in _STEP.findall(inside):
        if isinstance(found, Mapping) and step in found:
            found = found[step]
        elif isinstance(found, list) and step.isdigit() and int(step) < len(found):
            found = found[int(step)]
        else:
            raise UnknownTemplate(f"the variable {inside!r}, which has no value")
    return found if isinstance(found, str) else msgspec.json.encode(found).decode()
