"""JavaScript templates: finds `{{ }}` placeholders in Lamatic's code and replaces them; runs no code.

`{{path}}` is a placeholder for a JSON literal. In code it becomes a variable, in a string literal a concatenation; in a
comment it is unchanged. Also finds globals that the sandbox does not have.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Literal

from msgspec import Struct

CodeContext = Literal["code", "text", "comment"]

_TOKEN = re.compile(
    r"""(?P<comment>//[^\n]*)|(?P<quote>["'`])|(?P<braces>\{\{)|(?P<regex>/)|(?P<open>\{)|(?P<close>\})|(?P<word>[A-Za-z_$][\w$]*)""",
)
_INNER = re.compile(r"\s*[A-Za-z_$][\w$-]{0,200}\s*(?:[.\[|?}]|$)")
_REGEX = re.compile(r"/(?![*/])(?:[^\\/\[\n]|\\[^\n]|\[(?:[^\]\\\n]|\\[^\n]){0,60}\]){1,200}/[a-z]{0,9}")
_REACHES = re.compile(
    r"\b(fetch|require|import|XMLHttpRequest|WebSocket|axios|process|Deno|Bun|Buffer|eval|setTimeout|setInterval)\s*[(.]",
)
UNSUPPORTED_GLOBALS: Mapping[str, str] = {
    "fetch": "accesses the network",
    "axios": "accesses the network",
    "XMLHttpRequest": "accesses the network",
    "WebSocket": "accesses the network",
    "require": "imports a library",
    "import": "imports a library",
    "process": "accesses the machine",
    "Deno": "accesses the machine",
    "Bun": "accesses the machine",
    "Buffer": "uses Buffer, which only Node has",
    "eval": "evaluates text as code",
    "setTimeout": "waits",
    "setInterval": "waits",
}


class Placeholder(Struct, frozen=True):
    """`start`, `end`: characters to replace. `quote`: of the string literal around it, in the context `text`."""

    expression: str
    context: CodeContext
    start: int
    end: int
    quote: str = ""


Substitution = Callable[[Placeholder], str]
"""Returns the code that replaces a placeholder."""


def substitute(code: str, substitution: Substitution) -> str:
    parts: list[str] = []
    at = 0
    for hole in find_placeholders(code):
        parts.append(code[at : hole.start])
        parts.append(substitution(hole))
        at = hole.end
    parts.append(code[at:])
    return "".join(parts)


def unsupported_globals(code: str) -> list[str]:
    """Globals used outside string literals and comments that the sandbox does not have."""
    return list(dict.fromkeys(match[1] for match in _REACHES.finditer(code_only(code))))


def code_only(code: str) -> str:
    """The code without its string literals and comments."""
    return "".join(part if where == "code" else " " for part, where in _segments(code))


def find_placeholders(code: str) -> Iterator[Placeholder]:
    at = 0
    for part, where in _segments(code):
        begin = 0
        while where != "comment" and (begin := part.find("{{", begin)) >= 0:
            end = part.find("}}", begin + 2, begin + 2_002)
            if end >= 0 and _INNER.match(part, begin + 2, end):
                quote = (part[0] if part[0] in "\"'" else "`") if where == "text" else ""
                yield Placeholder(
                    expression=part[begin + 2 : end], context=where, start=at + begin, end=at + end + 2, quote=quote
                )
                begin = end + 2
            else:
                begin += 2
        at += len(part)


def _segments(code: str) -> Iterator[tuple[str, CodeContext]]:
    """Splits into code, string literals with their quotes, and comments. One pass; a heuristic, not a full parser."""
    at = begin = 0
    deep: list[int] = []  # open braces in each ${ of a template literal
    last = ""
    while (match := _TOKEN.search(code, at)) is not None:
        kind = match.lastgroup
        between = code[at : match.start()].strip()
        last = between[-1:] or last
        at = match.end()
        if kind == "braces":
            end = code.find("}}", at, at + 2_000)
            if end >= 0 and _INNER.match(code, at, end):
                at, last = end + 2, "x"
            else:
                at, last = match.start() + 1, "{"
                if deep:
                    deep[-1] += 1
        elif kind == "open":
            last = "{"
            if deep:
                deep[-1] += 1
        elif kind == "word":
            last = "(" if match[0] in ("return", "typeof", "case", "in", "of") else "x"
        elif kind == "close" and not (deep and deep[-1] == 0):
            last = "}"
            if deep:
                deep[-1] -= 1
        elif kind == "comment":
            yield code[begin : match.start()], "code"
            yield match[0], "comment"
            begin = at
        elif kind == "regex":
            if code.startswith("/*", match.start()):
                end = code.find("*/", at + 1)
                at = end + 2 if end >= 0 else len(code)
                yield code[begin : match.start()], "code"
                yield code[match.start() : at], "comment"
                begin = at
            elif last in "(,=:[!&|?{};+-*%<>~^" and (found := _REGEX.match(code, match.start())):
                at, last = found.end(), "x"
            else:
                last = "/"
        else:  # a string literal, or the rest of a template literal after ${ }
            if kind == "close":
                deep.pop()
            yield code[begin : match.start()], "code"
            at, opened = _text(code, at, "`" if kind == "close" else match[0])
            yield code[match.start() : at], "text"
            begin, last = at, "x"
            if opened:
                deep.append(0)
                last = "("
    yield code[begin:], "code"


_ENDS: Mapping[str, re.Pattern[str]] = {
    "'": re.compile(r"['\n]|\\."),
    '"': re.compile(r'["\n]|\\.'),
    "`": re.compile(r"`|\$\{|\\.", re.DOTALL),
}


def _text(code: str, at: int, quote: str) -> tuple[int, bool]:
    """End of a string literal, and whether it ends at a ${."""
    while (match := _ENDS[quote].search(code, at)) is not None:
        at = match.end()
        if match[0] == "${":
            return at, True
        if match[0] == quote or match[0] == "\n":
            return at, False
    return len(code), False
