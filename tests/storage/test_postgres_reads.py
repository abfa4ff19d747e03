"""A read of a shared Postgres sees one moment: its statements agree, whatever other servers write meanwhile."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sizewise.storage.database import Database, open_database

pytestmark = pytest.mark.long
COUNT = "SELECT count(*) FROM notes"


@pytest.fixture(scope="module")
def database(module_postgres_url: str) -> Iterator[Database]:
    found = open_database(module_postgres_url, ())
    write(found, "CREATE TABLE notes (id INT)")
    yield found
    found.close()


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
