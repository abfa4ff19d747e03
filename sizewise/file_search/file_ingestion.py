"""Ingestion of one attached file: from the file store into its knowledge base, as the key that attached it."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from hashlib import sha256

import msgspec
from msgspec.structs import replace

from sizewise.auth.authorization import Resource, is_allowed
from sizewise.data_class import DataClass
from sizewise.errors import BadRequest
from sizewise.file_search.attribute_filter import tags_of
from sizewise.file_search.store_records import AttachedFile, StoreRecords
from sizewise.files.file_store import FileStore, StoredFile
from sizewise.handler import Request
from sizewise.knowledge.document import Document
from sizewise.knowledge.embedding_retry import RETRIED, Reauthenticate
from sizewise.knowledge.file_types import detect_file_type
from sizewise.knowledge.ingestion import MANAGE_ACTION
from sizewise.knowledge.knowledge_service import KnowledgeService
from sizewise.knowledge.load import MAX_FILE_BYTES, DocumentProcesses
from sizewise.knowledge.open_stores import MADE_HERE_PREFIX
from sizewise.knowledge.upload import DocumentUpload
from sizewise.messages import EmbeddingRequest
from sizewise.principal import Principal


class FileRefused(Exception):
    """The file cannot become a document. `code`: as in `last_error` of the API."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class FileIngestion:
    knowledge: KnowledgeService
    files: FileStore
    records: StoreRecords
    reauthenticate: Reauthenticate

    async def ingest(self, attached: AttachedFile) -> Principal | None:
        """Stores a queued file as a document, to be embedded by the returned principal; or marks it as failed and
        returns None. Raises the errors of RETRIED: then it is still queued.
        """
        try:
            principal = self._principal(attached)
            await self._store_document(attached, principal)
        except FileRefused as refused:
            await self.records.mark_failed(attached, refused.code, refused.message)
            return None
        return principal

    async def _store_document(self, attached: AttachedFile, principal: Principal) -> None:
        base = attached.base
        file = await self.files.find(attached.file, base.tenant, base.project)
        if file is None:
            raise FileRefused("invalid_file", "the file was deleted, or has expired")
        data = await self._content(file, base.tenant)
        document = await _parsed(self.knowledge.processes, data, file.name)
        upload = DocumentUpload(
            source=source_of(file),
            sha256=sha256(data).hexdigest(),
            parsed=document,
            title=document.title or file.name,
            data_class=msgspec.convert(attached.data_class, DataClass) if attached.data_class else None,
            tags=tags_of(attached.content.attributes),
            chunk_tokens=attached.chunk_tokens,
            chunk_overlap=attached.chunk_overlap,
        )
        try:
            stored = await self.knowledge.add_document(_request(principal), base.name, upload)
        except RETRIED:
            raise
        except BadRequest as error:
            raise FileRefused("invalid_file", error.message) from error
        if not await self.records.mark_stored(attached, stored.id, len(document.text.encode("utf-8", "replace"))):
            await self._undo(attached, stored.id, principal)

    async def _undo(self, attached: AttachedFile, document: str, principal: Principal) -> None:
        """Removes the document, unless the file is still wanted; and the base, if its vector store was deleted."""
        base, store = attached.base, self.knowledge.document_store
        now = await self.records.attached(base, attached.file)
        if now is not None and now.status != "cancelled":
            return
        await store.mark_for_deletion(base, document, principal)
        made = await self.records.find(base)
        if made is not None and not made.is_made_here and base.name.startswith(MADE_HERE_PREFIX):
            await store.remove_base(base, principal)

    async def _content(self, file: StoredFile, tenant: str) -> bytes:
        if file.size > MAX_FILE_BYTES:
            raise FileRefused("invalid_file", f"the file is larger than {MAX_FILE_BYTES:,} bytes: split it")
        return b"".join([part async for part in self.files.read(file, tenant)])

    def _principal(self, attached: AttachedFile) -> Principal:
        """Raises FileRefused if the caller that attached the file has lost access."""
        base, caller = attached.base, attached.caller
        found = self.reauthenticate(caller.key, caller.user, base.tenant, base.project)
        if found is None or not is_allowed(found, MANAGE_ACTION, Resource(base.tenant, base.project)):
            raise FileRefused("server_error", "the key that attached the file no longer has access")
        return replace(found, project=base.project)


async def _parsed(processes: DocumentProcesses, data: bytes, name: str) -> Document:
    try:
        detect_file_type(data, name)
    except BadRequest as error:
        raise FileRefused("unsupported_file" if data.strip() else "invalid_file", _in_words(error)) from error
    try:
        return await processes.load(data, name)
    except BadRequest as error:
        raise FileRefused("invalid_file", _in_words(error)) from error


def _in_words(error: BadRequest) -> str:
    return f"{error.message}: {error.hint}" if error.hint else error.message


def _request(principal: Principal) -> Request:
    return Request(
        EmbeddingRequest("", [], {}), principal, secrets.token_hex(16), time.perf_counter(), endpoint="vector_stores"
    )


def source_of(file: StoredFile) -> str:
    """What identifies the document of a file; `file_name` gives the name back."""
    return f"{file.id}/{file.name}"


def file_name(source: str) -> str:
    return source.partition("/")[2]
