"""Rows move to new keys behind everybody's back: none is lost, old keys go when nothing needs them; and are erased."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import select, update

from sizewise.app.services import Keeper
from sizewise.cache.stored_response_tables import RESPONSES
from sizewise.cache.stored_responses import Said, Stored
from sizewise.errors import StoreFailed
from sizewise.storage.database import connect, file
from sizewise.storage.encryption import DIRECT
from sizewise.storage.keys.local_kms import Ring
from tests.running_server import until

CANARY = b"the canary sings at midnight"


def keep(keeper: Keeper, id: str, tenant: str = "local") -> None:
    now = time.time_ns() // 1_000_000
    asyncio.run(keeper.keep_response(Stored(id, tenant, "default", now, CANARY, b"[]")))


def body(keeper: Keeper, id: str, tenant: str = "local") -> bytes:
    found = asyncio.run(keeper.response(id, tenant, "default"))
    assert found is not None
    return found.body


def sealed_before_data_keys(home: Path, id: str) -> None:
    """Puts what is kept of `id` as an earlier Sizewise would have sealed it."""
    with Keeper(home) as keeper:
        keep(keeper, id)
    its = Ring(home)
    plain = msgspec.msgpack.encode(Said(CANARY, b"[]", b"[]"))
    row = DIRECT + its.front + its.cipher(its.front).seal(plain, "local", "responses", f"default/{id}")
    database = connect(file(str(home / "sizewise.db")), [])
    with database.write() as connection:
        connection.execute(update(RESPONSES).values(sealed=row))
    database.close()


def test_what_an_earlier_version_sealed_opens_and_is_moved_at_the_next_start(tmp_path: Path) -> None:
    sealed_before_data_keys(tmp_path, "old")
    with Keeper(tmp_path) as keeper:
        assert body(keeper, "old") == CANARY
        keeper.resume()
        until(lambda: not any(each.id.startswith("key ") for each in keeper.resealing.standings()))
        assert body(keeper, "old") == CANARY
        assert sum(each.rows for each in keeper.resealing.standings()) == 1


def test_a_server_that_stops_goes_on_at_the_next_start(tmp_path: Path) -> None:
    with Keeper(tmp_path) as keeper:
        for number in range(20):
            keep(keeper, f"r{number}")
        asyncio.run(keeper._sealing(keeper._vault.retire))  # and the server stops before a row was moved
    with Keeper(tmp_path) as keeper:
        keeper.resume()
        until(lambda: [each.rows for each in keeper.resealing.standings() if each.retired] == [0])
        assert all(body(keeper, f"r{number}") == CANARY for number in range(20))


def test_an_old_key_goes_when_nothing_is_sealed_by_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Keeper(tmp_path) as keeper:
        keep(keeper, "r")
        monkeypatch.setattr(keeper.resealing, "_grace_s", 0.05)
        assert asyncio.run(keeper.rotate(True)) == 1
        until(lambda: [each.retired for each in keeper.resealing.standings()] == [None])
        assert body(keeper, "r") == CANARY


def test_a_damaged_row_keeps_nothing_else_from_moving(tmp_path: Path) -> None:
    with Keeper(tmp_path) as keeper:
        for id in ("a", "b", "c"):
            keep(keeper, id)
        with keeper._database.write() as connection:
            damaged = connection.execute(select(RESPONSES.c.sealed).where(RESPONSES.c.id == "b")).scalar_one()[:-1]
            connection.execute(update(RESPONSES).where(RESPONSES.c.id == "b").values(sealed=damaged))
        asyncio.run(keeper.rotate(True))
        until(lambda: not keeper.resealing.busy)
        assert body(keeper, "a") == body(keeper, "c") == CANARY
        with pytest.raises(StoreFailed):
            body(keeper, "b")


def test_an_erased_tenant_is_unreadable_and_nobody_else(tmp_path: Path) -> None:
    with Keeper(tmp_path) as keeper:
        keep(keeper, "mine", "acme")
        keep(keeper, "theirs", "globex")
        assert asyncio.run(keeper.shred("acme")) == 1
        with pytest.raises(StoreFailed, match="was erased"):
            body(keeper, "mine", "acme")
        assert body(keeper, "theirs", "globex") == CANARY
    with Keeper(tmp_path) as keeper, pytest.raises(StoreFailed, match="was erased"):
        body(keeper, "mine", "acme")
