"""The vector store protocol, tag filters and BM25; knows no service, no embedder and no text.

A store receives no plain text. Passages are encrypted. Words are *terms*: keyed hashes (32 bits) with counts, which
suffice for BM25 and reveal only how often an unknown word occurs. Texts in tags are keyed hashes, which can only be
compared for equality. Stored in plain: vectors (from which an attacker may reconstruct the gist of a passage: Morris et
al., 2023), ids, readers, data classes, and numbers in tags.

A PassageCollection holds the passages of one base only, so that isolation depends on no filter. Access (readers, data
classes) is part of the query that the engine runs, so that a search returns `limit` passages if so many are readable.
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
"""Python numbers in a list or an array. Need not be normalized: vectors are compared by cosine."""
SparseTerms = Mapping[int, int]
"""Term (0..2^32-1) -> count in the passage or query."""
Tag = str | int | float | bool | tuple[str, ...]
"""Texts are compared for equality; a tuple matches if one of its texts does. Numbers are also compared by range."""

MAX_HITS = 1_000
MAX_DIMENSIONS = 8_192
MAX_TAGS = 64
MAX_READERS = 1_000
MAX_TEXT_CHARS = 1_024
"""Longest reader or tag value."""
MAX_TERMS = 4_096
"""Different terms of one passage."""
MAX_SEALED_BYTES = 1_000_000
MAX_NUMBER = 1e300
TAG_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_]{0,62}\Z")

K1, B = 1.2, 0.75
AVERAGE_WORDS = 120
"""Average passage length for BM25. It is fixed: passages have similar lengths, so ranking hardly changes, and queries
need not count the whole base."""


class KnowledgeBaseId(Struct, frozen=True):
    """`generation`: for vector stores, that of the collection; empty: the first."""

    tenant: str
    project: str
    name: str
    generation: str = ""

    @property
    def hashed(self) -> str:
        """32 hexadecimal digits, for names of folders and remote collections that reveal no customer."""
        parts = (self.tenant, self.project, self.name, *filter(None, (self.generation,)))
        return sha256(b"".join(b"%d:%b" % (len(part.encode()), part.encode()) for part in parts)).hexdigest()[:32]


class Passage(Struct, frozen=True):
    """`id` is a UUID in canonical form; upserting the same id replaces the passage.

    `readers`: opaque ids that may read it, such as users, groups or keys; empty: everyone in the project.
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
    """The tag equals one of `values`; a tuple must contain one of them. 1 equals 1.0."""

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
    """Also matches passages without the tag."""

    filter: TagFilter


TagFilter = TagIn | TagRange | FilterAnd | FilterOr | FilterNot

MAX_FILTER_DEPTH = 8
MAX_FILTER_CONDITIONS = 256


def equality_filter(tags: Mapping[str, Tag]) -> TagFilter | None:
    """Each tag must equal its value, or one of its values. None if there are no tags."""
    tests = tuple(TagIn(name, value if isinstance(value, tuple) else (value,)) for name, value in tags.items())
    return None if not tests else tests[0] if len(tests) == 1 else FilterAnd(tests)


class PassageQuery(Struct, frozen=True):
    """A search and the caller's access.

    `alpha` as in Weaviate: 1 ranks by vector only, 0 by terms only; between, both scores are weighted (fusion.py).
    `readers`: ids of the caller; None reads all. `data_classes`: classes that may be returned. `data_class`
    and `place`: confidentiality of the query itself, and how far it may go.
    """

    vector: Vector = ()
    terms: SparseTerms = {}
    alpha: float = 0.5
    limit: int = 10
    readers: tuple[str, ...] | None = ()
    data_classes: tuple[DataClass, ...] = ("public", "internal", "confidential")
    documents: tuple[str, ...] = ()  # empty: all
    where: TagFilter | None = None
    data_class: DataClass = "confidential"
    place: Place = "anyone"


class SearchHit(Struct, frozen=True):
    """`score`: cosine at alpha 1, BM25 at alpha 0, else 0..1. Not comparable between queries."""

    id: str
    document: str
    score: float
    sealed: bytes


class PassageCollection(Protocol):
    """The passages of one base. Safe for concurrent tasks of one event loop.

    Every call raises StorageError if the store fails, and EgressDenied if the data may not be sent to it. When `upsert`
    returns, its passages are durable, also against `kill -9`, and visible to the next search.
    """

    async def upsert(self, passages: Sequence[Passage]) -> Mapping[str, str]:
        """Adds or replaces any number of passages. Returns id -> reason for those rejected."""
        ...

    async def delete_document(self, document: str, *, keep: Iterable[str] = ()) -> int:
        """Deletes the passages of `document` except the ids in `keep`; returns how many.

        To replace a document without a gap, upsert its new passages first.
        """
        ...

    async def search(self, query: PassageQuery) -> list[SearchHit]:
        """Best first. Raises BadRequest for an invalid query (see `validate_query`)."""
        ...

    async def count(self) -> int: ...

    async def stored_ids(self, ids: Sequence[str]) -> set[str]:
        """Those of the ids whose passages are stored."""
        ...


class VectorStore(Protocol):
    """A plugin of the kind `vector_stores`, created with a StoreContext."""

    async def open(self, base: KnowledgeBaseId, dimension: int) -> PassageCollection:
        """Opens the collection of a base, or creates it. Raises Conflict if it has another dimension, StorageError,
        ConfigError.
        """
        ...

    async def remove(self, base: KnowledgeBaseId) -> None:
        """Deletes the base's collection, if there is one."""
        ...

    async def count(self, base: KnowledgeBaseId) -> int:
        """Passages that are stored; 0 without a collection. Creates nothing. Raises StorageError, EgressDenied."""
        ...

    async def optimize(self) -> None:
        """Deferred maintenance, such as building indexes; call after large upserts."""
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class RemoteStore:
    """An external server. `grpc`: its gRPC address as `http(s)://host:port`; no default is derived from `url`."""

    url: str = ""
    grpc: str = ""
    key: str = ""
    timeout_s: float = 30.0


@dataclass(frozen=True, slots=True)
class StoreContext:
    """What a store may use. `url`: the Postgres of `[database]`; empty if there is none."""

    home: Path
    url: str = ""
    remote: RemoteStore = RemoteStore()
    egress: Callable[[], EgressPolicy] = lambda: EgressPolicy({}, {})


def passage_error(passage: Passage, dimension: int) -> str:
    """Why `passage` is invalid; empty if it is valid."""
    if not _is_uuid(passage.id):
        return "its ID is not a UUID"
    if not passage.document or len(passage.document) > 256:
        return "its document ID is empty or longer than 256 characters"
    if len(passage.vector) != dimension:
        return f"its vector has {len(passage.vector)} dimensions, but the knowledge base has {dimension}"
    if not 0 < _squares(passage.vector) < math.inf:
        return "its vector is all zeros, or contains a value that is not a number"
    if len(passage.terms) > MAX_TERMS or len(passage.sealed) > MAX_SEALED_BYTES:
        return f"it has more than {MAX_TERMS} terms, or more than {MAX_SEALED_BYTES} bytes"
    if any(not 0 <= term < 2**32 or count < 1 for term, count in passage.terms.items()):
        return "its terms must be 32-bit integers with counts from 1"
    if len(passage.tags) > MAX_TAGS or not all(TAG_NAME.match(field) for field in passage.tags):
        return f"it has more than {MAX_TAGS} tags, or a tag name with characters other than letters, digits and '_'"
    if any(isinstance(tag, (int, float)) and not abs(tag) < MAX_NUMBER for tag in passage.tags.values()):
        return "a number in its tags is not finite or beyond 1e300"
    if len(passage.readers) > MAX_READERS or any(map(_odd, (passage.document, *passage.readers, *_said(passage)))):
        return (
            f"it has more than {MAX_READERS} readers, or a text that is longer than {MAX_TEXT_CHARS} characters or "
            "contains an invalid character"
        )
    return ""


def validate_passages(passages: Sequence[Passage], dimension: int) -> tuple[list[Passage], dict[str, str]]:
    """Valid passages, the last of each id; and id -> reason for the invalid ones."""
    good, bad = dict[str, Passage](), dict[str, str]()
    for passage in passages:
        if why := passage_error(passage, dimension):
            bad[passage.id] = why
        else:
            good[passage.id] = passage
    return list(good.values()), bad


def validate_query(query: PassageQuery, dimension: int) -> PassageQuery:
    """Returns `query` unchanged. Raises BadRequest if it is invalid."""
    if not 0 <= query.alpha <= 1:
        raise BadRequest(f"`alpha` is {query.alpha!r}; use 0 (keywords only) to 1 (vector only)", param="alpha")
    if not 1 <= query.limit <= MAX_HITS:
        raise BadRequest(f"`limit` is {query.limit!r}; use 1 to {MAX_HITS}", param="limit")
    if query.alpha > 0 and len(query.vector) != dimension:
        told = f"the query's vector has {len(query.vector)} dimensions, but the knowledge base has {dimension}"
        raise BadRequest(told, "embed the query with the model that embedded the knowledge base")
    if query.alpha > 0 and not 0 < _squares(query.vector) < math.inf:
        raise BadRequest("the query's vector is all zeros, or contains a value that is not a number")
    if any(map(_odd, (*query.documents, *(query.readers or ())))):
        raise BadRequest("the name of a document or reader is too long, or contains an invalid character")
    if query.where is not None:
        _tests(query.where, MAX_FILTER_DEPTH, MAX_FILTER_CONDITIONS)
    return query


def filter_tokens(document: str, data_class: DataClass, readers: Sequence[str], tags: Mapping[str, Tag]) -> list[str]:
    """Tokens for all fields of a passage that filters compare for equality, so that a store needs one index."""
    seen = [f"r={reader}" for reader in readers] or ["r*"]
    return [f"d={document}", f"c={data_class}", *seen, *(f"t={each}" for each in tag_tokens(tags))]


def required_tokens(query: PassageQuery) -> list[list[str]]:
    """A passage must have at least one token of each list; `where` is checked in addition."""
    found = list[list[str]]()
    if query.readers is not None:
        found.append(["r*", *(f"r={reader}" for reader in query.readers)])
    if set(query.data_classes) != set(DATA_CLASSES):
        found.append([f"c={each}" for each in query.data_classes])
    if query.documents:
        found.append([f"d={document}" for document in query.documents])
    return found


def match_tokens(condition: TagIn) -> list[str]:
    """A passage must have at least one of these tokens."""
    return [f"t={tag_token(condition.field, value)}" for value in condition.values]


def tag_tokens(tags: Mapping[str, Tag]) -> list[str]:
    """A token for every value of every tag."""
    return [
        tag_token(field, value) for field, tag in tags.items() for value in (tag if isinstance(tag, tuple) else (tag,))
    ]


def tag_token(field: str, value: str | float | bool) -> str:
    """Equal for equal values: 2024 and 2024.0 are equal; `true`, 1 and "1" are not."""
    if isinstance(value, bool):
        return f"{field}?{value:d}"
    if isinstance(value, str):
        return f"{field}={value}"
    return f"{field}#{int(value) if value == int(value) else value!r}"


def numeric_tags(tags: Mapping[str, Tag]) -> dict[str, float]:
    """The tags that `TagRange` compares."""
    return {
        field: float(tag) for field, tag in tags.items() if isinstance(tag, (int, float)) and not isinstance(tag, bool)
    }


def bm25_weights(terms: SparseTerms) -> dict[int, float]:
    """Each term's BM25 score, without its inverse document frequency."""
    length = sum(terms.values())
    spread = K1 * (1 - B + B * length / AVERAGE_WORDS)
    return {term: count * (K1 + 1) / (count + spread) for term, count in terms.items()}


def inverse_document_frequency(passages: int, having: int) -> float:
    """BM25's inverse document frequency, at least 0. `having`: passages with the term."""
    return math.log(1 + (passages - having + 0.5) / (having + 0.5))


def _tests(where: TagFilter, deep: int, left: int) -> int:
    """Returns how many conditions may still follow. Raises BadRequest."""
    if deep == 0 or left - (len(where.values) if isinstance(where, TagIn) else 0) <= 0:
        raise BadRequest(
            f"a filter can be at most {MAX_FILTER_DEPTH} levels deep and have {MAX_FILTER_CONDITIONS} conditions",
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
        raise BadRequest(f"{where.field[:80]!r} is not a valid tag name", param="where")
    if isinstance(where, TagIn) and any(isinstance(v, (int, float)) and not abs(v) < MAX_NUMBER for v in where.values):
        raise BadRequest(f"a number compared with {where.field!r} is not finite or too large", param="where")
    if isinstance(where, TagIn) and any(isinstance(value, str) and _odd(value) for value in where.values):
        raise BadRequest(
            f"a text compared with {where.field!r} is too long, or contains an invalid character", param="where"
        )
    return left - (1 + len(where.values) if isinstance(where, TagIn) else 1)


def _said(passage: Passage) -> Iterator[str]:
    for tag in passage.tags.values():
        yield from (tag,) if isinstance(tag, str) else tag if isinstance(tag, tuple) else ()


def _odd(text: str) -> bool:
    """Whether the text is too long, or has characters that Postgres or JSON rejects."""
    return len(text) > MAX_TEXT_CHARS or "\x00" in text or any("\ud800" <= each <= "\udfff" for each in text)


def _squares(vector: Vector) -> float:
    return sum(x * x for x in vector)


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False
