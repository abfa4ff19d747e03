"""The encrypted store of vector stores and their attached files; knows no API, no model and no knowledge service.

All calls run off the event loop. Every method raises StorageError and EncryptionKeyUnavailable.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import ParamSpec, TypeVar

import msgspec
from msgspec import Struct

from sizewise.file_search import attached_queries, store_queries
from sizewise.file_search.attached_queries import AttachedRow, FileStatus
from sizewise.file_search.store_queries import StoreRow, StoreUsage
from sizewise.file_search.tables import ATTACHED_NAME, STORES_NAME
from sizewise.knowledge.vector_store import KnowledgeBaseId
from sizewise.storage.database import TransactionRunner
from sizewise.storage.encryption import EnvelopeEncryption
from sizewise.storage.erasure import Caller
from sizewise.storage.row_pages import RowPage

DAY_MS = 86_400_000
Attribute = str | float | bool

T = TypeVar("T")
P = ParamSpec("P")


class StoreDescription(Struct, frozen=True, array_like=True):
    """The encrypted fields of a vector store."""

    name: str
    metadata: dict[str, str] | None = None
    description: str | None = None


class AttachedContent(Struct, frozen=True, array_like=True):
    """The encrypted fields of an attached file. `error`: why it failed."""

    attributes: dict[str, Attribute] = {}
    error_code: str = ""
    error: str = ""


class StoreRecord(Struct, frozen=True):
    """One vector store. Times in unix ms. `days` of inactivity until it expires; 0: never.

    `is_made_here`: by the API; the others are knowledge bases with their name and no more.
    """

    number: int
    base: KnowledgeBaseId
    created: int
    description: StoreDescription
    usage: StoreUsage
    active: int
    days: int = 0
    expires: int | None = None
    is_made_here: bool = True

    @property
    def id(self) -> str:
        return self.base.name

    @property
    def has_expired(self) -> bool:
        return self.expires is not None and self.expires <= now_ms()


class AttachedFile(Struct, frozen=True):
    """One file in a vector store. `usage`: bytes of its text. `chunk_tokens` 0: as the base's settings say."""

    number: int
    base: KnowledgeBaseId
    file: str
    batch: str
    status: FileStatus
    document: str
    usage: int
    chunk_tokens: int
    chunk_overlap: int
    data_class: str
    created: int
    caller: Caller
    content: AttachedContent
    sealed: bytes


class FileToAttach(Struct, frozen=True):
    file: str
    attributes: Mapping[str, Attribute] = {}
    chunk_tokens: int = 0
    chunk_overlap: int = 0


class StoreRecords:
    def __init__(
        self, encryption: EnvelopeEncryption, read: TransactionRunner, write: TransactionRunner, executor: Executor
    ) -> None:
        """`write` runs its argument in one transaction. `executor` runs encryption and database calls."""
        self._encryption = encryption
        self._read = read
        self._write = write
        self._executor = executor

    # Vector stores

    async def find(self, base: KnowledgeBaseId) -> StoreRecord | None:
        def work() -> StoreRecord | None:
            row = self._read(lambda c: store_queries.find_store(c, base.tenant, base.project, base.name))
            return None if row is None else self._opened(base.tenant, base.project, [row])[0]

        return await self._in_executor(work)

    async def list_stores(self, tenant: str, project: str, page: RowPage) -> list[StoreRecord]:
        def work() -> list[StoreRecord]:
            return self._opened(
                tenant, project, self._read(lambda c: store_queries.list_stores(c, tenant, project, page))
            )

        return await self._in_executor(work)

    async def put(self, base: KnowledgeBaseId, description: StoreDescription, days: int) -> None:
        """Adds or replaces what is stored of a vector store, which counts as active now."""

        def work() -> None:
            now = now_ms()
            expires = now + days * DAY_MS if days else None
            plain = msgspec.msgpack.encode(description)
            sealed = self._encryption.encrypt(plain, base.tenant, STORES_NAME, f"{base.project}/{base.name}")
            self._write(
                lambda c: store_queries.put_store(c, base.tenant, base.project, base.name, now, days, expires, sealed)
            )

        await self._in_executor(work)

    async def touch(self, store: StoreRecord) -> None:
        """Records that it was used now."""
        now, base = now_ms(), store.base
        expires = now + store.days * DAY_MS if store.days else None
        await self._in_executor(
            self._write, lambda c: store_queries.touch_store(c, base.tenant, base.project, base.name, now, expires)
        )

    async def delete(self, base: KnowledgeBaseId) -> None:
        await self._in_executor(
            self._write, lambda c: store_queries.delete_store(c, base.tenant, base.project, base.name)
        )

    async def expired(self) -> list[KnowledgeBaseId]:
        """Of all organizations; those that still have content."""
        found = await self._in_executor(self._read, partial(store_queries.expired_stores, now=now_ms()))
        return [KnowledgeBaseId(*each) for each in found]

    # Attached files

    async def attach(
        self, base: KnowledgeBaseId, files: Sequence[FileToAttach], *, batch: str, data_class: str, caller: Caller
    ) -> None:
        def work() -> None:
            rows = [
                attached_queries.NewAttached(
                    file=each.file,
                    chunk_tokens=each.chunk_tokens,
                    chunk_overlap=each.chunk_overlap,
                    sealed=self._sealed(base, each.file, AttachedContent(dict(each.attributes))),
                )
                for each in files
            ]
            self._write(
                lambda c: attached_queries.attach(
                    c,
                    base.tenant,
                    base.project,
                    base.name,
                    rows,
                    batch=batch,
                    data_class=data_class,
                    now=now_ms(),
                    caller=caller,
                )
            )

        await self._in_executor(work)

    async def attached(self, base: KnowledgeBaseId, file: str) -> AttachedFile | None:
        def work() -> AttachedFile | None:
            row = self._read(lambda c: attached_queries.find_attached(c, base.tenant, base.project, base.name, file))
            return None if row is None else self._attached(row)

        return await self._in_executor(work)

    async def list_attached(
        self, base: KnowledgeBaseId, page: RowPage, *, batch: str = "", status: str = ""
    ) -> list[AttachedFile]:
        look = partial(
            attached_queries.list_attached,
            tenant=base.tenant,
            project=base.project,
            store=base.name,
            page=page,
            batch=batch,
            status=status,
        )
        return await self._in_executor(lambda: [self._attached(row) for row in self._read(look)])

    async def attached_by_document(self, base: KnowledgeBaseId, documents: Sequence[str]) -> dict[str, AttachedFile]:
        def work() -> dict[str, AttachedFile]:
            rows = self._read(
                lambda c: attached_queries.attached_by_document(c, base.tenant, base.project, base.name, documents)
            )
            return {row.document: self._attached(row) for row in rows}

        return await self._in_executor(work)

    async def batch_counts(self, base: KnowledgeBaseId, batch: str) -> dict[str, int]:
        """As `attached_queries.batch_counts`."""
        return await self._in_executor(
            self._read, lambda c: attached_queries.batch_counts(c, base.tenant, base.project, base.name, batch)
        )

    async def queued(self, base: KnowledgeBaseId, limit: int) -> list[AttachedFile]:
        look = partial(attached_queries.queued, tenant=base.tenant, project=base.project, store=base.name, limit=limit)
        return await self._in_executor(lambda: [self._attached(row) for row in self._read(look)])

    async def stores_with_queued(self) -> list[KnowledgeBaseId]:
        """Of all organizations."""
        return [
            KnowledgeBaseId(*each) for each in await self._in_executor(self._read, attached_queries.stores_with_queued)
        ]

    async def without_file(self) -> list[AttachedFile]:
        """Attached files of all organizations that were deleted or have expired; without their attributes."""
        rows = await self._in_executor(self._read, partial(attached_queries.without_file, now=now_ms()))
        return [_attached_file(row, AttachedContent()) for row in rows]

    async def attached_everywhere(self, tenant: str, project: str, file: str) -> list[AttachedFile]:
        """One file in all stores of its project, without its attributes."""
        look = partial(attached_queries.attached_everywhere, tenant=tenant, project=project, file=file)
        return [_attached_file(row, AttachedContent()) for row in await self._in_executor(self._read, look)]

    async def mark_stored(self, attached: AttachedFile, document: str, usage: int) -> bool:
        """False if the file was detached, attached anew or cancelled meanwhile."""
        return await self._in_executor(
            self._write, lambda c: attached_queries.mark_stored(c, attached.number, attached.sealed, document, usage)
        )

    async def mark_failed(self, attached: AttachedFile, code: str, message: str) -> None:
        content = msgspec.structs.replace(attached.content, error_code=code, error=message)

        def work() -> None:
            sealed = self._sealed(attached.base, attached.file, content)
            self._write(
                lambda c: attached_queries.set_sealed(c, attached.number, sealed, attached.sealed, state="failed")
            )

        await self._in_executor(work)

    async def cancel(self, attached: AttachedFile) -> None:
        await self._in_executor(self._write, lambda c: attached_queries.set_state(c, attached.number, "cancelled"))

    async def detach(self, attached: AttachedFile) -> None:
        await self._in_executor(self._write, lambda c: attached_queries.detach(c, attached.number))

    # Encryption

    def _opened(self, tenant: str, project: str, rows: Sequence[StoreRow]) -> list[StoreRecord]:
        usage = (
            self._read(lambda c: store_queries.store_usage(c, tenant, project, [row.id for row in rows]))
            if rows
            else {}
        )
        return [self._store(tenant, project, row, usage[row.id]) for row in rows]

    def _store(self, tenant: str, project: str, row: StoreRow, usage: StoreUsage) -> StoreRecord:
        description = StoreDescription(row.id)
        if row.sealed is not None:
            plain = self._encryption.decrypt(row.sealed, tenant, STORES_NAME, f"{project}/{row.id}")
            description = msgspec.msgpack.decode(plain, type=StoreDescription)
        return StoreRecord(
            number=row.number,
            base=KnowledgeBaseId(tenant, project, row.id),
            created=row.created,
            description=description,
            usage=usage,
            active=row.active or row.created,
            days=row.days or 0,
            expires=row.expires,
            is_made_here=row.sealed is not None,
        )

    def _sealed(self, base: KnowledgeBaseId, file: str, content: AttachedContent) -> bytes:
        where = f"{base.project}/{base.name}/{file}"
        return self._encryption.encrypt(msgspec.msgpack.encode(content), base.tenant, ATTACHED_NAME, where)

    def _attached(self, row: AttachedRow) -> AttachedFile:
        where = f"{row.project}/{row.store}/{row.file}"
        plain = self._encryption.decrypt(row.sealed, row.tenant, ATTACHED_NAME, where)
        return _attached_file(row, msgspec.msgpack.decode(plain, type=AttachedContent))

    async def _in_executor(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, partial(work, *args, **kwargs))


def _attached_file(row: AttachedRow, content: AttachedContent) -> AttachedFile:
    return AttachedFile(
        number=row.number,
        base=KnowledgeBaseId(row.tenant, row.project, row.store),
        file=row.file,
        batch=row.batch,
        status=row.status,
        document=row.document,
        usage=row.usage,
        chunk_tokens=row.chunk_tokens,
        chunk_overlap=row.chunk_overlap,
        data_class=row.data_class,
        created=row.created,
        caller=Caller(row.caller_key, row.caller_user),
        content=content,
        sealed=row.sealed,
    )


def now_ms() -> int:
    return time.time_ns() // 1_000_000
