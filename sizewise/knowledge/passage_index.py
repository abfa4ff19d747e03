"""Indexes of passages: embeds passages into the collection of a generation, and removes them from all; stores no text.

What the database says is searchable is in every generation of its base, so that a release may answer from an older one.
A generation that cannot be kept up to date falls behind: what it lacks is found and embedded by a later build.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sizewise.errors import SizewiseError, StorageError
from sizewise.handler import Request
from sizewise.knowledge.chunk import TextChunk
from sizewise.knowledge.document_store import BaseRecord, DocumentRecord, DocumentStore, PassageRecord
from sizewise.knowledge.embedder import BATCH_SIZE, Embedder, EmbeddingVector, check_dimension
from sizewise.knowledge.generation_tables import Generation
from sizewise.knowledge.keyword_index import KeywordHasher
from sizewise.knowledge.open_stores import OpenStores
from sizewise.knowledge.vector_store import Passage, Tag

log = logging.getLogger("sizewise.knowledge")

PAGE = 256
"""Passages that a build checks at once."""
IndexedPassage = tuple[PassageRecord, DocumentRecord]


@dataclass(frozen=True, slots=True)
class PassageIndex:
    """Checks no access. Hold the base's write lock."""

    document_store: DocumentStore
    open_stores: OpenStores
    embedder: Embedder

    async def add(
        self,
        request: Request,
        record: BaseRecord,
        model: str,
        document: DocumentRecord,
        passages: Sequence[PassageRecord],
    ) -> None:
        """Embeds passages of a document in every generation. That of `model` must succeed, the others may fall behind.
        Raises the errors of the embedding model, StorageError.
        """
        pairs = [(each, document) for each in passages]
        for generation in record.generations:
            try:
                await self._embed(request, record, generation, pairs)
            except SizewiseError as error:
                if generation.model == model:
                    raise
                log.warning("%r by %s falls behind: %s", record.base.name, generation.model, error.message)
                if generation.dimension:
                    # What it still has of the document may have had more readers.
                    collection = record.collection_id(generation)
                    await (await self.open_stores.collection(collection, generation.dimension)).delete_document(
                        document.id
                    )
                await self.document_store.set_built(record.base, generation.model, "")

    async def remove(self, record: BaseRecord, document: str, keep: Sequence[str] = ()) -> None:
        """Removes a document from every generation, except the passages `keep`. Raises StorageError."""
        for generation in record.generations:
            if generation.dimension:
                collection = record.collection_id(generation)
                opened = await self.open_stores.collection(collection, generation.dimension)
                await opened.delete_document(document, keep=keep)

    async def remove_all(self, record: BaseRecord) -> None:
        """Removes the collections of every generation. Raises StorageError."""
        for generation in record.generations:
            if generation.dimension:
                await self.open_stores.remove(record.collection_id(generation))

    async def build(self, request: Request, record: BaseRecord, model: str, until: float) -> int:
        """Embeds what the generation of `model` lacks, until the monotonic time `until`. Returns how many passages."""
        done, base = 0, record.base
        while (generation := record.generation(model)) is not None and generation.built is not None:
            ids = await self.document_store.ready_passage_ids(base, generation.built, PAGE)
            if not ids:
                await self.document_store.complete_generation(base, model)
                break
            for group in await self._lacking(record, generation, ids):
                await self._embed(request, record, generation, group)
                await self._forget_removed(record, generation, group)
                done += len(group)
                if time.monotonic() > until:
                    return done
                generation = await self._reread(record, model) or generation
            await self.document_store.set_built(base, model, ids[-1])
            found = await self.document_store.base(base)
            if found is None or time.monotonic() > until:
                break
            record = found
        return done

    async def _reread(self, record: BaseRecord, model: str) -> Generation | None:
        found = await self.document_store.base(record.base)
        return None if found is None else found.generation(model)

    async def _lacking(
        self, record: BaseRecord, generation: Generation, ids: Sequence[str]
    ) -> list[list[IndexedPassage]]:
        """Those of the passages that the generation lacks, in groups of one data class for one request each."""
        stored = set[str]()
        if generation.dimension:
            opened = await self.open_stores.collection(record.collection_id(generation), generation.dimension)
            stored = await opened.stored_ids(ids)
        found = await self.document_store.passages_by_id(record.base, [id for id in ids if id not in stored])
        documents = await self.document_store.documents_by_id(
            record.base, list({each.document for each in found.values()})
        )
        by_class: dict[str, list[IndexedPassage]] = {}
        for each in found.values():
            document = documents.get(each.document)
            if document is not None and document.state != "leaving":
                by_class.setdefault(document.data_class, []).append((each, document))
        return [
            group[start : start + BATCH_SIZE]
            for group in by_class.values()
            for start in range(0, len(group), BATCH_SIZE)
        ]

    async def _forget_removed(
        self, record: BaseRecord, generation: Generation, group: Sequence[IndexedPassage]
    ) -> None:
        """Documents that another server removed while they were embedded."""
        ids = {document.id for _, document in group}
        left = await self.document_store.documents_by_id(record.base, list(ids))
        gone = ids - {id for id, document in left.items() if document.state != "leaving"}
        known = await self._reread(record, generation.model)
        for id in gone if known is not None and known.dimension else ():
            assert known is not None
            collection = await self.open_stores.collection(record.collection_id(known), known.dimension)
            await collection.delete_document(id)

    async def _embed(
        self, request: Request, record: BaseRecord, generation: Generation, passages: Sequence[IndexedPassage]
    ) -> None:
        """`passages`: of one data class."""
        texts = [
            self.embedder.embedding_text(_chunk(each), document.metadata.title or document.metadata.source)
            for each, document in passages
        ]
        data_class = passages[0][1].data_class
        vectors = await self.embedder.embed(request, generation.model, texts, data_class, background=True)
        dimension = check_dimension(vectors, generation.dimension)
        if not generation.dimension:
            await self.document_store.set_dimension(record.base, generation.model, dimension)
        collection = await self.open_stores.collection(record.collection_id(generation), dimension)
        refused = await collection.upsert(await asyncio.to_thread(_passages, record, passages, vectors, texts))
        if refused:
            raise StorageError(
                f"the vector store rejected a passage: {next(iter(refused.values()))}", "see the store's log"
            )


def _passages(
    record: BaseRecord,
    passages: Sequence[IndexedPassage],
    vectors: Sequence[EmbeddingVector],
    texts: Sequence[str],
) -> list[Passage]:
    terms = KeywordHasher(record.key)
    return [
        Passage(
            id=each.id,
            document=document.id,
            vector=vector,
            terms=terms(text),
            sealed=b"",
            readers=document.readers,
            data_class=document.data_class,
            tags=hashed_tags(record, document.metadata.tags),
        )
        for (each, document), vector, text in zip(passages, vectors, texts, strict=True)
    ]


def hashed_tags(record: BaseRecord, tags: Mapping[str, Tag]) -> dict[str, Tag]:
    """Tags as stored: texts become keyed hashes, which can only be compared for equality."""
    terms = KeywordHasher(record.key)

    def hashed(value: Tag) -> Tag:
        if isinstance(value, str):
            return terms.hash_text(value)
        return tuple(terms.hash_text(each) for each in value) if isinstance(value, tuple) else value

    return {name: hashed(value) for name, value in tags.items()}


def _chunk(piece: PassageRecord) -> TextChunk:
    its = piece.content
    return TextChunk(
        text=its.text,
        start=its.start,
        end=its.end,
        first_page=its.first_page,
        last_page=its.last_page,
        headings=its.headings,
        tokens=its.tokens,
    )
