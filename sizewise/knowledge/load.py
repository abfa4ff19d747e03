"""Bytes of a file -> its words in blocks, with pages and headings; knows no base, and keeps nothing.

What parsers of strangers' files can do, hang, crash and eat memory, they do in a child process that is ended.
"""

from __future__ import annotations

import asyncio
import sys

import msgspec

from sizewise.errors import BadRequest, BodyTooLarge, Outside
from sizewise.knowledge.document import Document
from sizewise.knowledge.file_types import sort
from sizewise.knowledge.load_protocol import REFUSED, Order, Refused
from sizewise.knowledge.text_formats import read
from sizewise.process import talk

WORKER = "sizewise.knowledge.load_worker"
LARGEST = 64 << 20  # bytes of a file
TEXT = 50_000_000  # bytes of what is read in it
SECONDS = 120
AT_ONCE = 65_536  # bytes of plain text that are read right here: less work than a process


async def load(data: bytes, name: str, seconds: int = SECONDS) -> Document:
    """`name` is for the reader of an error, and for the kind of a file that looks like plain text.

    Raises BadRequest, with the next step: nothing in it, locked, damaged, only pictures, of a kind that nobody reads,
    or too much work.
    """
    if len(data) > LARGEST:
        raise BodyTooLarge(f"{name[:200]!r} has more than {LARGEST:,} bytes", "cut it into several files")
    kind = sort(data, name)
    if kind not in ("pdf", "docx", "html") and len(data) <= AT_ONCE:
        return await asyncio.to_thread(read, kind, data, name)
    order = msgspec.json.encode(Order(kind, name[:1_000], seconds)) + b"\n"
    try:
        done = await talk([sys.executable, "-P", "-m", WORKER], order + data, seconds + 5.0, TEXT)
    except Outside as error:
        hint = "cut it into several files, or save it in another format"
        told = f"{name[:200]!r} cannot be read: it takes more than {seconds} s, or says more than {TEXT:,} bytes"
        raise BadRequest(told, hint) from error
    if done.code == REFUSED:
        refused = msgspec.json.decode(done.out, type=Refused)
        raise BadRequest(refused.message, refused.hint)
    if done.code:
        hint = "cut it into several files, or save it in another format"
        raise BadRequest(f"{name[:200]!r} cannot be read: it is damaged, or takes too much time or memory", hint)
    return msgspec.json.decode(done.out, type=Document)


async def text(data: bytes, name: str) -> str:
    """All words of a file, headings marked as in Markdown. Raises as `load`."""
    document = await load(data, name)
    return "\n\n".join(f"{'#' * block.level} {block.text}" if block.level else block.text for block in document.blocks)
