"""The knowledge service: access control, ingestion and search over all bases; knows no API.

A base is visible in its project only. Read access to documents is enforced twice: by the vector store, as part of the
query, and against the database, so that a store that missed a change reveals nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec

from sizewise.auth.authorization import Resource, require_permission
from sizewise.catalog.loader import local_cards
from sizewise.data_class import DATA_CLASSES, DataBounds, DataClass, Place
from sizewise.errors import BadRequest, ConfigError, ModelUnavailable, PathNotFound, did_you_mean
from sizewise.handler import Handler, Request
from sizewise.knowledge.base_summary import BaseSummary, ReadableDocuments
from sizewise.knowledge.declared_bases import declared_bases, empty_warning, fill_command, is_declared
from sizewise.knowledge.document_store import BaseRecord, DocumentRecord, DocumentStore, PassageRecord
from sizewise.knowledge.embedder import Embedder
from sizewise.knowledge.embedding_retry import RETRIED, EmbeddingRetries
from sizewise.knowledge.generation_tables import Generation
from sizewise.knowledge.ingestion import MANAGE_ACTION, EmbeddingProgress, Ingestion, check_readers
from sizewise.knowledge.keyword_index import KeywordHasher
from sizewise.knowledge.load import DocumentProcesses
from sizewise.knowledge.open_stores import OpenStores, settings_of_base
from sizewise.knowledge.rebuild import Rebuild, RebuildStep
from sizewise.knowledge.reranker import rerank_by_keywords, rerank_by_model
from sizewise.knowledge.results import SearchMode, SearchResponse, SearchResult
from sizewise.knowledge.source_sync import SourceSync, SyncResult
from sizewise.knowledge.store_check import StoreCheck, StoredPassages
from sizewise.knowledge.upload import DocumentUpload, IngestionResult
from sizewise.knowledge.vector_store import (
    FilterAnd,
    FilterNot,
    FilterOr,
    KnowledgeBaseId,
    PassageQuery,
    TagFilter,
    TagIn,
)
from sizewise.knowledge.web_page import RequestDataBounds, WebPageFetcher, is_url
from sizewise.model_card import ModelCard
from sizewise.principal import Principal
from sizewise.settings.knowledge import KnowledgeSettings
from sizewise.settings.load import Settings
from sizewise.settings.validators import NAME
from sizewise.telemetry.spans import SpanRecorder

MAX_QUERY_CHARS = 20_000
RERANK_FACTOR = 3
"""Candidates for reranking, as a multiple of the requested limit."""
MAX_RESULTS = 200
EMBED_STEP_S = 5.0


@dataclass(frozen=True, slots=True)
class KnowledgeService:
    """`data_bounds`: the data class of a request and how far it may go. `pinned`: embedding models that a release names
    for its bases, by base; it answers from their generations.
    """

    document_store: DocumentStore
    open_stores: OpenStores
    store_check: StoreCheck
    embedding_retries: EmbeddingRetries
    embedder: Embedder
    processes: DocumentProcesses
    handler: Handler
    web_pages: WebPageFetcher
    settings: Mapping[str, KnowledgeSettings]
    data_bounds: Callable[[Request], RequestDataBounds]
    default_data_class: DataClass
    spans: SpanRecorder
    pinned: Mapping[str, str]

    # Search

    async def search(
        self,
        request: Request,
        name: str,
        query: str,
        *,
        limit: int = 5,
        mode: SearchMode = "hybrid",
        alpha: float | None = None,
        max_data_class: DataClass | None = None,
        documents: Sequence[str] = (),
        where: TagFilter | None = None,
        own_uploads: bool = False,
    ) -> SearchResponse:
        """Passages that `request.principal` may read, best first. `max_data_class`: excludes stricter classes, as does
        a key of the class `public`, which anybody may hold, unless these are `own_uploads`. `alpha`: 0..1, overrides
        `mode`.

        Raises PathNotFound, BadRequest, and the errors of the embedding model and the vector store. The caller must
        keep the results at `strictest_data_class`.
        """
        principal = request.principal
        require_permission(principal, "ask", self._resource(principal, name))
        base, said = KnowledgeBaseId(principal.tenant, principal.project, name), self.settings_of(name)
        if not query.strip() or len(query) > MAX_QUERY_CHARS:
            hint = "shorten the query" if query.strip() else "set a query"
            raise BadRequest(f"the query must have 1 to {MAX_QUERY_CHARS:,} characters", hint, param="query")
        if not 1 <= limit <= MAX_RESULTS:
            raise BadRequest(f"`limit` is {limit!r}; use 1 to {MAX_RESULTS}", param="limit")
        open = await self.document_store.base(base)
        if open is None:
            await self._require_declared(base)
            return SearchResponse((), (empty_warning(self.settings, base),))
        generation, notes = self._generation(open)
        collection, empty = open.collection_id(generation), empty_warning(self.settings, base)
        if not generation.dimension:
            told = await self.store_check.warnings(collection, found_any=False, empty=empty)
            return SearchResponse((), (*notes, *told))
        with self.spans.open("retrieval", name, request) as span:
            request = span.request
            weigh = {"hybrid": said.alpha, "vector": 1.0, "words": 0.0}[mode] if alpha is None else alpha
            vector: Sequence[float] = ()
            if weigh > 0:
                cut = self._shorten_query(query, generation.model)
                vector = (await self.embedder.embed(request, generation.model, [cut], None))[0]
            terms, given = KeywordHasher(open.key), self.data_bounds(request)
            asked = PassageQuery(
                vector=vector,
                terms=terms(query) if weigh < 1 else {},
                alpha=weigh,
                limit=min(MAX_RESULTS, limit if said.rerank == "none" else max(10, RERANK_FACTOR * limit)),
                readers=reader_ids(principal),
                data_classes=_found_classes(principal, max_data_class, own_uploads=own_uploads),
                documents=tuple(documents),
                where=None if where is None else _hash_filter(where, terms),
                data_class=given.data_class,
                place=given.limit or "process",
            )
            hits = await (await self.open_stores.collection(collection, generation.dimension)).search(asked)
            found = await self._readable_results(
                base, principal, [(hit.id, hit.score) for hit in hits], asked.data_classes
            )
            if said.rerank == "words":
                found = rerank_by_keywords(query, found)
            elif said.rerank != "none":
                found = await rerank_by_model(self.handler, request, said.rerank, query, found)
            told = await self.store_check.warnings(collection, found_any=bool(hits), empty=empty)
            return SearchResponse(tuple(found[:limit]), (*notes, *told))

    def _generation(self, record: BaseRecord) -> tuple[Generation, tuple[str, ...]]:
        """What answers: the generation of the wanted model if it is whole, else the current one. With warnings."""
        name, wanted = record.base.name, self.wanted_model(record.base.name)
        found = record.generation(wanted)
        if not wanted or (found is not None and found.ready):
            return found or record.current, ()
        if found is None and not self.embedder.knows(record.model):
            return record.current, ()  # the embedder says what is missing
        if self.embedder.knows(record.model):
            found = record.current
        assert found is not None
        has = f"release pins {wanted}" if name in self.pinned else f"settings name {wanted}"
        hint = f"{found.model} answers until all passages are embedded; run: sizewise knowledge rebuild {name}"
        return found, (f"the {has}, whose index of {name!r} is not whole: {hint}",)

    def wanted_model(self, name: str) -> str:
        """Whose generation of a base should answer; empty if that cannot be told."""
        try:
            return self.pinned.get(name) or self.embedder.resolve_model(self.settings_of(name).embedding_model)
        except (ModelUnavailable, ConfigError):
            return ""

    async def _readable_results(
        self,
        base: KnowledgeBaseId,
        principal: Principal,
        hits: Sequence[tuple[str, float]],
        reach: Sequence[DataClass],
    ) -> list[SearchResult]:
        """Hits with their text, without those that the database does not let the caller read."""
        pieces = await self.document_store.passages_by_id(base, [id for id, _ in hits])
        documents = await self.document_store.documents_by_id(base, list({each.document for each in pieces.values()}))
        found = list[SearchResult]()
        for id, score in hits:
            piece = pieces.get(id)
            document = documents.get(piece.document) if piece is not None else None
            if piece is None or document is None or document.state == "leaving":
                continue
            if document.data_class not in reach or not _may_read(principal, document):
                continue
            found.append(_search_result(piece, document, score))
        return found

    def _shorten_query(self, query: str, model: str) -> str:
        """Shortens a long query to the model's window: keeps its beginning and its end, where the question often is."""
        most = self.embedder.max_passage_tokens(model)
        if self.embedder.count_tokens(query) <= most:
            return query
        words, half = query.split(), most // 2
        while words and self.embedder.count_tokens(" ".join([*words[:half], *words[-half:]])) > most and half > 1:
            half = half * 3 // 4
        return " ".join([*words[:half], *words[-half:]])[: most * 4]

    # Ingestion

    async def ingest(
        self,
        request: Request,
        name: str,
        documents: Sequence[DocumentUpload],
        time_limit_s: float = 3_600,
    ) -> list[IngestionResult]:
        """Stores and embeds documents. Raises BadRequest if passages still wait after `time_limit_s`."""
        taken = [await self.add_document(request, name, each) for each in documents]
        left = await self.embed_pending(request, name, time_limit_s)
        if left.waiting:
            raise BadRequest(
                f"{left.waiting:,} passages still have to be embedded",
                "call again to continue",
            )
        return taken

    async def add_document(self, request: Request, name: str, upload: DocumentUpload) -> IngestionResult:
        """Stores a document, for `embed_pending` to embed. Raises BadRequest if it cannot be parsed."""
        base = self._managed_base(request.principal, name)
        return await self.ingestion.add_document(request, base, upload, self.settings_of(name))

    async def add_web_page(
        self,
        request: Request,
        name: str,
        url: str,
        upload: DocumentUpload | None = None,
    ) -> IngestionResult:
        """Adds a web page from the origin of one of the base's sources. Raises PathNotFound if the page is gone."""
        self._managed_base(request.principal, name)
        data = await self.web_pages.fetch(url, self.settings_of(name), self.data_bounds(request))
        if data is None:
            raise PathNotFound(f"the page {url.partition('?')[0][:200]!r} no longer exists", "use another URL")
        return await self.add_document(
            request,
            name,
            msgspec.structs.replace(upload or DocumentUpload(url), source=url, data=data),
        )

    async def embed_pending(self, request: Request, name: str, time_limit_s: float = EMBED_STEP_S) -> EmbeddingProgress:
        """Embeds waiting passages for about `time_limit_s`. After an error that may pass, retries in the background."""
        base = self._managed_base(request.principal, name)
        try:
            return await self.ingestion.embed_pending(request, base, self.settings_of(name), time_limit_s)
        except RETRIED:
            self.embedding_retries.schedule(base, request.principal)
            raise
        finally:
            self.store_check.forget(base)

    async def rebuild(
        self, principal: Principal, name: str, *, every: bool = False, dry_run: bool = False, after: str = ""
    ) -> RebuildStep:
        """Lets passages that the vector store lacks, or `every` one, wait for `embed_pending`; takes a few seconds, so
        call it again with `after` until `next` is empty. Raises PathNotFound, StorageError, ModelUnavailable.
        """
        base = self._managed_base(principal, name)
        open = await self.document_store.base(base)
        if open is None:
            await self._require_declared(base)
            model = self.wanted_model(name)
            return RebuildStep(checked=0, missing=0, total=0, model=model, previous_model=model, next="")
        rebuild = Rebuild(self.document_store, self.open_stores, self.embedder)
        try:
            return await rebuild.step(
                open,
                self.settings_of(name),
                principal,
                every=every,
                dry_run=dry_run,
                after=after,
                time_limit_s=EMBED_STEP_S,
            )
        finally:
            self.store_check.forget(base)

    async def sync(
        self,
        request: Request,
        name: str,
        *,
        readers: tuple[str, ...] | None = None,
        data_class: DataClass | None = None,
    ) -> SyncResult:
        """Reads the configured sources, and removes documents that they no longer contain. `readers`, `data_class`: of
        all their documents, as in DocumentUpload.
        """
        base, said, principal = self._managed_base(request.principal, name), self.settings_of(name), request.principal
        if not said.sources:
            hint = f'set sources = ["docs"] in [knowledge.{name}] of sizewise.toml, or pass a folder'
            raise BadRequest(f"the settings have no sources for {name!r}", hint)
        check_readers(readers or ())
        if principal.tenant != "local" or principal.project != said.project:
            raise BadRequest(
                f"the sources of {name!r} belong to the project {said.project!r}", "use a key of that project"
            )
        access = DocumentUpload("", readers=readers, data_class=data_class)
        syncing = SourceSync(
            add_file=partial(self.add_document, request, name),
            add_page=partial(self.add_web_page, request, name),
            concurrency=await self.processes.slots(),
        )
        result, there = await syncing(said.sources, access)
        roots = tuple(f"{Path(source).name}/" for source in said.sources if not is_url(source))
        removed = list[str]()
        for kept in await self.documents(principal, name):
            source = kept.metadata.source
            if source not in there and (is_url(source) or source.startswith(roots)):
                await self.document_store.mark_for_deletion(base, kept.id, principal)
                removed.append(source)
        return msgspec.structs.replace(result, removed=tuple(removed))

    async def remove_document(self, principal: Principal, name: str, named: str) -> None:
        """`named`: its id or source. Raises PathNotFound."""
        base = self._managed_base(principal, name)
        found = await self._find_document(base, named)
        if not await self.document_store.mark_for_deletion(base, found.id, principal):
            raise _no_document(named)

    async def release_document(self, principal: Principal, name: str, named: str) -> int:
        """Releases passages held back as suspect, to be embedded. Returns how many. `named`: its id or source. Raises
        PathNotFound.
        """
        base = self._managed_base(principal, name)
        found = await self._find_document(base, named)
        return await self.document_store.release_passages(base, found.id, principal)

    async def _find_document(self, base: KnowledgeBaseId, named: str) -> DocumentRecord:
        record = await self.document_store.base(base)
        if record is None:
            await self._require_declared(base)
            raise _no_document(named)
        for id in (named, record.document_id(named)):
            found = await self.document_store.document(base, id)
            if found is not None:
                return found
        raise _no_document(named)

    async def remove_base(self, principal: Principal, name: str) -> None:
        """Removes the base with all its documents; one that is declared in the settings is empty then. Raises
        PathNotFound, and BadRequest for a declared one that has nothing.
        """
        base = self._managed_base(principal, name)
        async with self.open_stores.write_lock(base):
            open = await self.document_store.base(base)
            if open is None:
                await self._require_declared(base)
                hint = f"remove [knowledge.{name}] from sizewise.toml"
                raise BadRequest(f"{name!r} is empty, and declared in the settings", hint)
            await self.ingestion.index.remove_all(open)
            await self.document_store.remove_base(base, principal)

    # Listings

    async def bases(self, principal: Principal) -> list[BaseSummary]:
        """With those that the settings declare."""
        project = None if principal.all_projects else principal.project
        found = [
            BaseSummary(name=base.name, project=base.project, created=created, model=model, counts=size)
            for base, created, model, size in await self.document_store.bases(principal.tenant, project)
        ]
        there = {(each.project, each.name) for each in found}
        found += [
            BaseSummary(name=each.name, project=each.project, created=None, model=self.wanted_model(each.name))
            for each in declared_bases(self.settings, principal.tenant, project)
            if (each.project, each.name) not in there
        ]
        return sorted(found, key=lambda each: (each.project, each.name))

    async def readable_documents(self, reader: Principal, name: str) -> ReadableDocuments:
        """What a search by `reader` can find. Raises PathNotFound."""
        base = KnowledgeBaseId(reader.tenant, reader.project, name)
        if await self.document_store.base(base) is None:
            await self._require_declared(base)
        classes = _found_classes(reader, None, own_uploads=False)
        found = [
            (data_class in classes, _is_open_to(reader, readers), count)
            for data_class, readers, count in await self.document_store.access_counts(base)
        ]
        return ReadableDocuments(
            readable=sum(count for in_class, is_open, count in found if in_class and is_open),
            total=sum(count for *_, count in found),
            in_class=sum(count for in_class, _, count in found if in_class),
            open=sum(count for _, is_open, count in found if is_open),
        )

    async def record(self, principal: Principal, project: str, name: str) -> BaseRecord | None:
        """Of a base that `bases` lists."""
        return await self.document_store.base(KnowledgeBaseId(principal.tenant, project, name))

    async def stored_passages(self, principal: Principal, project: str, name: str) -> StoredPassages:
        """Of a base that `bases` lists: in its current index. Raises StorageError, EgressDenied, ConfigError."""
        open = await self.record(principal, project, name)
        base = KnowledgeBaseId(principal.tenant, project, name)
        return await self.store_check.check(base if open is None else open.collection_id(open.current))

    async def documents(
        self,
        principal: Principal,
        name: str,
        after: str = "",
        limit: int = 100_000,
    ) -> list[DocumentRecord]:
        """Documents that the caller may read, or all if the caller may manage them; ids after `after`. Raises
        PathNotFound.
        """
        base = KnowledgeBaseId(principal.tenant, principal.project, name)
        if await self.document_store.base(base) is None:
            await self._require_declared(base)
            return []
        found, manages = list[DocumentRecord](), MANAGE_ACTION in principal.permissions
        while len(found) < limit:
            page = await self.document_store.documents(base, after, min(1_000, limit))
            found += [each for each in page if each.state != "leaving" and (manages or _may_read(principal, each))]
            if len(page) < min(1_000, limit):
                break
            after = page[-1].id
        return found[:limit]

    async def document(self, principal: Principal, name: str, named: str) -> tuple[DocumentRecord, list[PassageRecord]]:
        """A document by its id or source, with its passages if the caller may read it. Raises PathNotFound."""
        base = KnowledgeBaseId(principal.tenant, principal.project, name)
        found = await self._find_document(base, named)
        manages = MANAGE_ACTION in principal.permissions
        if found.state == "leaving" or not (manages or _may_read(principal, found)):
            raise _no_document(named)
        pieces = await self.document_store.passages(base, found.id) if _may_read(principal, found) else []
        return found, [each for each in pieces if each.state != "old"]

    # Access and settings

    @property
    def ingestion(self) -> Ingestion:
        """Checks no access."""
        return Ingestion(
            document_store=self.document_store,
            open_stores=self.open_stores,
            embedder=self.embedder,
            processes=self.processes,
            default_data_class=self.default_data_class,
        )

    def settings_of(self, name: str) -> KnowledgeSettings:
        return settings_of_base(self.settings, name)

    def _managed_base(self, principal: Principal, name: str) -> KnowledgeBaseId:
        """Raises Forbidden, and BadRequest for an invalid name."""
        if not NAME.match(name) or len(name) > 64:
            raise BadRequest(
                f"{name[:100]!r} is not a valid name of a knowledge base",
                "use letters, digits, '.', '_' and '-'",
                param="base",
            )
        require_permission(principal, MANAGE_ACTION, self._resource(principal, name))
        return KnowledgeBaseId(principal.tenant, principal.project, name)

    def _resource(self, principal: Principal, name: str) -> Resource:
        return Resource(principal.tenant, principal.project, name=f"knowledge:{name[:100]}")

    async def _require_declared(self, base: KnowledgeBaseId) -> None:
        """For a base that has no document yet. Raises PathNotFound."""
        if is_declared(self.settings, base):
            return
        known = [each.name for each, *_ in await self.document_store.bases(base.tenant, base.project)]
        known += [each.name for each in declared_bases(self.settings, base.tenant, base.project)]
        hint = did_you_mean(base.name, known) or f"create it: {fill_command(self.settings, base)}"
        raise PathNotFound(f"there is no knowledge base {base.name[:100]!r} in this project", hint)


def build_knowledge_service(
    settings: Settings,
    *,
    document_store: DocumentStore,
    open_stores: OpenStores,
    embedding_retries: EmbeddingRetries,
    processes: DocumentProcesses,
    handler: Handler,
    cards: Sequence[ModelCard],
    reach: Mapping[DataClass, Place],
    data_bounds: Callable[[Request], DataBounds],
    spans: SpanRecorder,
    pinned: Mapping[str, str],
) -> KnowledgeService:
    """`handler`: the application's whole middleware stack. Raises ConfigError."""
    fetchable = [card.model for card in local_cards(settings) if card.task == "embed"]

    def request_bounds(request: Request) -> RequestDataBounds:
        its = data_bounds(request)
        return RequestDataBounds(its.data_class, its.limit)

    return KnowledgeService(
        document_store=document_store,
        open_stores=open_stores,
        store_check=StoreCheck(document_store, open_stores),
        embedding_retries=embedding_retries,
        embedder=Embedder(handler, cards, fetchable),
        processes=processes,
        handler=handler,
        web_pages=WebPageFetcher(reach, settings.proxies, settings.ca_file),
        settings=settings.knowledge,
        data_bounds=request_bounds,
        default_data_class=settings.router.data_class,
        spans=spans,
        pinned=pinned,
    )


def _no_document(id: str) -> PathNotFound:
    return PathNotFound(
        f"there is no document {id[:100]!r} in this knowledge base", "list the documents: sizewise knowledge list NAME"
    )


def reader_ids(principal: Principal) -> tuple[str, ...]:
    """Reader entries of a document that give this principal access."""
    return tuple(
        filter(
            None,
            (
                f"user:{principal.user_id}" if principal.user_id else "",
                f"key:{principal.key_id}" if principal.key_id else "",
            ),
        ),
    )


def _found_classes(principal: Principal, most: DataClass | None, *, own_uploads: bool) -> tuple[DataClass, ...]:
    if principal.data_class == "public" and not own_uploads:
        most = "public"
    return DATA_CLASSES if most is None else DATA_CLASSES[: DATA_CLASSES.index(most) + 1]


def _may_read(principal: Principal, document: DocumentRecord) -> bool:
    return _is_open_to(principal, document.readers)


def _is_open_to(principal: Principal, readers: Sequence[str]) -> bool:
    return not readers or bool(set(readers).intersection(reader_ids(principal)))


def _search_result(piece: PassageRecord, document: DocumentRecord, score: float) -> SearchResult:
    its = piece.content
    return SearchResult(
        id=piece.id,
        document=document.id,
        source=document.metadata.source,
        title=document.metadata.title,
        text=its.text,
        score=score,
        page=its.first_page,
        pages=tuple(range(its.first_page, its.last_page + 1)) if its.first_page else (),
        headings=its.headings,
        start=its.start,
        end=its.end,
        data_class=document.data_class,
        suspicions=its.suspicions,
    )


def _hash_filter(where: TagFilter, terms: KeywordHasher) -> TagFilter:
    """The same filter, with texts hashed as in the store."""
    if isinstance(where, TagIn):
        values = tuple(terms.hash_text(each) if isinstance(each, str) else each for each in where.values)
        return TagIn(where.field, values)
    if isinstance(where, (FilterAnd, FilterOr)):
        return type(where)(tuple(_hash_filter(each, terms) for each in where.filters))
    if isinstance(where, FilterNot):
        return FilterNot(_hash_filter(where.filter, terms))
    return where
