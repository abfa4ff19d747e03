"""Rebuilds a base's vector store from the database: finds what it lacks and lets that wait; embeds nothing itself.

The documents then wait as if they had just been added, so that embedding resumes after any interruption. A base moves
in the same way: everything is missing from another vector store, and vectors of another model are worth nothing.
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
        stored = await self.open_stores.count(base.base)
        anew = every or base.model != model or not stored or not base.dimension or await self._is_other_size(base)
        if anew:
            if not dry_run:
                await self._start_over(base, model, principal, total)
            checked, missing, last = total, total, ""
        else:
            checked, missing, last = await self._find_missing(base, principal, dry_run, after, time_limit_s)
        return RebuildStep(
            checked=checked,
            missing=missing,
            total=total,
            model=model,
            previous_model=base.model,
            next=last,
        )

    async def _find_missing(
        self, base: BaseRecord, principal: Principal, dry_run: bool, after: str, time_limit_s: float
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
            lacking = await self._lacking(base, ids)
            missing += len(lacking)
            if lacking and not dry_run:
                async with self.open_stores.write_lock(base.base):
                    await self.document_store.mark_for_embedding(base.base, lacking)

        await map_batches(batches(), find_missing)
        if not dry_run:
            if not last:
                await self.open_stores.remove_elsewhere(base.base)
            if missing:
                await self.document_store.record_rebuild(base.base, principal, missing, base.model)
        return checked, missing, last

    async def _is_other_size(self, base: BaseRecord) -> bool:
        """Whether the stored vectors are of another model than the database says, as after a restore of one of them."""
        try:
            await self.open_stores.collection(base.base, base.dimension)
        except Conflict:
            return True
        return False

    async def _lacking(self, base: BaseRecord, ids: Sequence[str]) -> list[str]:
        collection = await self.open_stores.collection(base.base, base.dimension)
        stored = await collection.stored_ids(ids)
        return [id for id in ids if id not in stored]

    async def _start_over(self, base: BaseRecord, model: str, principal: Principal, total: int) -> None:
        async with self.open_stores.write_lock(base.base):
            await self.open_stores.remove(base.base)
            await self.document_store.set_embedding_model(base.base, model, 0, reembed=True)
        await self.open_stores.remove_elsewhere(base.base)
        if total:
            await self.document_store.record_rebuild(base.base, principal, total, model)
