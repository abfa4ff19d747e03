"""Recursive-descent parser for `{{ }}` templates and expressions; resolves no names."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Literal

from sizewise.flows.language import types
from sizewise.flows.language.diagnostics import did_you_mean
from sizewise.flows.language.expression import (
    BooleanOperation,
    ComparisonOperation,
    CompiledValue,
    Expression,
    ExpressionError,
    FilterCall,
    LiteralValue,
    Negation,
    Reference,
    Template,
)
from sizewise.flows.language.filters import FILTERS

MAX_LENGTH = 4_000
"""Characters of one expression."""
MAX_DEPTH = 20
"""Nesting of parentheses."""

_TOKEN = re.compile(
    r"""\s*(?:(?P<end>\}\})|(?P<number>-?[0-9]+(?:\.[0-9]+)?)|(?P<name>[A-Za-z_][A-Za-z0-9_-]*)"""
    r"""|(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(?P<sign>==|!=|<=|>=|[<>()\[\].,|]))""",
)
_ESCAPE = re.compile(r"\\(.)")
_KNOWN: Mapping[str, str] = {"n": "\n", "t": "\t", "r": "\r"}
_WORDS = frozenset({"and", "or", "not", "in", "true", "false", "null"})


def parse_template(text: str) -> Template | None:
    """None for a text without {{. Raises ExpressionError."""
    if "{{" not in text:
        return None
    parts: list[str | Expression] = []
    at = 0
    while (begin := text.find("{{", at)) >= 0:
        if begin > at:
            parts.append(text[at:begin])
        reader = _Parser(text, begin + 2)
        parts.append(reader.whole())
        at = reader.position
    if at < len(text):
        parts.append(text[at:])
    return Template(tuple(parts))


class _Parser:
    """Recursive descent with one token of lookahead."""

    def __init__(self, text: str, at: int) -> None:
        self._text = text
        self._begin = at
        self._deep = 0
        self.position = at
        self._kind = self._word = ""
        self._place = at
        self._next()

    def whole(self) -> Expression:
        found = self._either()
        if self._kind != "end":
            raise self._wrong(f"unexpected {self._word!r}", "Close the expression with }}.")
        return found

    def _next(self) -> None:
        match = _TOKEN.match(self._text, self.position)
        if match is None:
            rest = self._text[self.position :].lstrip()
            self._place = self.position
            if not rest:
                raise ExpressionError("{{ is not closed", "Close it with }}.", self._begin - 2)
            hint = "Close the quotes." if rest[0] in "\"'" else "Known: paths, literals, comparisons, filters."
            raise ExpressionError(
                f"{rest[0]!r} is not valid in an expression",
                hint,
                self._text.index(rest[0], self.position),
            )
        if match.end() - self._begin > MAX_LENGTH:
            raise ExpressionError(f"the expression is longer than {MAX_LENGTH} characters", "Split it.", self._begin)
        self._kind = match.lastgroup or ""
        self._word = match[self._kind]
        self._place = match.start(self._kind)
        self.position = match.end()

    def _take(self, *words: str) -> str:
        """Consumes and returns the token if it is one of `words`; else empty."""
        if self._kind in ("sign", "name") and self._word in words:
            word = self._word
            self._next()
            return word
        return ""

    def _wrong(self, message: str, hint: str = "") -> ExpressionError:
        return ExpressionError(message, hint, self._place)

    def _filter(self, inner: Expression) -> Expression:
        name, at = self._word, self._place
        if self._kind != "name" or name not in FILTERS:
            raise self._wrong(f"there is no filter {name!r}", did_you_mean(name, FILTERS))
        self._next()
        arguments: list[Any] = []
        if self._take("("):
            while not self._take(")"):
                if arguments and not self._take(","):
                    raise self._wrong("a comma is missing", "Write filters as: name(1, 'two').")
                value = self._bare()
                if not isinstance(value, LiteralValue):
                    raise self._wrong("filter arguments must be literals", "Write a string in quotes, or a number.")
                arguments.append(value.value)
        chosen = FILTERS[name]
        if not chosen.min_arguments <= len(arguments) <= len(chosen.argument_types):
            raise ExpressionError(f"{name!r} takes {chosen.usage}", "", at)
        for value, wanted in zip(arguments, chosen.argument_types, strict=False):
            if wanted is not None and not types.is_assignable(wanted, types.type_of_value(value)):
                raise ExpressionError(f"{name!r} takes {chosen.usage}", "", at)
        return FilterCall(inner, name, tuple(arguments), at)

    def _either(self) -> Expression:
        return self._joined("or", self._all)

    def _all(self) -> Expression:
        return self._joined("and", self._negated)

    def _joined(self, word: Literal["and", "or"], inner: Callable[[], Expression]) -> Expression:
        parts = [inner()]
        while self._take(word):
            parts.append(inner())
        return parts[0] if len(parts) == 1 else BooleanOperation(word, tuple(parts))

    def _negated(self) -> Expression:
        denied = False
        while self._take("not"):
            denied = not denied
        inner = self._compared()
        return Negation(inner) if denied else inner

    def _compared(self) -> Expression:
        left, at = self._filtered(), self._place
        sign = self._take("==", "!=", "<", "<=", ">", ">=", "in")
        if not sign and self._take("not"):
            if not self._take("in"):
                raise self._wrong("unexpected `not`", "Write: a not in b.")
            sign = "not in"
        return ComparisonOperation(left, sign, self._filtered(), at) if sign else left  # type: ignore[arg-type]  # one of its signs

    def _filtered(self) -> Expression:
        """Filters bind tighter than comparisons: a | length > 3."""
        found = self._bare()
        while self._take("|"):
            found = self._filter(found)
        return found

    def _bare(self) -> Expression:
        kind, word = self._kind, self._word
        if kind == "number":
            self._next()
            return LiteralValue(float(word) if "." in word else int(word))
        if kind == "text":
            self._next()
            return LiteralValue(_ESCAPE.sub(lambda found: _KNOWN.get(found[1], found[1]), word[1:-1]))
        if kind == "name" and word in ("true", "false", "null"):
            self._next()
            return LiteralValue({"true": True, "false": False, "null": None}[word])
        if kind == "name" and word not in _WORDS:
            return self._path()
        if self._take("("):
            self._deep += 1
            if self._deep > MAX_DEPTH:
                raise self._wrong(f"parentheses are nested deeper than {MAX_DEPTH}", "Flatten it.")
            inner = self._either()
            self._deep -= 1
            if not self._take(")"):
                raise self._wrong("a parenthesis is not closed", "Close it with ).")
            return inner
        if kind == "end":
            raise self._wrong("the expression is incomplete before }}", "Write a name, such as {{ inputs.question }}.")
        raise self._wrong(f"unexpected {word!r}", "Write a name, a string in quotes or a number.")

    def _path(self) -> Expression:
        at = self._place
        path: list[str | int] = [self._word]
        self._next()
        while True:
            if self._take("."):
                if self._kind not in ("name", "number"):
                    raise self._wrong("a name is missing after the dot", "Write it as a.b.")
                path.append(int(self._word) if self._word.isdecimal() else self._word)
                self._next()
            elif self._take("["):
                inner = self._bare()
                if not isinstance(inner, LiteralValue) or not isinstance(inner.value, (str, int)):
                    raise self._wrong("brackets must contain an integer or a string", "Write it as a[0] or a['b c'].")
                path.append(inner.value)
                if not self._take("]"):
                    raise self._wrong("a bracket is not closed", "Close it with ].")
            else:
                if self._kind == "sign" and self._word == "(":
                    raise self._wrong("functions cannot be called", "Use a filter: {{ value | length }}.")
                return Reference(tuple(path), at)


def compile_value(value: object) -> CompiledValue:
    """`value` with its templates parsed. Raises ExpressionError."""
    if isinstance(value, str):
        return parse_template(value) or value
    if isinstance(value, dict):
        return {name: compile_value(each) for name, each in value.items()}
    if isinstance(value, list):
        return [compile_value(each) for each in value]
    return value
