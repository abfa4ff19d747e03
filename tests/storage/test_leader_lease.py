"""One server of a database does the periodic work; one that is gone is replaced, a paused one writes nothing."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine, delete, text

from sizewise.storage import leader_lease
from sizewise.storage.database import Database, UnitOfWork, open_database, sqlite_url
from sizewise.storage.leader_lease import LEADER, Leadership, StaleLeader, take_lease
from tests.running_server import ECHO, Served, serving, until

CONFIG = f"""{ECHO}
[database]
url = "env:SHARED_STORE"
"""


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    found = open_database(sqlite_url(str(tmp_path / "one.db")), [leader_lease.SCHEMA])
    yield found
    found.close()


def leadership(database: Database, holder: str, lease_s: float = 60.0) -> Leadership:
    async def write(work: UnitOfWork[Any]) -> Any:
        with database.write() as connection:
            return work(connection)

    return Leadership(holder, write, shared=True, lease_s=lease_s)


async def paused_leader_is_fenced(database: Database) -> None:
    paused, other = leadership(database, "one", lease_s=0.0), leadership(database, "other")
    written = list[str]()

    def work(connection: Connection) -> bool:
        written.append("work")
        return False

    await paused.renew()
    assert paused.leads() and await paused.write(work) is False
    await other.renew()  # the lease of the first has run out
    assert other.leads()
    with pytest.raises(StaleLeader):
        await paused.write(work)
    await other.write(work)
    await paused.renew()
    assert not paused.leads()
    with pytest.raises(StaleLeader):
        await paused.write(work)
    assert len(written) == 2


async def test_a_paused_leader_that_goes_on_writes_nothing(database: Database) -> None:
    await paused_leader_is_fenced(database)


@pytest.mark.long
async def test_a_paused_leader_writes_nothing_in_postgres(module_postgres_url: str) -> None:
    found = open_database(module_postgres_url, [leader_lease.SCHEMA])
    await paused_leader_is_fenced(found)
    with found.write() as connection:  # the servers of the next tests need not wait for its end
        connection.execute(delete(leader_lease.LEASES))
    found.close()


def test_a_lease_is_kept_by_its_holder_and_each_holder_has_a_higher_epoch(database: Database) -> None:
    def take(holder: str, lease_s: float = 60.0) -> int:
        with database.write() as connection:
            return take_lease(connection, LEADER, holder, lease_s)

    assert [take("one"), take("other"), take("one"), take("one", 0.0)] == [1, 0, 1, 1]
    assert [take("other"), take("one")] == [2, 0]


async def test_a_database_of_one_server_needs_no_lease(database: Database) -> None:
    async def write(work: UnitOfWork[Any]) -> Any:
        with database.write() as connection:
            return work(connection)

    alone = Leadership("one", write, shared=False)
    assert alone.leads() and not alone.periodic_tasks()
    assert await alone.write(lambda c: 7) == 7


def leads(server: Served) -> bool:
    found = re.search(rb"^sizewise_leader (\S+)", server.ask("/metrics").body, re.M)
    assert found is not None
    return float(found[1]) == 1.0


def epoch(url: str) -> int:
    engine = create_engine(url)
    with contextlib.closing(engine.connect()) as connection:
        found = connection.execute(text("SELECT epoch FROM leader_leases WHERE name = 'periodic work'")).scalar_one()
    engine.dispose()
    return int(found)


@pytest.mark.long
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSTOP])
def test_another_server_takes_over_from_a_leader_that_is_killed_or_paused(
    module_postgres_url: str, tmp_path: Path, end: signal.Signals
) -> None:
    with contextlib.ExitStack() as stack:
        one = stack.enter_context(serving(tmp_path / "one", CONFIG, SHARED_STORE=module_postgres_url))
        until(lambda: leads(one))
        other = stack.enter_context(serving(tmp_path / "other", CONFIG, SHARED_STORE=module_postgres_url))
        assert not leads(other), "two servers lead at once"
        before = epoch(module_postgres_url)
        os.kill(one.process.pid, end)
        until(lambda: leads(other))
        assert epoch(module_postgres_url) == before + 1
        if end == signal.SIGSTOP:
            os.kill(one.process.pid, signal.SIGCONT)
            until(lambda: not leads(one))
            assert leads(other) and epoch(module_postgres_url) == before + 1
