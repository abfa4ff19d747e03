"""Fenced blocks of a page, in their order, with the marks that its author put before them; runs none."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.walls.source import ROOT

REASONS = frozenset(
    {
        "an account",  # of a vendor, that a page cannot invent
        "kubernetes",
        "network",  # a download of packages or weights
        "node",
        "podman",
        "postgres",
        "program",  # of another maker
        "systemd",
        "torch",
        "weaviate",
    }
)
"""What a block may need that a test has not."""
MARKS = frozenset({"needs", "file", "into", "exit", "as", "variables", "server"})
FENCE = re.compile(
    r"(?P<marks>(?:^ *<!-- [a-z]+: .*? -->\n\s*)*)^(?P<indent> *)```(?P<kind>[^\n`]*)\n(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
MARK = re.compile(r"<!-- ([a-z]+): (.*?) -->", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """`line`: of its fence, from 1. `marks`: name -> value."""

    page: str
    line: int
    kind: str
    text: str
    marks: Mapping[str, str]

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[Path]:
    docs = ROOT / "docs"
    return [ROOT / "README.md", *sorted((docs / "tutorial").glob("*.md")), *sorted((docs / "how-to").glob("*.md"))]


def blocks_of(page: Path) -> Iterator[Block]:
    """Raises ValueError for a mark that does not exist."""
    text = page.read_text(encoding="utf-8")
    shown = page.relative_to(ROOT).as_posix() if page.is_relative_to(ROOT) else page.name
    for found in FENCE.finditer(text):
        line = text.count("\n", 0, found.end("marks")) + 1
        marks = dict(MARK.findall(found["marks"]))
        block = Block(shown, line, found["kind"].strip(), _flush(found), marks)
        if strange := marks.keys() - MARKS:
            raise ValueError(f"{block.place}: no such mark: {', '.join(sorted(strange))}")
        if marks.get("needs", next(iter(REASONS))) not in REASONS:
            raise ValueError(f"{block.place}: {marks['needs']!r} is none of: {', '.join(sorted(REASONS))}")
        yield block


def _flush(found: re.Match[str]) -> str:
    indent = len(found["indent"])
    return "".join(line[indent:] if line.strip() else line for line in found["text"].splitlines(keepends=True))
