"""The store in Postgres: what every store does, and what is its own: several servers, an index, an extension."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import Connection, Engine, NullPool, create_engine, make_url, text

from sizewise.errors import ConfigError, StorageError
from sizewise.knowledge.vector_store import PassageQuery, StoreContext, TagIn
from sizewise.knowledge.vector_stores import pgvector
from sizewise.knowledge.vector_stores.pgvector import PgvectorStore
from sizewise.testing import vector_store_conformance as kit
from tests.graphql.graphql_client import graphql
from tests.knowledge.knowledge_server import CONFIG, REBUILD, add, embed, listed, search, warnings
from tests.running_server import serving, until


@pytest.fixture(scope="module")
def url(module_postgres_url: str) -> str:
    return module_postgres_url


@pytest.fixture(scope="module")
def ground(url: str) -> Iterator[tuple[asyncio.Runner, PgvectorStore]]:
    with asyncio.Runner() as runner:
        store = runner.run(opened(url))
        yield runner, store
        runner.run(store.close())


def once(url: str) -> Engine:
    """For a statement or two: keeps no connection."""
    return create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)


async def opened(url: str) -> PgvectorStore:
    return PgvectorStore(StoreContext(Path(), url))


@pytest.mark.long
@pytest.mark.parametrize("check", [*kit.every(), kit.scores_by_bm25, kit.weighs_common_terms, kit.takes_many_at_once])
def test_it_does_what_every_store_does(check: kit.Check, ground: tuple[asyncio.Runner, PgvectorStore]) -> None:
    runner, store = ground
    runner.run(check(store))


async def test_it_comes_back_with_all_that_was_there(url: str) -> None:
    kept = kit.base()

    for check in (kit.writes_before_restart, kit.reads_after_restart):
        store = await opened(url)
        await check(store, kept)
        await store.close()


async def test_servers_share_a_base_and_write_to_it_at_once(url: str) -> None:
    one, other = await opened(url), await opened(url)
    mine = kit.base()
    here, there = await asyncio.gather(one.open(mine, kit.DIMENSION), other.open(mine, kit.DIMENSION))
    same = [kit.passage(number, "same") for number in range(60)]
    writes = [(here if number % 2 else there).upsert(same[number % 3 : 40 + number]) for number in range(8)]
    assert not any(await asyncio.gather(*writes, here.upsert(same), there.upsert(list(reversed(same)))))
    assert await here.count() == await there.count() == 60
    assert sum(await asyncio.gather(here.delete_document("same"), there.delete_document("same"))) == 60
    assert await kit.matching_numbers(there, kit.match_all(alpha=0.0)) == set()
    await one.remove(mine)
    with pytest.raises(StorageError):
        await there.upsert(same)
    await one.close()
    await other.close()


@pytest.mark.long
async def test_an_index_hides_nothing_that_may_be_seen(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked first, and brings few of those that a filter leaves: then all are compared."""
    monkeypatch.setattr(pgvector, "FRESH", 1_000)

    store = await opened(url)
    async with kit.open_collection(
        store,
        *(kit.passage(number, tags={"n": number}) for number in range(3_000)),
    ) as its:
        await store.optimize()
        asked = kit.vector(0)
        exact = sorted(range(3_000), key=lambda number: -kit.cosine(asked, kit.vector(number)))
        found = await its.search(PassageQuery(asked, {}, 1.0, 10, None))
        assert [UUID(hit.id).int - 1 for hit in found] == exact[:10]
        few = kit.match_all(limit=10, where=TagIn("n", tuple(exact[-10:])))
        assert await kit.matching_numbers(its, few) == set(exact[-10:])
    await store.close()
    with once(url).connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM pg_tables WHERE tablename LIKE 'passage%'")) == 1


@pytest.mark.parametrize(
    ("having", "selecting"),
    [
        ({}, []),
        ({1: 90_000}, [1]),
        ({1: 90_000, 2: 40_000}, [1, 2]),  # as good as all passages: one sum over all terms
        ({1: 56_000, 2: 42_000, 3: 3_300, 4: 8_900}, [3]),  # `the to before object`
        ({1: 40_000, 2: 12}, [2]),
        ({1: 12, 2: 900, 3: 4_000, 4: 4_500}, [1, 2, 3]),
    ],
)
def test_the_rarest_terms_of_a_question_select_what_is_scored(having: dict[int, int], selecting: list[int]) -> None:
    assert sorted(pgvector.selecting_terms(having, 100_000)) == selecting


def _common_words(number: int) -> dict[int, int]:
    """Everybody has the words 1 and 2; the fewer others, the better the match."""
    return {1: 1, 2: 1, 3: 1 + number}


async def test_a_question_of_common_words_reads_few_of_the_passages_that_have_them(url: str) -> None:
    store = await opened(url)
    async with kit.open_collection(
        store, *(kit.passage(number, terms=_common_words(number)) for number in range(3_000))
    ) as its:
        await store.optimize()
        query = PassageQuery((), {1: 1, 2: 1}, 0.0, 10, ())
        assert isinstance(its, pgvector.PgvectorCollection)
        names = its._names

        def read(connection: Connection) -> tuple[list[int], int]:
            told = text("SELECT idx_tup_fetch + seq_tup_read FROM pg_stat_xact_user_tables WHERE relname = :name")
            before = connection.scalar(told, {"name": names.passages})
            found = pgvector._searched(names, query, connection)
            rows = connection.scalar(told, {"name": names.passages}) - before
            return [UUID(hit.id).int - 1 for hit in found], rows

        found, rows = await store.read(read)
        assert found == list(range(10))
        assert rows <= pgvector.READ_FACTOR * 10, "3,000 passages have both words"
    await store.close()


async def test_a_filter_that_leaves_out_the_best_matches_still_fills_the_answer(url: str) -> None:
    store = await opened(url)
    passages = [
        kit.passage(number, terms=_common_words(number), tags={"last": number >= 900}) for number in range(1_000)
    ]
    async with kit.open_collection(store, *passages) as its:
        for where, first in ((None, 0), (TagIn("last", (True,)), 900)):
            hits = await its.search(PassageQuery((), {1: 1, 2: 1}, 0.0, 10, (), where=where))
            assert [UUID(hit.id).int - 1 for hit in hits] == list(range(first, first + 10))
    await store.close()


async def test_it_says_what_it_lacks(postgres_url: str) -> None:
    with pytest.raises(ConfigError, match="needs a Postgres"):
        PgvectorStore(StoreContext(Path()))
    name = make_url(postgres_url).database
    with once(postgres_url).connect() as owner:
        owner.execute(text(f"CREATE ROLE {name} LOGIN"))
        owner.execute(text(f"ALTER DATABASE {name} OWNER TO {name}"))

    with pytest.raises(ConfigError, match="extension") as told:
        store = await opened(str(make_url(postgres_url).set(username=name)))
        try:
            await store.open(kit.base(), kit.DIMENSION)
        finally:
            await store.close()
    assert "CREATE EXTENSION vector" in told.value.hint


async def test_a_database_that_hangs_up_is_asked_again(url: str) -> None:
    """As when it is started anew."""

    store = await opened(url)
    async with kit.open_collection(store, kit.passage(0)) as its:
        with once(url).connect() as owner:
            others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
            owner.execute(text(f"{others} AND datname = current_database() AND backend_type = 'client backend'"))
        assert await kit.matching_numbers(its, kit.match_all()) == {0}
        assert not await its.upsert([kit.passage(1)])
        assert await its.count() == 2
    await store.close()


SHARED = f'{CONFIG}[database]\nurl = "env:SHARED_STORE"\n'


@pytest.mark.long
def test_tables_that_are_gone_are_missed_and_filled_again(postgres_url: str, tmp_path: Path) -> None:
    """As when a dump without them is restored."""
    with serving(tmp_path / "one", SHARED, SHARED_STORE=postgres_url) as server:
        add(server, "leave.md", "Everybody has thirty days of holidays.")
        assert embed(server) == 1
        with once(postgres_url).connect() as owner:
            tables = "SELECT tablename FROM pg_tables WHERE tablename ~ '^passages?_[a-z_]*[0-9a-f]{32}$'"
            for table in list(owner.scalars(text(tables))):
                owner.execute(text(f"DROP TABLE {table}"))
        answer = graphql(server, REBUILD, base="handbook", dryRun=True)
        assert answer.data["rebuildKnowledge"]["missing"] == 1
    with serving(tmp_path / "one", SHARED, SHARED_STORE=postgres_url) as server:
        assert "1 of 1 passages of 'handbook' are missing" in warnings(server, "holidays")[0]
        assert search(server, "days of holidays", mode="words") == []
        assert graphql(server, REBUILD, base="handbook").data["rebuildKnowledge"]["missing"] == 1
        assert embed(server) == 1
        assert search(server, "days of holidays", mode="words")[0]["source"] == "leave.md"
        assert graphql(server, 'mutation { removeKnowledge(base: "handbook") }').errors == []


@pytest.mark.long
def test_documents_that_wait_are_embedded_by_one_of_the_servers_that_share_them(
    postgres_url: str, tmp_path: Path
) -> None:
    homes = [tmp_path / name for name in ("one", "two", "three")]
    with serving(homes[0], SHARED, SHARED_STORE=postgres_url) as server:
        add(server, "leave.md", "Everybody has thirty days of holidays.", "shared")
    for home in homes[1:]:
        home.mkdir()
        shutil.copy(homes[0] / "vault.key", home)
    with (
        serving(homes[1], SHARED, SHARED_STORE=postgres_url) as one,
        serving(homes[2], SHARED, SHARED_STORE=postgres_url) as other,
    ):
        until(lambda: {its["state"] for its in listed(one, "shared")} == {"ready"})
        assert search(other, "days of holidays", "shared", mode="words")[0]["source"] == "leave.md"
