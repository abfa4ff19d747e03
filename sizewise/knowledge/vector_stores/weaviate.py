"""Passages in a Weaviate of somebody's: what may go there, and when; how it is said is in weaviate_calls.py.

One collection a dimension, with multi-tenancy, and in it one of Weaviate's tenants a base, so that it keeps bases as
far apart as it can. Its BM25 runs over terms written as words of eight hexadecimal digits: it never sees another word.

The address and its place are configured, and each call is checked by the class of what it carries.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, TypeVar

from sizewise.data_class import DataClass, Place
from sizewise.errors import ConfigError
from sizewise.http.egress import origin
from sizewise.knowledge.vector_store import MOST_DIMENSIONS, Base, Ground, Hit, Passage, Query, asked, taken

if TYPE_CHECKING:
    from sizewise.knowledge.vector_stores.weaviate_client import Server

T = TypeVar("T")

THREADS = 8
SLICE = 200


class Weaviate:
    """One a server; any number of them on one Weaviate."""

    def __init__(self, ground: Ground) -> None:
        """Raises ConfigError where no address is given, or the client is not installed."""
        if find_spec("weaviate") is None:
            raise ConfigError("the store 'weaviate' needs a library", "install it: pip install 'sizewise[weaviate]'")
        if not ground.remote.url or not ground.remote.grpc:
            hint = 'set url, grpc and place in [knowledge.NAME.remote], such as grpc = "http://host:50051"'
            raise ConfigError("the store 'weaviate' needs both addresses of its server", hint)
        self._ground = ground
        self._origins = (origin(ground.remote.url), origin(ground.remote.grpc))
        self._server: Server | None = None
        self._threads = ThreadPoolExecutor(THREADS, "sizewise-weaviate")
        self._connecting = asyncio.Lock()

    async def open(self, base: Base, dimension: int) -> WeaviateShelf:
        if not 1 <= dimension <= MOST_DIMENSIONS:
            raise ConfigError(f"vectors have 1 to {MOST_DIMENSIONS} numbers, not {dimension}")
        await self.call(lambda server: server.open(base.key, dimension))
        return WeaviateShelf(self, base.key, dimension)

    async def remove(self, base: Base) -> None:
        await self.call(lambda server: server.remove(base.key))

    async def settle(self) -> None:
        """It sees to that itself."""

    async def close(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            await asyncio.to_thread(server.close)
        await asyncio.to_thread(self._threads.shutdown)

    def may(self, classes: Iterable[DataClass], place: Place = "anyone") -> None:
        """Raises EgressDenied."""
        egress = self._ground.egress()
        for kind in set(classes):
            for where in self._origins:
                egress.check(where, why="keep passages", data_class=kind, limit=place)

    async def call(self, work: Callable[[Server], T]) -> T:
        """Raises EgressDenied where nobody declared the address, StoreFailed."""
        if any(self._ground.egress().place(where) is None for where in self._origins):
            self.may(("public",))  # it says so
        loop = asyncio.get_running_loop()
        async with self._connecting:
            if self._server is None:
                self._server = await loop.run_in_executor(self._threads, self._connected)
        return await loop.run_in_executor(self._threads, work, self._server)

    def _connected(self) -> Server:
        from sizewise.knowledge.vector_stores.weaviate_client import Server

        return Server(self._ground.remote)


class WeaviateShelf:
    """A document has at most 10,000 passages where some of it shall be kept: so many Weaviate lists."""

    def __init__(self, store: Weaviate, key: str, dimension: int) -> None:
        self._store = store
        self._key = key
        self._dimension = dimension

    async def put(self, passages: Sequence[Passage]) -> Mapping[str, str]:
        refused = dict[str, str]()
        for first in range(0, len(passages), SLICE):
            good, bad = taken(passages[first : first + SLICE], self._dimension)
            refused |= bad
            if good:
                self._store.may(each.data_class for each in good)
                refused |= await self._store.call(partial(self._put, good))
        return refused

    async def drop(self, document: str, *, but: Iterable[str] = ()) -> int:
        kept = frozenset(but)
        return await self._store.call(lambda server: server.drop(self._key, self._dimension, document, kept))

    async def search(self, query: Query) -> list[Hit]:
        query = asked(query, self._dimension)
        self._store.may((query.data_class,), query.place)
        if query.alpha == 0 and not query.terms:
            return []
        return await self._store.call(lambda server: server.search(self._key, self._dimension, query))

    async def count(self) -> int:
        return await self._store.call(lambda server: server.count(self._key, self._dimension))

    def _put(self, passages: Sequence[Passage], server: Server) -> dict[str, str]:
        return server.put(self._key, self._dimension, passages)
