"""A response is kept for its project alone, sealed, and goes when its time is over or it takes too much room."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from sqlalchemy import select, update

from sizewise.app.services import open_services
from sizewise.cache.stored_response_tables import RESPONSES, SCHEMA, insert_response
from sizewise.cache.stored_responses import StoredResponse
from sizewise.errors import Conflict, EncryptionKeyUnavailable, StorageError
from sizewise.storage.database import open_database, sqlite_url
from sizewise.storage.retention import RetentionJob

DAY_MS = 86_400_000


def now() -> int:
    return time.time_ns() // 1_000_000


def stored(id: str = "resp_1", tenant: str = "acme", project: str = "web", created: int = 0) -> StoredResponse:
    return StoredResponse(
        id,
        tenant,
        project,
        created or now(),
        b'{"canary":"body-4711"}',
        b"context-4712",
        b"input-4713",
    )


def files(home: Path) -> bytes:
    return b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())


async def test_a_response_comes_back_also_after_a_restart_and_to_its_project_only(tmp_path: Path) -> None:
    mine = stored()
    with open_services(tmp_path) as services:
        await services.stored_responses.save(mine)
    with open_services(tmp_path) as services:
        assert await services.stored_responses.find("resp_1", "acme", "web") == mine
        for id, tenant, project in (("resp_2", "acme", "web"), ("resp_1", "b", "web"), ("resp_1", "acme", "b")):
            assert await services.stored_responses.find(id, tenant, project) is None
            assert not await services.stored_responses.delete(id, tenant, project)
        assert await services.stored_responses.delete("resp_1", "acme", "web")
        assert await services.stored_responses.find("resp_1", "acme", "web") is None


async def test_no_word_of_it_lies_open_in_the_home(tmp_path: Path) -> None:
    with open_services(tmp_path) as services:
        await services.stored_responses.save(stored())
        open_log = files(tmp_path)
    for words in (b"body-4711", b"context-4712", b"input-4713"):
        assert words not in open_log and words not in files(tmp_path)
    assert b"resp_1" in open_log  # so the search does find what lies open


async def test_an_id_is_given_once_in_a_tenant(tmp_path: Path) -> None:
    with open_services(tmp_path) as services:
        await services.stored_responses.save(stored())
        await services.stored_responses.save(stored(tenant="b"))
        with pytest.raises(Conflict):
            await services.stored_responses.save(stored(project="other"))


async def test_one_older_than_keep_days_is_gone_before_the_chore_has_come(tmp_path: Path) -> None:
    with open_services(tmp_path) as services:
        await services.stored_responses.save(stored("old", created=now() - 31 * DAY_MS))
        await services.stored_responses.save(stored("young", created=now() - 29 * DAY_MS))
        assert await services.stored_responses.find("old", "acme", "web") is None
        assert await services.stored_responses.find("young", "acme", "web")


async def test_a_row_put_under_another_tenant_or_project_does_not_open(tmp_path: Path) -> None:
    with open_services(tmp_path) as services:
        await services.stored_responses.save(stored())
    database = open_database(sqlite_url(str(tmp_path / "sizewise.db")), [])
    with database.write() as connection:
        connection.execute(update(RESPONSES).values(tenant="thief"))
    database.close()
    with open_services(tmp_path) as services, pytest.raises(StorageError, match="moved"):
        await services.stored_responses.find("resp_1", "thief", "web")


async def test_without_its_key_the_keeper_says_so_and_neither_gives_nor_takes(tmp_path: Path) -> None:
    with open_services(tmp_path) as services:
        await services.stored_responses.save(stored())
        assert services.problem == ""
    aside = (tmp_path / "vault.key").rename(tmp_path / "aside")
    with open_services(tmp_path) as services:
        assert "vault.key" in services.problem
        with pytest.raises(EncryptionKeyUnavailable):
            await services.stored_responses.find("resp_1", "acme", "web")
        with pytest.raises(EncryptionKeyUnavailable):
            await services.stored_responses.save(stored("resp_2"))
        aside.rename(tmp_path / "vault.key")
        assert services.problem == "" and await services.stored_responses.find("resp_1", "acme", "web")


@pytest.mark.parametrize(
    ("bounds", "left"),
    [
        ((30 * DAY_MS, 100, 10**9), range(30, 50)),  # twenty are younger
        ((100 * DAY_MS, 7, 10**9), range(43, 50)),
        ((100 * DAY_MS, 100, 1_000), range(40, 50)),
        ((100 * DAY_MS, 100, 10**9), range(50)),
    ],
)
def test_the_oldest_go_by_age_number_and_bytes(tmp_path: Path, bounds: tuple[int, int, int], left: range) -> None:
    database = open_database(sqlite_url(str(tmp_path / "x.db")), [SCHEMA])
    with database.write() as connection:
        for number in range(50):
            insert_response(
                connection,
                "t",
                "p",
                f"{number}",
                now() - (40 if number < 30 else 20) * DAY_MS + number,
                b"x" * 100,
            )
    age, rows, size = bounds
    chore, more = RetentionJob(RESPONSES, retention_ms=age, max_rows=rows, max_bytes=size, batch_rows=4), True
    while more:
        with database.write() as connection:
            more = chore(connection)
    with database.read() as connection:
        assert list(connection.scalars(select(RESPONSES.c.id).order_by(RESPONSES.c.number))) == list(map(str, left))
    database.close()
