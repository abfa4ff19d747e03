"""The parsed form of a document: typed blocks with their pages; knows no file format."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from msgspec import Struct

FileType = Literal["pdf", "docx", "html", "csv", "json", "jsonl", "markdown", "text"]
BlockType = Literal["heading", "paragraph", "list", "row", "code"]

BLOCK_SEPARATOR = "\n\n"
"""Separates the blocks in a document's text."""


class Block(Struct, frozen=True, array_like=True):
    """`level`: of a heading, from 1. `page`: from 1; 0 if the format has no pages. A `row` has its column names."""

    sort: BlockType
    text: str
    level: int = 0
    page: int = 0


class Document(Struct, frozen=True):
    """`notes`: messages about what was left out or guessed."""

    kind: FileType
    title: str
    blocks: list[Block]
    pages: int = 0
    notes: list[str] = []

    @property
    def text(self) -> str:
        return BLOCK_SEPARATOR.join(block.text for block in self.blocks)

    def blocks_with_offsets(self) -> Iterator[tuple[int, Block]]:
        """(offset in `text`, block) in order."""
        at = 0
        for block in self.blocks:
            yield at, block
            at += len(block.text) + len(BLOCK_SEPARATOR)
