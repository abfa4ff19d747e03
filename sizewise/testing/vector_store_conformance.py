"""What every store of passages must do, whatever it is built on: each check opens bases of its own and leaves none.

Each raises AssertionError with what went wrong. `every` names them all; `outlives` is for stores that can be left and
come back to.
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
    Base,
    Every,
    Hit,
    Is,
    Passage,
    Query,
    Shelf,
    Some,
    Store,
    Tag,
    Terms,
    Where,
    Within,
    Without,
    rarity,
    weights,
)

SIZE = 8  # numbers of a vector
ALL: tuple[DataClass, ...] = get_args(DataClass)
NO_TAGS: Mapping[str, Tag] = MappingProxyType({})
EVERYWHERE: Terms = MappingProxyType({7: 1})

Check = Callable[[Store], Coroutine[Any, Any, None]]


def base(name: str = "handbook", tenant: str = "acme", project: str = "support") -> Base:
    """One that no other check has."""
    return Base(tenant, project, f"{name}-{uuid4().hex[:8]}")


def vector(number: int, size: int = SIZE) -> list[float]:
    """Always the same for a number, and in no particular direction."""
    dice = random.Random(number)
    return [dice.gauss(0, 1) for _ in range(size)]


def passage(
    number: int,
    document: str = "one",
    *,
    terms: Terms | None = None,
    sealed: bytes | None = None,
    readers: tuple[str, ...] = (),
    data_class: DataClass = "internal",
    tags: Mapping[str, Tag] = NO_TAGS,
) -> Passage:
    """Without `terms` it has its own, 1000 and `number`, and one that all have: 7."""
    its = {number + 1000: 1, 7: 1} if terms is None else terms
    text = f"sealed {number}".encode() if sealed is None else sealed
    return Passage(str(UUID(int=number + 1)), document, vector(number), its, text, readers, data_class, tags)


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    dot = sum(a * b for a, b in zip(one, other, strict=True))
    return dot / math.sqrt(sum(a * a for a in one)) / math.sqrt(sum(b * b for b in other))


@asynccontextmanager
async def shelf(store: Store, *passages: Passage) -> AsyncIterator[Shelf]:
    mine = base()
    opened = await store.open(mine, SIZE)
    try:
        if passages:
            refused = await opened.put(passages)
            assert not refused, f"nothing is wrong with these passages: {dict(refused)}"
        yield opened
    finally:
        await store.remove(mine)


async def ids(shelf: Shelf, query: Query) -> set[int]:
    return {UUID(hit.id).int - 1 for hit in await shelf.search(query)}


def all_of(
    *,
    terms: Terms = EVERYWHERE,
    alpha: float = 1.0,
    limit: int = 100,
    readers: tuple[str, ...] | None = None,
    reach: tuple[DataClass, ...] = ALL,
    documents: tuple[str, ...] = (),
    where: Where | None = None,
) -> Query:
    """A question that finds everything that it may see."""
    return Query(vector(0), terms, alpha, limit, readers, reach, documents, where)


async def finds_the_nearest(store: Store) -> None:
    """At alpha 1 the order and the scores are the cosines', whatever the terms say; the sealed text comes back."""
    many = [passage(number) for number in range(40)]
    async with shelf(store, *many) as its:
        asked = vector(99)
        found: list[Hit] = await its.search(Query(asked, {7: 1}, 1.0, 10, None))
        best = sorted(many, key=lambda each: -cosine(asked, each.vector))[:10]
        assert [hit.id for hit in found] == [each.id for each in best], "the nearest come first"
        for hit, each in zip(found, best, strict=True):
            assert abs(hit.score - cosine(asked, each.vector)) < 1e-3, f"{hit.score} is not the cosine"
            assert (hit.document, hit.sealed) == (each.document, each.sealed)
        assert [hit.id for hit in await its.search(Query([9 * x for x in asked], {}, 1.0, 10, None))] == [
            each.id for each in best
        ], "how long a vector is does not matter"


async def finds_the_words(store: Store) -> None:
    """At alpha 0 only passages that hold a term, by BM25: rare terms weigh more, long passages less."""
    rare, common, never = 11, 12, 13
    many = [
        passage(0, terms={rare: 1, common: 1}),
        passage(1, terms={common: 3}),
        passage(2, terms={common: 1, 99: 400}),
        *(passage(number, terms={98: 1}) for number in range(3, 20)),
    ]
    async with shelf(store, *many) as its:
        asked = {rare: 1, common: 1, never: 1}
        found: list[Hit] = await its.search(Query((), asked, 0.0, 10, None))
        assert [UUID(hit.id).int - 1 for hit in found] == [0, 1, 2], "in the order of BM25, and no others"
        assert found[0].score > found[1].score > found[2].score > 0
        assert await its.search(Query((), {never: 1}, 0.0, 10, None)) == []
        assert await its.search(Query((), {}, 0.0, 10, None)) == [], "without terms there is nothing to find"


async def scores_by_bm25(store: Store) -> None:
    """For stores that do BM25 by our weights: the very numbers."""
    many = [passage(number, terms={5: 1 + number % 3, 6 + number % 2: 1}) for number in range(10)]
    async with shelf(store, *many) as its:
        found: list[Hit] = await its.search(Query((), {5: 1, 6: 1}, 0.0, 10, None))
        having = {term: sum(term in each.terms for each in many) for term in (5, 6)}
        for hit in found:
            terms = weights(many[UUID(hit.id).int - 1].terms)
            expected = sum(terms.get(term, 0) * rarity(len(many), having[term]) for term in (5, 6))
            assert abs(hit.score - expected) < 1e-3, f"{hit.score} is not {expected}"


async def weighs_common_terms(store: Store) -> None:
    """Where a term stands in thousands, it adds to what a rarer one chose: the very numbers."""
    many = [passage(number, terms={5: 1 + number % 3, 6: 1} if number < 20 else {5: 1}) for number in range(1_500)]
    async with shelf(store, *many) as its:
        found: list[Hit] = await its.search(Query((), {5: 1, 6: 1}, 0.0, 20, None))
        assert {UUID(hit.id).int - 1 for hit in found} == set(range(20))
        for hit in found:
            terms = weights(many[UUID(hit.id).int - 1].terms)
            expected = terms[5] * rarity(1_500, 1_500) + terms[6] * rarity(1_500, 20)
            assert abs(hit.score - expected) < 1e-3, f"{hit.score} is not {expected}"
        assert len(await its.search(Query((), {5: 1}, 0.0, 30, None))) == 30, "alone it chooses"


async def weighs_both(store: Store) -> None:
    """Between the ends what is both near and worded comes before what is one of them, and alpha moves the rest."""
    asked = vector(50)
    both, near, worded, none = (
        passage(0, terms={11: 1}),
        passage(1, terms={98: 1}),
        passage(2, terms={11: 1}),
        passage(3, terms={98: 1}),
    )
    away = [-x for x in asked]
    many = [_at(both, asked), _at(near, asked), _at(worded, away), _at(none, away)]
    async with shelf(store, *many) as its:
        order = [hit.id for hit in await its.search(Query(asked, {11: 1}, 0.5, 4, None))]
        assert order[0] == both.id
        order = [hit.id for hit in await its.search(Query(asked, {11: 1}, 0.9, 4, None))]
        assert order.index(near.id) < order.index(worded.id), "at 0.9 the vector counts for more"
        order = [hit.id for hit in await its.search(Query(asked, {11: 1}, 0.1, 4, None))]
        assert order.index(worded.id) < order.index(near.id), "at 0.1 the terms do"
        found = await its.search(Query(asked, {11: 1}, 0.5, 1, None))
        assert len(found) == 1 and 0 <= found[0].score <= 1 + 1e-6
        assert len(await its.search(Query(asked, {}, 0.5, 4, None))) == 4, "a question without terms is a near one"


async def keeps_bases_apart(store: Store) -> None:
    """Organisation, project and name: what differs in any of them sees nothing of another, and is dropped alone."""
    first = base()
    others = [
        Base("other", first.project, first.name),
        Base(first.tenant, "other", first.name),
        Base(first.tenant, first.project, "other" + first.name),
        Base(first.tenant + first.project, "", first.name),
    ]
    shelves = [await store.open(each, SIZE) for each in (first, *others)]
    for number, its in enumerate(shelves):
        assert not await its.put([passage(number), passage(77, "shared")])
    for number, its in enumerate(shelves):
        assert await ids(its, all_of()) == {number, 77}
        assert await ids(its, all_of(alpha=0.0)) == {number, 77}
        assert await its.count() == 2
    assert await shelves[0].drop("shared") == 1
    await store.remove(first)
    await store.remove(first)  # nothing to do
    for number, its in enumerate(shelves[1:], 1):
        assert await ids(its, all_of()) == {number, 77}, "what somebody else forgets is there"
    again = await store.open(first, SIZE)
    assert await again.count() == 0, "a base that was removed begins anew"
    for each in (first, *others):
        await store.remove(each)


async def shows_only_what_may_be_seen(store: Store) -> None:
    """Readers and data classes are part of the search: `limit` come back where so many may be seen."""
    asked = vector(0)
    hidden = [_at(passage(number, readers=("board",)), asked) for number in range(30)]
    secret = [_at(passage(number, data_class="confidential"), asked) for number in range(30, 60)]
    mine = [passage(number, readers=("role:support", "key:7")) for number in range(60, 65)]
    open_to_all = [passage(number, data_class="public") for number in range(65, 70)]
    async with shelf(store, *hidden, *secret, *mine, *open_to_all) as its:
        for alpha in (1.0, 0.0, 0.5):
            reach: tuple[DataClass, ...] = ("public", "internal")
            sees = all_of(alpha=alpha, limit=10, readers=("key:7",), reach=reach)
            assert await ids(its, sees) == set(range(60, 70)), f"at alpha {alpha}"
            nobody = all_of(alpha=alpha, limit=10, readers=(), reach=reach)
            assert await ids(its, nobody) == set(range(65, 70)), f"at alpha {alpha}"
            assert await ids(its, all_of(alpha=alpha, limit=10, reach=())) == set()
        assert len(await ids(its, all_of())) == 70, "readers None sees all"
        assert await ids(its, all_of(readers=("support",), reach=reach)) == set(range(65, 70)), "whole names only"
        assert len(await ids(its, all_of(readers=("board",), reach=ALL))) == 30 + 30 + 5


TAGGED: Sequence[Mapping[str, Tag]] = (
    {"topic": "leave", "year": 2024, "final": True, "teams": ("red", "blue")},
    {"topic": "leave", "year": 2025, "final": False, "teams": ("blue",)},
    {"topic": "Urlaub für Ärzte 休暇 🏖", "year": 2025.5, "size": -3},
    {"topic": "2024", "year": 1, "final": True},
    {},
)
ASKED: Sequence[tuple[Where, set[int]]] = (
    (Is("topic", ("leave",)), {0, 1}),
    (Is("topic", ("Urlaub für Ärzte 休暇 🏖", "nothing")), {2}),
    (Is("topic", ("LEAVE", "leav", "leave ")), set()),
    (Is("topic", ()), set()),
    (Is("year", (2024,)), {0}),
    (Is("year", (2024.0, 1)), {0, 3}),
    (Is("topic", (2024,)), set()),
    (Is("year", ("2024",)), set()),
    (Is("final", (True,)), {0, 3}),
    (Is("final", (1,)), set()),
    (Is("year", (True,)), set()),
    (Is("teams", ("blue",)), {0, 1}),
    (Is("teams", ("red", "green")), {0}),
    (Within("year", at_least=2025), {1, 2}),
    (Within("year", more_than=2024, less_than=2025.5), {1}),
    (Within("year", more_than=2025, at_most=2025.5), {2}),
    (Within("size", less_than=0), {2}),
    (Within("absent", less_than=0), set()),
    (Every((Is("topic", ("leave",)), Within("year", at_least=2025))), {1}),
    (Some((Is("topic", ("leave",)), Is("final", (True,)))), {0, 1, 3}),
    (Every(()), {0, 1, 2, 3, 4}),
    (Some(()), set()),
    (Without(Is("topic", ("leave",))), {2, 3, 4}),
    (Without(Within("year", at_least=2025)), {0, 3, 4}),
    (Every((Without(Is("final", (True,))), Some((Is("teams", ("blue",)), Within("size", at_most=-3))))), {1, 2}),
    (Without(Without(Is("teams", ("red",)))), {0}),
    (Without(Some((Is("topic", ("leave",)), Is("final", (True,))))), {2, 4}),
)


async def filters_by_tags(store: Store) -> None:
    async with shelf(store, *(passage(number, tags=tags) for number, tags in enumerate(TAGGED))) as its:
        for where, expected in ASKED:
            found = await ids(its, all_of(where=where))
            assert found == expected, f"{where} found {found}, not {expected}"
        assert await ids(its, all_of(alpha=0.0, where=ASKED[0][0])) == {0, 1}
        assert await ids(its, all_of(alpha=0.5, where=ASKED[0][0])) == {0, 1}


async def finds_in_documents(store: Store) -> None:
    """Whatever a document is called."""
    names = ["a", "A", "a ", "ä/б/文件.pdf", "'; DROP TABLE passages; --", '{"a": 1}', "100%_*", "x" * 256]
    async with shelf(store, *(passage(number, name) for number, name in enumerate(names))) as its:
        for number, name in enumerate(names):
            assert await ids(its, all_of(documents=(name,))) == {number}, f"of the document {name!r}"
        assert await ids(its, all_of(documents=("a", "A"))) == {0, 1}
        assert await ids(its, all_of(documents=("nothing",))) == set()
        for number, name in enumerate(names):
            assert await its.drop(name) == 1, f"the document {name!r} is dropped"
            assert await its.count() == len(names) - 1 - number


async def replaces(store: Store) -> None:
    """The same id again takes its place: vector, terms, tags, text and readers."""
    before = passage(0, terms={11: 1}, tags={"topic": "old", "year": 1}, readers=("board",))
    async with shelf(store, before, passage(1)) as its:
        after = Passage(before.id, "two", vector(9), {12: 1}, b"\x00\xff new", (), "public", {"topic": "new"})
        assert not await its.put([after])
        assert await its.count() == 2
        found: list[Hit] = await its.search(Query(vector(9), {}, 1.0, 1, ()))
        assert (found[0].id, found[0].document, found[0].sealed) == (after.id, "two", b"\x00\xff new")
        assert await ids(its, all_of(alpha=0.0, terms={11: 1})) == set()
        assert await ids(its, all_of(alpha=0.0, terms={12: 1}, reach=("public",))) == {0}
        assert await ids(its, all_of(where=Is("topic", ("old",)))) == set()
        assert await ids(its, all_of(where=Within("year", at_most=1))) == set()
        assert await its.drop("one") == 1
        twice = [passage(5, sealed=b"first"), passage(5, sealed=b"last")]
        assert not await its.put(twice)
        found = await its.search(Query(vector(5), {}, 1.0, 1, None))
        assert found[0].sealed == b"last", "the last of one id counts"


async def drops_documents(store: Store) -> None:
    many = [passage(number, "old" if number < 20 else "other") for number in range(30)]
    async with shelf(store, *many) as its:
        kept = [each.id for each in many[:3]]
        assert await its.drop("old", but=kept) == 17
        assert await ids(its, all_of()) == {0, 1, 2, *range(20, 30)}
        assert await its.drop("old", but=[many[25].id]) == 3, "another document's id spares nothing"
        assert await its.drop("old") == 0
        assert await ids(its, all_of(alpha=0.0)) == set(range(20, 30))


async def tells_of_each_that_is_bad(store: Store) -> None:
    """What cannot be kept is named with its reason, and everything else is kept."""
    good = [passage(number) for number in range(4)]
    short = Passage(str(UUID(int=101)), "one", vector(0, SIZE - 1), {}, b"")
    nought = Passage(str(UUID(int=102)), "one", [0.0] * SIZE, {}, b"")
    broken = Passage(str(UUID(int=103)), "one", [math.nan] * SIZE, {}, b"")
    unnamed = Passage("no uuid", "one", vector(0), {}, b"")
    wide = Passage(str(UUID(int=104)), "one", vector(0), {2**32: 1}, b"")
    tagged = Passage(str(UUID(int=105)), "one", vector(0), {}, b"", tags={"a.b": "x"})
    infinite = Passage(str(UUID(int=106)), "one", vector(0), {}, b"", tags={"a": math.inf})
    bad = [short, nought, broken, unnamed, wide, tagged, infinite]
    async with shelf(store) as its:
        refused = await its.put([*good[:2], *bad, *good[2:]])
        assert set(refused) == {each.id for each in bad}
        assert f"{SIZE - 1} numbers" in refused[short.id]
        assert await ids(its, all_of()) == {0, 1, 2, 3}
        assert not await its.put([])
        assert not await its.put([passage(7, terms={}, sealed=b"")]), "a passage without words is one"


async def refuses_what_cannot_be_asked(store: Store) -> None:
    deep: Where = Is("a", ("b",))
    for _ in range(20):
        deep = Without(deep)
    cases = [
        Query(vector(0, SIZE + 1), {}, 1.0),
        Query((), {7: 1}, 0.5),
        Query([0.0] * SIZE, {}, 1.0),
        Query([math.inf] * SIZE, {}, 1.0),
        Query(vector(0), {}, 1.1),
        Query(vector(0), {}, -0.1),
        Query(vector(0), {}, 1.0, 0),
        Query(vector(0), {}, 1.0, 100_000),
        Query(vector(0), {}, 1.0, where=deep),
        Query(vector(0), {}, 1.0, where=Is("a", tuple(range(10_000)))),
        Query(vector(0), {}, 1.0, where=Is("no such'name", ("b",))),
    ]
    async with shelf(store, passage(0)) as its:
        for case in cases:
            try:
                await its.search(case)
            except BadRequest:
                continue
            raise AssertionError(f"{case} was answered")
        assert await ids(its, all_of()) == {0}, "and goes on"


async def refuses_another_dimension(store: Store) -> None:
    mine = base()
    await store.open(mine, SIZE)
    try:
        await store.open(mine, SIZE + 1)
    except Conflict as error:
        assert str(SIZE) in error.message
    else:
        raise AssertionError("a base of another dimension was opened")
    finally:
        await store.remove(mine)


async def takes_unicode(store: Store) -> None:
    """In names of organisations and bases, documents, readers and tags; terms of all 32 bits; any bytes."""
    mine = Base("Äcme 株式会社", "проект/..", "💡 'base' " + uuid4().hex)
    its = await store.open(mine, SIZE)
    odd = passage(0, "文件", readers=("rôle:支援",), tags={"t": "ﬁ\u0301 \u202e"}, terms={0: 1, 2**32 - 1: 2})
    odd = Passage(odd.id, odd.document, odd.vector, odd.terms, bytes(range(256)), odd.readers, tags=odd.tags)
    assert not await its.put([odd])
    for terms in ({0: 1}, {2**32 - 1: 1}):
        found = await its.search(Query((), terms, 0.0, 5, ("rôle:支援",), where=Is("t", ("ﬁ\u0301 \u202e",))))
        assert [hit.sealed for hit in found] == [bytes(range(256))]
    await store.remove(mine)


async def takes_many_at_once(store: Store, many: int = 10_000) -> None:
    """One call, many passages; all are found by the next search."""
    async with shelf(store) as its:
        passages = [passage(number, f"doc-{number // 10}") for number in range(many)]
        assert not await its.put(passages)
        assert await its.count() == many
        for number in (0, many // 2, many - 1):
            found = await its.search(Query(vector(number), {}, 1.0, 1, None))
            assert UUID(found[0].id).int - 1 == number
            found = await its.search(Query((), {number + 1000: 1}, 0.0, 1, None))
            assert UUID(found[0].id).int - 1 == number


async def reads_while_it_writes(store: Store) -> None:
    """Readers in number beside a writer: each sees whole passages, and those that were there all along."""
    async with shelf(store, *(passage(number, "old") for number in range(50))) as its:

        async def write() -> None:
            for number in range(50, 150, 10):
                assert not await its.put([passage(each, "new") for each in range(number, number + 10)])
            assert await its.drop("new") == 100

        async def read(number: int) -> None:
            for _ in range(10):
                found = await its.search(Query(vector(number), {7: 1}, number % 3 / 2, 50, None, documents=("old",)))
                assert len(found) == 50
                assert all(hit.sealed == f"sealed {UUID(hit.id).int - 1}".encode() for hit in found)

        await asyncio.gather(write(), *(read(number) for number in range(8)))
        assert await its.count() == 50


async def settles(store: Store) -> None:
    """Putting in order changes nothing that is found, also while it is written to."""
    async with shelf(store, *(passage(number) for number in range(200))) as its:
        query = Query(vector(500), {7: 1}, 1.0, 20, None)
        before = [hit.id for hit in await its.search(query)]
        await asyncio.gather(store.settle(), its.put([passage(number, "later") for number in range(200, 220)]))
        assert await its.count() == 220
        assert await its.drop("later") == 20
        assert [hit.id for hit in await its.search(query)] == before


async def leaves(store: Store, kept: Base) -> None:
    """The first half of `outlives`."""
    its = await store.open(kept, SIZE)
    assert not await its.put([passage(number, tags={"n": number}) for number in range(100)])
    assert await its.drop("nothing") == 0
    assert not await its.put([passage(0, "again")])


async def comes_back(store: Store, kept: Base) -> None:
    """The second half, by a store opened anew on the same ground: all is as it was."""
    its = await store.open(kept, SIZE)
    assert await its.count() == 100
    assert await ids(its, all_of(where=Within("n", at_least=95))) == set(range(95, 100))
    assert await ids(its, all_of(alpha=0.0, terms={1042: 1})) == {42}
    assert await its.drop("again") == 1
    try:
        await store.open(kept, SIZE + 1)
    except Conflict:
        pass
    else:
        raise AssertionError("its dimension is remembered")
    await store.remove(kept)


def _at(what: Passage, where: Sequence[float]) -> Passage:
    """`what`, a little beside `where`."""
    aside = [x + y / 1000 for x, y in zip(where, what.vector, strict=True)]
    return Passage(what.id, what.document, aside, what.terms, what.sealed, what.readers, what.data_class, what.tags)


def every() -> Iterator[Check]:
    yield from (
        finds_the_nearest,
        finds_the_words,
        weighs_both,
        keeps_bases_apart,
        shows_only_what_may_be_seen,
        filters_by_tags,
        finds_in_documents,
        replaces,
        drops_documents,
        tells_of_each_that_is_bad,
        refuses_what_cannot_be_asked,
        refuses_another_dimension,
        takes_unicode,
        reads_while_it_writes,
        settles,
    )
