"""Service of the API's vector stores: checks ids and limits, attaches files and searches; knows no HTTP."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from msgspec import Struct

from sizewise.auth.authorization import Resource, require_permission
from sizewise.data_class import DataClass
from sizewise.errors import BadRequest, PathNotFound
from sizewise.file_search.attachment_worker import EVERY, AttachmentWorker
from sizewise.file_search.file_ingestion import file_name
from sizewise.file_search.store_records import (
    AttachedFile,
    Attribute,
    FileToAttach,
    StoreDescription,
    StoreRecord,
    StoreRecords,
    now_ms,
)
from sizewise.files.file_store import FileStore
from sizewise.handler import Request
from sizewise.knowledge.ingestion import MANAGE_ACTION
from sizewise.knowledge.knowledge_service import KnowledgeService
from sizewise.knowledge.open_stores import MADE_HERE_PREFIX
from sizewise.knowledge.results import SearchResult
from sizewise.knowledge.vector_store import KnowledgeBaseId, TagFilter
from sizewise.principal import Principal
from sizewise.settings.knowledge import KnowledgeSettings
from sizewise.storage.erasure import Caller
from sizewise.storage.row_pages import RowPage

BATCH_PREFIX = "vsfb_"
TOUCH_MS = 60_000
"""`last_active_at` is as exact as this, so that a search need not write."""


class FoundPassage(Struct, frozen=True):
    """A passage of a file in a vector store. `file`: of a document that is no uploaded file, the document's id.

    `score`: 0..1.
    """

    store: str
    file: str
    filename: str
    attributes: dict[str, Attribute]
    score: float
    passage: SearchResult


class FileSearch(Struct, frozen=True):
    """What is searched for. `min_score`: 0..1. `alpha`: as in PassageQuery; None: as the knowledge base's settings."""

    queries: Sequence[str]
    limit: int = 10
    where: TagFilter | None = None
    min_score: float = 0.0
    alpha: float | None = None


@dataclass(frozen=True, slots=True)
class VectorStoreService:
    """Raises PathNotFound for what the caller's project does not have, and Forbidden."""

    knowledge: KnowledgeService
    files: FileStore
    records: StoreRecords
    worker: AttachmentWorker

    # Vector stores

    async def create(
        self,
        principal: Principal,
        description: StoreDescription,
        days: int,
        files: Sequence[FileToAttach],
        data_class: DataClass | None,
    ) -> StoreRecord:
        """Raises ModelUnavailable or ConfigError if nothing can embed."""
        base = KnowledgeBaseId(principal.tenant, principal.project, f"{MADE_HERE_PREFIX}{secrets.token_hex(12)}")
        self._require_manage(principal, base.name)
        await self._check_files(principal, files)
        model = self.knowledge.embedder.resolve_model(self.settings_of(base.name).embedding_model)
        await self.knowledge.document_store.get_or_create_base(base, model, principal)
        await self.records.put(base, description, days)
        if files:
            await self._attach(principal, base, files, "", data_class)
        return await self.find(principal, base.name)

    async def list_stores(self, principal: Principal, page: RowPage) -> list[StoreRecord]:
        return await self.records.list_stores(principal.tenant, principal.project, page)

    async def find(self, principal: Principal, id: str, param: str | None = None) -> StoreRecord:
        found = await self.records.find(KnowledgeBaseId(principal.tenant, principal.project, id))
        if found is None:
            hint = "it was deleted or is another project's: list the vector stores with GET /v1/vector_stores"
            raise PathNotFound(f"there is no vector store {id[:100]!r}", hint, param=param)
        return found

    async def is_known(self, principal: Principal, id: str) -> bool:
        return await self.records.find(KnowledgeBaseId(principal.tenant, principal.project, id)) is not None

    async def find_live(self, principal: Principal, id: str, param: str | None = None) -> StoreRecord:
        """Raises BadRequest if it has expired."""
        store = await self.find(principal, id, param)
        if store.has_expired:
            raise BadRequest(f"the vector store {id[:100]!r} has expired", "create a new one", param=param)
        return store

    async def modify(
        self, principal: Principal, store: StoreRecord, description: StoreDescription, days: int
    ) -> StoreRecord:
        self._require_manage(principal, store.id)
        await self.records.put(store.base, description, days)
        return await self.find(principal, store.id)

    async def delete(self, principal: Principal, id: str) -> None:
        store = await self.find(principal, id)
        await self.knowledge.remove_base(principal, store.id)
        await self.records.delete(store.base)

    # Files

    async def attach(
        self,
        principal: Principal,
        store: StoreRecord,
        files: Sequence[FileToAttach],
        data_class: DataClass | None,
        *,
        as_batch: bool = False,
    ) -> str:
        """The id of the batch; empty if it is none. Raises ModelUnavailable or ConfigError if nothing can embed."""
        self._require_manage(principal, store.id)
        self.knowledge.embedder.resolve_model(self.settings_of(store.id).embedding_model)
        await self._check_files(principal, files)
        batch = f"{BATCH_PREFIX}{secrets.token_hex(12)}" if as_batch else ""
        await self._attach(principal, store.base, files, batch, data_class)
        await self.records.touch(store)
        return batch

    async def attached(
        self, principal: Principal, store: StoreRecord, file: str, param: str | None = None
    ) -> AttachedFile:
        found = await self.records.attached(store.base, file)
        if found is None:
            hint = f"list its files with GET /v1/vector_stores/{store.id}/files"
            raise PathNotFound(f"the vector store has no file {file[:100]!r}", hint, param=param)
        return found

    async def set_attributes(
        self, principal: Principal, attached: AttachedFile, attributes: dict[str, Attribute]
    ) -> AttachedFile:
        """The file is indexed again, and not found until that is done."""
        self._require_manage(principal, attached.base.name)
        if attributes != attached.content.attributes:
            again = FileToAttach(attached.file, attributes, attached.chunk_tokens, attached.chunk_overlap)
            await self.records.attach(
                attached.base,
                [again],
                batch=attached.batch,
                data_class=attached.data_class,
                caller=Caller(principal.key_id, principal.user_id),
            )
            self.worker.schedule(attached.base)
        found = await self.records.attached(attached.base, attached.file)
        return found or attached

    async def detach(self, principal: Principal, attached: AttachedFile) -> None:
        self._require_manage(principal, attached.base.name)
        await self.worker.detach(attached, principal)

    async def detach_everywhere(self, principal: Principal, file: str) -> None:
        """Out of all stores of the project, as the file itself is deleted."""
        for attached in await self.records.attached_everywhere(principal.tenant, principal.project, file):
            await self.worker.detach(attached, principal)

    async def texts(self, principal: Principal, attached: AttachedFile) -> list[str]:
        """The text of a file, passage by passage and without their overlap; nothing of quarantined passages."""
        if not attached.document or attached.status != "completed":
            return []
        _, passages = await self.knowledge.document(principal, attached.base.name, attached.document)
        texts, end = list[str](), 0
        for each in passages:
            if each.state == "ready":
                texts.append(each.content.text[max(0, end - each.content.start) :])
                end = each.content.end
        return [text for text in texts if text]

    async def cancel_batch(self, principal: Principal, store: StoreRecord, batch: str) -> None:
        self._require_manage(principal, store.id)
        waiting = await self.records.list_attached(store.base, EVERY, batch=batch, status="in_progress")
        for attached in waiting:
            await self.worker.cancel(attached, principal)

    # Search

    async def search(self, request: Request, ids: Sequence[str], wanted: FileSearch, param: str) -> list[FoundPassage]:
        """Passages of several stores, best first."""
        best: dict[tuple[str, str], FoundPassage] = {}
        for id in dict.fromkeys(ids):
            store = await self.find_live(request.principal, id, param)
            for each in await self._search_one(request, store, wanted):
                place = each.store, each.passage.id
                if place not in best or best[place].score < each.score:
                    best[place] = each
        found = [each for each in best.values() if each.score >= wanted.min_score]
        return sorted(found, key=lambda each: (-each.score, each.store, each.passage.id))[: wanted.limit]

    async def _search_one(self, request: Request, store: StoreRecord, wanted: FileSearch) -> list[FoundPassage]:
        passages, scores = list[SearchResult](), list[float]()
        for query in wanted.queries:
            found = await self.knowledge.search(
                request, store.id, query, limit=wanted.limit, alpha=wanted.alpha, where=wanted.where, own_uploads=True
            )
            passages += found.results
            scores += unit_scores([each.score for each in found.results])
        attached = await self.records.attached_by_document(store.base, list({each.document for each in passages}))
        if store.is_made_here and store.active < now_ms() - TOUCH_MS:
            await self.records.touch(store)
        return [
            _found(store, each, score, attached.get(each.document))
            for each, score in zip(passages, scores, strict=True)
        ]

    # Access and settings

    def settings_of(self, id: str) -> KnowledgeSettings:
        return self.knowledge.settings_of(id)

    def _require_manage(self, principal: Principal, id: str) -> None:
        resource = Resource(principal.tenant, principal.project, name=f"knowledge:{id[:100]}")
        require_permission(principal, MANAGE_ACTION, resource)

    async def _check_files(self, principal: Principal, files: Sequence[FileToAttach]) -> None:
        for each in files:
            if await self.files.find(each.file, principal.tenant, principal.project) is None:
                hint = "upload it with POST /v1/files, or list the files with GET /v1/files"
                raise PathNotFound(f"there is no file {each.file[:100]!r}", hint, param="file_id")

    async def _attach(
        self,
        principal: Principal,
        base: KnowledgeBaseId,
        files: Sequence[FileToAttach],
        batch: str,
        data_class: DataClass | None,
    ) -> None:
        caller = Caller(principal.key_id, principal.user_id)
        await self.records.attach(base, files, batch=batch, data_class=data_class or "", caller=caller)
        self.worker.schedule(base)


def _found(store: StoreRecord, passage: SearchResult, score: float, attached: AttachedFile | None) -> FoundPassage:
    return FoundPassage(
        store=store.id,
        file=attached.file if attached is not None else passage.document,
        filename=file_name(passage.source) if attached is not None else passage.source,
        attributes=dict(attached.content.attributes) if attached is not None else {},
        score=score,
        passage=passage,
    )


def unit_scores(scores: Sequence[float]) -> list[float]:
    """The scores of one search as 0..1 in the same order. Those of words alone have no upper bound."""
    if max(scores, default=0.0) > 1.0:
        return [max(0.0, score) / (1.0 + max(0.0, score)) for score in scores]
    return [max(0.0, score) for score in scores]
