"""Day partitions on Postgres: records, attempts and spans lie in a table a day, made ahead and dropped whole.

Deleted rows leave their space to Postgres' vacuum; a dropped table gives it back at once. Ids are in the order of time,
so a day is a range of them. Rows of before this table was partitioned are its first partition, as they lay, and rows of
a time without a partition go to `NAME_default`. SQLite has none: every function does nothing there.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct
from sqlalchemy import Connection, text

from sizewise.storage.migrations import DAY_S
from sizewise.telemetry.record_ids import IDS_A_SECOND

PARTITIONED: Mapping[str, str] = {"records": "id", "attempts": "record", "spans": "id"}
"""Tables, and their column of record ids."""
DAYS_AHEAD = 7
DAY_IDS = DAY_S * IDS_A_SECOND
LOCK_TIMEOUT = "SET LOCAL lock_timeout = '3s'"
"""What waits for a table makes those behind it wait: it gives up, and is tried again later."""
BOUND = re.compile(r"FOR VALUES FROM \((MINVALUE|'?\d+'?)\) TO \('?(\d+)'?\)")


class Partition(Struct, frozen=True):
    """A table with the ids from `first`, up to but without `until`."""

    name: str
    first: int
    until: int


def partitions_of(connection: Connection, table: str) -> list[Partition]:
    """Oldest first, without the default one; empty on SQLite."""
    if connection.dialect.name != "postgresql":
        return []
    query = """SELECT c.relname, pg_get_expr(c.relpartbound, c.oid) FROM pg_inherits i JOIN pg_class c
        ON c.oid = i.inhrelid WHERE i.inhparent = to_regclass(:name)"""
    found = []
    for name, expression in connection.execute(text(query), {"name": table}):
        bound = BOUND.fullmatch(expression)
        if bound is not None:
            first = 0 if bound[1] == "MINVALUE" else int(bound[1].strip("'"))
            found.append(Partition(name, first, int(bound[2])))
    return sorted(found, key=lambda each: each.until)


def prepare_days(connection: Connection) -> bool:
    """Makes the partitions of today and the next days; what the default one has of them moves there. Those of one table
    in a transaction, so that it waits for no other table with a lock on this one; True if more is left.
    """
    today = int(time.time()) // DAY_S
    for table, key in PARTITIONED.items():
        known = partitions_of(connection, table)
        days = [(day * DAY_IDS, (day + 1) * DAY_IDS) for day in range(today, today + DAYS_AHEAD + 1) if known]
        new = [(first, until) for first, until in days if not any(_overlap(each, first, until) for each in known)]
        for first, until in new:
            named = time.strftime("%Y%m%d", time.gmtime(first // DAY_IDS * DAY_S))
            _add_day(connection, table, key, named, first, until)
        if new:
            return True
    return False


def _overlap(partition: Partition, first: int, until: int) -> bool:
    return partition.first < until and first < partition.until


def _add_day(connection: Connection, table: str, key: str, day: str, first: int, until: int) -> None:
    made, rest = f"{table}_{day}", f"{table}_default"
    connection.exec_driver_sql(LOCK_TIMEOUT)
    # a row that was on its way to the default one would be refused there
    connection.exec_driver_sql(f"LOCK TABLE ONLY {table} IN SHARE ROW EXCLUSIVE MODE")
    connection.exec_driver_sql(f"LOCK TABLE {rest} IN ACCESS EXCLUSIVE MODE")
    connection.exec_driver_sql(f"CREATE TABLE {made} (LIKE {table} INCLUDING ALL)")
    connection.exec_driver_sql(
        f"WITH moved AS (DELETE FROM {rest} WHERE {key} >= {first} AND {key} < {until} RETURNING *)"
        f" INSERT INTO {made} SELECT * FROM moved"
    )
    connection.exec_driver_sql(f"ALTER TABLE {table} ATTACH PARTITION {made} FOR VALUES FROM ({first}) TO ({until})")


BeforeDrop = Callable[[Connection, int, int], None]
"""Keeps what outlives the rows with `first` <= id < `until`."""


def drop_oldest_day(
    connection: Connection, tables: Sequence[str], newest: int, before_drop: BeforeDrop | None = None
) -> bool:
    """Drops the oldest partition of the first table, and those of the others up to its end, if all of its ids are
    `newest` or older. False: there is none. A late row waits until it is gone, and then goes to the default one.
    """
    oldest = next(iter(partitions_of(connection, tables[0])), None)
    if oldest is None or oldest.until - 1 > newest:
        return False
    connection.exec_driver_sql(LOCK_TIMEOUT)
    quote = connection.dialect.identifier_preparer.quote
    found = [each for table in tables for each in partitions_of(connection, table) if each.until <= oldest.until]
    gone = ", ".join(quote(each.name) for each in found)
    connection.exec_driver_sql(f"LOCK TABLE {gone} IN SHARE MODE")
    if before_drop is not None:
        before_drop(connection, oldest.first, oldest.until)
    connection.exec_driver_sql(f"DROP TABLE {gone}")
    return True
