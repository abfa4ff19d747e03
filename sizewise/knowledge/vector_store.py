"""The vector store protocol, tag filters, BM25 and score fusion; knows no service, no embedder and no text.

Nothing readable is handed to a store. A passage's text comes sealed by whoever fills the base; its words come as
*terms*, numbers made with a secret key (an HMAC of each word, cut to 32 bits) and counted, which is enough for BM25 and
tells a thief of the disk only how often some unknown word stands where; texts in tags come as keyed tokens, which can
be compared for being equal and for nothing else. What does lie bare: vectors (from which a determined thief may guess
at the gist of a passage: Morris et al., 2023), ids, readers, data classes, and numbers in tags.

Where a passage belongs (organisation, project, base) is no filter that somebody could forget: a PassageCollection is
opened for it and holds nothing else. What a question may see (readers, data classes) is part of the query that the
engine runs, so that `limit` passages come back where so many may be seen.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Protocol
from uuid import UUID

from msgspec import Struct

from sizewise.data_class import DATA_CLASSES, DataClass, Place
from sizewise.errors import BadRequest
from sizewise.http.egress import EgressPolicy

Vector = Sequence[float]
"""Of Python's own numbers: a list, or an array; its length does not matter, all are compared by their cosine."""
SparseTerms = Mapping[int, int]
"""Keyed term (0..2^32-1) -> how often it stands in the passage, or in the question."""
Tag = str | int | float | bool | tuple[str, ...]
"""A text is compared for equality; several of them match when one does. Numbers also by range."""

MAX_HITS = 1_000
MAX_DIMENSIONS = 8_192
MAX_TAGS = 64
MAX_READERS = 1_000
MAX_TEXT_CHARS = 1_024
"""Characters of a text that is compared: the name of a reader, the value of a tag."""
MAX_TERMS = 4_096
"""Different ones of one passage."""
MAX_SEALED_BYTES = 1_000_000
MAX_NUMBER = 1e300
TAG_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_]{0,62}\Z")

K1, B = 1.2, 0.75
AVERAGE_WORDS = 120
"""Words in a passage as BM25 takes it. Passages are cut to about one length, so that a fixed average changes the order
of few and saves counting the whole base at every question."""


class KnowledgeBaseId(Struct, frozen=True):
    """Whose passages, of which project, under which name."""

    tenant: str
    project: str
    name: str

    @property
    def hashed(self) -> str:
        """32 hexadecimal digits for folders and remote names: nobody reads a customer's name off them."""
        parts = (self.tenant, self.project, self.name)
        return sha256(b"".join(b"%d:%b" % (len(part.encode()), part.encode()) for part in parts)).hexdigest()[:32]


class Passage(Struct, frozen=True):
    """One piece of a document. `id` is a UUID in its usual spelling; the same id again takes its place.

    `readers`: who may see it (what they are is the caller's to say: roles, groups, keys); empty: all of the project.
    """

    id: str
    document: str
    vector: Vector
    terms: SparseTerms
    sealed: bytes
    readers: tuple[str, ...] = ()
    data_class: DataClass = "internal"
    tags: Mapping[str, Tag] = {}


class TagIn(Struct, frozen=True, tag=True):
    """The tag is one of `values`, or, where it is several texts, holds one of them. Numbers equal as numbers."""

    field: str
    values: tuple[str | int | float | bool, ...]


class TagRange(Struct, frozen=True, tag=True):
    """The tag is a number in this range."""

    field: str
    gt: float | None = None
    gte: float | None = None
    lt: float | None = None
    lte: float | None = None


class FilterAnd(Struct, frozen=True, tag=True):
    filters: tuple[TagFilter, ...]


class FilterOr(Struct, frozen=True, tag=True):
    filters: tuple[TagFilter, ...]


class FilterNot(Struct, frozen=True, tag=True):
    """Also true of passages that have no such tag."""

    filter: TagFilter


TagFilter = TagIn | TagRange | FilterAnd | FilterOr | FilterNot

MAX_FILTER_DEPTH = 8
MAX_FILTER_CONDITIONS = 256


class PassageQuery(Struct, frozen=True):
    """What is looked for, and what its asker may see.

    `alpha` weighs as in Weaviate: 1 by the vector alone, 0 by the terms alone, between them both, each scaled to 0..1
    over what it found. `readers` None: may see all, whoever may read it. `data_classes`: the data classes that may be
    seen. `data_class` and `place` are the question's own: how closely it must be kept, and how far it may travel.
    """

    vector: Vector = ()
    terms: SparseTerms = {}
    alpha: float = 0.5
    limit: int = 10
    readers: tuple[str, ...] | None = ()
    data_classes: tuple[DataClass, ...] = ("public", "internal", "confidential")
    documents: tuple[str, ...] = ()  # none: of all
    where: TagFilter | None = None
    data_class: DataClass = "confidential"
    place: Place = "anyone"


class SearchHit(Struct, frozen=True):
    """`score` is a cosine at alpha 1, BM25 at alpha 0, else 0..1: to order by, not to compare between questions."""

    id: str
    document: str
    score: float
    sealed: bytes


class PassageCollection(Protocol):
    """The passages of one base. Safe for any number of tasks at once, of one event loop.

    Every call raises StoreFailed where the store is ill, EgressDenied where the data may not go to it. What was put is
    kept when `upsert` returns, also through `kill -9`, and found by the next search.
    """

    async def upsert(self, passages: Sequence[Passage]) -> Mapping[str, str]:
        """Adds or replaces; any number of them. id -> why, of those that were not taken; all others were."""
        ...

    async def delete_document(self, document: str, *, keep: Iterable[str] = ()) -> int:
        """Forgets the passages of `document`, all `keep` these ids: put its new ones first and it is never missing.

        How many.
        """
        ...

    async def search(self, query: PassageQuery) -> list[SearchHit]:
        """The best first. Raises BadRequest for a query that cannot be asked (see `validate_query`)."""
        ...

    async def count(self) -> int: ...


class VectorStore(Protocol):
    """Where bases live. A member of the kind `stores`; called with the StoreContext that it may stand on."""

    async def open(self, base: KnowledgeBaseId, dimension: int) -> PassageCollection:
        """Made where there is none. Raises Conflict where one of another dimension is, StoreFailed, ConfigError."""
        ...

    async def remove(self, base: KnowledgeBaseId) -> None:
        """Forgets all of it; nothing happens where there is none."""
        ...

    async def optimize(self) -> None:
        """Puts in order what may wait (indexes, logs); after much was put, and now and then."""
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class RemoteStore:
    """A server of somebody else's making. `grpc`: its second door, as `http(s)://host:port`; empty: guessed by none."""

    url: str = ""
    grpc: str = ""
    key: str = ""
    timeout_s: float = 30.0


@dataclass(frozen=True, slots=True)
class StoreContext:
    """What a store may stand on. `url` is the Postgres of `[database]`, empty where there is none."""

    home: Path
    url: str = ""
    remote: RemoteStore = RemoteStore()
    egress: Callable[[], EgressPolicy] = lambda: EgressPolicy({}, {})


def passage_error(passage: Passage, dimension: int) -> str:
    """Why `passage` cannot be kept; empty when it can."""
    if not _is_uuid(passage.id):
        return "its id is no UUID"
    if not passage.document or len(passage.document) > 256:
        return "it names no document, or by more than 256 characters"
    if len(passage.vector) != dimension:
        return f"its vector has {len(passage.vector)} numbers, and the base holds such of {dimension}"
    if not 0 < _squares(passage.vector) < math.inf:
        return "its vector is nothing but zeros, or holds what is no number"
    if len(passage.terms) > MAX_TERMS or len(passage.sealed) > MAX_SEALED_BYTES:
        return f"it has more than {MAX_TERMS} terms, or {MAX_SEALED_BYTES} bytes"
    if any(not 0 <= term < 2**32 or count < 1 for term, count in passage.terms.items()):
        return "a term is a number of 32 bits, counted from 1"
    if len(passage.tags) > MAX_TAGS or not all(TAG_NAME.match(field) for field in passage.tags):
        return f"it has more than {MAX_TAGS} tags, or one whose name is not of letters, digits and '_'"
    if any(isinstance(tag, (int, float)) and not abs(tag) < MAX_NUMBER for tag in passage.tags.values()):
        return "a number in its tags is none, or beyond 1e300"
    if len(passage.readers) > MAX_READERS or any(map(_odd, (passage.document, *passage.readers, *_said(passage)))):
        return (
            f"it has over {MAX_READERS} readers, or a text of over {MAX_TEXT_CHARS} characters, or with one that none"
            " takes"
        )
    return ""


def validate_passages(passages: Sequence[Passage], dimension: int) -> tuple[list[Passage], dict[str, str]]:
    """Those that can be kept, the last of each id; and id -> why not, of the others."""
    good, bad = dict[str, Passage](), dict[str, str]()
    for passage in passages:
        if why := passage_error(passage, dimension):
            bad[passage.id] = why
        else:
            good[passage.id] = passage
    return list(good.values()), bad


def validate_query(query: PassageQuery, dimension: int) -> PassageQuery:
    """`query`, found to be askable; at either end of alpha without what does not count. Raises BadRequest."""
    if not 0 <= query.alpha <= 1:
        raise BadRequest(f"alpha is from 0 (terms alone) to 1 (vector alone), not {query.alpha!r}", param="alpha")
    if not 1 <= query.limit <= MAX_HITS:
        raise BadRequest(f"a search brings 1 to {MAX_HITS} passages, not {query.limit!r}", param="limit")
    if query.alpha > 0 and len(query.vector) != dimension:
        told = f"the question's vector has {len(query.vector)} numbers, and the base holds such of {dimension}"
        raise BadRequest(told, "embed it by the model that embedded the base")
    if query.alpha > 0 and not 0 < _squares(query.vector) < math.inf:
        raise BadRequest("the question's vector is nothing but zeros, or holds what is no number")
    if any(map(_odd, (*query.documents, *(query.readers or ())))):
        raise BadRequest("a name of a document or a reader is too long, or holds a character that none does")
    if query.where is not None:
        _tests(query.where, MAX_FILTER_DEPTH, MAX_FILTER_CONDITIONS)
    return query


def filter_tokens(document: str, data_class: DataClass, readers: Sequence[str], tags: Mapping[str, Tag]) -> list[str]:
    """All of a passage that a filter compares for equality, so that a store needs one index for it."""
    seen = [f"r={reader}" for reader in readers] or ["r*"]
    return [f"d={document}", f"c={data_class}", *seen, *(f"t={each}" for each in tag_tokens(tags))]


def required_tokens(query: PassageQuery) -> list[list[str]]:
    """What of `filter_tokens` a passage must have for this query, beside `where`: of each list one at least."""
    found = list[list[str]]()
    if query.readers is not None:
        found.append(["r*", *(f"r={reader}" for reader in query.readers)])
    if set(query.data_classes) != set(DATA_CLASSES):
        found.append([f"c={each}" for each in query.data_classes])
    if query.documents:
        found.append([f"d={document}" for document in query.documents])
    return found


def match_tokens(condition: TagIn) -> list[str]:
    """What of `filter_tokens` a passage must have one of to pass `condition`."""
    return [f"t={tag_token(condition.field, value)}" for value in condition.values]


def tag_tokens(tags: Mapping[str, Tag]) -> list[str]:
    """What `TagIn` looks for: one for every value of every tag."""
    return [
        tag_token(field, value) for field, tag in tags.items() for value in (tag if isinstance(tag, tuple) else (tag,))
    ]


def tag_token(field: str, value: str | float | bool) -> str:
    """Equal where the values are: 2024 and 2024.0 are, `true` and 1 and "1" are not."""
    if isinstance(value, bool):
        return f"{field}?{value:d}"
    if isinstance(value, str):
        return f"{field}={value}"
    return f"{field}#{int(value) if value == int(value) else value!r}"


def numeric_tags(tags: Mapping[str, Tag]) -> dict[str, float]:
    """What `TagRange` looks at."""
    return {
        field: float(tag) for field, tag in tags.items() if isinstance(tag, (int, float)) and not isinstance(tag, bool)
    }


def bm25_weights(terms: SparseTerms) -> dict[int, float]:
    """What each term adds to BM25's score where it is asked for, but for how rare it is."""
    length = sum(terms.values())
    spread = K1 * (1 - B + B * length / AVERAGE_WORDS)
    return {term: count * (K1 + 1) / (count + spread) for term, count in terms.items()}


def inverse_document_frequency(passages: int, having: int) -> float:
    """BM25's inverse document frequency, never below zero."""
    return math.log(1 + (passages - having + 0.5) / (having + 0.5))


def candidate_limit(limit: int) -> int:
    """How many each half of a hybrid search brings, so that what both find well is among them."""
    return min(MAX_HITS, max(60, 3 * limit))


def fuse_hits(
    vector_hits: Sequence[SearchHit],
    keyword_hits: Sequence[SearchHit],
    alpha: float,
    limit: int,
) -> list[SearchHit]:
    """Both halves in one order: each scaled to 0..1 over what it found, weighed by alpha. As Weaviate's
    relativeScoreFusion does it.
    """
    summed, hits = dict[str, float](), dict[str, SearchHit]()
    for half, share in ((vector_hits, alpha), (keyword_hits, 1 - alpha)):
        if not half:
            continue
        low, high = min(hit.score for hit in half), max(hit.score for hit in half)
        for hit in half:
            scaled = (hit.score - low) / (high - low) if high > low else 1.0
            summed[hit.id] = summed.get(hit.id, 0.0) + share * scaled
            hits[hit.id] = hit
    best = sorted(summed, key=lambda id: (-summed[id], id))[:limit]
    return [SearchHit(id, hits[id].document, summed[id], hits[id].sealed) for id in best]


def _tests(where: TagFilter, deep: int, left: int) -> int:
    """How many tests may still follow."""
    if deep == 0 or left - (len(where.values) if isinstance(where, TagIn) else 0) <= 0:
        raise BadRequest(
            f"a filter is at most {MAX_FILTER_DEPTH} deep and {MAX_FILTER_CONDITIONS} tests long",
            param="where",
        )
    if isinstance(where, (FilterAnd, FilterOr)):
        left -= 1
        for each in where.filters:
            left = _tests(each, deep - 1, left)
        return left
    if isinstance(where, FilterNot):
        return _tests(where.filter, deep - 1, left - 1)
    if not TAG_NAME.match(where.field):
        raise BadRequest(f"{where.field[:80]!r} is no name of a tag", param="where")
    if isinstance(where, TagIn) and any(isinstance(v, (int, float)) and not abs(v) < MAX_NUMBER for v in where.values):
        raise BadRequest(f"a number that {where.field!r} is compared with is none", param="where")
    if isinstance(where, TagIn) and any(isinstance(value, str) and _odd(value) for value in where.values):
        raise BadRequest(f"a text that {where.field!r} is compared with is too long, or no text", param="where")
    return left - (1 + len(where.values) if isinstance(where, TagIn) else 1)


def _said(passage: Passage) -> Iterator[str]:
    for tag in passage.tags.values():
        yield from (tag,) if isinstance(tag, str) else tag if isinstance(tag, tuple) else ()


def _odd(text: str) -> bool:
    """Too long to compare, or with what neither Postgres nor JSON takes."""
    return len(text) > MAX_TEXT_CHARS or "\x00" in text or any("\ud800" <= each <= "\udfff" for each in text)


def _squares(vector: Vector) -> float:
    return sum(x * x for x in vector)


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False
