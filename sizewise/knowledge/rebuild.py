"""Rebuilds a base's vector store from the database: finds what it lacks and lets that wait; embeds nothing itself.

The documents then wait as if they had just been added, so that embedding resumes after any interruption. A base moves
in the same way: everything is missing from another vector store. Another model begins a generation of its own; the old
one answers until that is whole.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from msgspec import Struct

from sizewise.errors import Conflict
from sizewise.jobs.map_batches import Batch, map_batches
from sizewise.knowledge.document_store import BaseRecord, DocumentStore
from sizewise.knowledge.embedder import Embedder
from sizewise.knowledge.generation_tables import Generation
from sizewise.knowledge.open_stores import OpenStores
from sizewise.principal import Principal
from sizewise.settings.knowledge import KnowledgeSettings

ID_BATCH = 1_000


class RebuildStep(Struct, frozen=True):
    """Passages `checked` by this call, and those of them to be embedded again. `total`: embedded passages of the base.

    `model`: by the settings; `previous_model`: of the base until now. `next`: pass it as `after`; empty at the end.
    """

    checked: int
    missing: int
    total: int
    model: str
    previous_model: str
    next: str


@dataclass(frozen=True, slots=True)
class Rebuild:
    """Checks no access."""

    document_store: DocumentStore
    open_stores: OpenStores
    embedder: Embedder

    async def step(
        self,
        base: BaseRecord,
        settings: KnowledgeSettings,
        principal: Principal,
        *,
        every: bool,
        dry_run: bool,
        after: str,
        time_limit_s: float,
    ) -> RebuildStep:
        """`every`: all passages, also those that are stored. With `dry_run`, changes nothing. Raises StorageError,
        EgressDenied, ConfigError, ModelUnavailable.
        """
        model = self.embedder.resolve_model(settings.embedding_model)
        total = await self.document_store.embedded_passage_count(base.base)

        def step(checked: int, missing: int, last: str = "") -> RebuildStep:
            return RebuildStep(
                checked=checked, missing=missing, total=total, model=model, previous_model=base.model, next=last
            )

        generation = base.generation(model)
        if generation is None and base.dimension:
            if not dry_run:
                await self.document_store.begin_generation(base.base, model, principal)
            return step(total, total)
        if generation is not None and generation.built is not None and not every:
            return step(total, await self.document_store.unbuilt_passages(base, model))
        its = generation or base.current
        stored = await self.open_stores.count(base.collection_id(its))
        if every or its.model != model or not stored or not its.dimension or await self._is_other_size(base, its):
            if not dry_run:
                await self._start_over(base, its, model, principal, total)
            return step(total, total)
        return step(*await self._find_missing(base, its, principal, dry_run, after, time_limit_s))

    async def _find_missing(
        self,
        base: BaseRecord,
        generation: Generation,
        principal: Principal,
        dry_run: bool,
        after: str,
        time_limit_s: float,
    ) -> tuple[int, int, str]:
        """Passages checked and missing, and the last id checked: empty at the end. At least one batch is checked."""
        until, checked, missing, last = time.monotonic() + time_limit_s, 0, 0, after

        async def batches() -> AsyncIterator[Batch[Sequence[str]]]:
            nonlocal checked, last
            while ids := await self.document_store.ready_passage_ids(base.base, last, ID_BATCH):
                yield Batch(ids[-1], ids)
                checked, last = checked + len(ids), ids[-1]
                if time.monotonic() > until:
                    return
            last = ""

        async def find_missing(ids: Sequence[str]) -> None:
            nonlocal missing
            lacking = await self._lacking(base, generation, ids)
            missing += len(lacking)
            if lacking and not dry_run:
                if len(base.generations) > 1:  # the others have them, and still answer
                    await self.document_store.set_built(base.base, generation.model, "")
                    return
                async with self.open_stores.write_lock(base.base):
                    await self.document_store.mark_for_embedding(base.base, lacking)

        await map_batches(batches(), find_missing)
        if not dry_run:
            if not last:
                await self.open_stores.remove_elsewhere(base.collection_id(generation))
            if missing:
                await self.document_store.record_rebuild(base.base, principal, missing, generation.model)
        return checked, missing, last

    async def _is_other_size(self, base: BaseRecord, generation: Generation) -> bool:
        """Whether the stored vectors are of another model than the database says, as after a restore of one of them."""
        try:
            await self.open_stores.collection(base.collection_id(generation), generation.dimension)
        except Conflict:
            return True
        return False

    async def _lacking(self, base: BaseRecord, generation: Generation, ids: Sequence[str]) -> list[str]:
        collection = await self.open_stores.collection(base.collection_id(generation), generation.dimension)
        stored = await collection.stored_ids(ids)
        return [id for id in ids if id not in stored]

    async def _start_over(
        self, base: BaseRecord, generation: Generation, model: str, principal: Principal, total: int
    ) -> None:
        collection = base.collection_id(generation)
        async with self.open_stores.write_lock(base.base):
            await self.open_stores.remove(collection)
            if len(base.generations) > 1:  # the others still answer
                await self.document_store.set_dimension(base.base, model, 0)
                await self.document_store.set_built(base.base, model, "")
            else:
                await self.document_store.set_embedding_model(base.base, model, 0, reembed=True)
        await self.open_stores.remove_elsewhere(collection)
        if total:
            await self.document_store.record_rebuild(base.base, principal, total, model)
