"""The CPU work of documents, as worker processes do it: parses a file, and splits a document into scanned chunks.

A file may come from anyone: the process that parses it serves no other, and can write no file.
"""

from __future__ import annotations

import sys
from functools import partial

import msgspec
from msgspec import Struct

from sizewise.errors import BadRequest
from sizewise.knowledge import docx, html, pdf, text_formats
from sizewise.knowledge.chunk import CountTokens, TextChunk, chunk_document
from sizewise.knowledge.document import Document, FileType
from sizewise.knowledge.injection_scan import InjectionSuspicion, find_suspects
from sizewise.knowledge.token_count import count_tokens
from sizewise.offload.job import Work
from sizewise.providers.local.wordpiece_tokenizer import WordPieceTokenizer

MAX_OUTPUT_BYTES = 50_000_000  # of the parsed document as JSON


class FileOrder(Struct, frozen=True):
    """`name` is used in errors."""

    file_type: FileType
    name: str


class SplitOrder(Struct, frozen=True):
    source: str
    max_tokens: int
    overlap: int


class SplitDocument(Struct, frozen=True):
    """In the order of the document. `suspects`: by the index of the chunk."""

    chunks: tuple[TextChunk, ...]
    suspects: dict[int, InjectionSuspicion]


def parse_batch(setup: bytes) -> Work:
    """FileOrder and file -> Document. Raises BadRequest."""

    def parse(order: bytes, data: bytes) -> list[bytes | memoryview]:
        sys.setrecursionlimit(2_000)
        known = msgspec.json.decode(order, type=FileOrder)
        if known.file_type == "pdf":
            document = pdf.read(data, known.name)
        elif known.file_type == "docx":
            document = docx.read(data, known.name)
        elif known.file_type == "html":
            document = html.read(data, known.name)
        else:
            document = text_formats.read(known.file_type, data, known.name)
        found = msgspec.json.encode(document)
        if len(found) > MAX_OUTPUT_BYTES:
            problem = f"{known.name[:200]!r} cannot be read: it contains more than {MAX_OUTPUT_BYTES:,} bytes of text"
            raise BadRequest(problem, "split it into several files")
        return [found]

    return parse


def split_batch(setup: bytes) -> Work:
    """SplitOrder and Document -> SplitDocument. Raises BadRequest if the document has too many passages."""
    count = partial(count_tokens, WordPieceTokenizer())

    def split(order: bytes, data: bytes) -> list[bytes | memoryview]:
        document = msgspec.json.decode(data, type=Document)
        return [msgspec.json.encode(split_document(document, msgspec.json.decode(order, type=SplitOrder), count))]

    return split


def split_document(document: Document, order: SplitOrder, count: CountTokens) -> SplitDocument:
    """Blocking: ten seconds for a million characters. Raises BadRequest."""
    chunks = chunk_document(document, count, order.max_tokens, order.overlap)
    return SplitDocument(tuple(chunks), find_suspects(chunks, order.source))
