"""Loads files into documents and splits these into scanned chunks, off the event loop; stores nothing.

Parsers of untrusted files can hang, crash or use up memory, so each file is parsed by a process of its own. How many
run at once is bounded, with the memory of each.
"""

from __future__ import annotations

import asyncio

import msgspec

from sizewise.errors import BadRequest, BodyTooLarge, ExternalFailure
from sizewise.knowledge.chunk import CountTokens
from sizewise.knowledge.document import Document
from sizewise.knowledge.document_batches import (
    MAX_OUTPUT_BYTES,
    FileOrder,
    SplitDocument,
    SplitOrder,
    parse_batch,
    split_batch,
    split_document,
)
from sizewise.knowledge.file_types import detect_file_type
from sizewise.knowledge.text_formats import read
from sizewise.offload.job import WorkerLimits
from sizewise.offload.job_pool import open_job_pool
from sizewise.offload.worker_pool import PoolRules
from sizewise.settings.jobs import JobsSettings

MAX_FILE_BYTES = 64 << 20
TIMEOUT_S = 120
AT_ONCE = 65_536  # bytes; smaller plain text is parsed in a thread, which is cheaper than a process
SPLIT_AT_ONCE = 4_096  # characters; splitting and scanning these takes 50 ms
HINT = "split it into several files, or save it in another format"


class DocumentProcesses:
    """One per process, for its event loop; outlives settings reloads."""

    def __init__(self, settings: JobsSettings | None = None) -> None:
        known = settings or JobsSettings()
        parsing = PoolRules(
            work="reading a file",
            hint=HINT,
            limits=WorkerLimits(memory_bytes=known.max_memory_bytes, cpu_s=TIMEOUT_S, confined=True),
            attempts=1,  # a file that crashed its parser would do so again
            max_jobs_per_worker=1,
            max_result_bytes=2 * MAX_OUTPUT_BYTES,
        )
        splitting = PoolRules("splitting a document", HINT, WorkerLimits(memory_bytes=known.max_memory_bytes))
        self._parsers = open_job_pool(known.ray, known.workers, parsing)
        self._splitters = open_job_pool(known.ray, known.workers, splitting)

    async def slots(self) -> int:
        """Documents that can be worked on at once."""
        return await self._parsers.slots()

    async def load(self, data: bytes, name: str, timeout_s: float = TIMEOUT_S) -> Document:
        """`name` is used in errors, and to detect the type of a file that looks like plain text.

        Raises BodyTooLarge, Busy, and BadRequest: empty, password-protected, damaged, only pictures, of an unsupported
        type, or over the limits.
        """
        if len(data) > MAX_FILE_BYTES:
            raise BodyTooLarge(f"{name[:200]!r} is larger than {MAX_FILE_BYTES:,} bytes", "split it into several files")
        kind = detect_file_type(data, name)
        if kind not in ("pdf", "docx", "html") and len(data) <= AT_ONCE:
            return await asyncio.to_thread(read, kind, data, name)
        order = msgspec.json.encode(FileOrder(kind, name[:1_000]))
        try:
            (found,) = await self._parsers.run(parse_batch, b"", [order, data], timeout_s)
        except ExternalFailure as error:
            damaged = "it is damaged, or takes too much time or memory"
            raise BadRequest(f"{name[:200]!r} cannot be read: {damaged} ({error.message})", HINT) from error
        return msgspec.json.decode(found, type=Document)

    async def split(self, document: Document, order: SplitOrder, count_tokens: CountTokens) -> SplitDocument:
        """`count_tokens`: as `token_count.py`, for a short document.

        Raises BadRequest if the document has too many passages or is over the limits, and Busy.
        """
        if sum(len(block.text) for block in document.blocks) <= SPLIT_AT_ONCE:
            return await asyncio.to_thread(split_document, document, order, count_tokens)
        parts = [msgspec.json.encode(order), await asyncio.to_thread(msgspec.json.encode, document)]
        try:
            (found,) = await self._splitters.run(split_batch, b"", [*parts])
        except ExternalFailure as error:
            raise BadRequest(f"{order.source[:200]!r} cannot be split: {error.message}", HINT) from error
        return msgspec.json.decode(found, type=SplitDocument)

    async def close(self) -> None:
        await self._parsers.close()
        await self._splitters.close()
