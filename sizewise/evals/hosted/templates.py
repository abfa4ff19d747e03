"""Templates of evals: `{{ item.field }}` and `{{ sample.output_text }}` filled in from an item and its answer. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from sizewise.errors import BadRequest

OPEN, CLOSE = "{{", "}}"
ROOTS = ("item", "sample")
TemplateValues = Mapping[str, Any]
"""By root."""


def render(template: str, values: TemplateValues) -> str:
    """Raises BadRequest if a value is missing; its message has the path, and no value."""
    return "".join(_text(look_up(piece, values)) if is_path else piece for is_path, piece in _pieces(template))


def look_up(path: str, values: TemplateValues) -> object:
    """`item.a.b` or `item.list[0]`. Raises BadRequest."""
    found: Any = values
    for step in _steps(path):
        try:
            found = found[step]
        except (KeyError, IndexError, TypeError) as error:
            raise BadRequest(
                f"there is no value at {path[:100]!r}", "add it to the item, or change the path"
            ) from error
    return found


def check_template(template: str, where: str) -> None:
    """Raises BadRequest if a path does not begin with `item` or `sample`."""
    for is_path, piece in _pieces(template):
        if is_path and next(iter(_steps(piece)), "") not in ROOTS:
            raise BadRequest(
                f"`{where}`: {piece[:100]!r} names neither the item nor the sample",
                "use {{ item.field }} or {{ sample.output_text }}",
                param=where,
            )


def _pieces(template: str) -> Iterator[tuple[bool, str]]:
    """(is a path, text); an opening without its end is text."""
    while True:
        before, mark, rest = template.partition(OPEN)
        path, end, after = rest.partition(CLOSE)
        if not end:
            yield False, before + mark + rest
            return
        yield False, before
        yield True, path.strip()
        template = after


def _steps(path: str) -> Iterator[str | int]:
    for part in path.replace("[", ".[").split("."):
        index = part.strip()
        if index[:1] == "[" and index[-1:] == "]":
            inner = index[1:-1].strip("'\" ")
            yield int(inner) if inner.isdecimal() and len(inner) < 10 else inner
        elif index:
            yield index


def _text(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
