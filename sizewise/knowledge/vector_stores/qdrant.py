"""Passages on this machine, in Qdrant's own engine, in a process of its own; needs no server and opens no port.

The other side is qdrant_worker.py. Should it die, calls under way fail, the next one starts another, and what was
acknowledged is there.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from itertools import count

import msgspec

from sizewise.errors import ConfigError, Conflict, Outside, StoreFailed
from sizewise.knowledge.vector_store import (
    MOST_DIMENSIONS,
    Base,
    Ground,
    Hit,
    Passage,
    Query,
    asked,
    taken,
)
from sizewise.knowledge.vector_stores.qdrant_protocol import (
    HEAD,
    Asked,
    Call,
    Copy,
    Count,
    Drop,
    Open,
    Put,
    Remove,
    Search,
    Swap,
    Told,
    frame,
    point,
)
from sizewise.process import Child, run, start

WORKER = "sizewise.knowledge.vector_stores.qdrant_worker"
SLICE = 250
"""Passages of one call: 10 ms of the worker's, in which searches wait."""
FEW = 10_000
PATIENCE_S = 120.0
SETTLING_S = 3_600.0
GOODBYE_S = 10.0


class Qdrant:
    """One a home."""

    def __init__(self, ground: Ground, few: int = FEW) -> None:
        """`few`: passages of a base that are not worth an index. Raises ConfigError where the engine is missing."""
        self._few = few
        if find_spec("qdrant_edge") is None:
            raise ConfigError("the store 'qdrant' needs a library", "install it: pip install 'sizewise[knowledge]'")
        self._folder = ground.home / "passages"
        self._child: Child | None = None
        self._starting = asyncio.Lock()
        self._writing = asyncio.Lock()
        self._settling = asyncio.Lock()
        self._numbers = count(1)
        self._waiting: dict[int, tuple[Child, asyncio.Future[Told]]] = {}
        self._open: dict[str, int] = {}  # base -> dimension
        self._due: dict[str, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self, base: Base, dimension: int) -> QdrantShelf:
        if not 1 <= dimension <= MOST_DIMENSIONS:
            raise ConfigError(f"vectors have 1 to {MOST_DIMENSIONS} numbers, not {dimension}")
        await self.call(Open(base.key, dimension))
        self._open[base.key] = dimension
        return QdrantShelf(self, base.key, dimension)

    async def remove(self, base: Base) -> None:
        self._open.pop(base.key, None)
        await self.call(Remove(base.key))

    async def settle(self) -> None:
        for key, dimension in list(self._open.items()):
            await self._settle(key, dimension)

    async def close(self) -> None:
        tasks = [*self._due.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        child, self._child = self._child, None
        if child is not None:
            with suppress(OSError):
                child.writer.write_eof()  # it finishes what it does, and flushes
            try:
                async with asyncio.timeout(GOODBYE_S):
                    await child.ended()
            except TimeoutError:
                child.kill()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def soon(self, key: str, dimension: int) -> None:
        """Puts a base in order in the background, once."""
        if key not in self._due:
            self._due[key] = task = asyncio.create_task(self._settle_quietly(key, dimension))
            task.add_done_callback(lambda _: self._due.pop(key, None))

    async def call(self, call: Call) -> bool | int | str | list[Hit] | None:
        child = await self._started()
        number = next(self._numbers)
        told: asyncio.Future[Told] = asyncio.get_running_loop().create_future()
        self._waiting[number] = (child, told)
        try:
            async with asyncio.timeout(PATIENCE_S):
                async with self._writing:
                    child.writer.write(frame(Asked(number, call)))
                    await child.writer.drain()
                answer = await told
        except TimeoutError as error:
            raise StoreFailed(f"the vector store has not answered for {PATIENCE_S:g} s", "try again") from error
        except OSError as error:
            self._forget(child)
            raise _lost("hung up") from error
        finally:
            self._waiting.pop(number, None)
        if answer.kind == "conflict":
            raise Conflict(str(answer.value), "name another base, or ingest this one anew")
        if answer.kind:
            raise StoreFailed(f"the vector store failed: {answer.value}", "is there room on the disk?")
        return answer.value

    async def _started(self) -> Child:
        async with self._starting:
            if self._child is None:
                try:
                    self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                    self._child = child = await start(WORKER, str(self._folder))
                except OSError as error:
                    raise StoreFailed(f"the vector store cannot be started: {error.strerror}") from error
                task = asyncio.create_task(self._listen(child))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            return self._child

    async def _listen(self, child: Child) -> None:
        answers = msgspec.msgpack.Decoder(Told)
        with suppress(asyncio.IncompleteReadError, OSError):
            while True:
                size = HEAD.unpack(await child.reader.readexactly(HEAD.size))[0]
                told = answers.decode(await child.reader.readexactly(size))
                _, waiting = self._waiting.get(told.number, (child, None))
                if waiting is not None and not waiting.done():
                    waiting.set_result(told)
        self._forget(child)
        why = await child.ended()
        for theirs, waiting in self._waiting.values():
            if theirs is child and not waiting.done():
                waiting.set_exception(_lost(why))

    def _forget(self, child: Child) -> None:
        """One that is gone, or as good as: whoever calls next starts another."""
        if self._child is child:
            self._child = None
            child.kill()

    async def _settle_quietly(self, key: str, dimension: int) -> None:
        with suppress(StoreFailed, Outside, Conflict):  # it is slower than it could be, and tried again later
            await self._settle(key, dimension)

    async def _settle(self, key: str, dimension: int) -> None:
        async with self._settling:
            copy = await self.call(Copy(key, dimension, self._few))
            if copy is None:
                return
            done = await run([sys.executable, "-P", "-m", WORKER, str(copy)], SETTLING_S)
            if done.code != 0:
                raise StoreFailed("the vector store could not be put in order", "is there room on the disk?")
            await self.call(Swap(key, dimension))


class QdrantShelf:
    def __init__(self, store: Qdrant, key: str, dimension: int) -> None:
        self._store = store
        self._key = key
        self._dimension = dimension

    async def put(self, passages: Sequence[Passage]) -> Mapping[str, str]:
        refused = dict[str, str]()
        for first in range(0, len(passages), SLICE):
            good, bad = taken(passages[first : first + SLICE], self._dimension)
            refused |= bad
            if good and await self._store.call(Put(self._key, self._dimension, [point(each) for each in good])):
                self._store.soon(self._key, self._dimension)
        return refused

    async def drop(self, document: str, *, but: Iterable[str] = ()) -> int:
        many = await self._store.call(Drop(self._key, self._dimension, document, list(but)))
        assert isinstance(many, int)
        return many

    async def search(self, query: Query) -> list[Hit]:
        fair = asked(query, self._dimension)
        plain = msgspec.structs.replace(fair, vector=[float(x) for x in fair.vector], terms=dict(fair.terms))
        found = await self._store.call(Search(self._key, self._dimension, plain))
        assert isinstance(found, list)
        return found

    async def count(self) -> int:
        many = await self._store.call(Count(self._key, self._dimension))
        assert isinstance(many, int)
        return many


def _lost(why: str) -> StoreFailed:
    return StoreFailed(f"the process of the vector store {why}", "try again: another is started, and nothing is lost")
