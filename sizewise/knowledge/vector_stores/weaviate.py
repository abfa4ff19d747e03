"""Vector store in an external Weaviate: egress checks and scheduling; the calls are in weaviate_client.py.

One multi-tenant collection per dimension, and one Weaviate tenant per base, for the strongest isolation that Weaviate
offers. Its BM25 runs over terms written as eight hexadecimal digits; it never sees a word.

Address and place are configured. Each call is checked against the data class of its content.
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
from sizewise.knowledge.vector_store import (
    MAX_DIMENSIONS,
    KnowledgeBaseId,
    Passage,
    PassageQuery,
    SearchHit,
    StoreContext,
    validate_passages,
    validate_query,
)

if TYPE_CHECKING:
    from sizewise.knowledge.vector_stores.weaviate_client import WeaviateConnection

T = TypeVar("T")

THREADS = 8
BATCH_SIZE = 200


class WeaviateStore:
    """One per server; several servers may share a Weaviate."""

    def __init__(self, context: StoreContext) -> None:
        """Raises ConfigError if an address is missing, or the client is not installed."""
        if find_spec("weaviate") is None:
            raise ConfigError(
                "the store 'weaviate' needs a library that is not installed",
                "install it: pip install 'sizewise[weaviate]'",
            )
        if not context.remote.url or not context.remote.grpc:
            hint = 'set url, grpc and place in [knowledge.NAME.remote], such as grpc = "http://host:50051"'
            raise ConfigError("the store 'weaviate' needs the HTTP and gRPC addresses of its server", hint)
        self._context = context
        self._origins = (origin(context.remote.url), origin(context.remote.grpc))
        self._server: WeaviateConnection | None = None
        self._threads = ThreadPoolExecutor(THREADS, "sizewise-weaviate")
        self._connecting = asyncio.Lock()

    async def open(self, base: KnowledgeBaseId, dimension: int) -> WeaviateCollection:
        if not 1 <= dimension <= MAX_DIMENSIONS:
            raise ConfigError(f"vectors must have 1 to {MAX_DIMENSIONS} dimensions, not {dimension}")
        await self.call(lambda server: server.open(base.hashed, dimension))
        return WeaviateCollection(self, base.hashed, dimension)

    async def remove(self, base: KnowledgeBaseId) -> None:
        await self.call(lambda server: server.remove(base.hashed))

    async def count(self, base: KnowledgeBaseId) -> int:
        return await self.call(lambda server: server.stored(base.hashed))

    async def optimize(self) -> None:
        """Does nothing: Weaviate optimizes itself."""

    async def close(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            await asyncio.to_thread(server.close)
        await asyncio.to_thread(self._threads.shutdown)

    def check_egress(self, classes: Iterable[DataClass], place: Place = "anyone") -> None:
        """Raises EgressDenied."""
        egress = self._context.egress()
        for kind in set(classes):
            for where in self._origins:
                egress.check(where, purpose="store passages", data_class=kind, max_place=place)

    async def call(self, work: Callable[[WeaviateConnection], T]) -> T:
        """Runs `work` in a thread. Raises EgressDenied if an address is not declared, StorageError."""
        if any(self._context.egress().place(where) is None for where in self._origins):
            self.check_egress(("public",))  # raises
        loop = asyncio.get_running_loop()
        async with self._connecting:
            if self._server is None:
                self._server = await loop.run_in_executor(self._threads, self._connected)
        return await loop.run_in_executor(self._threads, work, self._server)

    def _connected(self) -> WeaviateConnection:
        from sizewise.knowledge.vector_stores.weaviate_client import WeaviateConnection

        return WeaviateConnection(self._context.remote)


class WeaviateCollection:
    """`delete_document` with `keep` supports documents of up to 10,000 passages, Weaviate's limit for a query."""

    def __init__(self, store: WeaviateStore, key: str, dimension: int) -> None:
        self._store = store
        self._key = key
        self._dimension = dimension

    async def upsert(self, passages: Sequence[Passage]) -> Mapping[str, str]:
        refused = dict[str, str]()
        for first in range(0, len(passages), BATCH_SIZE):
            good, bad = validate_passages(passages[first : first + BATCH_SIZE], self._dimension)
            refused |= bad
            if good:
                self._store.check_egress(each.data_class for each in good)
                refused |= await self._store.call(partial(self._put, good))
        return refused

    async def delete_document(self, document: str, *, keep: Iterable[str] = ()) -> int:
        kept = frozenset(keep)
        return await self._store.call(lambda server: server.delete_document(self._key, self._dimension, document, kept))

    async def search(self, query: PassageQuery) -> list[SearchHit]:
        query = validate_query(query, self._dimension)
        self._store.check_egress((query.data_class,), query.place)
        if query.alpha == 0 and not query.terms:
            return []
        return await self._store.call(lambda server: server.search(self._key, self._dimension, query))

    async def count(self) -> int:
        return await self._store.call(lambda server: server.count(self._key, self._dimension))

    async def stored_ids(self, ids: Sequence[str]) -> set[str]:
        return await self._store.call(lambda server: server.stored_ids(self._key, self._dimension, ids))

    def _put(self, passages: Sequence[Passage], server: WeaviateConnection) -> dict[str, str]:
        return server.upsert(self._key, self._dimension, passages)
