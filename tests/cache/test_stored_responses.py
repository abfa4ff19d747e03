"""A response is kept for its project alone, sealed, and goes when its time is over or it takes too much room."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from sqlalchemy import select, update

from sizewise.app.services import Keeper
from sizewise.cache.stored_response_tables import RESPONSES, SCHEMA, add
from sizewise.cache.stored_responses import Stored
from sizewise.errors import Conflict, StoreFailed, VaultLocked
from sizewise.storage.database import connect, file
from sizewise.storage.retention import Expiry

DAY_MS = 86_400_000


def now() -> int:
    return time.time_ns() // 1_000_000


def stored(id: str = "resp_1", tenant: str = "acme", project: str = "web", created: int = 0) -> Stored:
    return Stored(id, tenant, project, created or now(), b'{"canary":"body-4711"}', b"context-4712", b"input-4713")


def files(home: Path) -> bytes:
    return b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())


def test_a_response_comes_back_also_after_a_restart_and_to_its_project_only(tmp_path: Path) -> None:
    mine = stored()
    with Keeper(tmp_path) as keeper:
        asyncio.run(keeper.keep_response(mine))
    with Keeper(tmp_path) as keeper:
        assert asyncio.run(keeper.response("resp_1", "acme", "web")) == mine
        for id, tenant, project in (("resp_2", "acme", "web"), ("resp_1", "b", "web"), ("resp_1", "acme", "b")):
            assert asyncio.run(keeper.response(id, tenant, project)) is None
            assert not asyncio.run(keeper.forget_response(id, tenant, project))
        assert asyncio.run(keeper.forget_response("resp_1", "acme", "web"))
        assert asyncio.run(keeper.response("resp_1", "acme", "web")) is None


def test_no_word_of_it_lies_open_in_the_home(tmp_path: Path) -> None:
    with Keeper(tmp_path) as keeper:
        asyncio.run(keeper.keep_response(stored()))
        open_log = files(tmp_path)
    for words in (b"body-4711", b"context-4712", b"input-4713"):
        assert words not in open_log and words not in files(tmp_path)
    assert b"resp_1" in open_log  # so the search does find what lies open


def test_an_id_is_given_once_in_a_tenant(tmp_path: Path) -> None:
    with Keeper(tmp_path) as keeper:
        asyncio.run(keeper.keep_response(stored()))
        asyncio.run(keeper.keep_response(stored(tenant="b")))
        with pytest.raises(Conflict):
            asyncio.run(keeper.keep_response(stored(project="other")))


def test_one_older_than_keep_days_is_gone_before_the_chore_has_come(tmp_path: Path) -> None:
    with Keeper(tmp_path) as keeper:
        asyncio.run(keeper.keep_response(stored("old", created=now() - 31 * DAY_MS)))
        asyncio.run(keeper.keep_response(stored("young", created=now() - 29 * DAY_MS)))
        assert asyncio.run(keeper.response("old", "acme", "web")) is None
        assert asyncio.run(keeper.response("young", "acme", "web"))


def test_a_row_put_under_another_tenant_or_project_does_not_open(tmp_path: Path) -> None:
    with Keeper(tmp_path) as keeper:
        asyncio.run(keeper.keep_response(stored()))
    database = connect(file(str(tmp_path / "sizewise.db")), [])
    with database.write() as connection:
        connection.execute(update(RESPONSES).values(tenant="thief"))
    database.close()
    with Keeper(tmp_path) as keeper, pytest.raises(StoreFailed, match=r"is another's|changed or moved"):
        asyncio.run(keeper.response("resp_1", "thief", "web"))


def test_without_its_key_the_keeper_says_so_and_neither_gives_nor_takes(tmp_path: Path) -> None:
    with Keeper(tmp_path) as keeper:
        asyncio.run(keeper.keep_response(stored()))
        assert keeper.trouble == ""
    aside = (tmp_path / "vault.key").rename(tmp_path / "aside")
    with Keeper(tmp_path) as keeper:
        assert "vault.key" in keeper.trouble
        with pytest.raises(VaultLocked):
            asyncio.run(keeper.response("resp_1", "acme", "web"))
        with pytest.raises(VaultLocked):
            asyncio.run(keeper.keep_response(stored("resp_2")))
        aside.rename(tmp_path / "vault.key")
        assert keeper.trouble == "" and asyncio.run(keeper.response("resp_1", "acme", "web"))


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
    database = connect(file(str(tmp_path / "x.db")), [SCHEMA])
    with database.write() as connection:
        for number in range(50):
            add(connection, "t", "p", f"{number}", now() - (40 if number < 30 else 20) * DAY_MS + number, b"x" * 100)
    chore, more = Expiry(RESPONSES, *bounds, step=4), True
    while more:
        with database.write() as connection:
            more = chore(connection)
    with database.read() as connection:
        assert list(connection.scalars(select(RESPONSES.c.id).order_by(RESPONSES.c.number))) == list(map(str, left))
    database.close()
