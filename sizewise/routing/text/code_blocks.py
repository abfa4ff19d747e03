"""Fenced code blocks of a Markdown answer, and the text outside them. Parses no programming language."""

from __future__ import annotations

import re
from collections.abc import Iterator
from textwrap import dedent

from msgspec import Struct

_FENCE = re.compile(r"[ \t>]*(`{3,}|~{3,})[ \t]*([\w+#.-]*)[^`\n]*\Z")


class CodeBlock(Struct, frozen=True):
    """A closed block. `language` is the word after the opening fence in lower case, often a programming language."""

    language: str
    text: str


def code_blocks(text: str) -> Iterator[CodeBlock]:
    """Closed blocks, in time linear in the text."""
    for block, _ in _parts(text):
        if block is not None:
            yield block


def text_outside_blocks(text: str) -> str:
    """All lines outside of blocks; an unclosed block is left out too."""
    return "\n".join(line for block, line in _parts(text) if block is None)


def _parts(text: str) -> Iterator[tuple[CodeBlock | None, str]]:
    """Closed blocks, and between them the lines outside, one by one."""
    fence, kind, held = "", "", list[str]()
    for line in text.splitlines():
        mark = _FENCE.match(line) if "```" in line or "~~~" in line else None
        if fence:
            if mark is not None and mark[1].startswith(fence) and not mark[2]:
                yield CodeBlock(kind, dedent("\n".join(held))), ""
                fence = ""
            else:
                held.append(line)
        elif mark is not None:
            fence, kind, held = mark[1], mark[2].lower(), []
        else:
            yield None, line
