"""Background work on attached files: reads queued ones into their knowledge bases, and removes what has expired.

A queued file outlives a crash: the next start reads it again, which changes nothing that is stored already.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from sizewise.errors import SizewiseError
from sizewise.file_search.file_ingestion import FileIngestion
from sizewise.file_search.store_records import AttachedFile, StoreRecords
from sizewise.jobs.periodic_tasks import PeriodicTask
from sizewise.knowledge.document_store import DocumentRecord
from sizewise.knowledge.embedding_retry import FIRST_PAUSE_S, MAX_PAUSE_S, RETRIED, EmbeddingRetries
from sizewise.knowledge.ingestion import MANAGE_ACTION
from sizewise.knowledge.vector_store import KnowledgeBaseId
from sizewise.principal import Principal
from sizewise.storage.row_pages import RowPage

log = logging.getLogger("sizewise.file_search")

BATCH = 20
SWEEP_S = 60.0
"""How often expired stores and deleted files are looked for."""
EVERY = RowPage(limit=1_000_000)


class AttachmentWorker:
    """One per process, for its event loop; outlives settings reloads."""

    def __init__(self) -> None:
        self._embedding = EmbeddingRetries()
        self._ingestion: FileIngestion | None = None
        self._tasks: dict[KnowledgeBaseId, asyncio.Task[None]] = {}
        self._again: set[KnowledgeBaseId] = set()
        self._is_closing = False

    def prepare(self, ingestion: FileIngestion, embedding: EmbeddingRetries) -> Callable[[], None]:
        """Returns a function that applies these to files that are read from then on."""

        def apply() -> None:
            self._ingestion, self._embedding = ingestion, embedding
            embedding.on_refused = self.refuse

        return apply

    def schedule(self, base: KnowledgeBaseId) -> None:
        """Reads the queued files of a store; one after the other, stores side by side."""
        if base in self._tasks:
            self._again.add(base)
        elif not self._is_closing:
            self._tasks[base] = task = asyncio.get_running_loop().create_task(self._read_queued(base))
            task.add_done_callback(lambda _: self._ended(base))

    def periodic_tasks(self) -> list[PeriodicTask]:
        return [PeriodicTask("expired files of vector stores", SWEEP_S, self.sweep, at_once=True, leader_only=True)]

    async def resume(self) -> None:
        """Reads what was queued before the start."""
        try:
            for base in await self._records.stores_with_queued():
                self.schedule(base)
        except SizewiseError as error:
            log.warning("queued files cannot be read: %s", error.message)

    async def sweep(self) -> None:
        """Detaches files that were deleted or have expired, and empties expired stores."""
        for attached in await self._records.without_file():
            await self.detach(attached, _system(attached.base))
        knowledge = self._open_ingestion.knowledge
        for base in await self._records.expired():
            async with knowledge.open_stores.write_lock(base):
                open = await knowledge.document_store.base(base)
                if open is not None:
                    await knowledge.ingestion.index.remove_all(open)
                await knowledge.document_store.empty_base(base, _system(base))
            for attached in await self._records.list_attached(base, EVERY):
                await self._records.detach(attached)

    async def detach(self, attached: AttachedFile, principal: Principal) -> None:
        """The file is no longer found when this returns."""
        await self._hide(attached, principal)
        await self._records.detach(attached)

    async def cancel(self, attached: AttachedFile, principal: Principal) -> None:
        await self._records.cancel(attached)
        await self._hide(attached, principal)

    async def refuse(self, base: KnowledgeBaseId, document: DocumentRecord, error: SizewiseError) -> bool:
        """Takes a document that cannot be embedded out of the way of others. False if it is of no attached file."""
        attached = (await self._records.attached_by_document(base, [document.id])).get(document.id)
        if attached is None:
            return False
        await self._records.mark_failed(attached, "server_error", error.message)
        await self._open_ingestion.knowledge.document_store.mark_for_deletion(base, document.id, _system(base))
        return True

    async def close(self) -> None:
        self._is_closing = True
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def _open_ingestion(self) -> FileIngestion:
        assert self._ingestion is not None
        return self._ingestion

    @property
    def _records(self) -> StoreRecords:
        return self._open_ingestion.records

    async def _hide(self, attached: AttachedFile, principal: Principal) -> None:
        if attached.document:
            store = self._open_ingestion.knowledge.document_store
            await store.mark_for_deletion(attached.base, attached.document, principal)
            self._embedding.schedule(attached.base, principal, at_once=True)  # deletes them from the vector store

    async def _read_queued(self, base: KnowledgeBaseId) -> None:
        pause = FIRST_PAUSE_S
        while files := await self._queued(base):
            for attached in files:
                try:
                    principal = await self._open_ingestion.ingest(attached)
                    pause = FIRST_PAUSE_S
                except RETRIED as error:
                    log.warning("files of %r wait, and are retried: %s", base.name, error.message)
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, MAX_PAUSE_S)
                    break
                except SizewiseError as error:
                    await self._records.mark_failed(attached, "server_error", error.message)
                    continue
                if principal is not None:
                    self._embedding.schedule(base, principal, at_once=True)

    async def _queued(self, base: KnowledgeBaseId) -> list[AttachedFile]:
        """Waits until the database can be read."""
        pause = FIRST_PAUSE_S
        while True:
            try:
                return await self._records.queued(base, BATCH)
            except RETRIED as error:
                log.warning("queued files of %r cannot be read: %s", base.name, error.message)
                await asyncio.sleep(pause)
                pause = min(2 * pause, MAX_PAUSE_S)

    def _ended(self, base: KnowledgeBaseId) -> None:
        self._tasks.pop(base, None)
        if base in self._again:
            self._again.discard(base)
            self.schedule(base)


def _system(base: KnowledgeBaseId) -> Principal:
    """Who acts where no caller does; named in the audit log."""
    return Principal(
        tenant=base.tenant,
        project=base.project,
        key_id="expiry",
        name="expiry",
        permissions=frozenset({MANAGE_ACTION}),
    )
