"""The tree as the walls see it: files, their syntax, and what a rule found where; knows no rule."""

from __future__ import annotations

import ast
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SKIPPED = frozenset({".git", ".venv", "__pycache__", "node_modules", "dist", "build", ".hypothesis"})


@dataclass(frozen=True)
class Source:
    """A Python file. `path` is relative to the root, with slashes."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.path)

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """All nodes of the tree, as `ast.walk` yields them."""
        return list(ast.walk(self.tree))

    @cached_property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    def at(self, node: ast.AST, says: str) -> str:
        return f"{self.path}:{getattr(node, 'lineno', 1)}: {says}"

    def within(self, *places: str) -> bool:
        """Whether the file is one of `places`: a file, or a folder written with a slash at its end."""
        return any(self.path == place or (place.endswith("/") and self.path.startswith(place)) for place in places)


Rule = Callable[[Source], Iterable[str]]
"""Yields one line `<path>:<line>: <what is wrong>` for each breach; the walls are lists of these."""


def committed(suffix: str = "", under: str = "") -> Iterator[Path]:
    """Files that belong to the project: neither hidden tools' caches nor anything installed or built."""
    found: list[Path] = []
    for folder, inner, names in os.walk(ROOT / under):
        inner[:] = [each for each in inner if each not in SKIPPED and not each.endswith(("_cache", ".egg-info"))]
        found += [Path(folder, name) for name in names if name.endswith(suffix)]
    yield from sorted(path for path in found if path.is_file())


def sources(*folders: str) -> list[Source]:
    return [source(path.relative_to(ROOT).as_posix()) for each in folders for path in committed(".py", each)]


@cache
def source(path: str) -> Source:
    """Read and parsed once for all tests of a process."""
    return Source(path, (ROOT / path).read_text())


def stands(rule: Rule, *folders: str) -> None:
    """Fails with a line for each breach in these folders."""
    breaches = [found for file in sources(*folders) for found in rule(file)]
    if breaches:
        pytest.fail("\n".join(breaches), pytrace=False)


def planted(rule: Rule, code: str, path: str = "sizewise/planted.py") -> bool:
    """Whether the rule objects to `code`, standing at `path`."""
    return bool(list(rule(Source(path, code))))


def dotted(node: ast.AST) -> str:
    """`a.b.c` of a name or an attribute, "" of anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        before = dotted(node.value)
        return f"{before}.{node.attr}" if before else ""
    return ""


def docstrings(tree: ast.Module) -> set[ast.Constant]:
    """The string nodes that document: of modules, classes, functions, and texts standing alone below a value."""
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    }
