"""The encrypted store of bases, documents and passages; knows no vector store, no model and no file format.

All calls run off the event loop and take the base they apply to.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from functools import partial
from hashlib import blake2b
from typing import ParamSpec, TypeVar
from uuid import UUID

import msgspec
from msgspec import Struct

from sizewise.audit_log.hash_chain import AuditEvent, Snapshot
from sizewise.auth.api_keys import audit_event
from sizewise.data_class import DataClass
from sizewise.knowledge import generation_tables, tables
from sizewise.knowledge.base_summary import PassageCounts
from sizewise.knowledge.generation_tables import Generation
from sizewise.knowledge.tables import BaseRow, DocumentRow, PassageRow
from sizewise.knowledge.vector_store import KnowledgeBaseId, Tag
from sizewise.principal import Principal
from sizewise.storage.database import TransactionRunner, UnitOfWork
from sizewise.storage.encryption import EnvelopeEncryption

T = TypeVar("T")
P = ParamSpec("P")

KEY_BYTES = 32
BASES, DOCUMENTS, PASSAGES = tuple(each.name for each in tables.SEALED)


class BaseRecord(Struct, frozen=True):
    """A base with its decrypted key, from which terms, ids and digests are derived. `model` and `dimension`: of the
    current generation, which answers unless a release pins another. `generations`: at least that one.
    """

    base: KnowledgeBaseId
    created: int
    model: str
    dimension: int
    key: bytes
    generations: tuple[Generation, ...] = ()

    @property
    def current(self) -> Generation:
        found = self.generation(self.model)
        assert found is not None
        return found

    def generation(self, model: str) -> Generation | None:
        return next((each for each in self.generations if each.model == model), None)

    def collection_id(self, generation: Generation) -> KnowledgeBaseId:
        return msgspec.structs.replace(self.base, generation=generation.label)

    def document_id(self, source: str) -> str:
        return self._hmac(b"source", source.encode("utf-8", "replace"))[:24]

    def keyed_digest(self, *parts: bytes) -> str:
        return self._hmac(b"digest", *parts)[:40]

    def passage_id(self, document: str, text: str, occurrence: int) -> str:
        """Derived from document and text, so that unchanged passages are not embedded again. `occurrence`: 1 for the
        first passage with this text, 2 for the second.
        """
        made = self._hmac(b"passage", document.encode(), text.encode("utf-8", "replace"), b"%d" % occurrence)
        return str(UUID(hex=made[:32]))

    def _hmac(self, what: bytes, *parts: bytes) -> str:
        said = b"".join(b"%d:%b" % (len(part), part) for part in parts)
        return blake2b(said, key=self.key, digest_size=32, person=what).hexdigest()


class DocumentMetadata(Struct, frozen=True, array_like=True):
    """The encrypted fields of a document. `source`: path, URL or name; `added_by`: id of a user or key. `class_chosen`:
    an upload named its data class, which is not that of the settings.
    """

    source: str
    title: str
    added_by: str
    notes: list[str] = []
    tags: dict[str, Tag] = {}
    class_chosen: bool = False


class PassageContent(Struct, frozen=True, array_like=True):
    """The encrypted fields of a passage. `suspicions`: reasons why it may be a prompt injection."""

    text: str
    start: int
    end: int
    first_page: int
    last_page: int
    headings: tuple[str, ...]
    tokens: int
    suspicions: tuple[str, ...] = ()


class DocumentRecord(Struct, frozen=True):
    """`state`: waiting (not fully embedded), ready, or leaving (removed, to be deleted from the vector store)."""

    id: str
    state: str
    digest: str
    kind: str
    data_class: DataClass
    readers: tuple[str, ...]
    pages: int
    created: int
    updated: int
    metadata: DocumentMetadata
    size: PassageCounts = PassageCounts()


class PassageRecord(Struct, frozen=True):
    """A decrypted passage. `state`: waiting, ready, held (suspect), or old (of a previous version)."""

    id: str
    document: str
    position: int
    state: str
    content: PassageContent


class DocumentStore:
    def __init__(
        self,
        encryption: EnvelopeEncryption,
        read: TransactionRunner,
        write: TransactionRunner,
        executor: Executor,
    ) -> None:
        """`write` runs its argument in one transaction. `executor` runs encryption and database calls."""
        self._encryption = encryption
        self._read = read
        self._write = write
        self._executor = executor

    # Bases

    async def bases(self, tenant: str, project: str | None) -> list[tuple[KnowledgeBaseId, int, str, PassageCounts]]:
        """(id, creation in unix ms, embedding model, counts) of each base."""

        def work() -> list[tuple[KnowledgeBaseId, int, str, PassageCounts]]:
            found = self._read(lambda c: tables.bases(c, tenant, project))
            return [
                (
                    KnowledgeBaseId(row.tenant, row.project, row.name),
                    row.created,
                    row.model,
                    self._read(partial(tables.passage_counts, tenant=row.tenant, project=row.project, name=row.name)),
                )
                for row in found
            ]

        return await self._in_executor(work)

    async def current_collections(self) -> list[KnowledgeBaseId]:
        """The current generation of each base, of all organizations."""
        ids = [KnowledgeBaseId(*each) for each in await self._in_executor(self._read, tables.base_ids)]
        found = [await self.base(each) for each in ids]
        return [each.collection_id(each.current) for each in found if each is not None]

    async def base(self, base: KnowledgeBaseId) -> BaseRecord | None:
        return await self._in_executor(self._base, base)

    async def get_or_create_base(self, base: KnowledgeBaseId, model: str, principal: Principal) -> BaseRecord:
        def work() -> BaseRecord:
            there = self._base(base)
            if there is not None:
                return there
            sealed = self._encryption.encrypt(secrets.token_bytes(KEY_BYTES), base.tenant, BASES, _place(base))
            row = BaseRow(
                tenant=base.tenant,
                project=base.project,
                name=base.name,
                created=_now(),
                model=model,
                dimension=0,
                sealed=sealed,
            )
            self._write(
                partial(
                    tables.add_base,
                    row=row,
                    audit_event=_audit_event(principal, base, "knowledge.create", None, {"model": model}),
                ),
            )
            made = self._base(base)
            assert made is not None
            return made

        return await self._in_executor(work)

    def _base(self, base: KnowledgeBaseId) -> BaseRecord | None:
        row = self._read(lambda c: tables.base(c, base.tenant, base.project, base.name))
        if row is None:
            return None
        key = self._encryption.decrypt(row.sealed, base.tenant, BASES, _place(base))
        found = self._read(lambda c: generation_tables.generations(c, base.tenant, base.project, base.name))
        return BaseRecord(
            base=base,
            created=row.created,
            model=row.model,
            dimension=row.dimension,
            key=key,
            generations=tuple(found) or (Generation("", row.model, row.dimension),),
        )

    async def set_embedding_model(
        self, base: KnowledgeBaseId, model: str, dimension: int, *, reembed: bool = False
    ) -> None:
        """If the model changes, or with `reembed`, all passages wait to be embedded again."""
        await self._write_to(base, tables.set_embedding_model, model=model, dimension=dimension, reembed=reembed)

    async def record_rebuild(self, base: KnowledgeBaseId, principal: Principal, passages: int, model: str) -> None:
        """Writes to the audit log that so many passages are embedded again."""
        shown: Snapshot = {"passages": passages, "model": model}
        told = _audit_event(principal, base, "knowledge.rebuild", None, shown)
        await self._in_executor(self._write, partial(tables.record_event, audit_event=told))

    # Generations

    async def bases_with_generations(self) -> list[KnowledgeBaseId]:
        """Of all organizations, with more than one."""
        found = await self._in_executor(self._read, generation_tables.bases_with_generations)
        return [KnowledgeBaseId(*each) for each in found]

    async def begin_generation(self, base: KnowledgeBaseId, model: str, principal: Principal) -> None:
        """An empty index by `model` beside those that the base has, unless there is one."""
        by = principal.user_id or principal.key_id
        started = Generation(secrets.token_hex(4), model, 0, built="", ready=False, started_by=by)
        told = _audit_event(principal, base, "knowledge.rebuild", None, {"model": model})
        await self._write_to(base, generation_tables.begin_generation, started=started, now=_now(), audit_event=told)

    async def set_dimension(self, base: KnowledgeBaseId, model: str, dimension: int) -> None:
        await self._write_to(base, generation_tables.set_dimension, model=model, dimension=dimension)

    async def set_built(self, base: KnowledgeBaseId, model: str, built: str) -> None:
        """Empty: each passage is checked again."""
        await self._write_to(base, generation_tables.set_built, model=model, built=built)

    async def complete_generation(self, base: KnowledgeBaseId, model: str) -> None:
        await self._write_to(base, generation_tables.complete_generation, model=model)

    async def make_current(self, base: KnowledgeBaseId, model: str) -> None:
        """If it is ready."""
        await self._write_to(base, generation_tables.make_current, model=model)

    async def drop_generation(self, base: KnowledgeBaseId, model: str) -> None:
        """The caller removes its collection first."""
        await self._write_to(base, generation_tables.drop_generation, model=model)

    async def unbuilt_passages(self, base: BaseRecord, model: str) -> int:
        """Embedded passages that the generation of `model` may lack: all, if there is none."""
        generation = base.generation(model)
        if generation is not None and generation.built is None:
            return 0
        after = "" if generation is None else generation.built or ""
        return await self._read_of(base.base, generation_tables.count_ready_after, after=after)

    async def remove_base(self, base: KnowledgeBaseId, principal: Principal) -> bool:
        return await self._write_to(
            base, tables.remove_base, audit_event=_audit_event(principal, base, "knowledge.remove")
        )

    async def empty_base(self, base: KnowledgeBaseId, principal: Principal) -> None:
        """Deletes all documents; the caller removes them from the vector store."""
        await self._write_to(base, tables.empty_base, audit_event=_audit_event(principal, base, "knowledge.empty"))

    async def size(self, base: KnowledgeBaseId, document: str = "") -> PassageCounts:
        return await self._read_of(base, tables.passage_counts, document=document)

    # Documents

    async def documents(self, base: KnowledgeBaseId, after: str = "", limit: int = 1_000) -> list[DocumentRecord]:
        """Ordered by id, after the id `after`; includes documents that are leaving."""

        def work() -> list[DocumentRecord]:
            found = self._read(lambda c: tables.documents(c, base.tenant, base.project, base.name, after, limit))
            return [self._document_record(row) for row in found]

        return await self._in_executor(work)

    async def document(self, base: KnowledgeBaseId, id: str) -> DocumentRecord | None:
        def work() -> DocumentRecord | None:
            row = self._read(lambda c: tables.document(c, base.tenant, base.project, base.name, id))
            if row is None:
                return None
            size = self._read(lambda c: tables.passage_counts(c, base.tenant, base.project, base.name, id))
            return msgspec.structs.replace(self._document_record(row), size=size)

        return await self._in_executor(work)

    async def documents_by_id(self, base: KnowledgeBaseId, ids: Sequence[str]) -> dict[str, DocumentRecord]:
        """Without `size`."""

        def work() -> dict[str, DocumentRecord]:
            found = self._read(lambda c: tables.documents_by_id(c, base.tenant, base.project, base.name, ids))
            return {row.id: self._document_record(row) for row in found}

        return await self._in_executor(work)

    async def access_counts(self, base: KnowledgeBaseId) -> list[tuple[str, tuple[str, ...], int]]:
        """(data class, readers, documents) for each kind of access that documents have."""
        found = await self._read_of(base, tables.access_counts)
        return [(data_class, _reader_entries(readers), count) for data_class, readers, count in found]

    async def documents_by_content(self, base: KnowledgeBaseId, content: str, limit: int) -> list[DocumentRecord]:
        """Documents whose digest begins with `content`."""

        def work() -> list[DocumentRecord]:
            where = base.tenant, base.project, base.name, content, limit
            return [self._document_record(row) for row in self._read(lambda c: tables.documents_by_content(c, *where))]

        return await self._in_executor(work)

    async def bases_to_embed(self) -> list[KnowledgeBaseId]:
        """Of all organizations: with pending documents, or a generation that lacks passages."""
        pending = await self._in_executor(self._read, tables.bases_with_pending_documents)
        building = await self._in_executor(self._read, generation_tables.bases_to_build)
        return [KnowledgeBaseId(*each) for each in dict.fromkeys([*pending, *building])]

    async def pending_documents(self, base: KnowledgeBaseId, limit: int = 100) -> list[DocumentRecord]:
        """Documents to be embedded, or to be deleted from the vector store."""

        def work() -> list[DocumentRecord]:
            found = self._read(lambda c: tables.pending_documents(c, base.tenant, base.project, base.name, limit))
            return [self._document_record(row) for row in found]

        return await self._in_executor(work)

    async def save_document(
        self,
        base: KnowledgeBaseId,
        document: DocumentRecord,
        passages: Sequence[PassageRecord],
        reembed: bool,
        principal: Principal,
    ) -> None:
        """Replaces a document and its passages. `reembed`: see tables.save_document."""

        def work() -> None:
            about = msgspec.msgpack.encode(document.metadata)
            place = f"{_place(base)}/{document.id}"
            sealed = self._encryption.encrypt(about, base.tenant, DOCUMENTS, place)
            row = DocumentRow(
                tenant=base.tenant,
                project=base.project,
                base=base.name,
                id=document.id,
                state="waiting",
                digest=document.digest,
                kind=document.kind,
                data_class=document.data_class,
                readers="\n".join(document.readers),
                pages=document.pages,
                created=document.created,
                changed=document.updated,
                sealed=sealed,
            )
            rows = [
                PassageRow(
                    tenant=base.tenant,
                    project=base.project,
                    base=base.name,
                    document=document.id,
                    id=each.id,
                    place=each.position,
                    state=each.state,
                    sealed=sealed,
                )
                for each in passages
                for sealed in (self._sealed(base, each),)
            ]
            shown: Snapshot = {
                "passages": len(rows),
                "held": sum(each.state == "held" for each in rows),
                "data_class": document.data_class,
                "readers": list(document.readers),
                "digest": document.digest,
            }
            told = _audit_event(principal, base, "knowledge.put", None, shown, document.id)
            self._write(partial(tables.save_document, row=row, passages=rows, reembed=reembed, audit_event=told))

        await self._in_executor(work)

    async def mark_document_ready(self, base: KnowledgeBaseId, document: str) -> None:
        await self._write_to(base, tables.mark_document_ready, id=document)

    async def mark_for_deletion(self, base: KnowledgeBaseId, document: str, principal: Principal) -> bool:
        told = _audit_event(principal, base, "knowledge.forget", None, None, document)
        return await self._write_to(base, tables.mark_for_deletion, id=document, audit_event=told)

    async def delete_document(self, base: KnowledgeBaseId, document: str) -> None:
        await self._write_to(base, tables.delete_document, id=document)

    async def release_passages(self, base: KnowledgeBaseId, document: str, principal: Principal) -> int:
        told = _audit_event(principal, base, "knowledge.release", None, None, document)
        return await self._write_to(base, tables.release_passages, document=document, audit_event=told)

    # Passages

    async def passages(
        self,
        base: KnowledgeBaseId,
        document: str,
        state: str = "",
        limit: int = 100_000,
    ) -> list[PassageRecord]:
        """In document order; an empty `state` selects all."""

        def work() -> list[PassageRecord]:
            where = base.tenant, base.project, base.name, document, state, limit
            return [self._passage_record(row) for row in self._read(lambda c: tables.passages(c, *where))]

        return await self._in_executor(work)

    async def embedded_passage_ids(self, base: KnowledgeBaseId, document: str) -> list[str]:
        return await self._read_of(base, tables.embedded_passage_ids, document=document)

    async def passages_by_id(self, base: KnowledgeBaseId, ids: Sequence[str]) -> dict[str, PassageRecord]:
        """Only passages that are searchable (ready or old)."""

        def work() -> dict[str, PassageRecord]:
            found = self._read(lambda c: tables.passages_by_id(c, base.tenant, base.project, base.name, ids))
            return {row.id: self._passage_record(row) for row in found}

        return await self._in_executor(work)

    async def embedded_passage_count(self, base: KnowledgeBaseId) -> int:
        """Passages that the vector store must have."""
        return await self._read_of(base, tables.embedded_passage_count)

    async def ready_passage_ids(self, base: KnowledgeBaseId, after: str, limit: int) -> list[str]:
        """Ordered by id, after the id `after`."""
        return await self._read_of(base, tables.ready_passage_ids, after=after, limit=limit)

    async def mark_for_embedding(self, base: KnowledgeBaseId, ids: Iterable[str]) -> None:
        """Ready passages with these ids, and their documents, wait to be embedded again."""
        await self._write_to(base, tables.mark_for_embedding, ids=list(ids))

    async def set_passage_state(self, base: KnowledgeBaseId, ids: Iterable[str], state: str) -> None:
        await self._write_to(base, tables.set_passage_state, ids=list(ids), state=state)

    # Encryption

    def _sealed(self, base: KnowledgeBaseId, piece: PassageRecord) -> bytes:
        place = f"{_place(base)}/{piece.id}"
        return self._encryption.encrypt(msgspec.msgpack.encode(piece.content), base.tenant, PASSAGES, place)

    def _passage_record(self, row: PassageRow) -> PassageRecord:
        place = f"{row.project}/{row.base}/{row.id}"
        plain = self._encryption.decrypt(row.sealed, row.tenant, PASSAGES, place)
        return PassageRecord(
            id=row.id,
            document=row.document,
            position=row.place,
            state=row.state,
            content=msgspec.msgpack.decode(plain, type=PassageContent),
        )

    def _document_record(self, row: DocumentRow) -> DocumentRecord:
        place = f"{row.project}/{row.base}/{row.id}"
        about = msgspec.msgpack.decode(
            self._encryption.decrypt(row.sealed, row.tenant, DOCUMENTS, place),
            type=DocumentMetadata,
        )
        readers = _reader_entries(row.readers)
        return DocumentRecord(
            id=row.id,
            state=row.state,
            digest=row.digest,
            kind=row.kind,
            data_class=msgspec.convert(row.data_class, DataClass),
            readers=readers,
            pages=row.pages,
            created=row.created,
            updated=row.changed,
            metadata=about,
        )

    async def _read_of(self, base: KnowledgeBaseId, work: Callable[..., T], **arguments: object) -> T:
        return await self._in_executor(self._read, _bound(base, work, arguments))

    async def _write_to(self, base: KnowledgeBaseId, work: Callable[..., T], **arguments: object) -> T:
        return await self._in_executor(self._write, _bound(base, work, arguments))

    async def _in_executor(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, partial(work, *args, **kwargs))


def _bound(base: KnowledgeBaseId, work: Callable[..., T], arguments: dict[str, object]) -> UnitOfWork[T]:
    return partial(work, tenant=base.tenant, project=base.project, name=base.name, **arguments)


def _place(base: KnowledgeBaseId) -> str:
    """Prefix of the associated data that binds encrypted rows to their place (tables.SEALED)."""
    return f"{base.project}/{base.name}"


def _audit_event(
    by: Principal,
    base: KnowledgeBaseId,
    action: str,
    before: Snapshot | None = None,
    after: Snapshot | None = None,
    document: str = "",
) -> AuditEvent:
    thing = f"knowledge:{base.project}/{base.name}" + (f"/{document}" if document else "")
    return audit_event(by, base.tenant, action, thing, before, after)


def _now() -> int:
    """Unix ms."""
    return time.time_ns() // 1_000_000


def _reader_entries(column: str) -> tuple[str, ...]:
    return tuple(filter(None, column.split("\n")))
