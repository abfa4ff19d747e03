"""The stores of vectors that are open, and the shelf of each base in them; knows nothing of what lies on it.

Lives as long as the process: one that is embedded belongs to one process, and opening it takes a moment.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from sizewise.data_class import DataClass, Place
from sizewise.errors import SizewiseError
from sizewise.http.egress import Egress
from sizewise.knowledge.vector_store import Base, Ground, Remote, Shelf, Store
from sizewise.plugins import load
from sizewise.settings.knowledge import Knowledge
from sizewise.settings.load import Settings, secret

log = logging.getLogger("sizewise.knowledge")

USUAL = Knowledge()
HERE, SHARED = "qdrant", "pgvector"


class Shelves:
    """One per process; for its event loop."""

    def __init__(self) -> None:
        self._home = Path()
        self._url = ""
        self._wanted: Mapping[str, Knowledge] = {}
        self._egress: Callable[[], Egress] = lambda: Egress({}, {})
        self._stores: dict[tuple[str, Remote], Store] = {}
        self._open: dict[Base, tuple[Store, int, Shelf]] = {}
        self._turns: dict[Base, asyncio.Lock] = {}

    def prepare(self, settings: Settings, reach: Mapping[DataClass, Place]) -> Callable[[], None]:
        """The change to what the settings say of bases. Raises ConfigError."""
        url = secret(settings.database.url)
        egress = Egress({}, reach)
        for its in (each.remote for each in settings.knowledge.values()):
            for each in filter(None, (its.url, its.grpc)):
                egress = egress.allowing(each, its.place)

        def apply() -> None:
            self._home, self._wanted, self._url = settings.home, settings.knowledge, url
            self._egress = lambda: egress

        return apply

    def turn(self, base: Base) -> asyncio.Lock:
        """Who holds it fills the base, or removes it."""
        return self._turns.setdefault(base, asyncio.Lock())

    async def shelf(self, base: Base, dimension: int) -> Shelf:
        """Raises StoreFailed, ConfigError, and Conflict where the store holds vectors of another dimension."""
        store = self._store(base)
        there = self._open.get(base)
        if there is not None and there[:2] == (store, dimension):
            return there[2]
        shelf = await store.open(base, dimension)
        self._open[base] = store, dimension, shelf
        return shelf

    async def remove(self, base: Base) -> None:
        self._open.pop(base, None)
        await self._store(base).remove(base)

    async def settle(self, base: Base) -> None:
        """After much was put."""
        await self._store(base).settle()

    async def close(self) -> None:
        for store in self._stores.values():
            try:
                await store.close()
            except SizewiseError as error:
                log.warning("a store was not closed well: %s", error.message)
        self._stores.clear()
        self._open.clear()

    def _store(self, base: Base) -> Store:
        said = self._wanted.get(base.name, USUAL)
        its = said.remote
        kind = said.vector_store or (SHARED if self._url else HERE)
        remote = Remote(its.url, its.grpc, secret(its.key), its.timeout_s)
        found = self._stores.get((kind, remote))
        if found is None:
            ground = Ground(self._home, self._url, remote, lambda: self._egress())
            made: Store = load("vector_stores", kind)(ground)
            found = self._stores[kind, remote] = made
        return found
