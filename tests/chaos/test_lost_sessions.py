"""The machine of a server is lost: what its sessions held in Postgres the other servers have soon."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import pytest
from sqlalchemy import Connection

from sizewise.errors import StorageError
from sizewise.storage.database import Database, open_database, translate_errors
from tests.chaos.network import Machine, beside, machines, missing
from tests.chaos.postgres_node import postgres
from tests.running_server import until

pytest.importorskip("psycopg", reason="needs a driver for Postgres: pip install psycopg[binary]")

LACKING = missing()
pytestmark = [pytest.mark.long, pytest.mark.skipif(bool(LACKING), reason=LACKING)]
AN_ANSWER = "SELECT repeat('x', 1000000), pg_sleep(0.02) FROM runs, generate_series(1, 3000)"
"""A minute of it, of which the network holds little."""
SENDING = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND strpos(query, 'repeat') = 8"


@contextlib.contextmanager
def two_servers() -> Iterator[tuple[Connection, Database, Machine, Machine]]:
    """A session of the one, the database as the other has it, and the machines of the one and of Postgres."""
    with machines("lost", "other", "primary") as (lost, other, primary), postgres(primary) as node:
        node.make()
        node.start()
        url = f"postgresql+psycopg://postgres@{primary.address}/postgres"
        with beside(other), contextlib.closing(open_database(url, ())) as database:
            write(database, "CREATE TABLE runs AS SELECT 1 AS id, '' AS server")
            with beside(lost), contextlib.closing(open_database(url, ())) as its, its.engine.connect() as session:
                yield session, database, lost, primary
                session.invalidate()  # it cannot be ended in order


def write(database: Database, statement: str) -> None:
    with database.write() as connection:
        connection.exec_driver_sql(statement)


def found(database: Database, statement: str) -> object:
    with database.write() as connection:
        return connection.exec_driver_sql(statement).scalar_one()


def sessions(database: Database, machine: Machine) -> object:
    words = "SELECT count(*) FROM pg_stat_activity WHERE host(client_addr) = "
    return found(database, f"{words}'{machine.address}'")


def test_a_row_that_it_was_changing_can_be_changed() -> None:
    with two_servers() as (session, database, lost, primary):
        session.exec_driver_sql("UPDATE runs SET server = 'lost'")
        lost.lose(primary)
        write(database, "UPDATE runs SET server = 'other'")
        assert found(database, "SELECT server FROM runs") == "other"


def test_a_table_that_it_was_reading_can_be_altered() -> None:
    """Postgres sends, and hears nothing: that is no idle transaction."""
    with two_servers() as (session, database, lost, primary):

        def read() -> None:
            with contextlib.suppress(StorageError), translate_errors("postgres"):
                session.exec_driver_sql(AN_ANSWER).all()

        reading = threading.Thread(target=read)
        reading.start()
        until(lambda: found(database, SENDING) == 1)
        lost.lose(primary)
        until(lambda: sessions(database, lost) == 0)
        write(database, "ALTER TABLE runs ADD COLUMN seen BIGINT")
        reading.join(60)
        assert not reading.is_alive(), "its own side has not noticed"


def test_what_a_session_holds_without_a_transaction_is_free() -> None:
    with two_servers() as (session, database, lost, primary):
        session.exec_driver_sql("SELECT pg_advisory_lock(1)")
        session.commit()
        lost.lose(primary)
        until(lambda: found(database, "SELECT pg_try_advisory_xact_lock(1)"))
        assert sessions(database, lost) == 0
