"""Idempotency keys where servers share a Postgres: whoever comes at once, one has the right to call."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Connection

from sizewise.cache.tables import SCHEMA, IdempotencyLease, acquire_lease, release_lease
from sizewise.storage.database import Database, open_database

pytestmark = pytest.mark.long
SERVERS, ROUNDS = 4, 50


@pytest.fixture(scope="module")
def servers(module_postgres_url: str) -> Iterator[list[Database]]:
    opened = [open_database(module_postgres_url, [SCHEMA]) for _ in range(SERVERS)]
    yield opened
    for database in opened:
        database.close()


def lease_of(key: str) -> IdempotencyLease:
    return IdempotencyLease("local", "default", key, b"digest")


def acquire(server: Database, key: str, pause_s: float = 0.0, since: int = 0) -> bytes | None:
    """In one transaction that ends `pause_s` later."""

    def work(connection: Connection) -> bytes | None:
        found = acquire_lease(connection, lease_of(key), b"pending", int(time.time() * 1_000), since, lambda _: None)
        time.sleep(pause_s)
        return found

    with server.write() as connection:
        return work(connection)


def test_of_servers_that_come_at_once_one_calls_and_the_others_follow(servers: list[Database]) -> None:
    start = threading.Barrier(SERVERS)

    def ask(server: Database, key: str) -> bytes | None:
        start.wait(30)
        return acquire(server, key)

    with ThreadPoolExecutor(SERVERS) as pool:
        for number in range(ROUNDS):
            found = list(pool.map(ask, servers, [f"at once {number}"] * SERVERS))
            assert sorted(found, key=bool) == [None, b"pending", b"pending", b"pending"]


def test_who_comes_while_another_commits_waits_for_it(servers: list[Database]) -> None:
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(acquire, servers[0], "slow", 0.5)
        time.sleep(0.1)
        assert pool.submit(acquire, servers[1], "slow").result(30) == b"pending"
        assert first.result(30) is None


def test_a_lease_that_is_too_old_or_was_released_is_free(servers: list[Database]) -> None:
    one, other = servers[:2]
    assert acquire(one, "old") is None
    assert acquire(other, "old") == b"pending"
    assert acquire(other, "old", since=int(time.time() * 1_000) + 1) is None
    with one.write() as connection:
        release_lease(connection, lease_of("old"))
    assert acquire(other, "old") is None
