"""Ingestion: parses, chunks and scans documents, stores them, then embeds in steps; resumes after a crash.

A document is stored in one transaction first, so that it cannot be lost. Any later call embeds waiting passages in
batches, so that a restarted server continues where it stopped.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

import msgspec
from msgspec import Struct

from sizewise.data_class import DataClass, strictest
from sizewise.errors import BadRequest, SizewiseError
from sizewise.handler import Request
from sizewise.knowledge.document import Document
from sizewise.knowledge.document_batches import SplitOrder
from sizewise.knowledge.document_store import (
    BaseRecord,
    DocumentMetadata,
    DocumentRecord,
    DocumentStore,
    PassageContent,
    PassageRecord,
)
from sizewise.knowledge.embedder import BATCH_SIZE, Embedder
from sizewise.knowledge.injection_scan import InjectionSuspicion
from sizewise.knowledge.load import DocumentProcesses
from sizewise.knowledge.open_stores import OpenStores
from sizewise.knowledge.passage_index import PassageIndex, hashed_tags
from sizewise.knowledge.upload import DocumentUpload, IngestionResult
from sizewise.knowledge.vector_store import MAX_TAGS, TAG_NAME, KnowledgeBaseId
from sizewise.principal import Principal
from sizewise.settings.knowledge import KnowledgeSettings

log = logging.getLogger("sizewise.knowledge")

MANAGE_ACTION = "manage_knowledge"
MAX_SOURCE_CHARS = 1_000
MAX_READERS = 100
CONTENT_DIGITS = 40
"""Of a digest: those of its bytes and chunking, and as many of its access and tags; then `CLASS_CHOSEN`, if it is."""
CLASS_CHOSEN = "c"
MAX_DUPLICATES = 3
"""Documents of the same content that are named."""
NO_SUSPICION = InjectionSuspicion()


class EmbeddingProgress(Struct, frozen=True):
    """Passages embedded by this call, and those that still wait."""

    embedded: int
    waiting: int


class DocumentAccess(Struct, frozen=True):
    """`readers`: empty: everyone in the project. `class_chosen`: by this upload or an earlier one."""

    data_class: DataClass
    readers: tuple[str, ...]
    class_chosen: bool


OnRefused = Callable[[KnowledgeBaseId, DocumentRecord, SizewiseError], Awaitable[bool]]
"""Takes a document that cannot be embedded out of the way of the others; returns whether it did."""


async def keep_waiting(base: KnowledgeBaseId, document: DocumentRecord, error: SizewiseError) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Ingestion:
    document_store: DocumentStore
    open_stores: OpenStores
    embedder: Embedder
    processes: DocumentProcesses
    default_data_class: DataClass
    """For documents whose upload and settings name none."""

    @property
    def index(self) -> PassageIndex:
        return PassageIndex(self.document_store, self.open_stores, self.embedder)

    async def add_document(
        self,
        request: Request,
        base: KnowledgeBaseId,
        upload: DocumentUpload,
        settings: KnowledgeSettings,
    ) -> IngestionResult:
        """Parses and stores a document, without embedding it. Raises BadRequest if it cannot be parsed."""
        _refuse(upload)
        if upload.chunk_tokens:
            settings = replace(settings, chunk_tokens=upload.chunk_tokens, chunk_overlap=upload.chunk_overlap)
        model = self.embedder.resolve_model(settings.embedding_model)
        open = await self.document_store.get_or_create_base(base, model, request.principal)
        id = open.document_id(upload.source)
        before = await self.document_store.document(base, id)
        if before is not None and before.state == "leaving":
            before = None
        access = self._access(request, upload, settings, before)
        hashed = upload.sha256 or (await asyncio.to_thread(sha256, upload.data)).hexdigest()
        tags = hashed_tags(open, upload.tags)
        how = msgspec.json.encode(
            [settings.chunk_tokens, settings.chunk_overlap, settings.on_injection, upload.title, 1],
            order="deterministic",
        )
        seen = msgspec.json.encode([access.data_class, sorted(access.readers), tags], order="deterministic")
        digest = (
            f"{open.keyed_digest(hashed.encode(), how)}{open.keyed_digest(seen)}{CLASS_CHOSEN * access.class_chosen}"
        )
        if before is not None and before.digest == digest:
            return IngestionResult(
                source=upload.source,
                id=id,
                outcome="same",
                passages=before.size.passages,
                held_back=before.size.held_back,
            )
        if upload.sha256 and not upload.data and upload.parsed is None:
            return IngestionResult(upload.source, id, "wanted")
        document = upload.parsed or await self.processes.load(upload.data, upload.source)
        pieces = await self._split(open, id, document, upload, settings, model)
        now = time.time_ns() // 1_000_000
        about = DocumentMetadata(
            source=upload.source,
            title=upload.title or document.title,
            added_by=request.principal.user_id or request.principal.key_id,
            notes=document.notes,
            tags=dict(upload.tags),
            class_chosen=access.class_chosen,
        )
        kept = DocumentRecord(
            id=id,
            state="waiting",
            digest=digest,
            kind=document.kind,
            data_class=access.data_class,
            readers=access.readers,
            pages=document.pages,
            created=before.created if before else now,
            updated=now,
            metadata=about,
        )
        access_digits = slice(CONTENT_DIGITS, 2 * CONTENT_DIGITS)
        anew = before is None or before.digest[access_digits] != digest[access_digits]
        async with self.open_stores.write_lock(base):
            await self.document_store.save_document(base, kept, pieces, anew, request.principal)
        held = sum(each.state == "held" for each in pieces)
        outcome = "added" if before is None else "changed"
        twins = await self._duplicate_notes(base, kept)
        return IngestionResult(
            source=upload.source,
            id=id,
            outcome=outcome,
            passages=len(pieces),
            held_back=held,
            notes=(*document.notes, *twins),
        )

    def _access(
        self, request: Request, upload: DocumentUpload, settings: KnowledgeSettings, before: DocumentRecord | None
    ) -> DocumentAccess:
        """What the upload does not name stays as an earlier one chose it, so that no omission lets others read it."""
        chosen = upload.data_class
        if chosen is None and before is not None and before.metadata.class_chosen:
            chosen = before.data_class
        data_class = chosen or settings.data_class or self.default_data_class
        if request.options.data_class is not None:  # search results keep their class in another base
            data_class = strictest(data_class, request.options.data_class)
        readers = upload.readers
        if readers is None:
            readers = before.readers if before is not None else ()
        return DocumentAccess(data_class, readers, chosen is not None)

    async def _duplicate_notes(self, base: KnowledgeBaseId, document: DocumentRecord) -> list[str]:
        """For the caller, who may see all documents; not stored with the document, whose readers may not."""
        same = await self.document_store.documents_by_content(
            base, document.digest[:CONTENT_DIGITS], MAX_DUPLICATES + 1
        )
        return [
            f"has the same content as {each.metadata.source!r}" + _access_difference(document, each)
            for each in same
            if each.id != document.id
        ][:MAX_DUPLICATES]

    async def _split(
        self,
        record: BaseRecord,
        id: str,
        document: Document,
        upload: DocumentUpload,
        settings: KnowledgeSettings,
        model: str,
    ) -> list[PassageRecord]:
        """Raises BadRequest if the document has no text."""
        most = min(settings.chunk_tokens, self.embedder.max_passage_tokens(model))
        order = SplitOrder(upload.source, most, min(settings.chunk_overlap, most // 3))
        split = await self.processes.split(document, order, self.embedder.count_tokens)
        if not split.chunks:
            raise BadRequest(f"{upload.source[:200]!r} contains no text", "add a file with content")
        why = split.suspects
        turns: Counter[str] = Counter()
        found = list[PassageRecord]()
        for place, each in enumerate(split.chunks):
            suspicion = why.get(place, NO_SUSPICION)
            above = " > ".join(each.headings)
            key = f"{above}\n{each.text}"
            turns[key] += 1
            words = PassageContent(
                text=each.text,
                start=each.start,
                end=each.end,
                first_page=each.first_page,
                last_page=each.last_page,
                headings=each.headings,
                tokens=each.tokens,
                suspicions=suspicion.reasons,
            )
            state = "held" if suspicion.is_held(settings.on_injection) else "waiting"
            found.append(
                PassageRecord(
                    id=record.passage_id(id, key, turns[key]), document=id, position=place, state=state, content=words
                )
            )
        return found

    async def embed_pending(
        self,
        request: Request,
        base: KnowledgeBaseId,
        settings: KnowledgeSettings,
        time_limit_s: float,
        on_refused: OnRefused = keep_waiting,
    ) -> EmbeddingProgress:
        """Embeds waiting passages for about `time_limit_s`, and deletes removed documents from the vector store. Raises
        the errors of the embedding model, StorageError; the next call continues.
        """
        until, done = time.monotonic() + time_limit_s, 0
        model = self.embedder.resolve_model(settings.embedding_model)
        async with self.open_stores.write_lock(base):
            open = await self._with_generation(base, model, request.principal)
            if open is None:
                return EmbeddingProgress(0, 0)
            while documents := await self.document_store.pending_documents(base):
                for document in documents:
                    if document.state == "leaving":
                        await self.index.remove(open, document.id)
                        await self.document_store.delete_document(base, document.id)
                        continue
                    while pieces := await self.document_store.passages(base, document.id, "waiting", BATCH_SIZE):
                        try:
                            await self.index.add(request, open, model, document, pieces)
                            await self.document_store.set_passage_state(base, [each.id for each in pieces], "ready")
                        except SizewiseError as error:
                            if not await on_refused(base, document, error):
                                raise
                            break
                        done += len(pieces)
                        open = (
                            await self.document_store.base(base) or open
                        )  # another server may have begun a generation
                        if time.monotonic() > until and (await self.document_store.size(base)).waiting:
                            return await self._progress(open, model, done)
                    else:
                        await self._finish(open, document)
                if time.monotonic() > until:
                    break
            done += await self._build(request, open, model, until)
            return await self._progress(open, model, done)

    async def _with_generation(self, base: KnowledgeBaseId, model: str, principal: Principal) -> BaseRecord | None:
        """The base, with a generation of `model`; begun if there is none."""
        open = await self.document_store.base(base)
        if open is None or open.generation(model) is not None:
            return open
        if len(open.generations) == 1 and not open.dimension:  # nothing is embedded that could answer meanwhile
            await self.document_store.set_embedding_model(base, model, 0)
        else:
            await self.document_store.begin_generation(base, model, principal)
        return await self.document_store.base(base)

    async def _build(self, request: Request, open: BaseRecord, model: str, until: float) -> int:
        """Builds the generation of `model`, which then answers, and others that lack passages, if they can be."""
        done = await self.index.build(request, open, model, until)
        if open.model != model:
            await self.document_store.make_current(open.base, model)
        for each in open.generations:
            if each.model != model and each.built is not None and time.monotonic() < until:
                try:
                    await self.index.build(request, open, each.model, until)
                except SizewiseError as error:
                    log.warning("%r by %s is behind: %s", open.base.name, each.model, error.message)
        return done

    async def _progress(self, open: BaseRecord, model: str, done: int) -> EmbeddingProgress:
        now = await self.document_store.base(open.base) or open
        waiting = (await self.document_store.size(open.base)).waiting
        return EmbeddingProgress(done, waiting + await self.document_store.unbuilt_passages(now, model))

    async def _finish(self, record: BaseRecord, document: DocumentRecord) -> None:
        """Called when all passages are embedded: deletes those of the previous version."""
        kept = await self.document_store.embedded_passage_ids(record.base, document.id)
        await self.index.remove(record, document.id, kept)
        await self.document_store.mark_document_ready(record.base, document.id)


def _access_difference(one: DocumentRecord, other: DocumentRecord) -> str:
    if set(one.readers) != set(other.readers):
        who = ", ".join(other.readers) or "everyone in the project"
        return f", which {who} can read: whoever may read one of them finds it"
    if one.data_class != other.data_class:
        return f", which is {other.data_class}"
    return ", and is found twice"


def _refuse(brought: DocumentUpload) -> None:
    """Raises BadRequest for an invalid source, readers or tags."""
    if not brought.source.strip() or len(brought.source) > MAX_SOURCE_CHARS or not brought.source.isprintable():
        hint = f"use a path, URL or name of up to {MAX_SOURCE_CHARS:,} printable characters"
        raise BadRequest(f"{brought.source[:100]!r} is not a valid source", hint, param="source")
    check_readers(brought.readers or ())
    if len(brought.tags) > MAX_TAGS or any(not TAG_NAME.match(name) for name in brought.tags):
        raise BadRequest(
            f"a document can have at most {MAX_TAGS} tags, named with letters, digits and '_'", param="tags"
        )


def check_readers(readers: Sequence[str]) -> None:
    """Raises BadRequest."""
    if len(readers) > MAX_READERS or any(not each.isprintable() or len(each) > 200 for each in readers):
        raise BadRequest(f"a document can have at most {MAX_READERS} readers", "use user:ID or key:ID", param="readers")
    if wrong := next((each for each in readers if each.partition(":")[0] not in ("user", "key")), ""):
        raise BadRequest(f"{wrong[:100]!r} is not a valid reader", "use user:ID or key:ID", param="readers")
