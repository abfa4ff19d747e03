"""Parser for Lamatic's `{{ }}` templates: paths, defaults and conditionals; resolves no names.

Paths use dots and brackets: `LLMNode_1.output.x[0].y`, `list[:].key`, `list[0:3]`, and in code `list[i]`. One pass.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct

from sizewise.flows.language.types import Json

MAX_LENGTH = 2_000
"""Characters between {{ and }}."""
_OPEN = re.compile(r"\{\{")
_NAME = re.compile(r"[A-Za-z_$][\w$-]*")
_STEP = re.compile(
    r"""\s*(?:\.\s*(?P<name>[\w$-]+)|\[\s*(?P<number>-?\d{1,9})\s*\]|\[\s*(?P<quoted>"[^"\n]*"|'[^'\n]*')\s*\]"""
    r"""|\[\s*(?P<begin>-?\d{0,9})\s*:\s*(?P<end>-?\d{0,9})\s*\]|\[\s*(?P<other>[A-Za-z_$][\w$.+\s-]{0,80})\])""",
)
_LITERAL = re.compile(
    r"""\s*(?:"(?P<double>[^"\\]*)"|'(?P<single>[^'\\]*)'|(?P<number>-?\d{1,15}(?:\.\d{1,15})?)|(?P<word>true|false|null|undefined)"""
    r"""|(?P<empty>\[\s*\]|\{\s*\}))\s*""",
)
_SPACE = re.compile(r"\s*")


class TranslationError(ValueError):
    """Something has no equivalent in Sizewise. `message` is a lower-case phrase; `hint` is the next step."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message, self.hint = message, hint


class SliceStep(Struct, frozen=True):
    start: int | None
    end: int | None


class VariableIndex(Struct, frozen=True):
    """An index that is a variable; only in code."""

    name: str


PathStep = str | int | SliceStep | VariableIndex


class TemplatePath(Struct, frozen=True):
    """A node id and steps; a leading `output` is left out of the steps."""

    root: str
    steps: tuple[PathStep, ...]


class TemplateLiteral(Struct, frozen=True):
    value: Json


class DefaultExpression(Struct, frozen=True):
    first: TemplatePath
    other: TemplatePath | TemplateLiteral


class ConditionalExpression(Struct, frozen=True):
    """`condition ? then : other`."""

    condition: TemplatePath
    then: TemplatePath | TemplateLiteral
    other: TemplatePath | TemplateLiteral


TemplateExpression = TemplatePath | DefaultExpression | ConditionalExpression


def split_template(text: str) -> Iterator[str | tuple[str, int]]:
    """Yields texts, and for each {{ }} its (content, offset)."""
    at = 0
    for match in _OPEN.finditer(text):
        if match.start() < at:
            continue
        end = text.find("}}", match.end(), match.end() + MAX_LENGTH)
        if end < 0:
            continue
        if match.start() > at:
            yield text[at : match.start()]
        yield text[match.end() : end], match.start()
        at = end + 2
    if at < len(text):
        yield text[at:]


def parse_expression(source: str) -> TemplateExpression:
    """Raises TranslationError."""
    reader = _Parser(source)
    first = reader.operand()
    if not isinstance(first, TemplatePath):
        raise TranslationError("literals in {{ }} are not supported", "Write the literal out.")
    if reader.consume("||") or reader.consume("??"):
        return reader.finish(DefaultExpression(first, reader.operand()))
    if reader.consume("?"):
        then = reader.operand()
        if not reader.consume(":"):
            raise TranslationError("the expression in {{ }} cannot be parsed", "Write a path.")
        return reader.finish(ConditionalExpression(first, then, reader.operand()))
    return reader.finish(first)


def parse_path(text: str) -> TemplatePath | None:
    """None if `text` is not a path."""
    try:
        found = parse_expression(text)
    except TranslationError:
        return None
    return found if isinstance(found, TemplatePath) else None


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def operand(self) -> TemplatePath | TemplateLiteral:
        literal = _LITERAL.match(self._text, self._at)
        if literal is not None:
            self._at = literal.end()
            return TemplateLiteral(_literal_value(literal))
        self._skip()
        name = _NAME.match(self._text, self._at)
        if name is None:
            raise TranslationError("the expression in {{ }} cannot be parsed", "Write a path.")
        self._at = name.end()
        steps: list[PathStep] = []
        while (match := _STEP.match(self._text, self._at)) is not None:
            self._at = match.end()
            steps.append(_path_step(match))
        if steps and steps[0] == "output":
            steps = steps[1:]
        return TemplatePath(name[0].strip("-"), tuple(steps))

    def consume(self, operator: str) -> bool:
        self._skip()
        if self._text.startswith(operator, self._at):
            self._at += len(operator)
            return True
        return False

    def finish(self, expression: TemplateExpression) -> TemplateExpression:
        self._skip()
        if self._at < len(self._text):
            raise TranslationError(
                "the expression in {{ }} is more than a path", "Compute the value in a javascript node."
            )
        return expression

    def _skip(self) -> None:
        match = _SPACE.match(self._text, self._at)
        assert match is not None
        self._at = match.end()


def _path_step(match: re.Match[str]) -> PathStep:
    if match["name"] is not None:
        return int(match["name"]) if match["name"].isdecimal() and len(match["name"]) < 10 else match["name"]
    if match["number"] is not None:
        return int(match["number"])
    if match["quoted"] is not None:
        return match["quoted"][1:-1]
    if match["other"] is not None:
        return VariableIndex(match["other"].strip())
    return SliceStep(*(int(each) if each not in ("", "-") else None for each in (match["begin"], match["end"])))


def _literal_value(match: re.Match[str]) -> Json:
    if match["double"] is not None:
        return match["double"]
    if match["single"] is not None:
        return match["single"]
    if match["number"] is not None:
        return float(match["number"]) if "." in match["number"] else int(match["number"])
    if match["empty"] is not None:
        return [] if match["empty"][0] == "[" else {}
    return {"true": True, "false": False}.get(match["word"] or "")
