"""Tables of usage roll-ups: sums by hour, by day, by end user and day, in sessions, and by policy; knows no record.

A roll-up row is either `counted`: a copy of the sums of records that are still stored, which may be made anew at any
time; or not: the sums of records that are deleted, added in the transaction that deletes them. So the sums over all
rows that are not counted, and over all records, are exact at any moment, whenever a record was written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Boolean, Column, Connection, Double, Index, MetaData, Table, Text, update
from sqlalchemy.schema import CreateIndex, CreateTable

from sizewise.storage.database import migration_statement
from sizewise.storage.erasure import PersonalTable
from sizewise.storage.migrations import BIG_INTEGER, Migrations

META = MetaData()
LATENCY_BUCKETS = 18
"""Bucket n: requests of less than 2**(n + 3) ms that are in no bucket before; the last: all others."""
LATENCIES = tuple(f"ms_{number}" for number in range(LATENCY_BUCKETS))
COUNTS = ("requests", "errors", "degraded", "unpriced", "attempts", "estimated")
TOKENS = ("input", "output", "cached", "cache_write", "reasoning")
SUMS = (*COUNTS, *TOKENS, "cost", *LATENCIES)
"""Columns that are added up. `errors`: statuses from 400; `unpriced`: requests of which a part has no known price;
`cost`: pico-dollars of all attempts with a known price."""
COST: int = SUMS.index("cost")
REQUESTS: int = SUMS.index("requests")
SERIES = ("endpoint", "flow", "node", "policy", "model", "key", "tags", "status")
"""What tells the series of an hour apart, besides organization and project."""
END_USER_SERIES = ("flow", "end_user")


def _columns(series: Sequence[str]) -> list[Column[Any]]:
    return [
        Column("number", BIG_INTEGER, primary_key=True),
        Column("tenant", Text, nullable=False),
        Column("project", Text, nullable=False),
        Column("period", BIG_INTEGER, nullable=False),
        Column("counted", Boolean, nullable=False),
        Column("folded", BIG_INTEGER, nullable=False),  # how many series it stands for, without their names; 0: one
        *(Column(each, BIG_INTEGER if each == "status" else Text, nullable=False) for each in series),
        *(Column(each, BIG_INTEGER, nullable=False) for each in SUMS),
    ]


HOURS = Table("usage_hours", META, *_columns(SERIES))
DAYS = Table("usage_days", META, *_columns(SERIES))
END_USER_DAYS = Table("usage_end_user_days", META, *_columns(END_USER_SERIES))
SESSION_HOURS = Table("usage_session_hours", META, *_columns(()))
"""The requests of an hour that belong to a session, of all sessions together."""
POLICY_COUNTS = ("requests", "input", "output", "cost", "overhead", "unpriced")
POLICY_PRODUCTS = (
    "input_input",
    "input_output",
    "output_output",
    "input_cost",
    "output_cost",
    "cost_cost",
    "overhead_overhead",
)
POLICY_ENERGY = ("energy", "energy_overhead", "metered", "metered_output")
"""Null in what an older server counted."""


def _policy_hours() -> list[Column[Any]]:
    """The columns of version 2."""
    return [
        Column("tenant", Text, primary_key=True),
        Column("period", BIG_INTEGER, primary_key=True),
        Column("policy", Text, primary_key=True),
        Column("model", Text, primary_key=True),
        *(Column(each, BIG_INTEGER, nullable=False) for each in POLICY_COUNTS),
        *(Column(each, Double, nullable=False) for each in POLICY_PRODUCTS),
    ]


POLICY_HOURS_V2 = Table("usage_policy_hours", MetaData(), *_policy_hours())
POLICY_HOURS = Table(
    "usage_policy_hours", META, *_policy_hours(), *(Column(each, BIG_INTEGER) for each in POLICY_ENERGY)
)
"""Answers of policies, as `PolicyUsage`. Once an hour is counted its rows stay, also when its records are deleted."""
PERIODS = Table(
    "usage_periods",
    META,
    Column("tenant", Text, nullable=False),
    Column("rollup", Text, primary_key=True),
    Column("period", BIG_INTEGER, primary_key=True),
    Column("records", BIG_INTEGER),  # how many are counted; null: the period has to be counted
    Column("moves", BIG_INTEGER, nullable=False),  # one more whenever records of the period are deleted
)
PERSONAL = (
    PersonalTable("hourly sums", HOURS, HOURS.c.number, key=HOURS.c.key, emptied=HOURS.c.key),
    PersonalTable("daily sums", DAYS, DAYS.c.number, key=DAYS.c.key, emptied=DAYS.c.key),
    PersonalTable(
        "sums by end user",
        END_USER_DAYS,
        END_USER_DAYS.c.number,
        end_user=END_USER_DAYS.c.end_user,
        emptied=END_USER_DAYS.c.end_user,
    ),
)
"""Sums stay, without the id of the key or the hash of the end user."""
TENANT = "*"
"""A period is counted for all organizations at once."""
SESSION_HOURS_PERIOD = Index("usage_session_hours_period", SESSION_HOURS.c.period, SESSION_HOURS.c.tenant)
INDEXES = tuple(Index(f"{table.name}_period", table.c.period, table.c.tenant) for table in (HOURS, DAYS, END_USER_DAYS))
SCHEMA = Migrations(
    "usage",
    (
        (*(CreateTable(table) for table in (HOURS, DAYS, END_USER_DAYS, PERIODS)), *map(CreateIndex, INDEXES)),
        (CreateTable(POLICY_HOURS_V2),),
        tuple(
            migration_statement(f"ALTER TABLE usage_policy_hours ADD COLUMN {each} BIGINT") for each in POLICY_ENERGY
        ),
        (CreateTable(SESSION_HOURS), CreateIndex(SESSION_HOURS_PERIOD)),
    ),
)


@dataclass(frozen=True, slots=True)
class Rollup:
    """`hours`: length of its periods, which are numbered from 1970. Beyond `max_series` in a period and project, the
    cheapest are folded into one row. `only`: SQL of the records that it counts, as `r`; empty: all. `kept`: whether it
    has the sums of deleted records too.
    """

    table: Table
    series: tuple[str, ...]
    hours: int
    max_series: int
    only: str = ""
    kept: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        """Columns that tell its rows apart."""
        return ("tenant", "project", "period", "folded", *self.series)


HOURLY = Rollup(HOURS, SERIES, 1, 200)
DAILY = Rollup(DAYS, SERIES, 24, 200)
END_USERS = Rollup(END_USER_DAYS, END_USER_SERIES, 24, 5_000)
IN_SESSIONS = Rollup(SESSION_HOURS, (), 1, 1, only="r.session IS NOT NULL", kept=False)
"""Not kept: usage by session is that of stored records, as no roll-up tells sessions apart."""
POLICY_HOURLY = Rollup(POLICY_HOURS, ("policy", "model"), 1, 0)
COUNTED: tuple[Rollup, ...] = (HOURLY, END_USERS, IN_SESSIONS)
"""Made of records; days are made of hours."""


def forget_key(connection: Connection, tenant: str, key: str) -> None:
    """The sums of an API key (by id) stay, without its id."""
    for table in (HOURS, DAYS):
        mine = (table.c.tenant == tenant) & (table.c.key == key)
        connection.execute(update(table).where(mine).values(key=""))
