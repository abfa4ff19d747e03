"""The Weaviate client adapter, the only importer of its library; blocking, so it runs in threads.

The client is configured not to check PyPI for updates, not to discover OIDC, and to ignore proxies of the environment.
FilterNot is pushed down to single conditions, because servers before 1.33 have no `Not`.
"""

from __future__ import annotations

import base64
import logging
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import grpc
import weaviate
from weaviate.classes.config import Configure, DataType, Property, StopwordsPreset, Tokenization, VectorDistances
from weaviate.classes.data import DataObject
from weaviate.classes.init import AdditionalConfig, Auth, Timeout
from weaviate.classes.query import Filter, MetadataQuery
from weaviate.classes.tenants import Tenant
from weaviate.collections import Collection as Passages
from weaviate.collections.classes.config import CollectionConfig
from weaviate.collections.classes.filters import FilterReturn
from weaviate.config import GrpcConfig
from weaviate.connect import ConnectionParams
from weaviate.exceptions import UnexpectedStatusCodeError, WeaviateBaseError, WeaviateInsertManyAllFailedError
from weaviate.logger import logger as client_log

from sizewise.errors import Conflict, StorageError
from sizewise.guardrails.upstream_error_text import client_text
from sizewise.http.egress import DEFAULT_PORTS, origin
from sizewise.knowledge.fusion import candidate_limit, fuse_scores
from sizewise.knowledge.vector_store import (
    K1,
    FilterAnd,
    FilterOr,
    Passage,
    PassageQuery,
    RemoteStore,
    SearchHit,
    SparseTerms,
    TagFilter,
    TagIn,
    TagRange,
    filter_tokens,
    match_tokens,
    numeric_tags,
    required_tokens,
)

COLLECTION_PREFIX = "SizewisePassages"
"""Followed by the dimension in the name of a collection."""
PAGE_SIZE = 10_000  # Weaviate's own limit per query
ID_BATCH = 200  # ids per filter
MAX_NUMERIC_PROPERTIES = 200
"""Different numeric tags per collection: each is a property, shared by all its bases."""
NO_MATCH = "-"  # equal to no token
MAX_REASON_CHARS = 300
UNREACHABLE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)
"""Codes that gRPC makes up itself when no server answers."""
KEY_REFUSED = ("unauthorized", "anonymous access", "unauthenticated")
"""A wrong key over gRPC has the code UNKNOWN and is known by its text."""

TenantCollection = Passages[Any, None]


def _log_nothing(record: logging.LogRecord) -> bool:
    """The client logs whole objects when some of a batch are refused; all that it logs is also an exception here."""
    return False


client_log.addFilter(_log_nothing)


class WeaviateConnection:
    """Thread-safe."""

    def __init__(self, remote: RemoteStore) -> None:
        """Raises StorageError."""
        self._origin = origin(remote.url)
        self._fields: dict[str, set[str]] = {}
        self._lock = threading.Lock()  # guards _fields
        with _in_our_words(self._origin):
            self._client = _connected(remote)

    def close(self) -> None:
        self._client.close()

    def open(self, key: str, dimension: int) -> None:
        with _in_our_words(self._origin):
            name = f"{COLLECTION_PREFIX}{dimension}"
            ours = self._ours()
            for other in ours:
                if other != name and self._has_tenant(other, key):
                    found = other.removeprefix(COLLECTION_PREFIX)
                    told = f"the knowledge base has vectors with {found} dimensions, not {dimension}"
                    raise Conflict(told, "use another knowledge base, or ingest this one again")
            if name not in ours:
                marks = Property(
                    name="marks", data_type=DataType.TEXT_ARRAY, tokenization=Tokenization.FIELD,
                    index_filterable=True, index_searchable=False,
                )  # fmt: skip
                terms = Property(
                    name="terms", data_type=DataType.TEXT, tokenization=Tokenization.WHITESPACE,
                    index_filterable=False, index_searchable=True,
                )  # fmt: skip
                bare = [
                    Property(name="document", data_type=DataType.TEXT, index_filterable=False, index_searchable=False),
                    Property(name="sealed", data_type=DataType.BLOB),
                ]
                index = Configure.VectorIndex.hnsw(distance_metric=VectorDistances.COSINE)
                try:
                    self._client.collections.create(
                        name,
                        properties=[marks, terms, *bare],
                        vector_config=Configure.Vectors.self_provided(vector_index_config=index),
                        multi_tenancy_config=Configure.multi_tenancy(enabled=True, auto_tenant_activation=True),
                        inverted_index_config=Configure.inverted_index(stopwords_preset=StopwordsPreset.NONE),
                    )
                except UnexpectedStatusCodeError:
                    if name not in self._ours():  # otherwise another Sizewise server created it first
                        raise
            self._check_shape(name)
            tenants = self._client.collections.get(name).tenants
            if not tenants.exists(key):
                tenants.create([Tenant(name=key)])

    def remove(self, key: str) -> None:
        with _in_our_words(self._origin):
            for name in self._ours():
                if self._has_tenant(name, key):
                    self._client.collections.get(name).tenants.remove([key])

    def stored(self, key: str) -> int:
        """Objects of the tenant, in whichever collection it is; 0 if in none."""
        with _in_our_words(self._origin):
            tenants = [
                self._client.collections.get(name).with_tenant(key)
                for name in self._ours()
                if self._has_tenant(name, key)
            ]
            return sum(each.aggregate.over_all(total_count=True).total_count or 0 for each in tenants)

    def stored_ids(self, key: str, dimension: int, ids: Sequence[str]) -> set[str]:
        with self._checked(f"{COLLECTION_PREFIX}{dimension}"):
            its, stored = self._tenant_collection(key, dimension), set[str]()
            for first in range(0, len(ids), ID_BATCH):
                which = Filter.by_id().contains_any(list(ids[first : first + ID_BATCH]))
                found = its.query.fetch_objects(filters=which, limit=ID_BATCH, return_properties=[]).objects
                stored |= {str(each.uuid) for each in found}
            return stored

    def upsert(self, key: str, dimension: int, passages: Sequence[Passage]) -> dict[str, str]:
        """Creates the collection again if it is gone, such as with a new volume: written without one, Weaviate's
        auto-schema would create one of another shape, which then fails everything.
        """
        name = f"{COLLECTION_PREFIX}{dimension}"
        with _in_our_words(self._origin):
            if not self._has_tenant(name, key):
                self.open(key, dimension)
        with self._checked(name):
            its = self._tenant_collection(key, dimension)
            fields = self._known(its, {field for each in passages for field in numeric_tags(each.tags)}, make=True)
            refused = {
                each.id: f"the server already has {MAX_NUMERIC_PROPERTIES} numeric tags, the maximum"
                for each in passages
                if not fields.issuperset(numeric_tags(each.tags))
            }
            fitting = [each for each in passages if each.id not in refused]
            if fitting:
                objects = [
                    DataObject(_properties(each), each.id, vector=[*map(float, each.vector)]) for each in fitting
                ]
                try:
                    failed = its.data.insert_many(objects).errors
                except WeaviateInsertManyAllFailedError as error:  # it has the reasons, not which is whose
                    self._check_shape(name)
                    refused |= dict.fromkeys((each.id for each in fitting), _reason(error))
                else:
                    refused |= {
                        fitting[n].id: client_text(each.message)[:MAX_REASON_CHARS] for n, each in failed.items()
                    }
            return refused

    def delete_document(self, key: str, dimension: int, document: str, keep: frozenset[str]) -> int:
        with self._checked(f"{COLLECTION_PREFIX}{dimension}"):
            its, gone = self._tenant_collection(key, dimension), 0
            which = _any([f"d={document}"])
            while keep:
                found = its.query.fetch_objects(filters=which, limit=PAGE_SIZE, return_properties=[]).objects
                stale = [str(each.uuid) for each in found if str(each.uuid) not in keep]
                for first in range(0, len(stale), ID_BATCH):
                    gone += self._delete(its, Filter.by_id().contains_any(stale[first : first + ID_BATCH]))
                if not stale or len(found) < PAGE_SIZE:
                    return gone
            while done := self._delete(its, which):
                gone += done
            return gone

    def search(self, key: str, dimension: int, query: PassageQuery) -> list[SearchHit]:
        with self._checked(f"{COLLECTION_PREFIX}{dimension}"):
            its = self._tenant_collection(key, dimension)
            which = self._seen(query, its)
            if query.alpha == 1 or not query.terms:
                return _nearest(its, query, which, query.limit)
            if query.alpha == 0:
                return _worded(its, query, which, query.limit)
            return _hybrid(its, query, which)

    def count(self, key: str, dimension: int) -> int:
        with self._checked(f"{COLLECTION_PREFIX}{dimension}"):
            return self._tenant_collection(key, dimension).aggregate.over_all(total_count=True).total_count or 0

    def _delete(self, its: TenantCollection, which: FilterReturn) -> int:
        """How many were deleted. Raises StorageError if some could not be: Weaviate says so in its reply, not why."""
        done = its.data.delete_many(where=which)
        if done.failed:
            told = f"Weaviate at {self._origin!r} deleted only {done.successful} of {done.matches} passages"
            raise StorageError(told, "see its log: is it read-only because its disk is nearly full?")
        return done.successful

    @contextmanager
    def _checked(self, name: str) -> Iterator[None]:
        """If a call to the collection fails, says so if the reason is that it is gone, or not one of Sizewise."""
        with _in_our_words(self._origin):
            try:
                yield
            except WeaviateBaseError as error:
                if _answer(error):
                    self._check_shape(name)
                raise

    def _check_shape(self, name: str) -> None:
        """Raises StorageError if the collection is not there, or has not the shape that `open` gives it. Forgets which
        properties it had: it may be another one of the same name.
        """
        with self._lock:
            self._fields.pop(name, None)
        if name not in self._ours():
            told = f"Weaviate at {self._origin!r} has no collection {name!r} any more, and none of its passages"
            raise StorageError(told, "restore its backup, or embed the passages again: sizewise knowledge rebuild")
        if wrong := shape_error(self._client.collections.get(name).config.get()):
            told = f"the collection {name!r} in Weaviate at {self._origin!r} is not one of Sizewise: {wrong}"
            hint = "delete it there, and set AUTOSCHEMA_ENABLED=false: Weaviate may have created it by auto-schema"
            raise StorageError(told, hint)

    def _has_tenant(self, name: str, key: str) -> bool:
        """Also False if there is no such collection, or one without multi-tenancy."""
        try:
            return self._client.collections.get(name).tenants.exists(key)
        except UnexpectedStatusCodeError as error:
            if error.status_code in (404, 422):
                return False
            raise

    def _tenant_collection(self, key: str, dimension: int) -> TenantCollection:
        return self._client.collections.get(f"{COLLECTION_PREFIX}{dimension}").with_tenant(key)

    def _ours(self) -> list[str]:
        return [
            name
            for name in self._client.collections.list_all(simple=True)
            if name.removeprefix(COLLECTION_PREFIX).isdecimal()
        ]

    def _known(self, its: TenantCollection, wanted: Collection[str], make: bool) -> set[str]:
        """Numeric properties of the collection. `make`: creates missing `wanted` ones up to MAX_NUMERIC_PROPERTIES."""
        with self._lock:
            known = self._fields.setdefault(its.name, set())
            if not known.issuperset(wanted):
                there = its.config.get(simple=True).properties
                known |= {each.name[2:] for each in there if each.name.startswith("n_")}
            for field in sorted(set(wanted) - known) if make else ():
                if len(known) < MAX_NUMERIC_PROPERTIES:
                    kind = DataType.NUMBER
                    its.config.add_property(Property(name=f"n_{field}", data_type=kind, index_filterable=True))
                    known.add(field)
            return known

    def _seen(self, query: PassageQuery, its: TenantCollection) -> FilterReturn | None:
        parts = [_any(each) for each in required_tokens(query)]
        if query.where is not None:
            parts.append(filter_condition(query.where, self._known(its, set(_compared(query.where)), make=False)))
        return _all(parts) if parts else None


def shape_error(its: CollectionConfig) -> str:
    """How a collection differs from one that `WeaviateConnection.open` creates; empty if it does not."""
    if not its.multi_tenancy_config.enabled:
        return "multi-tenancy is off"
    there = {each.name: each for each in its.properties}
    marks, terms = there.get("marks"), there.get("terms")
    if marks is None or marks.tokenization != Tokenization.FIELD or not marks.index_filterable:
        return "'marks' is not a filterable property tokenized by field"
    if terms is None or terms.tokenization != Tokenization.WHITESPACE or not terms.index_searchable:
        return "'terms' is not a searchable property tokenized by whitespace"
    for name, kind in (("document", DataType.TEXT), ("sealed", DataType.BLOB)):
        if name not in there or there[name].data_type != kind:
            return f"{name!r} is not a property of the type {kind.value!r}"
    return ""


# Conversion of passages and filters


def _properties(passage: Passage) -> dict[str, object]:
    """Without `sealed` if it is empty: Weaviate refuses an object with an empty blob."""
    fields = numeric_tags(passage.tags)
    blob = {"sealed": base64.b64encode(passage.sealed).decode("ascii")} if passage.sealed else {}
    return {
        "document": passage.document,
        "marks": [
            *map(_ended, filter_tokens(passage.document, passage.data_class, passage.readers, passage.tags)),
            *(_ended(f"n={field}") for field in fields),
        ],
        "terms": _words(passage.terms),
        **blob,
        **{f"n_{field}": value for field, value in fields.items()},
    }


def _ended(mark: str) -> str:
    """Ends a token with a period, because Weaviate trims trailing space, and "a" must differ from "a "."""
    return f"{mark}."


def _hybrid(its: TenantCollection, query: PassageQuery, which: FilterReturn | None) -> list[SearchHit]:
    """Not Weaviate's own hybrid search, so that all stores rank alike."""
    many = candidate_limit(query.limit)
    near, worded = _nearest(its, query, which, many), _worded(its, query, which, many)
    hits = {hit.id: hit for hit in (*near, *worded)}
    cosines, scores = {hit.id: hit.score for hit in near}, {hit.id: hit.score for hit in worded}
    if rest := hits.keys() - cosines.keys():
        cosines |= {hit.id: hit.score for hit in _nearest(its, query, _among(rest, which), len(rest))}
    if len(worded) == many and (rest := hits.keys() - scores.keys()):  # fewer are all that have one of the words
        scores |= {hit.id: hit.score for hit in _worded(its, query, _among(rest, which), len(rest))}
    ours = {id: score * (K1 + 1) for id, score in scores.items()}  # a factor that Weaviate's BM25 leaves out
    fused = fuse_scores(cosines, ours, words=len(query.terms), alpha=query.alpha, limit=query.limit)
    return [SearchHit(id, hits[id].document, score, hits[id].sealed) for id, score in fused.items()]


def _nearest(its: TenantCollection, query: PassageQuery, which: FilterReturn | None, limit: int) -> list[SearchHit]:
    said = its.query.near_vector(
        [*map(float, query.vector)], limit=limit, filters=which, return_properties=["document", "sealed"],
        return_metadata=MetadataQuery(distance=True),
    )  # fmt: skip
    return [_hit(each.uuid, each.properties, 1 - (each.metadata.distance or 0.0)) for each in said.objects]


def _worded(its: TenantCollection, query: PassageQuery, which: FilterReturn | None, limit: int) -> list[SearchHit]:
    said = its.query.bm25(
        _words(query.terms), query_properties=["terms"], limit=limit, filters=which,
        return_properties=["document", "sealed"], return_metadata=MetadataQuery(score=True),
    )  # fmt: skip
    return [_hit(each.uuid, each.properties, each.metadata.score or 0.0) for each in said.objects]


def _among(ids: Collection[str], which: FilterReturn | None) -> FilterReturn:
    among = Filter.by_id().contains_any(list(ids))
    return among if which is None else Filter.all_of([which, among])


def _words(terms: SparseTerms) -> str:
    return " ".join(f"{term:08x}" for term, count in terms.items() for _ in range(min(count, 1_000)))


def _hit(id: object, properties: Mapping[str, object], score: float) -> SearchHit:
    sealed = properties.get("sealed") or ""  # absent if it is empty
    return SearchHit(str(id), str(properties["document"]), score, base64.b64decode(str(sealed)))


def filter_condition(where: TagFilter, fields: Collection[str], negated: bool = False) -> FilterReturn:
    """`fields`: the numeric properties that exist; Weaviate rejects a filter on an unknown property."""
    if isinstance(where, TagIn):
        return _none(match_tokens(where)) if negated else _any(match_tokens(where))
    if isinstance(where, TagRange):
        if where.field not in fields:
            return _none([]) if negated else _any([])
        return _some(_outside(where)) if negated else _all(_inside(where))
    if isinstance(where, (FilterAnd, FilterOr)):
        parts = [filter_condition(each, fields, negated) for each in where.filters]
        both = isinstance(where, FilterAnd) is not negated
        if not parts:
            return _none([]) if both else _any([])
        return _all(parts) if both else _some(parts)
    return filter_condition(where.filter, fields, not negated)


def _inside(where: TagRange) -> list[FilterReturn]:
    its = Filter.by_property(f"n_{where.field}")
    parts: list[FilterReturn] = [_any([f"n={where.field}"])]
    if where.gt is not None:
        parts.append(its.greater_than(float(where.gt)))
    if where.gte is not None:
        parts.append(its.greater_or_equal(float(where.gte)))
    if where.lt is not None:
        parts.append(its.less_than(float(where.lt)))
    if where.lte is not None:
        parts.append(its.less_or_equal(float(where.lte)))
    return parts


def _outside(where: TagRange) -> list[FilterReturn]:
    its = Filter.by_property(f"n_{where.field}")
    parts: list[FilterReturn] = [_none([f"n={where.field}"])]
    if where.gt is not None:
        parts.append(its.less_or_equal(float(where.gt)))
    if where.gte is not None:
        parts.append(its.less_than(float(where.gte)))
    if where.lt is not None:
        parts.append(its.greater_or_equal(float(where.lt)))
    if where.lte is not None:
        parts.append(its.greater_than(float(where.lte)))
    return parts


def _any(of: Sequence[str]) -> FilterReturn:
    return Filter.by_property("marks").contains_any([_ended(each) for each in of] or [NO_MATCH])


def _none(of: Sequence[str]) -> FilterReturn:
    return _all([Filter.by_property("marks").not_equal(_ended(each)) for each in of or [NO_MATCH]])


def _all(parts: Sequence[FilterReturn]) -> FilterReturn:
    return Filter.all_of(list(parts)) if len(parts) > 1 else parts[0]


def _some(parts: Sequence[FilterReturn]) -> FilterReturn:
    return Filter.any_of(list(parts)) if len(parts) > 1 else parts[0]


def _compared(where: TagFilter) -> Iterator[str]:
    """Tags that the filter compares as numbers."""
    if isinstance(where, TagRange):
        yield where.field
    elif isinstance(where, (FilterAnd, FilterOr)):
        for each in where.filters:
            yield from _compared(each)
    elif not isinstance(where, TagIn):
        yield from _compared(where.filter)


def _parts(url: str) -> tuple[str, int, bool]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or DEFAULT_PORTS[parts.scheme], parts.scheme == "https"


def _connected(remote: RemoteStore) -> weaviate.WeaviateClient:
    client = weaviate.WeaviateClient(
        connection_params=ConnectionParams.from_params(*_parts(remote.url), *_parts(remote.grpc)),
        auth_client_secret=Auth.api_key(remote.key) if remote.key else None,
        additional_config=AdditionalConfig(
            timeout=Timeout(init=remote.timeout_s, query=remote.timeout_s, insert=remote.timeout_s),
            trust_env=False,
            grpc_config=GrpcConfig(channel_options=[("grpc.enable_http_proxy", 0)]),
        ),
        skip_init_checks=True,  # one of them asks PyPI for the newest version
    )
    try:
        client.connect()
    except BaseException:
        client.close()
        raise
    return client


def _reason(error: WeaviateInsertManyAllFailedError) -> str:
    """The server's reasons, each once, without secrets."""
    return client_text("; ".join(error.message.partition("errors: ")[2].split("\n")))[:MAX_REASON_CHARS]


def _answer(error: WeaviateBaseError) -> str:
    """What the server answered to a gRPC call, without secrets; empty if it did not."""
    call = error.__context__
    if not isinstance(call, grpc.RpcError) or not isinstance(call, grpc.Call) or call.code() in UNREACHABLE:
        return ""
    return client_text(str(call.details()))[:MAX_REASON_CHARS]


def _storage_error(error: WeaviateBaseError, where: str) -> StorageError:
    check_key = "check its `key` in [knowledge.NAME.remote]"
    if isinstance(error, UnexpectedStatusCodeError):
        hint = check_key if error.status_code in (401, 403) else "see the server's log"
        return StorageError(f"Weaviate at {where!r} responded with status {error.status_code}", hint)
    if answer := _answer(error):
        if any(words in answer.lower() for words in KEY_REFUSED):
            return StorageError(f"Weaviate at {where!r} refused the key", check_key)
        return StorageError(f"Weaviate at {where!r} responded: {answer}", "see the server's log")
    told = f"Weaviate at {where!r} failed: {type(error).__name__}"
    return StorageError(told, "check that it is running, version 1.27 or newer, and that `url` and `grpc` are right")


@contextmanager
def _in_our_words(where: str) -> Iterator[None]:
    """Translates the client's exceptions to StorageError, with the server's reason and none of our objects."""
    try:
        yield
    except WeaviateBaseError as error:
        raise _storage_error(error, where) from error
    except (OSError, ValueError, KeyError) as error:  # the server is not Weaviate
        raise StorageError(
            f"{where!r} does not respond like Weaviate", "check `url` and `grpc` in [knowledge.NAME.remote]"
        ) from error
