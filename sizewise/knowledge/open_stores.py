"""The open vector stores of the process and the collection of each base in them; reads no passage.

They live as long as the process: an embedded store belongs to one process and takes time to open.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from sizewise.data_class import DataClass, Place
from sizewise.errors import SizewiseError
from sizewise.http.egress import EgressPolicy
from sizewise.knowledge.vector_store import KnowledgeBaseId, PassageCollection, RemoteStore, StoreContext, VectorStore
from sizewise.plugins import load_plugin
from sizewise.settings.knowledge import KnowledgeSettings
from sizewise.settings.load import Settings, resolve_secret

log = logging.getLogger("sizewise.knowledge")

DEFAULT_SETTINGS = KnowledgeSettings()
MADE_HERE_PREFIX = "vs_"
"""Begins the name of a base that /v1/vector_stores made."""
MADE_HERE_SETTINGS = "vector_stores"
"""The table of [knowledge] that holds for all of them."""
EMBEDDED_STORE, SHARED_STORE = "qdrant", "pgvector"


def settings_of_base(settings: Mapping[str, KnowledgeSettings], name: str) -> KnowledgeSettings:
    """Those of [knowledge.NAME], or the defaults."""
    found = settings.get(name)
    if found is None and name.startswith(MADE_HERE_PREFIX):
        found = settings.get(MADE_HERE_SETTINGS)
    return DEFAULT_SETTINGS if found is None else found


class OpenStores:
    """One per process; for its event loop."""

    def __init__(self) -> None:
        self._home = Path()
        self._url = ""
        self._settings: Mapping[str, KnowledgeSettings] = {}
        self._egress: Callable[[], EgressPolicy] = lambda: EgressPolicy({}, {})
        self._stores: dict[tuple[str, RemoteStore], VectorStore] = {}
        self._collections: dict[KnowledgeBaseId, tuple[VectorStore, int, PassageCollection]] = {}
        self._write_locks: dict[KnowledgeBaseId, asyncio.Lock] = {}

    def prepare(self, settings: Settings, reach: Mapping[DataClass, Place]) -> Callable[[], None]:
        """Returns a function that applies the settings. Raises ConfigError."""
        url = resolve_secret(settings.database.url)
        egress = EgressPolicy({}, reach)
        for its in (each.remote for each in settings.knowledge.values()):
            for each in filter(None, (its.url, its.grpc)):
                egress = egress.with_origin(each, its.place)

        def apply() -> None:
            self._home, self._settings, self._url = settings.home, settings.knowledge, url
            self._egress = lambda: egress

        return apply

    def write_lock(self, base: KnowledgeBaseId) -> asyncio.Lock:
        """Hold it to write to the base or to remove it. `base`: without a generation."""
        return self._write_locks.setdefault(base, asyncio.Lock())

    async def collection(self, base: KnowledgeBaseId, dimension: int) -> PassageCollection:
        """Raises StorageError, ConfigError, and Conflict if the base has another dimension."""
        store = self._store(base)
        there = self._collections.get(base)
        if there is not None and there[:2] == (store, dimension):
            return there[2]
        shelf = await store.open(base, dimension)
        self._collections[base] = store, dimension, shelf
        return shelf

    async def count(self, base: KnowledgeBaseId) -> int:
        """Passages stored. Opens no collection. Raises StorageError, EgressDenied, ConfigError."""
        return await self._store(base).count(base)

    async def remove(self, base: KnowledgeBaseId) -> None:
        self._collections.pop(base, None)
        await self._store(base).remove(base)

    async def remove_elsewhere(self, base: KnowledgeBaseId) -> None:
        """Removes what the embedded store still has of a base that is in another store now."""
        if self._kind(base) != EMBEDDED_STORE and (self._home / "passages" / base.hashed).exists():
            await self._opened(EMBEDDED_STORE, RemoteStore()).remove(base)

    async def optimize(self, base: KnowledgeBaseId) -> None:
        """Call after large upserts."""
        await self._store(base).optimize()

    async def close(self) -> None:
        for store in self._stores.values():
            try:
                await store.close()
            except SizewiseError as error:
                log.warning("failed to close a vector store: %s", error.message)
        self._stores.clear()
        self._collections.clear()

    def _kind(self, base: KnowledgeBaseId) -> str:
        chosen = settings_of_base(self._settings, base.name).vector_store
        return chosen or (SHARED_STORE if self._url else EMBEDDED_STORE)

    def _store(self, base: KnowledgeBaseId) -> VectorStore:
        its = settings_of_base(self._settings, base.name).remote
        return self._opened(self._kind(base), RemoteStore(its.url, its.grpc, resolve_secret(its.key), its.timeout_s))

    def _opened(self, kind: str, remote: RemoteStore) -> VectorStore:
        found = self._stores.get((kind, remote))
        if found is None:
            context = StoreContext(self._home, self._url, remote, lambda: self._egress())
            made: VectorStore = load_plugin("vector_stores", kind)(context)
            found = self._stores[kind, remote] = made
        return found
