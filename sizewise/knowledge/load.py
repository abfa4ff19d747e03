"""Loads the bytes of a file into blocks with pages and headings, in a child process; stores nothing.

Parsers of untrusted files can hang, crash or use up memory, so they run in a child process with limits.
"""

from __future__ import annotations

import asyncio
import sys

import msgspec

from sizewise.errors import BadRequest, BodyTooLarge, ExternalFailure
from sizewise.knowledge.document import Document
from sizewise.knowledge.file_types import detect_file_type
from sizewise.knowledge.load_protocol import EXIT_REFUSED, LoadRefusal, LoadRequest
from sizewise.knowledge.text_formats import read
from sizewise.process import run_with_input

WORKER = "sizewise.knowledge.load_worker"
MAX_FILE_BYTES = 64 << 20
MAX_OUTPUT_BYTES = 50_000_000  # of the parsed document as JSON
TIMEOUT_S = 120
AT_ONCE = 65_536  # bytes; smaller plain text is parsed in a thread, which is cheaper than a process


async def load_document(data: bytes, name: str, timeout_s: int = TIMEOUT_S) -> Document:
    """`name` is used in errors, and to detect the type of a file that looks like plain text.

    Raises BodyTooLarge, and BadRequest: empty, password-protected, damaged, only pictures, of an unsupported type, or
    over the limits.
    """
    if len(data) > MAX_FILE_BYTES:
        raise BodyTooLarge(f"{name[:200]!r} is larger than {MAX_FILE_BYTES:,} bytes", "split it into several files")
    kind = detect_file_type(data, name)
    if kind not in ("pdf", "docx", "html") and len(data) <= AT_ONCE:
        return await asyncio.to_thread(read, kind, data, name)
    order = msgspec.json.encode(LoadRequest(kind, name[:1_000], timeout_s)) + b"\n"
    try:
        done = await run_with_input(
            [sys.executable, "-P", "-m", WORKER],
            order + data,
            timeout_s + 5.0,
            MAX_OUTPUT_BYTES,
        )
    except ExternalFailure as error:
        hint = "split it into several files, or save it in another format"
        told = (
            f"{name[:200]!r} cannot be read: it takes longer than {timeout_s} s, or contains more than "
            f"{MAX_OUTPUT_BYTES:,} bytes of text"
        )
        raise BadRequest(told, hint) from error
    if done.exit_code == EXIT_REFUSED:
        refused = msgspec.json.decode(done.stdout, type=LoadRefusal)
        raise BadRequest(refused.message, refused.hint)
    if done.exit_code:
        hint = "split it into several files, or save it in another format"
        raise BadRequest(f"{name[:200]!r} cannot be read: it is damaged, or takes too much time or memory", hint)
    return msgspec.json.decode(done.stdout, type=Document)


async def extract_text(data: bytes, name: str) -> str:
    """The text of a file, with Markdown headings. Raises as `load_document`."""
    document = await load_document(data, name)
    return "\n\n".join(f"{'#' * block.level} {block.text}" if block.level else block.text for block in document.blocks)
