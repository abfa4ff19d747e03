"""What every store of passages does, and the arithmetic they share; knows no library, no embedder and not one word.

Nothing readable is handed to a store. A passage's text comes sealed by whoever fills the base; its words come as
*terms*, numbers made with a secret key (an HMAC of each word, cut to 32 bits) and counted, which is enough for BM25 and
tells a thief of the disk only how often some unknown word stands where; texts in tags come as keyed tokens, which can
be compared for being equal and for nothing else. What does lie bare: vectors (from which a determined thief may guess
at the gist of a passage: Morris et al., 2023), ids, readers, data classes, and numbers in tags.

Where a passage belongs (organisation, project, base) is no filter that somebody could forget: a Shelf is opened for it
and holds nothing else. What a question may see (readers, data classes) is part of the query that the engine runs, so
that `limit` passages come back where so many may be seen.
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

from sizewise.data_class import CLASSES, DataClass, Place
from sizewise.errors import BadRequest
from sizewise.http.egress import Egress

Vector = Sequence[float]
"""Of Python's own numbers: a list, or an array; its length does not matter, all are compared by their cosine."""
Terms = Mapping[int, int]
"""Keyed term (0..2^32-1) -> how often it stands in the passage, or in the question."""
Tag = str | int | float | bool | tuple[str, ...]
"""A text is compared for equality; several of them match when one does. Numbers also by range."""

MOST_HITS = 1_000
MOST_DIMENSIONS = 8_192
MOST_TAGS = 64
MOST_READERS = 1_000
LONGEST = 1_024
"""Characters of a text that is compared: the name of a reader, the value of a tag."""
MOST_TERMS = 4_096
"""Different ones of one passage."""
SEALED_BYTES = 1_000_000
BIGGEST = 1e300
FIELD = re.compile(r"[a-zA-Z][a-zA-Z0-9_]{0,62}\Z")

K1, B = 1.2, 0.75
USUAL = 120
"""Words in a passage as BM25 takes it. Passages are cut to about one length, so that a fixed average changes the order
of few and saves counting the whole base at every question."""


class Base(Struct, frozen=True):
    """Whose passages, of which project, under which name."""

    tenant: str
    project: str
    name: str

    @property
    def key(self) -> str:
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
    terms: Terms
    sealed: bytes
    readers: tuple[str, ...] = ()
    data_class: DataClass = "internal"
    tags: Mapping[str, Tag] = {}


class Is(Struct, frozen=True, tag=True):
    """The tag is one of `values`, or, where it is several texts, holds one of them. Numbers equal as numbers."""

    field: str
    values: tuple[str | int | float | bool, ...]


class Within(Struct, frozen=True, tag=True):
    """The tag is a number in this range."""

    field: str
    more_than: float | None = None
    at_least: float | None = None
    less_than: float | None = None
    at_most: float | None = None


class Every(Struct, frozen=True, tag=True):
    of: tuple[Where, ...]


class Some(Struct, frozen=True, tag=True):
    of: tuple[Where, ...]


class Without(Struct, frozen=True, tag=True):
    """Also true of passages that have no such tag."""

    it: Where


Where = Is | Within | Every | Some | Without

DEEPEST = 8
MOST_TESTS = 256


class Query(Struct, frozen=True):
    """What is looked for, and what its asker may see.

    `alpha` weighs as in Weaviate: 1 by the vector alone, 0 by the terms alone, between them both, each scaled to 0..1
    over what it found. `readers` None: may see all, whoever may read it. `reach`: the data classes that may be seen.
    `data_class` and `place` are the question's own: how closely it must be kept, and how far it may travel.
    """

    vector: Vector = ()
    terms: Terms = {}
    alpha: float = 0.5
    limit: int = 10
    readers: tuple[str, ...] | None = ()
    reach: tuple[DataClass, ...] = ("public", "internal", "confidential")
    documents: tuple[str, ...] = ()  # none: of all
    where: Where | None = None
    data_class: DataClass = "confidential"
    place: Place = "anyone"


class Hit(Struct, frozen=True):
    """`score` is a cosine at alpha 1, BM25 at alpha 0, else 0..1: to order by, not to compare between questions."""

    id: str
    document: str
    score: float
    sealed: bytes


class Shelf(Protocol):
    """The passages of one base. Safe for any number of tasks at once, of one event loop.

    Every call raises StoreFailed where the store is ill, EgressDenied where the data may not go to it. What was put is
    kept when `put` returns, also through `kill -9`, and found by the next search.
    """

    async def put(self, passages: Sequence[Passage]) -> Mapping[str, str]:
        """Adds or replaces; any number of them. id -> why, of those that were not taken; all others were."""
        ...

    async def drop(self, document: str, *, but: Iterable[str] = ()) -> int:
        """Forgets the passages of `document`, all `but` these ids: put its new ones first and it is never missing.

        How many.
        """
        ...

    async def search(self, query: Query) -> list[Hit]:
        """The best first. Raises BadRequest for a query that cannot be asked (see `asked`)."""
        ...

    async def count(self) -> int: ...


class Store(Protocol):
    """Where bases live. A member of the kind `stores`; called with the Ground that it may stand on."""

    async def open(self, base: Base, dimension: int) -> Shelf:
        """Made where there is none. Raises Conflict where one of another dimension is, StoreFailed, ConfigError."""
        ...

    async def remove(self, base: Base) -> None:
        """Forgets all of it; nothing happens where there is none."""
        ...

    async def settle(self) -> None:
        """Puts in order what may wait (indexes, logs); after much was put, and now and then."""
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Remote:
    """A server of somebody else's making. `grpc`: its second door, as `http(s)://host:port`; empty: guessed by none."""

    url: str = ""
    grpc: str = ""
    key: str = ""
    timeout_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Ground:
    """What a store may stand on. `url` is the Postgres of `[database]`, empty where there is none."""

    home: Path
    url: str = ""
    remote: Remote = Remote()
    egress: Callable[[], Egress] = lambda: Egress({}, {})


def objection(passage: Passage, dimension: int) -> str:
    """Why `passage` cannot be kept; empty when it can."""
    if not _is_uuid(passage.id):
        return "its id is no UUID"
    if not passage.document or len(passage.document) > 256:
        return "it names no document, or by more than 256 characters"
    if len(passage.vector) != dimension:
        return f"its vector has {len(passage.vector)} numbers, and the base holds such of {dimension}"
    if not 0 < _squares(passage.vector) < math.inf:
        return "its vector is nothing but zeros, or holds what is no number"
    if len(passage.terms) > MOST_TERMS or len(passage.sealed) > SEALED_BYTES:
        return f"it has more than {MOST_TERMS} terms, or {SEALED_BYTES} bytes"
    if any(not 0 <= term < 2**32 or count < 1 for term, count in passage.terms.items()):
        return "a term is a number of 32 bits, counted from 1"
    if len(passage.tags) > MOST_TAGS or not all(FIELD.match(field) for field in passage.tags):
        return f"it has more than {MOST_TAGS} tags, or one whose name is not of letters, digits and '_'"
    if any(isinstance(tag, (int, float)) and not abs(tag) < BIGGEST for tag in passage.tags.values()):
        return "a number in its tags is none, or beyond 1e300"
    if len(passage.readers) > MOST_READERS or any(map(_odd, (passage.document, *passage.readers, *_said(passage)))):
        return (
            f"it has over {MOST_READERS} readers, or a text of over {LONGEST} characters, or with one that none takes"
        )
    return ""


def taken(passages: Sequence[Passage], dimension: int) -> tuple[list[Passage], dict[str, str]]:
    """Those that can be kept, the last of each id; and id -> why not, of the others."""
    good, bad = dict[str, Passage](), dict[str, str]()
    for passage in passages:
        if why := objection(passage, dimension):
            bad[passage.id] = why
        else:
            good[passage.id] = passage
    return list(good.values()), bad


def asked(query: Query, dimension: int) -> Query:
    """`query`, found to be askable; at either end of alpha without what does not count. Raises BadRequest."""
    if not 0 <= query.alpha <= 1:
        raise BadRequest(f"alpha is from 0 (terms alone) to 1 (vector alone), not {query.alpha!r}", param="alpha")
    if not 1 <= query.limit <= MOST_HITS:
        raise BadRequest(f"a search brings 1 to {MOST_HITS} passages, not {query.limit!r}", param="limit")
    if query.alpha > 0 and len(query.vector) != dimension:
        told = f"the question's vector has {len(query.vector)} numbers, and the base holds such of {dimension}"
        raise BadRequest(told, "embed it by the model that embedded the base")
    if query.alpha > 0 and not 0 < _squares(query.vector) < math.inf:
        raise BadRequest("the question's vector is nothing but zeros, or holds what is no number")
    if any(map(_odd, (*query.documents, *(query.readers or ())))):
        raise BadRequest("a name of a document or a reader is too long, or holds a character that none does")
    if query.where is not None:
        _tests(query.where, DEEPEST, MOST_TESTS)
    return query


def marks(document: str, data_class: DataClass, readers: Sequence[str], tags: Mapping[str, Tag]) -> list[str]:
    """All of a passage that a filter compares for equality, so that a store needs one index for it."""
    seen = [f"r={reader}" for reader in readers] or ["r*"]
    return [f"d={document}", f"c={data_class}", *seen, *(f"t={each}" for each in tokens(tags))]


def demands(query: Query) -> list[list[str]]:
    """What of `marks` a passage must have for this query, beside `where`: of each list one at least."""
    found = list[list[str]]()
    if query.readers is not None:
        found.append(["r*", *(f"r={reader}" for reader in query.readers)])
    if set(query.reach) != set(CLASSES):
        found.append([f"c={each}" for each in query.reach])
    if query.documents:
        found.append([f"d={document}" for document in query.documents])
    return found


def marked(test: Is) -> list[str]:
    """What of `marks` a passage must have one of to pass `test`."""
    return [f"t={token(test.field, value)}" for value in test.values]


def tokens(tags: Mapping[str, Tag]) -> list[str]:
    """What `Is` looks for: one for every value of every tag."""
    return [token(field, value) for field, tag in tags.items() for value in (tag if isinstance(tag, tuple) else (tag,))]


def token(field: str, value: str | int | float | bool) -> str:
    """Equal where the values are: 2024 and 2024.0 are, `true` and 1 and "1" are not."""
    if isinstance(value, bool):
        return f"{field}?{value:d}"
    if isinstance(value, str):
        return f"{field}={value}"
    return f"{field}#{int(value) if value == int(value) else value!r}"


def numbers(tags: Mapping[str, Tag]) -> dict[str, float]:
    """What `Within` looks at."""
    return {
        field: float(tag) for field, tag in tags.items() if isinstance(tag, (int, float)) and not isinstance(tag, bool)
    }


def weights(terms: Terms) -> dict[int, float]:
    """What each term adds to BM25's score where it is asked for, but for how rare it is."""
    length = sum(terms.values())
    spread = K1 * (1 - B + B * length / USUAL)
    return {term: count * (K1 + 1) / (count + spread) for term, count in terms.items()}


def rarity(passages: int, having: int) -> float:
    """BM25's inverse document frequency, never below zero."""
    return math.log(1 + (passages - having + 0.5) / (having + 0.5))


def wider(limit: int) -> int:
    """How many each half of a hybrid search brings, so that what both find well is among them."""
    return min(MOST_HITS, max(60, 3 * limit))


def fused(near: Sequence[Hit], worded: Sequence[Hit], alpha: float, limit: int) -> list[Hit]:
    """Both halves in one order: each scaled to 0..1 over what it found, weighed by alpha. As Weaviate's
    relativeScoreFusion does it."""
    summed, hits = dict[str, float](), dict[str, Hit]()
    for half, share in ((near, alpha), (worded, 1 - alpha)):
        if not half:
            continue
        low, high = min(hit.score for hit in half), max(hit.score for hit in half)
        for hit in half:
            scaled = (hit.score - low) / (high - low) if high > low else 1.0
            summed[hit.id] = summed.get(hit.id, 0.0) + share * scaled
            hits[hit.id] = hit
    best = sorted(summed, key=lambda id: (-summed[id], id))[:limit]
    return [Hit(id, hits[id].document, summed[id], hits[id].sealed) for id in best]


def _tests(where: Where, deep: int, left: int) -> int:
    """How many tests may still follow."""
    if deep == 0 or left - (len(where.values) if isinstance(where, Is) else 0) <= 0:
        raise BadRequest(f"a filter is at most {DEEPEST} deep and {MOST_TESTS} tests long", param="where")
    if isinstance(where, (Every, Some)):
        left -= 1
        for each in where.of:
            left = _tests(each, deep - 1, left)
        return left
    if isinstance(where, Without):
        return _tests(where.it, deep - 1, left - 1)
    if not FIELD.match(where.field):
        raise BadRequest(f"{where.field[:80]!r} is no name of a tag", param="where")
    if isinstance(where, Is) and any(isinstance(v, (int, float)) and not abs(v) < BIGGEST for v in where.values):
        raise BadRequest(f"a number that {where.field!r} is compared with is none", param="where")
    if isinstance(where, Is) and any(isinstance(value, str) and _odd(value) for value in where.values):
        raise BadRequest(f"a text that {where.field!r} is compared with is too long, or no text", param="where")
    return left - (1 + len(where.values) if isinstance(where, Is) else 1)


def _said(passage: Passage) -> Iterator[str]:
    for tag in passage.tags.values():
        yield from (tag,) if isinstance(tag, str) else tag if isinstance(tag, tuple) else ()


def _odd(text: str) -> bool:
    """Too long to compare, or with what neither Postgres nor JSON takes."""
    return len(text) > LONGEST or "\x00" in text or any("\ud800" <= each <= "\udfff" for each in text)


def _squares(vector: Vector) -> float:
    return sum(x * x for x in vector)


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False
