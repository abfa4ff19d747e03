"""Compares the passages that a base should have in its vector store with those it has; repairs nothing.

The database knows which passages were embedded. A vector store that was deleted or restored alone lacks some, and
searches would go on as if they had never been there.
"""

from __future__ import annotations

import asyncio
import logging
import time

from msgspec import Struct
from msgspec.structs import replace

from sizewise.errors import SizewiseError
from sizewise.knowledge.document_store import DocumentStore
from sizewise.knowledge.open_stores import OpenStores
from sizewise.knowledge.vector_store import KnowledgeBaseId

log = logging.getLogger("sizewise.knowledge")

RECHECK_S = 60.0
"""A check is reused by searches for this long."""
RECHECK_EMPTY_S = 5.0
"""Likewise by searches that find nothing, which wait for the new one: it counts every passage of the base."""


class StoredPassages(Struct, frozen=True):
    """`embedded`: by the database. `stored`: in the vector store, where passages of removed documents may still be.
    `documents`: of the base, whatever state they are in.
    """

    embedded: int
    stored: int
    waiting: int
    documents: int

    @property
    def missing(self) -> int:
        return max(0, self.embedded - self.stored)

    def warnings(self, name: str, empty: str) -> tuple[str, ...]:
        """What a search in this base should say. `empty`: if it has no document."""
        if not self.documents:
            return (empty,) if empty else ()
        total, hint = self.embedded + self.waiting, f"sizewise knowledge rebuild {name}"
        return tuple(
            f"{count:,} of {total:,} passages of {name!r} {what}, so results may be incomplete; run: {hint}"
            for count, what in (
                (self.missing, "are missing from the vector store"),
                (self.waiting, "still wait to be embedded"),
            )
            if count
        )


class StoreCheck:
    """One per application, for its event loop. Each base is that of a collection, with its generation."""

    def __init__(self, document_store: DocumentStore, open_stores: OpenStores) -> None:
        self._document_store = document_store
        self._open_stores = open_stores
        self._known: dict[KnowledgeBaseId, tuple[float, StoredPassages]] = {}
        self._tasks: dict[KnowledgeBaseId, asyncio.Task[None]] = {}

    async def check(self, base: KnowledgeBaseId) -> StoredPassages:
        """Counts now. Raises StorageError, EgressDenied, ConfigError."""
        size = await self._document_store.size(base)
        embedded = await self._document_store.embedded_passage_count(base)
        found = StoredPassages(
            embedded, await self._open_stores.count(base) if embedded else 0, size.waiting, size.documents
        )
        self._known[base] = time.monotonic(), found
        return found

    async def warnings(self, base: KnowledgeBaseId, *, found_any: bool, empty: str) -> tuple[str, ...]:
        """Of the last check, which is repeated in the background; of a new one if nothing is known, or if nothing was
        found and the last one is not recent. `empty`: the warning of a base that has no document.
        """
        known = self._known.get(base)
        empty = "" if found_any else empty  # another server may have added some since
        if known is None or (not found_any and time.monotonic() - known[0] > RECHECK_EMPTY_S):
            try:
                return (await self.check(base)).warnings(base.name, empty)
            except SizewiseError:  # a search that needs the store raises it itself
                return ()
        if time.monotonic() - known[0] > RECHECK_S and base not in self._tasks:
            self._tasks[base] = asyncio.create_task(self._recheck(base))
        return known[1].warnings(base.name, empty)

    def forget(self, base: KnowledgeBaseId) -> None:
        """Call when passages were embedded or removed: the next search counts again. `base`: without a generation."""
        for each in [its for its in self._known if replace(its, generation="") == base]:
            del self._known[each]

    async def log_missing(self) -> None:
        """Logs a warning for each base, of all organizations, whose vector store lacks passages."""
        try:
            bases = await self._document_store.current_collections()
        except SizewiseError as error:
            log.warning("knowledge bases cannot be checked: %s", error.message)
            return
        for base in bases:
            try:
                found = await self.check(base)
            except SizewiseError as error:
                log.warning("the vector store of %r cannot be checked: %s", base.name, error.message)
                continue
            if found.missing:
                told = "%d of %d passages of %r are missing from the vector store; run: sizewise knowledge rebuild %s"
                log.warning(told, found.missing, found.embedded, base.name, base.name)

    async def _recheck(self, base: KnowledgeBaseId) -> None:
        try:
            await self.check(base)
        except SizewiseError:
            self._known.pop(base, None)
        finally:
            del self._tasks[base]
