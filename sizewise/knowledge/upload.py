"""A document on its way into a knowledge base, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from sizewise.data_class import DataClass
from sizewise.knowledge.document import Document
from sizewise.knowledge.vector_store import Tag


class DocumentUpload(Struct, frozen=True):
    """`source` identifies the document: uploading the same source replaces it. `sha256` (hex): without `data`, checks
    whether the document has changed before its bytes are sent.

    `readers` and `data_class`: None keeps what an earlier upload of the source chose. A new document is readable by
    everyone in the project, and has the class of the settings.
    """

    source: str
    data: bytes = b""
    sha256: str = ""
    parsed: Document | None = None  # if the caller has parsed it; `sha256` is then that of its bytes
    title: str = ""
    readers: tuple[str, ...] | None = None
    data_class: DataClass | None = None
    tags: Mapping[str, Tag] = {}
    chunk_tokens: int = 0  # at most, with `chunk_overlap`; 0: as the settings say
    chunk_overlap: int = 0


class IngestionResult(Struct, frozen=True):
    """`outcome`: `added`, `changed`, `same`, or `wanted`: new or changed, but sent without data."""

    source: str
    id: str
    outcome: str
    passages: int = 0
    held_back: int = 0
    notes: tuple[str, ...] = ()
