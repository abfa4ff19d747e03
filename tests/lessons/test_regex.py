"""No text makes a pattern slow: each one in the house is pumped with what it likes best, twenty thousand times over."""

from __future__ import annotations

import ast
import re
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from importlib import import_module
from re import _constants as op  # how Python itself reads a pattern
from re import _parser as parser  # the same
from typing import Any, NamedTuple

import pytest

from tests.walls.source import dotted, sources

SHORT, MIDDLE, LONG = 400, 4_000, 40_000
"""Characters."""
PARTS = 8
SECONDS = 0.15
"""A linear pattern takes some milliseconds for the longest; one that goes by the square, half a second or more."""
METHODS = ("search", "match", "fullmatch", "findall", "finditer", "sub", "split")

NEVER_LONG: Mapping[str, str] = {
    "sizewise.guardrails.pii.ALTERNATIVE": "takes our own list of words apart, when it is imported",
}
"""Patterns that never meet a long text, and who sees to that: `<module>.<name>` -> why."""


class Found(NamedTuple):
    where: str
    pattern: re.Pattern[Any]
    used: tuple[str, ...]


def patterns() -> Iterator[Found]:
    """Each compiled pattern at the top of a module with the methods that are called on its name, and each literal."""
    files = {_module(file.path): file for file in sources("sizewise") if "/testing/" not in file.path}
    calls: dict[tuple[str, str], set[str]] = {}
    for module, file in files.items():
        homes = {module: module}
        for node in file.nodes:
            if isinstance(node, ast.ImportFrom):
                homes.update({alias.asname or alias.name: node.module or "" for alias in node.names})
        for node in file.nodes:
            if isinstance(node, ast.Attribute) and node.attr in METHODS:
                name = dotted(node.value).rpartition(".")[2]
                calls.setdefault((homes.get(name, module), name), set()).add(node.attr)
    for module, file in files.items():
        if any(isinstance(node, ast.Import) and "re" in _names(node) for node in file.nodes):
            for name, value in vars(import_module(module)).items():
                for each in _compiled(value):
                    yield Found(f"{module}.{name}", each, tuple(sorted(calls.get((module, name), METHODS))))
            yield from _literals(file.tree, module)


def _module(path: str) -> str:
    return path.removesuffix(".py").replace("/", ".").removesuffix(".__init__")


def _names(node: ast.Import) -> list[str]:
    return [alias.name for alias in node.names]


def _compiled(value: object) -> Iterator[re.Pattern[Any]]:
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, tuple | list | dict):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _compiled(each)


def _literals(tree: ast.AST, module: str) -> Iterator[Found]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and dotted(node.func).startswith("re.") and node.args:
            method, first = dotted(node.func)[3:], node.args[0]
            if method in METHODS and isinstance(first, ast.Constant):
                flags = re.IGNORECASE if "IGNORECASE" in ast.dump(node) else 0
                yield Found(f"{module}:{node.lineno}", re.compile(first.value, flags), (method,))


def likes(pattern: re.Pattern[Any]) -> list[str]:
    """Characters and short texts that a pattern takes: of each set one or two, of each literal itself, and pairs."""
    text = pattern.pattern if isinstance(pattern.pattern, str) else pattern.pattern.decode("latin-1")
    singles: dict[str, None] = {}
    runs: dict[str, None] = {}
    _walk(
        parser.parse(text, pattern.flags & ~re.UNICODE if isinstance(pattern.pattern, bytes) else pattern.flags),
        singles,
        runs,
    )
    short = list(singles)[:12]
    pairs = [a + b for a in short[:4] for b in short[:4] if a != b]
    return [*short, *list(runs)[:8], *pairs]


def _walk(tree: Iterable[Any], singles: dict[str, None], runs: dict[str, None]) -> None:
    run = ""
    for kind, what in tree:
        if kind is op.LITERAL:
            run += chr(what)
            singles[chr(what)] = None
            continue
        if run:
            runs[run], run = None, ""
        if kind is op.IN:
            singles.update(dict.fromkeys(_set(what)))
        elif kind is op.NOT_LITERAL or kind is op.ANY:
            singles["x"] = None
        elif kind is op.BRANCH:
            for each in what[1]:
                _walk(each, singles, runs)
        elif kind in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT):
            _walk(what[2], singles, runs)
        elif kind is op.SUBPATTERN:
            _walk(what[3], singles, runs)
        elif kind in (op.ASSERT, op.ASSERT_NOT):
            _walk(what[1], singles, runs)
        elif kind is op.ATOMIC_GROUP:
            _walk(what, singles, runs)
    if run:
        runs[run] = None


CLASSES: Mapping[Any, str] = {
    op.CATEGORY_DIGIT: "7",
    op.CATEGORY_SPACE: " \n",
    op.CATEGORY_WORD: "aB_",
    op.CATEGORY_NOT_DIGIT: "a",
    op.CATEGORY_NOT_SPACE: "a",
    op.CATEGORY_NOT_WORD: "-",
}


def _set(items: Iterable[Any]) -> Iterator[str]:
    items = list(items)
    if items and items[0][0] is op.NEGATE:
        taken = {chr(what) for kind, what in items if kind is op.LITERAL}
        yield next(c for c in "aZ7 -\n(" if c not in taken)
        return
    for kind, what in items:
        if kind is op.LITERAL:
            yield chr(what)
        elif kind is op.RANGE:
            yield chr(what[0])
            yield chr(what[1])
        elif kind is op.CATEGORY:
            yield from CLASSES[what]


def slow(found: Found) -> str:
    """What takes it too long; empty when nothing does."""
    binary = isinstance(found.pattern.pattern, bytes)
    pieces = likes(found.pattern)
    starts = ["", *dict.fromkeys(each for each in pieces if len(each) > 2)][:2]
    for piece in pieces:
        for start in starts:
            for method in found.used:

                def seconds(size: int, start: str = start, piece: str = piece, method: str = method) -> float:
                    text: Any = start + piece * (size // len(piece)) + "\x00!"
                    return _timed(found.pattern, method, text.encode("latin-1", "replace") if binary else text)

                if size := _too_slow_at(seconds):
                    return f"{found.where}.{method} takes too long for {size} characters of {start!r} + {piece!r}..."
    return ""


def _too_slow_at(seconds: Callable[[int], float]) -> int:
    """The size that takes too long, 0 if none does. In two steps: a text of LONG is tried only where the shorter ones
    leave open whether the time grows faster than the text. On a slow machine a linear pattern may take SECONDS too,
    so the growth decides.
    """
    for size in (24, SHORT):
        if seconds(size) > SECONDS:
            return size
    short, middle = seconds(SHORT), seconds(MIDDLE)
    if middle > SECONDS:
        return MIDDLE
    if middle < SECONDS / 1_000 or (middle < SECONDS / 33 and middle < 13 * short):
        return 0  # grows by its cube, or has a square that is a third of it: below SECONDS for LONG in either case
    if seconds(LONG) < SECONDS:
        return 0
    return LONG if seconds(LONG) > 30 * min(seconds(MIDDLE) for _ in range(3)) else 0


def _timed(pattern: re.Pattern[Any], method: str, text: Any) -> float:
    """Seconds of CPU time; where it is twice SECONDS it is stopped, for it might never end."""
    signal.setitimer(signal.ITIMER_VIRTUAL, 2 * SECONDS)
    began = time.process_time()
    try:
        if method == "sub":
            pattern.sub(text[:0], text)
        elif method == "finditer":
            for _ in pattern.finditer(text):
                pass
        else:
            getattr(pattern, method)(text)
    except TooSlow:
        return SECONDS * 100
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    return time.process_time() - began


class TooSlow(Exception):
    pass


@pytest.fixture(autouse=True)
def patience() -> Iterator[None]:
    def ring(*_: object) -> None:
        raise TooSlow

    before = signal.signal(signal.SIGVTALRM, ring)
    yield
    signal.signal(signal.SIGVTALRM, before)


@cache
def found_patterns() -> list[Found]:
    return list(patterns())


@pytest.mark.long
def test_every_pattern_was_found() -> None:
    assert len(found_patterns()) > 70


@pytest.mark.long
@pytest.mark.parametrize("part", range(PARTS))
def test_20_no_text_makes_a_pattern_slow(part: int) -> None:
    """In parts, so that several processes share the work; which patterns there are is seen when a part runs."""
    told = [slow(found) for found in found_patterns()[part::PARTS] if found.where not in NEVER_LONG]
    assert [each for each in told if each] == []


@pytest.mark.long
@pytest.mark.parametrize(
    "pattern",
    [
        r"(a+)+\Z",
        r"\s+\Z",
        r"(?:x|x)*y",
        r"a.*b",
        r"\w+@\w+\.\w+",
        r":\s*(?:\S+\s+){2}\S",  # was ours, behind each colon of a question
        r"[.!?]+[\"')\]*]*(?=\s|$)|\n+",  # was ours
        r"(?<!\w)(['\"‘“«])(.+?)['\"’”»](?!\w)",  # was ours
    ],
)
def test_the_pump_sees_a_slow_pattern(pattern: str) -> None:
    assert slow(Found("planted", re.compile(pattern), ("search",)))
