"""Embedded vector store: Qdrant's engine in a child process; needs no server and opens no port.

The child is qdrant_worker.py. If it dies, calls in progress fail and the next call starts a new one; acknowledged
writes are not lost.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from itertools import count

import msgspec

from sizewise.errors import ConfigError, Conflict, ExternalFailure, StorageError
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
from sizewise.knowledge.vector_stores.qdrant_protocol import (
    HEAD,
    CopyShard,
    CountPoints,
    CountShard,
    DeletePoints,
    FindPoints,
    OpenShard,
    RemoveShard,
    SearchPoints,
    ShardCall,
    ShardRequest,
    ShardResponse,
    SwapShard,
    UpsertPoints,
    encode_frame,
    to_point,
)
from sizewise.process import ChildProcess, run, start_module

log = logging.getLogger("sizewise.knowledge")

WORKER = "sizewise.knowledge.vector_stores.qdrant_worker"
BATCH_SIZE = 250
"""Passages per call: 10 ms in the worker, which searches wait for."""
ID_BATCH = 1_000
"""Ids per call, likewise."""
MIN_INDEXED_PASSAGES = 10_000
CALL_TIMEOUT_S = 120.0
OPTIMIZE_TIMEOUT_S = 3_600.0
SHUTDOWN_TIMEOUT_S = 10.0


class QdrantStore:
    """One per home folder."""

    def __init__(self, context: StoreContext, min_indexed: int = MIN_INDEXED_PASSAGES) -> None:
        """`min_indexed`: passages of a base from which `optimize` builds an index. Raises ConfigError if the engine is
        not installed.
        """
        self._few = min_indexed
        if find_spec("qdrant_edge") is None:
            raise ConfigError(
                "the store 'qdrant' needs a library that is not installed",
                "install it: pip install 'sizewise[knowledge]'",
            )
        self._folder = context.home / "passages"
        self._child: ChildProcess | None = None
        self._starting = asyncio.Lock()
        self._writing = asyncio.Lock()
        self._optimizing = asyncio.Lock()
        self._numbers = count(1)
        self._waiting: dict[int, tuple[ChildProcess, asyncio.Future[ShardResponse]]] = {}
        self._open: dict[str, int] = {}  # base -> dimension
        self._due: dict[str, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self, base: KnowledgeBaseId, dimension: int) -> QdrantCollection:
        if not 1 <= dimension <= MAX_DIMENSIONS:
            raise ConfigError(f"vectors must have 1 to {MAX_DIMENSIONS} dimensions, not {dimension}")
        await self.call(OpenShard(base.hashed, dimension))
        self._open[base.hashed] = dimension
        return QdrantCollection(self, base.hashed, dimension)

    async def remove(self, base: KnowledgeBaseId) -> None:
        self._open.pop(base.hashed, None)
        await self.call(RemoveShard(base.hashed))

    async def count(self, base: KnowledgeBaseId) -> int:
        many = await self.call(CountShard(base.hashed))
        assert isinstance(many, int)
        return many

    async def optimize(self) -> None:
        for key, dimension in list(self._open.items()):
            await self._optimize(key, dimension)

    async def close(self) -> None:
        tasks = [*self._due.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        child, self._child = self._child, None
        if child is not None:
            with suppress(OSError):
                child.writer.write_eof()  # the worker finishes its calls and flushes
            try:
                async with asyncio.timeout(SHUTDOWN_TIMEOUT_S):
                    await child.wait()
            except TimeoutError:
                child.kill()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def schedule_optimize(self, key: str, dimension: int) -> None:
        """Optimizes a base in the background, unless that is already running."""
        if key not in self._due:
            self._due[key] = task = asyncio.create_task(self._optimize_in_background(key, dimension))
            task.add_done_callback(lambda _: self._due.pop(key, None))

    async def call(self, call: ShardCall) -> bool | int | str | list[SearchHit] | None:
        child = await self._started()
        number = next(self._numbers)
        told: asyncio.Future[ShardResponse] = asyncio.get_running_loop().create_future()
        self._waiting[number] = (child, told)
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                async with self._writing:
                    child.writer.write(encode_frame(ShardRequest(number, call)))
                    await child.writer.drain()
                answer = await told
        except TimeoutError as error:
            raise StorageError(f"the vector store did not respond within {CALL_TIMEOUT_S:g} s", "try again") from error
        except OSError as error:
            self._forget(child)
            raise _lost("closed the connection") from error
        finally:
            self._waiting.pop(number, None)
        if answer.error == "conflict":
            raise Conflict(str(answer.value), "use another knowledge base, or ingest this one again")
        if answer.error == "damaged":
            log.debug("a shard cannot be loaded: %s", answer.value)  # names files
            hint = "embed its passages again: sizewise knowledge rebuild NAME"
            raise StorageError("the vector store's files of this knowledge base are damaged", hint)
        if answer.error:
            raise StorageError(f"the vector store failed: {answer.value}", "check that the disk has free space")
        return answer.value

    async def _started(self) -> ChildProcess:
        async with self._starting:
            if self._child is None:
                try:
                    self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                    self._child = child = await start_module(WORKER, str(self._folder))
                except FileExistsError as error:
                    hint = "move the file `passages` in the home folder away: it must be a folder"
                    raise StorageError(f"the vector store cannot be started: {error.strerror}", hint) from error
                except OSError as error:
                    hint = "make the folder `passages` in the home folder writable, and free space on its disk"
                    raise StorageError(f"the vector store cannot be started: {error.strerror}", hint) from error
                task = asyncio.create_task(self._listen(child))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            return self._child

    async def _listen(self, child: ChildProcess) -> None:
        answers = msgspec.msgpack.Decoder(ShardResponse)
        with suppress(asyncio.IncompleteReadError, OSError):
            while True:
                size = HEAD.unpack(await child.reader.readexactly(HEAD.size))[0]
                told = answers.decode(await child.reader.readexactly(size))
                _, waiting = self._waiting.get(told.number, (child, None))
                if waiting is not None and not waiting.done():
                    waiting.set_result(told)
        self._forget(child)
        why = await child.wait()
        for theirs, waiting in self._waiting.values():
            if theirs is child and not waiting.done():
                waiting.set_exception(_lost(why))

    def _forget(self, child: ChildProcess) -> None:
        """Drops a dead or unreachable worker; the next call starts a new one."""
        if self._child is child:
            self._child = None
            child.kill()

    async def _optimize_in_background(self, key: str, dimension: int) -> None:
        with suppress(StorageError, ExternalFailure, Conflict):  # searches stay slower until the next attempt
            await self._optimize(key, dimension)

    async def _optimize(self, key: str, dimension: int) -> None:
        async with self._optimizing:
            copy = await self.call(CopyShard(key, dimension, self._few))
            if copy is None:
                return
            done = await run([sys.executable, "-P", "-m", WORKER, str(copy)], OPTIMIZE_TIMEOUT_S)
            if done.exit_code != 0:
                raise StorageError("the vector store could not be optimized", "check that the disk has free space")
            await self.call(SwapShard(key, dimension))


class QdrantCollection:
    def __init__(self, store: QdrantStore, key: str, dimension: int) -> None:
        self._store = store
        self._key = key
        self._dimension = dimension

    async def upsert(self, passages: Sequence[Passage]) -> Mapping[str, str]:
        refused = dict[str, str]()
        for first in range(0, len(passages), BATCH_SIZE):
            good, bad = validate_passages(passages[first : first + BATCH_SIZE], self._dimension)
            refused |= bad
            if good and await self._store.call(
                UpsertPoints(self._key, self._dimension, [to_point(each) for each in good]),
            ):
                self._store.schedule_optimize(self._key, self._dimension)
        return refused

    async def delete_document(self, document: str, *, keep: Iterable[str] = ()) -> int:
        many = await self._store.call(DeletePoints(self._key, self._dimension, document, list(keep)))
        assert isinstance(many, int)
        return many

    async def search(self, query: PassageQuery) -> list[SearchHit]:
        fair = validate_query(query, self._dimension)
        plain = msgspec.structs.replace(fair, vector=[float(x) for x in fair.vector], terms=dict(fair.terms))
        found = await self._store.call(SearchPoints(self._key, self._dimension, plain))
        assert isinstance(found, list)
        return found

    async def count(self) -> int:
        many = await self._store.call(CountPoints(self._key, self._dimension))
        assert isinstance(many, int)
        return many

    async def stored_ids(self, ids: Sequence[str]) -> set[str]:
        stored = set[str]()
        for first in range(0, len(ids), ID_BATCH):
            some = list(ids[first : first + ID_BATCH])
            found = await self._store.call(FindPoints(self._key, self._dimension, some))
            assert isinstance(found, list)
            stored |= {hit.id for hit in found}
        return stored


def _lost(why: str) -> StorageError:
    return StorageError(
        f"the process of the vector store {why}", "try again; a new process is started and no data is lost"
    )
