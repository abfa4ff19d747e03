"""A document as it was read: blocks in their order, each with what it is and where it stood; knows no file format."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from msgspec import Struct

Kind = Literal["pdf", "docx", "html", "csv", "json", "jsonl", "markdown", "text"]
Sort = Literal["heading", "paragraph", "list", "row", "code"]

BETWEEN = "\n\n"
"""Stands between two blocks of a document's text."""


class Block(Struct, frozen=True, array_like=True):
    """`level` of a heading from 1; `page` from 1, 0 where there are no pages. A `row` of a table says its columns."""

    sort: Sort
    text: str
    level: int = 0
    page: int = 0


class Document(Struct, frozen=True):
    """`notes`: in words, what was left out or guessed on the way."""

    kind: Kind
    title: str
    blocks: list[Block]
    pages: int = 0
    notes: list[str] = []

    @property
    def text(self) -> str:
        return BETWEEN.join(block.text for block in self.blocks)

    def placed(self) -> Iterator[tuple[int, Block]]:
        """Each block with the character of `text` at which it begins."""
        at = 0
        for block in self.blocks:
            yield at, block
            at += len(block.text) + len(BETWEEN)
