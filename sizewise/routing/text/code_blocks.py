"""The fenced blocks of a Markdown answer, and the words outside them; knows no programming language, parses no code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from textwrap import dedent

from msgspec import Struct

_FENCE = re.compile(r"[ \t>]*(`{3,}|~{3,})[ \t]*([\w+#.-]*)[^`\n]*\Z")


class Block(Struct, frozen=True):
    """A block that was closed. `kind` is the word behind the fence in small letters, often a programming language."""

    kind: str
    text: str


def blocks(text: str) -> Iterator[Block]:
    """In the time that reading the lines takes; a block that is never closed is none."""
    for block, _ in _parts(text):
        if block is not None:
            yield block


def outside(text: str) -> str:
    """All lines that are in no block, an unclosed one too."""
    return "\n".join(line for block, line in _parts(text) if block is None)


def _parts(text: str) -> Iterator[tuple[Block | None, str]]:
    """Closed blocks, and between them the lines outside, one by one."""
    fence, kind, held = "", "", list[str]()
    for line in text.splitlines():
        mark = _FENCE.match(line) if "```" in line or "~~~" in line else None
        if fence:
            if mark is not None and mark[1].startswith(fence) and not mark[2]:
                yield Block(kind, dedent("\n".join(held))), ""
                fence = ""
            else:
                held.append(line)
        elif mark is not None:
            fence, kind, held = mark[1], mark[2].lower(), []
        else:
            yield None, line
