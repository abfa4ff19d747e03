"""Conformance suite for vector stores; each check opens its own knowledge bases and removes them.

A check raises AssertionError that names the failure. `every` lists the general checks. `writes_before_restart` and
`reads_after_restart` are for durable stores.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Any, get_args
from uuid import UUID, uuid4

from sizewise.data_class import DataClass
from sizewise.errors import BadRequest, Conflict
from sizewise.knowledge.vector_store import (
    FilterAnd,
    FilterNot,
    FilterOr,
    KnowledgeBaseId,
    Passage,
    PassageCollection,
    PassageQuery,
    SearchHit,
    SparseTerms,
    Tag,
    TagFilter,
    TagIn,
    TagRange,
    VectorStore,
    bm25_weights,
    inverse_document_frequency,
)

DIMENSION = 8  # of a vector
ALL_CLASSES: tuple[DataClass, ...] = get_args(DataClass)
NO_TAGS: Mapping[str, Tag] = MappingProxyType({})
EVERYWHERE: SparseTerms = MappingProxyType({7: 1})

Check = Callable[[VectorStore], Coroutine[Any, Any, None]]


def base(name: str = "handbook", tenant: str = "acme", project: str = "support") -> KnowledgeBaseId:
    """A knowledge base that no other check uses."""
    return KnowledgeBaseId(tenant, project, f"{name}-{uuid4().hex[:8]}")


def vector(number: int, size: int = DIMENSION) -> list[float]:
    """A pseudo-random vector, always the same for a number."""
    dice = random.Random(number)
    return [dice.gauss(0, 1) for _ in range(size)]


def passage(
    number: int,
    document: str = "one",
    *,
    terms: SparseTerms | None = None,
    sealed: bytes | None = None,
    readers: tuple[str, ...] = (),
    data_class: DataClass = "internal",
    tags: Mapping[str, Tag] = NO_TAGS,
) -> Passage:
    """By default it has its own term, 1000 + `number`, and the term 7 of all passages."""
    its = {number + 1000: 1, 7: 1} if terms is None else terms
    text = f"sealed {number}".encode() if sealed is None else sealed
    return Passage(
        id=str(UUID(int=number + 1)),
        document=document,
        vector=vector(number),
        terms=its,
        sealed=text,
        readers=readers,
        data_class=data_class,
        tags=tags,
    )


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    dot = sum(a * b for a, b in zip(one, other, strict=True))
    return dot / math.sqrt(sum(a * a for a in one)) / math.sqrt(sum(b * b for b in other))


@asynccontextmanager
async def open_collection(store: VectorStore, *passages: Passage) -> AsyncIterator[PassageCollection]:
    mine = base()
    opened = await store.open(mine, DIMENSION)
    try:
        if passages:
            refused = await opened.upsert(passages)
            assert not refused, f"these passages were refused: {dict(refused)}"
        yield opened
    finally:
        await store.remove(mine)


async def matching_numbers(collection: PassageCollection, query: PassageQuery) -> set[int]:
    return {UUID(hit.id).int - 1 for hit in await collection.search(query)}


def match_all(
    *,
    terms: SparseTerms = EVERYWHERE,
    alpha: float = 1.0,
    limit: int = 100,
    readers: tuple[str, ...] | None = None,
    reach: tuple[DataClass, ...] = ALL_CLASSES,
    documents: tuple[str, ...] = (),
    where: TagFilter | None = None,
) -> PassageQuery:
    """A query that finds everything it may see."""
    return PassageQuery(
        vector=vector(0),
        terms=terms,
        alpha=alpha,
        limit=limit,
        readers=readers,
        data_classes=reach,
        documents=documents,
        where=where,
    )


async def knows_what_is_stored(store: VectorStore) -> None:
    """A base is counted without being created, and what it lacks is found by id."""
    mine = base()
    assert await store.count(mine) == 0, "a base that was never opened has no passages"
    many = [passage(number, f"document {number % 7}") for number in range(450)]
    ids = [each.id for each in many]
    opened = await store.open(mine, DIMENSION)
    try:
        assert await store.count(mine) == 0
        assert await opened.stored_ids(ids) == set()
        assert not await opened.upsert(many)
        assert await store.count(mine) == len(many)
        assert await opened.stored_ids([]) == set()
        await opened.delete_document("document 3")
        kept = {each.id for each in many if each.document != "document 3"}
        assert await store.count(mine) == len(kept)
        assert await opened.stored_ids(ids) == kept
    finally:
        await store.remove(mine)
    assert await store.count(mine) == 0, "a base that was removed has no passages"


async def finds_the_nearest(store: VectorStore) -> None:
    """At alpha 1, order and scores are the cosine similarity, whatever the terms; the encrypted text is returned."""
    many = [passage(number) for number in range(40)]
    async with open_collection(store, *many) as its:
        asked = vector(99)
        found: list[SearchHit] = await its.search(
            PassageQuery(vector=asked, terms={7: 1}, alpha=1.0, limit=10, readers=None)
        )
        best = sorted(many, key=lambda each: -cosine(asked, each.vector))[:10]
        assert [hit.id for hit in found] == [each.id for each in best], "the nearest come first"
        for hit, each in zip(found, best, strict=True):
            assert abs(hit.score - cosine(asked, each.vector)) < 1e-3, f"{hit.score} is not the cosine"
            assert (hit.document, hit.sealed) == (each.document, each.sealed)
        assert [
            hit.id
            for hit in await its.search(
                PassageQuery(vector=[9 * x for x in asked], terms={}, alpha=1.0, limit=10, readers=None)
            )
        ] == [each.id for each in best], "the length of a vector must not matter"


async def finds_the_words(store: VectorStore) -> None:
    """At alpha 0, only passages with a query term, by BM25: rare terms weigh more, long passages less."""
    rare, common, never = 11, 12, 13
    many = [
        passage(0, terms={rare: 1, common: 1}),
        passage(1, terms={common: 3}),
        passage(2, terms={common: 1, 99: 400}),
        *(passage(number, terms={98: 1}) for number in range(3, 20)),
    ]
    async with open_collection(store, *many) as its:
        asked = {rare: 1, common: 1, never: 1}
        found: list[SearchHit] = await its.search(
            PassageQuery(vector=(), terms=asked, alpha=0.0, limit=10, readers=None)
        )
        assert [UUID(hit.id).int - 1 for hit in found] == [0, 1, 2], "results must be in BM25 order, and no others"
        assert found[0].score > found[1].score > found[2].score > 0
        assert await its.search(PassageQuery(vector=(), terms={never: 1}, alpha=0.0, limit=10, readers=None)) == []
        assert await its.search(PassageQuery(vector=(), terms={}, alpha=0.0, limit=10, readers=None)) == [], (
            "without terms there are no results"
        )


async def scores_by_bm25(store: VectorStore) -> None:
    """For stores that use our BM25 weights: exact scores."""
    many = [passage(number, terms={5: 1 + number % 3, 6 + number % 2: 1}) for number in range(10)]
    async with open_collection(store, *many) as its:
        found: list[SearchHit] = await its.search(
            PassageQuery(vector=(), terms={5: 1, 6: 1}, alpha=0.0, limit=10, readers=None)
        )
        having = {term: sum(term in each.terms for each in many) for term in (5, 6)}
        for hit in found:
            terms = bm25_weights(many[UUID(hit.id).int - 1].terms)
            expected = sum(terms.get(term, 0) * inverse_document_frequency(len(many), having[term]) for term in (5, 6))
            assert abs(hit.score - expected) < 1e-3, f"{hit.score} is not {expected}"


async def weighs_common_terms(store: VectorStore) -> None:
    """A term in thousands of passages adds to the scores of those that a rarer term selects: exact scores."""
    many = [passage(number, terms={5: 1 + number % 3, 6: 1} if number < 20 else {5: 1}) for number in range(1_500)]
    async with open_collection(store, *many) as its:
        found: list[SearchHit] = await its.search(
            PassageQuery(vector=(), terms={5: 1, 6: 1}, alpha=0.0, limit=20, readers=None)
        )
        assert {UUID(hit.id).int - 1 for hit in found} == set(range(20))
        for hit in found:
            terms = bm25_weights(many[UUID(hit.id).int - 1].terms)
            expected = terms[5] * inverse_document_frequency(1_500, 1_500) + terms[6] * inverse_document_frequency(
                1_500,
                20,
            )
            assert abs(hit.score - expected) < 1e-3, f"{hit.score} is not {expected}"
        assert len(await its.search(PassageQuery(vector=(), terms={5: 1}, alpha=0.0, limit=30, readers=None))) == 30, (
            "each mode alone decides"
        )


async def fuses_vector_and_keyword_scores(store: VectorStore) -> None:
    """In between, passages that match both come first, and alpha orders the rest."""
    asked = vector(50)
    both, near, worded, none = (
        passage(0, terms={11: 1}),
        passage(1, terms={98: 1}),
        passage(2, terms={11: 1}),
        passage(3, terms={98: 1}),
    )
    away = [-x for x in asked]
    many = [_at(both, asked), _at(near, asked), _at(worded, away), _at(none, away)]
    async with open_collection(store, *many) as its:
        order = [
            hit.id
            for hit in await its.search(PassageQuery(vector=asked, terms={11: 1}, alpha=0.5, limit=4, readers=None))
        ]
        assert order[0] == both.id
        order = [
            hit.id
            for hit in await its.search(PassageQuery(vector=asked, terms={11: 1}, alpha=0.9, limit=4, readers=None))
        ]
        assert order.index(near.id) < order.index(worded.id), "at 0.9 the vector has more weight"
        order = [
            hit.id
            for hit in await its.search(PassageQuery(vector=asked, terms={11: 1}, alpha=0.1, limit=4, readers=None))
        ]
        assert order.index(worded.id) < order.index(near.id), "at 0.1 the terms have more weight"
        found = await its.search(PassageQuery(vector=asked, terms={11: 1}, alpha=0.5, limit=1, readers=None))
        assert len(found) == 1 and 0 <= found[0].score <= 1 + 1e-6
        assert len(await its.search(PassageQuery(vector=asked, terms={}, alpha=0.5, limit=4, readers=None))) == 4, (
            "a query without terms is a vector search"
        )


async def scores_hybrid_hits_by_both(store: VectorStore) -> None:
    """Also passages that one half alone finds, so that no rank depends on how many each half returns."""
    asked = vector(50)
    near = [_at(passage(number, terms={98: 1}), asked) for number in range(70)]
    away, aside = passage(100, terms={11: 1}), passage(101, terms={11: 1})
    async with open_collection(store, *near, _at(away, [-x for x in asked]), _at(aside, vector(7))) as its:
        hits = await its.search(PassageQuery(vector=asked, terms={11: 1}, alpha=0.5, limit=20, readers=None))
        assert hits[0].id == aside.id, "nearer than the other with the word, though neither is among the nearest"
        hits = await its.search(PassageQuery(vector=asked, terms={98: 1}, alpha=0.5, limit=1, readers=None))
        assert hits[0].id not in (away.id, aside.id)


async def keeps_bases_apart(store: VectorStore) -> None:
    """Bases that differ in organization, project or name are isolated, and removed separately."""
    first = base()
    others = [
        KnowledgeBaseId("other", first.project, first.name),
        KnowledgeBaseId(first.tenant, "other", first.name),
        KnowledgeBaseId(first.tenant, first.project, "other" + first.name),
        KnowledgeBaseId(first.tenant + first.project, "", first.name),
    ]
    shelves = [await store.open(each, DIMENSION) for each in (first, *others)]
    for number, its in enumerate(shelves):
        assert not await its.upsert([passage(number), passage(77, "shared")])
    for number, its in enumerate(shelves):
        assert await matching_numbers(its, match_all()) == {number, 77}
        assert await matching_numbers(its, match_all(alpha=0.0)) == {number, 77}
        assert await its.count() == 2
    assert await shelves[0].delete_document("shared") == 1
    await store.remove(first)
    await store.remove(first)  # idempotent
    for number, its in enumerate(shelves[1:], 1):
        assert await matching_numbers(its, match_all()) == {number, 77}, (
            "another organization's deletion must not remove it"
        )
    again = await store.open(first, DIMENSION)
    assert await again.count() == 0, "a deleted collection starts empty"
    for each in (first, *others):
        await store.remove(each)


async def shows_only_what_may_be_seen(store: VectorStore) -> None:
    """Readers and data classes are filtered within the search: `limit` visible passages are found."""
    asked = vector(0)
    hidden = [_at(passage(number, readers=("board",)), asked) for number in range(30)]
    secret = [_at(passage(number, data_class="confidential"), asked) for number in range(30, 60)]
    mine = [passage(number, readers=("role:support", "key:7")) for number in range(60, 65)]
    open_to_all = [passage(number, data_class="public") for number in range(65, 70)]
    async with open_collection(store, *hidden, *secret, *mine, *open_to_all) as its:
        for alpha in (1.0, 0.0, 0.5):
            reach: tuple[DataClass, ...] = ("public", "internal")
            sees = match_all(alpha=alpha, limit=10, readers=("key:7",), reach=reach)
            assert await matching_numbers(its, sees) == set(range(60, 70)), f"at alpha {alpha}"
            nobody = match_all(alpha=alpha, limit=10, readers=(), reach=reach)
            assert await matching_numbers(its, nobody) == set(range(65, 70)), f"at alpha {alpha}"
            assert await matching_numbers(its, match_all(alpha=alpha, limit=10, reach=())) == set()
        assert len(await matching_numbers(its, match_all())) == 70, "readers=None sees all"
        assert await matching_numbers(its, match_all(readers=("support",), reach=reach)) == set(range(65, 70)), (
            "only whole names match"
        )
        assert len(await matching_numbers(its, match_all(readers=("board",), reach=ALL_CLASSES))) == 30 + 30 + 5


TAGGED: Sequence[Mapping[str, Tag]] = (
    {"topic": "leave", "year": 2024, "final": True, "teams": ("red", "blue")},
    {"topic": "leave", "year": 2025, "final": False, "teams": ("blue",)},
    {"topic": "Urlaub für Ärzte 休暇 🏖", "year": 2025.5, "size": -3},
    {"topic": "2024", "year": 1, "final": True},
    {},
)
FILTER_CASES: Sequence[tuple[TagFilter, set[int]]] = (
    (TagIn("topic", ("leave",)), {0, 1}),
    (TagIn("topic", ("Urlaub für Ärzte 休暇 🏖", "nothing")), {2}),
    (TagIn("topic", ("LEAVE", "leav", "leave ")), set()),
    (TagIn("topic", ()), set()),
    (TagIn("year", (2024,)), {0}),
    (TagIn("year", (2024.0, 1)), {0, 3}),
    (TagIn("topic", (2024,)), set()),
    (TagIn("year", ("2024",)), set()),
    (TagIn("final", (True,)), {0, 3}),
    (TagIn("final", (1,)), set()),
    (TagIn("year", (True,)), set()),
    (TagIn("teams", ("blue",)), {0, 1}),
    (TagIn("teams", ("red", "green")), {0}),
    (TagRange("year", gte=2025), {1, 2}),
    (TagRange("year", gt=2024, lt=2025.5), {1}),
    (TagRange("year", gt=2025, lte=2025.5), {2}),
    (TagRange("size", lt=0), {2}),
    (TagRange("absent", lt=0), set()),
    (FilterAnd((TagIn("topic", ("leave",)), TagRange("year", gte=2025))), {1}),
    (FilterOr((TagIn("topic", ("leave",)), TagIn("final", (True,)))), {0, 1, 3}),
    (FilterAnd(()), {0, 1, 2, 3, 4}),
    (FilterOr(()), set()),
    (FilterNot(TagIn("topic", ("leave",))), {2, 3, 4}),
    (FilterNot(TagRange("year", gte=2025)), {0, 3, 4}),
    (
        FilterAnd(
            (FilterNot(TagIn("final", (True,))), FilterOr((TagIn("teams", ("blue",)), TagRange("size", lte=-3)))),
        ),
        {1, 2},
    ),
    (FilterNot(FilterNot(TagIn("teams", ("red",)))), {0}),
    (FilterNot(FilterOr((TagIn("topic", ("leave",)), TagIn("final", (True,))))), {2, 4}),
)


async def filters_by_tags(store: VectorStore) -> None:
    async with open_collection(store, *(passage(number, tags=tags) for number, tags in enumerate(TAGGED))) as its:
        for where, expected in FILTER_CASES:
            found = await matching_numbers(its, match_all(where=where))
            assert found == expected, f"{where} found {found}, not {expected}"
        assert await matching_numbers(its, match_all(alpha=0.0, where=FILTER_CASES[0][0])) == {0, 1}
        assert await matching_numbers(its, match_all(alpha=0.5, where=FILTER_CASES[0][0])) == {0, 1}


async def finds_in_documents(store: VectorStore) -> None:
    """Any document name works."""
    names = ["a", "A", "a ", "ä/б/文件.pdf", "'; DROP TABLE passages; --", '{"a": 1}', "100%_*", "x" * 256]
    async with open_collection(store, *(passage(number, name) for number, name in enumerate(names))) as its:
        for number, name in enumerate(names):
            assert await matching_numbers(its, match_all(documents=(name,))) == {number}, f"of the document {name!r}"
        assert await matching_numbers(its, match_all(documents=("a", "A"))) == {0, 1}
        assert await matching_numbers(its, match_all(documents=("nothing",))) == set()
        for number, name in enumerate(names):
            assert await its.delete_document(name) == 1, f"the document {name!r} is dropped"
            assert await its.count() == len(names) - 1 - number


async def replaces(store: VectorStore) -> None:
    """A passage with a known id replaces the old one: vector, terms, tags, text and readers."""
    before = passage(0, terms={11: 1}, tags={"topic": "old", "year": 1}, readers=("board",))
    async with open_collection(store, before, passage(1)) as its:
        after = Passage(
            id=before.id,
            document="two",
            vector=vector(9),
            terms={12: 1},
            sealed=b"\x00\xff new",
            readers=(),
            data_class="public",
            tags={"topic": "new"},
        )
        assert not await its.upsert([after])
        assert await its.count() == 2
        found: list[SearchHit] = await its.search(
            PassageQuery(vector=vector(9), terms={}, alpha=1.0, limit=1, readers=())
        )
        assert (found[0].id, found[0].document, found[0].sealed) == (after.id, "two", b"\x00\xff new")
        assert await matching_numbers(its, match_all(alpha=0.0, terms={11: 1})) == set()
        assert await matching_numbers(its, match_all(alpha=0.0, terms={12: 1}, reach=("public",))) == {0}
        assert await matching_numbers(its, match_all(where=TagIn("topic", ("old",)))) == set()
        assert await matching_numbers(its, match_all(where=TagRange("year", lte=1))) == set()
        assert await its.delete_document("one") == 1
        twice = [passage(5, sealed=b"first"), passage(5, sealed=b"last")]
        assert not await its.upsert(twice)
        found = await its.search(PassageQuery(vector=vector(5), terms={}, alpha=1.0, limit=1, readers=None))
        assert found[0].sealed == b"last", "the last passage of an ID counts"


async def deletes_documents(store: VectorStore) -> None:
    many = [passage(number, "old" if number < 20 else "other") for number in range(30)]
    async with open_collection(store, *many) as its:
        kept = [each.id for each in many[:3]]
        assert await its.delete_document("old", keep=kept) == 17
        assert await matching_numbers(its, match_all()) == {0, 1, 2, *range(20, 30)}
        assert await its.delete_document("old", keep=[many[25].id]) == 3, "another document's ID protects nothing"
        assert await its.delete_document("old") == 0
        assert await matching_numbers(its, match_all(alpha=0.0)) == set(range(20, 30))


async def reports_each_invalid_passage(store: VectorStore) -> None:
    """An invalid passage is returned with the reason; all others are stored."""
    good = [passage(number) for number in range(4)]
    short = Passage(id=str(UUID(int=101)), document="one", vector=vector(0, DIMENSION - 1), terms={}, sealed=b"")
    nought = Passage(id=str(UUID(int=102)), document="one", vector=[0.0] * DIMENSION, terms={}, sealed=b"")
    broken = Passage(id=str(UUID(int=103)), document="one", vector=[math.nan] * DIMENSION, terms={}, sealed=b"")
    unnamed = Passage(id="no uuid", document="one", vector=vector(0), terms={}, sealed=b"")
    wide = Passage(id=str(UUID(int=104)), document="one", vector=vector(0), terms={2**32: 1}, sealed=b"")
    tagged = Passage(id=str(UUID(int=105)), document="one", vector=vector(0), terms={}, sealed=b"", tags={"a.b": "x"})
    infinite = Passage(
        id=str(UUID(int=106)), document="one", vector=vector(0), terms={}, sealed=b"", tags={"a": math.inf}
    )
    bad = [short, nought, broken, unnamed, wide, tagged, infinite]
    async with open_collection(store) as its:
        refused = await its.upsert([*good[:2], *bad, *good[2:]])
        assert set(refused) == {each.id for each in bad}
        assert f"{DIMENSION - 1} dimensions" in refused[short.id]
        assert await matching_numbers(its, match_all()) == {0, 1, 2, 3}
        assert not await its.upsert([])
        assert not await its.upsert([passage(7, terms={}, sealed=b"")]), "a passage without terms is valid"


async def refuses_invalid_queries(store: VectorStore) -> None:
    deep: TagFilter = TagIn("a", ("b",))
    for _ in range(20):
        deep = FilterNot(deep)
    cases = [
        PassageQuery(vector(0, DIMENSION + 1), {}, 1.0),
        PassageQuery((), {7: 1}, 0.5),
        PassageQuery([0.0] * DIMENSION, {}, 1.0),
        PassageQuery([math.inf] * DIMENSION, {}, 1.0),
        PassageQuery(vector(0), {}, 1.1),
        PassageQuery(vector(0), {}, -0.1),
        PassageQuery(vector(0), {}, 1.0, 0),
        PassageQuery(vector(0), {}, 1.0, 100_000),
        PassageQuery(vector(0), {}, 1.0, where=deep),
        PassageQuery(vector(0), {}, 1.0, where=TagIn("a", tuple(range(10_000)))),
        PassageQuery(vector(0), {}, 1.0, where=TagIn("no such'name", ("b",))),
    ]
    async with open_collection(store, passage(0)) as its:
        for case in cases:
            try:
                await its.search(case)
            except BadRequest:
                continue
            raise AssertionError(f"{case} was accepted")
        assert await matching_numbers(its, match_all()) == {0}, "the store continues to work"


async def refuses_another_dimension(store: VectorStore) -> None:
    mine = base()
    await store.open(mine, DIMENSION)
    try:
        await store.open(mine, DIMENSION + 1)
    except Conflict as error:
        assert str(DIMENSION) in error.message
    else:
        raise AssertionError("a collection was opened with another dimension")
    finally:
        await store.remove(mine)


async def takes_unicode(store: VectorStore) -> None:
    """In organization, base, document, reader and tag names; also 32-bit terms and any bytes."""
    mine = KnowledgeBaseId("Äcme 株式会社", "проект/..", "💡 'base' " + uuid4().hex)
    its = await store.open(mine, DIMENSION)
    odd = passage(0, "文件", readers=("rôle:支援",), tags={"t": "ﬁ\u0301 \u202e"}, terms={0: 1, 2**32 - 1: 2})
    odd = Passage(
        id=odd.id,
        document=odd.document,
        vector=odd.vector,
        terms=odd.terms,
        sealed=bytes(range(256)),
        readers=odd.readers,
        tags=odd.tags,
    )
    assert not await its.upsert([odd])
    for terms in ({0: 1}, {2**32 - 1: 1}):
        found = await its.search(
            PassageQuery(
                vector=(),
                terms=terms,
                alpha=0.0,
                limit=5,
                readers=("rôle:支援",),
                where=TagIn("t", ("ﬁ\u0301 \u202e",)),
            )
        )
        assert [hit.sealed for hit in found] == [bytes(range(256))]
    await store.remove(mine)


async def takes_many_at_once(store: VectorStore, many: int = 10_000) -> None:
    """Many passages in one call are found by the next search."""
    async with open_collection(store) as its:
        passages = [passage(number, f"doc-{number // 10}") for number in range(many)]
        assert not await its.upsert(passages)
        assert await its.count() == many
        for number in (0, many // 2, many - 1):
            found = await its.search(PassageQuery(vector=vector(number), terms={}, alpha=1.0, limit=1, readers=None))
            assert UUID(found[0].id).int - 1 == number
            found = await its.search(
                PassageQuery(vector=(), terms={number + 1000: 1}, alpha=0.0, limit=1, readers=None)
            )
            assert UUID(found[0].id).int - 1 == number


async def reads_while_it_writes(store: VectorStore) -> None:
    """Concurrent readers and a writer: readers see whole passages, and all that were there before."""
    async with open_collection(store, *(passage(number, "old") for number in range(50))) as its:

        async def write() -> None:
            for number in range(50, 150, 10):
                assert not await its.upsert([passage(each, "new") for each in range(number, number + 10)])
            assert await its.delete_document("new") == 100

        async def read(number: int) -> None:
            for _ in range(10):
                found = await its.search(
                    PassageQuery(
                        vector=vector(number),
                        terms={7: 1},
                        alpha=number % 3 / 2,
                        limit=50,
                        readers=None,
                        documents=("old",),
                    ),
                )
                assert len(found) == 50
                assert all(hit.sealed == f"sealed {UUID(hit.id).int - 1}".encode() for hit in found)

        await asyncio.gather(write(), *(read(number) for number in range(8)))
        assert await its.count() == 50


async def optimizes(store: VectorStore) -> None:
    """Optimizing, also during writes, does not change results."""
    async with open_collection(store, *(passage(number) for number in range(200))) as its:
        query = PassageQuery(vector=vector(500), terms={7: 1}, alpha=1.0, limit=20, readers=None)
        before = [hit.id for hit in await its.search(query)]
        await asyncio.gather(store.optimize(), its.upsert([passage(number, "later") for number in range(200, 220)]))
        assert await its.count() == 220
        assert await its.delete_document("later") == 20
        assert [hit.id for hit in await its.search(query)] == before


async def writes_before_restart(store: VectorStore, base: KnowledgeBaseId) -> None:
    """First half of the durability check."""
    its = await store.open(base, DIMENSION)
    assert not await its.upsert([passage(number, tags={"n": number}) for number in range(100)])
    assert await its.delete_document("nothing") == 0
    assert not await its.upsert([passage(0, "again")])


async def reads_after_restart(store: VectorStore, base: KnowledgeBaseId) -> None:
    """Second half, in a reopened store: the data is unchanged."""
    its = await store.open(base, DIMENSION)
    assert await its.count() == 100
    assert await matching_numbers(its, match_all(where=TagRange("n", gte=95))) == set(range(95, 100))
    assert await matching_numbers(its, match_all(alpha=0.0, terms={1042: 1})) == {42}
    assert await its.delete_document("again") == 1
    try:
        await store.open(base, DIMENSION + 1)
    except Conflict:
        pass
    else:
        raise AssertionError("the dimension must be kept")
    await store.remove(base)


def _at(what: Passage, where: Sequence[float]) -> Passage:
    """`what`, with a vector close to `where`."""
    aside = [x + y / 1000 for x, y in zip(where, what.vector, strict=True)]
    return Passage(
        id=what.id,
        document=what.document,
        vector=aside,
        terms=what.terms,
        sealed=what.sealed,
        readers=what.readers,
        data_class=what.data_class,
        tags=what.tags,
    )


def every() -> Iterator[Check]:
    yield from (
        finds_the_nearest,
        finds_the_words,
        fuses_vector_and_keyword_scores,
        scores_hybrid_hits_by_both,
        keeps_bases_apart,
        shows_only_what_may_be_seen,
        filters_by_tags,
        finds_in_documents,
        replaces,
        deletes_documents,
        knows_what_is_stored,
        reports_each_invalid_passage,
        refuses_invalid_queries,
        refuses_another_dimension,
        takes_unicode,
        reads_while_it_writes,
        optimizes,
    )
