"""Reads PDF files into blocks with page numbers, using pypdf; runs in a child process only."""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

from sizewise.errors import BadRequest
from sizewise.knowledge.document import Block, Document

MAX_PAGES = 5_000
Broken = tuple[type[Exception], ...]
BROKEN: Broken = (
    *(ValueError, KeyError, TypeError, IndexError, AttributeError, AssertionError),
    *(ArithmeticError, RecursionError, RuntimeError, NotImplementedError, EOFError, struct.error, zlib.error),
)
"""Exceptions that pypdf raises for damaged files, besides its own."""
MAX_HEADINGS = 5_000
_SPLIT = re.compile(r"([^\W\d_])-\n([^\W\d_])")
"""A word hyphenated at the end of a line."""


def read(data: bytes, name: str) -> Document:
    """Raises BadRequest: damaged, password-protected, without text, too many pages."""
    try:
        import pypdf
        from pypdf.errors import PyPdfError
    except ImportError as error:
        raise BadRequest("PDF files cannot be read: pypdf is not installed", "install it: pip install pypdf") from error

    broken: Broken = (PyPdfError, *BROKEN)
    shown = repr(name[:200])
    damaged = BadRequest(f"{shown} is damaged or not a PDF", "open it in a PDF reader and save it again")
    try:
        reader = pypdf.PdfReader(io.BytesIO(data), strict=False)
        if reader.is_encrypted and not reader.decrypt(""):
            raise BadRequest(f"{shown} is encrypted", "save a copy without a password")
        count = len(reader.pages)
    except broken as error:
        raise damaged from error
    if not count:
        raise damaged
    if count > MAX_PAGES:
        raise BadRequest(f"{shown} has {count:,} pages, more than {MAX_PAGES:,}", "split it into several files")
    headings = _headings(reader, broken)
    blocks, silent, ill = list[Block](), list[int](), list[int]()
    for number in range(1, count + 1):
        blocks += [Block("heading", text, level, number) for text, level in headings.get(number, ())]
        try:
            said = reader.pages[number - 1].extract_text() or ""
        except broken:
            ill.append(number)
            continue
        parts = list(_parts(said, number))
        blocks += parts
        if not parts:
            silent.append(number)
    if not any(block.sort != "heading" for block in blocks):
        if len(ill) == count:
            raise damaged
        raise BadRequest(
            f"{shown} contains no text; its pages are images",
            "run OCR first, for example with ocrmypdf",
        )
    notes = [f"{_pages(silent)} without text"] if silent else []
    notes += [f"{_pages(ill)} cannot be read"] if ill else []
    return Document(kind="pdf", title=_title(reader, broken), blocks=blocks, pages=count, notes=notes)


def _parts(said: str, page: int) -> Iterator[Block]:
    for part in re.split(r"\n\s*\n", _SPLIT.sub(r"\1\2", said.replace("\0", ""))):
        if part.strip():
            yield Block("paragraph", part.strip(), page=page)


def _headings(reader: Any, broken: Broken) -> dict[int, list[tuple[str, int]]]:
    """Page -> (title, level) of outline entries that begin there."""
    found: dict[int, list[tuple[str, int]]] = {}
    try:
        waiting: list[tuple[Any, int]] = [(each, 1) for each in reversed(reader.outline)]
    except broken:
        return {}
    taken = 0
    while waiting and taken < MAX_HEADINGS:
        each, level = waiting.pop()
        if isinstance(each, list):
            waiting += [(inner, level + 1) for inner in reversed(each)]
            continue
        taken += 1
        try:
            page = reader.get_destination_page_number(each)
            title = " ".join(str(each.title).split())
        except broken:
            continue
        if title and page is not None and page >= 0:
            found.setdefault(page + 1, []).append((title[:200], min(level, 6)))
    return found


def _title(reader: Any, broken: Broken) -> str:
    try:
        title = reader.metadata.title if reader.metadata else ""
    except broken:
        return ""
    return " ".join(str(title or "").split())[:200]


def _pages(numbers: Sequence[int]) -> str:
    some = ", ".join(str(each) for each in numbers[:10])
    return (
        f"page {some}" if len(numbers) == 1 else f"{len(numbers)} pages ({some}{', ...' if len(numbers) > 10 else ''})"
    )
