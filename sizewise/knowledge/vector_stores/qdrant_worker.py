"""The worker process that owns the embedded shards, one per base; only importer of Qdrant's engine.

`python -m sizewise.knowledge.vector_stores.qdrant_worker FD FOLDER` serves the inherited socket FD and exits when it
closes. It is a separate process because the engine holds the GIL while it writes, opens a shard or builds an index
(14 s for 15,000 vectors): that delays other searches, never the gateway.

Indexes are built in another process, on a copy: `... qdrant_worker FOLDER` optimizes the shard in FOLDER. Writes in the
meantime go to the original, are recorded, and are replayed on the copy before one rename swaps it in. After a kill at
any moment, the shard that `shelf.json` names holds all acknowledged writes.
"""

from __future__ import annotations

import base64
import os
import shutil
import signal
import sys
import threading
import time
from array import array
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TypeAlias

import msgspec
import qdrant_edge as qdrant
from msgspec import Struct

from sizewise.atomic_file import write_file_atomically
from sizewise.knowledge.fusion import candidate_limit, fuse_scores
from sizewise.knowledge.vector_store import (
    FilterAnd,
    FilterOr,
    PassageQuery,
    SearchHit,
    TagFilter,
    TagIn,
    TagRange,
    bm25_weights,
    filter_tokens,
    match_tokens,
    numeric_tags,
    required_tokens,
)
from sizewise.knowledge.vector_stores.qdrant_protocol import (
    HEAD,
    CopyShard,
    CountPoints,
    CountShard,
    DeletePoints,
    FindPoints,
    Point,
    RemoveShard,
    SearchPoints,
    ShardCall,
    ShardRequest,
    ShardResponse,
    SwapShard,
    UpsertPoints,
    encode_frame,
)
from sizewise.parent_process import end_with_parent

NEAR, TERMS = "near", "terms"  # the two vectors of a point
DOCUMENT, MARKS, NUMBERS, SEALED = "d", "m", "n", "s"  # its payload
THREADS = 4
MOST_OPEN = 64
FRESH = 20_000
"""Unindexed vectors from which an index is worth building: a full scan of this many takes 2 ms."""
SHARE = 0.25
"""Unindexed share of a base, likewise: otherwise a base that grows to a million would be indexed fifty times."""
LOOKED_AT = 256
"""Minimum hnsw_ef: more candidates improve recall and take longer."""
FLUSH_EVERY = 5_000  # points; later ones are in the engine's log, which is replayed after a crash
REMEMBERED = 100_000
"""Points recorded while a copy is optimized; beyond that the copy is abandoned."""
TRANSIENT = ("WouldBlock", "os error 5)", "os error 12)", "os error 13)", "os error 24)", "os error 28)")
"""Parts of the engine's messages if a shard may be whole: lock, I/O, memory, permission, open files, disk space."""
LOCKED_S = 5.0  # how long to wait for the locks of a killed worker

Condition: TypeAlias = "qdrant.ConditionType"  # exists in the stubs only


class DimensionMismatch(Exception):
    """The base has another dimension; the message is for the caller."""


class DamagedShard(Exception):
    """The files of a shard cannot be read, whatever is tried again; the message is the engine's."""


class ShardManifest(Struct, frozen=True):
    """shelf.json: names the current one of the folders next to it."""

    dimension: int
    current: str


class LoadedShard:
    """A shard and its number of current readers."""

    def __init__(self, path: Path, shard: qdrant.EdgeShard) -> None:
        self.path = path
        self.shard = shard
        self.readers = 0
        self.discarded = False  # no new readers; the last one closes and deletes the shard


class Shard:
    """One base. Any number of readers; writers are serialized."""

    def __init__(self, folder: Path, dimension: int) -> None:
        """Raises DimensionMismatch, DamagedShard, OSError, and the engine's exceptions."""
        self.folder = folder
        self.users = 0  # calls in progress
        self.writing = threading.Lock()
        self._write_lock = threading.Lock()  # guards `opened` and its fields; held briefly
        label = _label(folder)
        if label is not None and label.dimension != dimension:
            raise DimensionMismatch(
                f"the knowledge base has vectors with {label.dimension} dimensions, not {dimension}"
            )
        self.dimension = dimension
        if label is None:
            shutil.rmtree(folder, ignore_errors=True)
            (folder / "1").mkdir(parents=True, mode=0o700)
            shard = _created(folder / "1", dimension)
            self._name("1")
            self.opened = LoadedShard(folder / "1", shard)
        else:
            for stray in folder.iterdir():  # unfinished copies
                if stray.is_dir() and stray.name != label.current:
                    shutil.rmtree(stray, ignore_errors=True)
            self.opened = LoadedShard(folder / label.current, _loaded(folder / label.current))
        self.copy: Path | None = None
        self._since: list[tuple[qdrant.UpdateOperation, int]] | None = None
        self._unflushed = 0
        self._dropped = 0

    def needs_optimize(self, min_unindexed: int, share: float = 0.0) -> bool:
        """Whether unindexed or deleted points number at least `min_unindexed`, and this `share` of all."""
        info = self.opened.shard.info()
        plain = 2 * info.points_count - info.indexed_vectors_count  # sparse vectors always count as indexed
        return self._since is None and max(plain, self._dropped) >= max(min_unindexed, share * info.points_count)

    @contextmanager
    def read_lock(self) -> Iterator[qdrant.EdgeShard]:
        with self._write_lock:
            opened = self.opened
            opened.readers += 1
        try:
            yield opened.shard
        finally:
            with self._write_lock:
                opened.readers -= 1
                last = opened.discarded and not opened.readers
            if last:
                _discard(opened)

    def update(self, operation: qdrant.UpdateOperation, points: int) -> None:
        with self.writing:
            shard = self.opened.shard
            shard.update(operation)
            if self._since is not None:
                self._since.append((operation, points))
                if sum(many for _, many in self._since) > REMEMBERED:
                    self._since = None
            self._unflushed += points
            if self._unflushed >= FLUSH_EVERY:
                shard.flush()
                self._unflushed = 0

    def delete(self, selector: qdrant.Filter) -> int:
        with self.read_lock() as shard:
            many = shard.count(qdrant.CountRequest(filter=selector, exact=True))
        if many:
            self.update(qdrant.UpdateOperation.delete_points_by_filter(selector), many)
            self._dropped += many
        return many

    def begin_copy(self) -> Path:
        with self.writing:
            self.opened.shard.flush()
            number = int(self.opened.path.name) + 1
            copy = self.folder / str(number)
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(self.opened.path, copy)
            self.copy, self._since = copy, []
            return copy

    def swap(self) -> bool:
        with self.writing:
            copy, since, self.copy, self._since = self.copy, self._since, None, None
            if copy is None or since is None:
                return False
            shard = _loaded(copy)
            for operation, _ in since:
                shard.update(operation)
            shard.flush()
            self._name(copy.name)
            old, self._dropped, self._unflushed = self.opened, 0, 0
            with self._write_lock:
                self.opened = LoadedShard(copy, shard)
                old.discarded = True
                idle = not old.readers
            if idle:
                _discard(old)
            return True

    @property
    def has_files(self) -> bool:
        """False if its folder was deleted under it."""
        return (self.folder / "shelf.json").exists()

    @property
    def idle(self) -> bool:
        return not self.users and self._since is None

    def close(self) -> None:
        with self.writing:
            self.opened.shard.close()  # flushes

    def _name(self, current: str) -> None:
        write_file_atomically(self.folder / "shelf.json", msgspec.json.encode(ShardManifest(self.dimension, current)))


def _label(folder: Path) -> ShardManifest | None:
    try:
        return msgspec.json.decode((folder / "shelf.json").read_bytes(), type=ShardManifest)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise DamagedShard(str(error)) from error


def _discard(opened: LoadedShard) -> None:
    opened.shard.close()
    shutil.rmtree(opened.path, ignore_errors=True)


def _created(path: Path, dimension: int) -> qdrant.EdgeShard:
    config = qdrant.EdgeConfig(
        vectors={NEAR: qdrant.EdgeVectorParams(dimension, qdrant.Distance.Cosine)},
        sparse_vectors={TERMS: qdrant.EdgeSparseVectorParams(modifier=qdrant.Modifier.Idf)},
    )
    shard = qdrant.EdgeShard.create(str(path), config)
    shard.update(qdrant.UpdateOperation.create_field_index(MARKS, qdrant.PayloadSchemaType.Keyword))
    shard.flush()
    return shard


def _loaded(path: Path) -> qdrant.EdgeShard:
    until = time.monotonic() + LOCKED_S
    while True:
        try:
            return qdrant.EdgeShard.load(str(path))
        except Exception as error:  # the engine has no exception types
            if "WouldBlock" not in str(error) or time.monotonic() > until:
                if any(reason in str(error) for reason in TRANSIENT):
                    raise
                raise DamagedShard(str(error)) from error
            time.sleep(0.05)


# Conversion of points and filters


def to_qdrant_point(point: Point) -> qdrant.Point:
    sparse = sorted(bm25_weights(point.terms).items())
    vectors: dict[str, qdrant.NamedVector] = {NEAR: array("f", point.vector).tolist()}
    if sparse:
        vectors[TERMS] = qdrant.SparseVector([term for term, _ in sparse], [weight for _, weight in sparse])
    payload = {
        DOCUMENT: point.document,
        MARKS: filter_tokens(point.document, point.data_class, point.readers, point.tags),
        NUMBERS: numeric_tags(point.tags),
        SEALED: base64.b64encode(point.sealed).decode("ascii"),
    }
    return qdrant.Point(point.id, vectors, payload)


def visibility_filter(query: PassageQuery) -> qdrant.Filter:
    """Access and filters of the query."""
    must = [_any(*each) for each in required_tokens(query)]
    if query.where is not None:
        must.append(filter_condition(query.where))
    return qdrant.Filter(must=must)


def filter_condition(where: TagFilter) -> Condition:
    if isinstance(where, TagIn):
        return _any(*match_tokens(where))
    if isinstance(where, TagRange):
        of = where
        limits = qdrant.RangeFloat(gt=of.gt, gte=of.gte, lt=of.lt, lte=of.lte)
        return qdrant.FieldCondition(f"{NUMBERS}.{where.field}", range=limits)
    if isinstance(where, FilterAnd):
        return qdrant.Filter(must=[filter_condition(each) for each in where.filters])
    if isinstance(where, FilterOr):
        return qdrant.Filter(should=[filter_condition(each) for each in where.filters] or [match_nothing()])
    return qdrant.Filter(must_not=[filter_condition(where.filter)])


def _any(*marks: str) -> Condition:
    return qdrant.FieldCondition(MARKS, match=qdrant.MatchAny(list(marks))) if marks else match_nothing()


def match_nothing() -> Condition:
    return qdrant.HasIdCondition(set())


def search_shard(shard: qdrant.EdgeShard, query: PassageQuery) -> list[SearchHit]:
    which = visibility_filter(query)
    near = qdrant.Query.Nearest(list(query.vector), using=NEAR) if query.alpha > 0 else None
    worded = None
    if query.alpha < 1 and query.terms:
        asked = sorted(query.terms.items())
        sparse = qdrant.SparseVector([term for term, _ in asked], [float(count) for _, count in asked])
        worded = qdrant.Query.Nearest(sparse, using=TERMS)
    if near is not None and worded is not None:
        return _hybrid(shard, query, near, worded, which)
    only = near or worded
    return [] if only is None else _half(shard, only, which, query.limit, whole=True)


def _hybrid(
    shard: qdrant.EdgeShard, query: PassageQuery, near: qdrant.Query, worded: qdrant.Query, which: qdrant.Filter
) -> list[SearchHit]:
    many = candidate_limit(query.limit)
    cosines = {hit.id: hit.score for hit in _half(shard, near, which, many)}
    scores = {hit.id: hit.score for hit in _half(shard, worded, which, many)}
    cut = len(scores) == many  # otherwise these are all that have one of the words
    cosines |= _scores(shard, near, which, scores.keys() - cosines.keys())
    scores |= _scores(shard, worded, which, cosines.keys() - scores.keys() if cut else set())
    fused = fuse_scores(cosines, scores, words=len(query.terms), alpha=query.alpha, limit=query.limit)
    return _filled(shard, [SearchHit(id, "", score, b"") for id, score in fused.items()], which)


def _scores(shard: qdrant.EdgeShard, query: qdrant.Query, which: qdrant.Filter, ids: set[str]) -> dict[str, float]:
    if not ids:
        return {}
    these = qdrant.Filter(must=[which, qdrant.HasIdCondition({*ids})])
    return {hit.id: hit.score for hit in _half(shard, query, these, len(ids))}


def stored_points(shard: qdrant.EdgeShard, ids: list[str]) -> list[SearchHit]:
    which = qdrant.Filter(must=[qdrant.HasIdCondition(set(ids))])
    request = qdrant.ScrollRequest(limit=len(ids) or 1, filter=which, with_payload=False, with_vector=False)
    return [SearchHit(str(each.id), "", 0.0, b"") for each in shard.scroll(request)[0]]


def _half(
    shard: qdrant.EdgeShard,
    query: qdrant.Query,
    which: qdrant.Filter,
    limit: int,
    whole: bool = False,
) -> list[SearchHit]:
    """A search by vector or by terms. `whole`: with payload, which is read from disk."""
    shown: qdrant.WithPayloadType = [DOCUMENT, SEALED] if whole else False
    params = qdrant.SearchParams(hnsw_ef=max(LOOKED_AT, limit))
    request = qdrant.QueryRequest(limit=limit, query=query, filter=which, with_payload=shown, params=params)
    return [_hit(str(each.id), each.score, each.payload or {}) for each in shard.query(request)]


def _filled(shard: qdrant.EdgeShard, hits: list[SearchHit], which: qdrant.Filter) -> list[SearchHit]:
    """Adds the payload of each hit. Filters again, because a point may have been replaced since."""
    ids = qdrant.Filter(must=[which, qdrant.HasIdCondition({hit.id for hit in hits})])
    request = qdrant.ScrollRequest(limit=len(hits) or 1, filter=ids, with_payload=[DOCUMENT, SEALED], with_vector=False)
    kept = {str(each.id): each.payload or {} for each in shard.scroll(request)[0]}
    return [_hit(hit.id, hit.score, kept[hit.id]) for hit in hits if hit.id in kept]


def _hit(id: str, score: float, payload: qdrant.Payload) -> SearchHit:
    return SearchHit(id, payload.get(DOCUMENT, ""), score, base64.b64decode(payload.get(SEALED, "")))


class ShardWorker:
    """Reads calls from the socket, runs each in a thread, and exits when the socket closes."""

    def __init__(self, stream: BinaryIO, folder: Path) -> None:
        self._stream = stream
        self._folder = folder
        self._write_lock = threading.Lock()
        self._opening = threading.Lock()
        self._shards: dict[str, Shard] = {}  # least recently used first
        self._threads = ThreadPoolExecutor(THREADS)

    def run(self) -> None:
        calls = msgspec.msgpack.Decoder(ShardRequest)
        try:
            while head := self._stream.read(HEAD.size):
                asked = calls.decode(self._stream.read(HEAD.unpack(head)[0]))
                self._threads.submit(self._handle, asked)
        except OSError:
            pass  # the parent is gone
        self._threads.shutdown(wait=True)
        for shelf in self._shards.values():
            shelf.close()
        os._exit(0)

    def _handle(self, request: ShardRequest) -> None:
        try:
            told = ShardResponse(request.number, "", self._execute(request.call))
        except DimensionMismatch as wrong:
            told = ShardResponse(request.number, "conflict", str(wrong))
        except DamagedShard as damaged:
            told = ShardResponse(request.number, "damaged", str(damaged)[:300])
        except Exception as error:  # the engine has no exception types; its messages name files, never contents
            told = ShardResponse(
                request.number,
                "failed",
                str(error).splitlines()[0][:300] if str(error) else repr(error)[:300],
            )
        except BaseException:  # a panic of the engine: its state is unreliable, so let the parent start a new worker
            os._exit(70)
        said = encode_frame(told)
        with self._write_lock:
            try:
                while said:
                    said = said[os.write(self._stream.fileno(), said) :]
            except OSError:
                pass  # the parent is gone

    def _execute(self, call: ShardCall) -> bool | int | str | list[SearchHit] | None:
        if isinstance(call, RemoveShard):
            self._remove(call.key)
            return None
        if isinstance(call, CountShard):
            try:
                label = _label(self._folder / call.key)
                return 0 if label is None else self._execute(CountPoints(call.key, label.dimension))
            except DamagedShard:
                return 0
        with self._open_shard(call.key, call.dimension) as shelf:
            return self._execute_on(shelf, call)

    def _execute_on(self, shelf: Shard, call: ShardCall) -> bool | int | str | list[SearchHit] | None:
        if isinstance(call, UpsertPoints):
            points = [to_qdrant_point(point) for point in call.points]
            shelf.update(qdrant.UpdateOperation.upsert_points(points), len(points))
            return shelf.needs_optimize(FRESH, SHARE)
        if isinstance(call, DeletePoints):
            its: list[Condition] = [_any(f"d={call.document}")]
            spared: list[Condition] = [qdrant.HasIdCondition(set(call.keep))] if call.keep else []
            return shelf.delete(qdrant.Filter(must=its, must_not=spared))
        if isinstance(call, SearchPoints):
            with shelf.read_lock() as shard:
                return search_shard(shard, call.query)
        if isinstance(call, CountPoints):
            with shelf.read_lock() as shard:
                return shard.count(qdrant.CountRequest(exact=True))
        if isinstance(call, FindPoints):
            with shelf.read_lock() as shard:
                return stored_points(shard, call.ids)
        if isinstance(call, CopyShard):
            return str(shelf.begin_copy()) if shelf.needs_optimize(call.min_unindexed) else None
        return shelf.swap() if isinstance(call, SwapShard) else None

    @contextmanager
    def _open_shard(self, key: str, dimension: int) -> Iterator[Shard]:
        with self._opening:
            shelf = self._shards.pop(key, None)
            if shelf is not None and not shelf.has_files:  # it would keep what is written in memory alone
                if shelf.idle:
                    shelf.close()
                shelf = None
            if shelf is None:
                self._make_room()
                shelf = Shard(self._folder / key, dimension)
            self._shards[key] = shelf
            if shelf.dimension != dimension:
                raise DimensionMismatch(
                    f"the knowledge base has vectors with {shelf.dimension} dimensions, not {dimension}"
                )
            shelf.users += 1
        try:
            yield shelf
        finally:
            with self._opening:
                shelf.users -= 1

    def _make_room(self) -> None:
        while len(self._shards) >= MOST_OPEN:
            oldest = next((key for key, shelf in self._shards.items() if shelf.idle), None)
            if oldest is None:
                return
            self._shards.pop(oldest).close()

    def _remove(self, key: str) -> None:
        with self._opening:
            shelf = self._shards.pop(key, None)
            if shelf is not None:
                with shelf.writing:
                    (self._folder / key / "shelf.json").unlink(missing_ok=True)
                shelf.close()
            shutil.rmtree(self._folder / key, ignore_errors=True)


def optimize_shard(path: str) -> None:
    os.nice(10)
    shard = qdrant.EdgeShard.load(path)
    shard.optimize()
    shard.flush()
    shard.close()


def main() -> None:
    for ignored in (signal.SIGINT, signal.SIGTERM):  # the parent decides when to stop
        signal.signal(ignored, signal.SIG_IGN)
    end_with_parent()
    if len(sys.argv) == 2:
        optimize_shard(sys.argv[1])
        return
    ShardWorker(os.fdopen(int(sys.argv[1]), "rb"), Path(sys.argv[2])).run()


if __name__ == "__main__":
    main()
