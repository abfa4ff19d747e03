"""Tables of batches and of the results of their requests: states, counts and costs in clear, texts encrypted."""

from __future__ import annotations

import time
from typing import Any, Literal

from msgspec import Struct
from sqlalchemy import (
    Column,
    Connection,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    RowMapping,
    Table,
    Text,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.schema import CreateIndex, CreateTable

from sizewise.storage.database import migration_statement
from sizewise.storage.database_clock import clock_ms
from sizewise.storage.erasure import CALLER_KEY, CALLER_USER, Caller, PersonalTable, caller_columns, caller_index
from sizewise.storage.keys.tables import EncryptedTable
from sizewise.storage.migrations import BIG_INTEGER, Migrations
from sizewise.storage.row_pages import RowPage, in_page_order, page_query
from sizewise.storage.run_rows import RunTable

META = MetaData()
BATCHES_NAME, RESULTS_NAME = "batches", "batch_results"
"""Ciphertexts are bound to them."""
COUNTS = ("done", "failed", "input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens")
"""Sums over the results so far; `done`: with those that failed."""
BATCHES = Table(
    BATCHES_NAME,
    META,
    Column("number", BIG_INTEGER, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("server", Text, nullable=False),  # the process that runs it, or is to; empty: none
    Column(
        "seen", BIG_INTEGER, nullable=False
    ),  # when that process was last there, in unix ms by the clock of the database
    Column("created", BIG_INTEGER, nullable=False),  # unix ms
    Column("expires", BIG_INTEGER, nullable=False),  # unix ms
    Column("total", BIG_INTEGER, nullable=False),  # requests in the file, once they are counted
    *(Column(name, BIG_INTEGER, nullable=False) for name in COUNTS),
    Column("cost", BIG_INTEGER, nullable=False),  # pico-dollars, of the results whose cost is known
    Column("bytes", BIG_INTEGER, nullable=False),
    Column("sealed", LargeBinary, nullable=False),  # BatchContent
    *caller_columns(),
)


def _first_result_columns() -> list[Column[Any]]:
    """The columns of version 1."""
    return [
        Column("number", BIG_INTEGER, primary_key=True),
        Column("tenant", Text, nullable=False),
        Column("batch", Text, nullable=False),
        Column("position", Integer, nullable=False),  # of the request in the file, from 0
        Column("failed", Integer, nullable=False),  # 0 or 1
        Column("bytes", BIG_INTEGER, nullable=False),
        Column("sealed", LargeBinary, nullable=False),  # BatchResult
    ]


RESULTS = Table(
    RESULTS_NAME,
    META,
    *_first_result_columns(),
    Column("code", Text, nullable=False, server_default=""),  # of the error; empty: answered
)
BY_ID = Index("batches_id", BATCHES.c.id, unique=True)
BY_PROJECT = Index("batches_project", BATCHES.c.tenant, BATCHES.c.project, BATCHES.c.number)
BY_AGE = Index("batches_age", BATCHES.c.status, BATCHES.c.created)
HAS_FAILED = RESULTS.c.failed == 1
RESULT_BY_ERROR = Index(
    "batch_results_error", RESULTS.c.batch, RESULTS.c.code, sqlite_where=HAS_FAILED, postgresql_where=HAS_FAILED
)
RESULT_BY_BATCH = Index("batch_results_batch", RESULTS.c.batch, RESULTS.c.position, unique=True)

SCHEMA = Migrations(
    "batches",
    (
        (
            *(CreateTable(table) for table in (BATCHES, Table(RESULTS_NAME, MetaData(), *_first_result_columns()))),
            *(CreateIndex(each) for each in (BY_ID, BY_PROJECT, BY_AGE, RESULT_BY_BATCH, caller_index(BATCHES))),
        ),
        (
            migration_statement("ALTER TABLE batch_results ADD COLUMN code TEXT NOT NULL DEFAULT ''"),
            CreateIndex(RESULT_BY_ERROR),
        ),
    ),
)
SEALED = (EncryptedTable(BATCHES, ("project", "id")), EncryptedTable(RESULTS, ("batch", "position")))
PERSONAL = PersonalTable("batches", BATCHES, BATCHES.c.id, parts=(RESULTS.c.batch,), batch_rows=1)

BatchStatus = Literal[
    "validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled"
]
UNFINISHED: tuple[BatchStatus, ...] = ("validating", "in_progress", "finalizing", "cancelling")
ANSWERING: tuple[BatchStatus, ...] = ("in_progress", "cancelling")
BATCH_TABLE = RunTable(BATCHES, UNFINISHED)
RESULTS_PER_TRANSACTION = 500


class BatchCounts(Struct, frozen=True):
    """Sums over the results so far; the fields are COUNTS."""

    done: int = 0
    failed: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0


class BatchRow(Struct, frozen=True):
    """One batch. Times: unix ms. `cost`: pico-dollars. `total`: 0 until the requests are counted."""

    tenant: str
    project: str
    id: str
    created: int
    expires: int
    caller: Caller
    status: BatchStatus = "validating"
    server: str = ""
    total: int = 0
    counts: BatchCounts = BatchCounts()
    cost: int = 0
    sealed: bytes = b""
    number: int = 0


class ResultRow(Struct, frozen=True):
    """One result. `position`: of its request in the file, from 0."""

    position: int
    failed: bool
    sealed: bytes
    code: str = ""


def _batch(values: RowMapping) -> BatchRow:
    names = ("tenant", "project", "id", "created", "expires", "status", "server", "total", "cost", "sealed", "number")
    return BatchRow(
        **{name: values[name] for name in names},
        caller=Caller(values[CALLER_KEY], values[CALLER_USER]),
        counts=BatchCounts(*(values[name] for name in COUNTS)),
    )


def insert_batch(connection: Connection, row: BatchRow, max_unfinished: int) -> bool:
    """False if its organization has so many unfinished ones. Raises Conflict, at the end, if the id is taken."""
    unfinished = (BATCHES.c.tenant == row.tenant) & BATCHES.c.status.in_(UNFINISHED)
    if (connection.scalar(select(func.count()).where(unfinished)) or 0) >= max_unfinished:
        return False
    names = ("tenant", "project", "id", "created", "expires", "status", "server", "total", "cost", "sealed")
    values = {name: getattr(row, name) for name in names} | dict.fromkeys(COUNTS, 0)
    sized = {"seen": clock_ms(), "bytes": len(row.sealed)}
    connection.execute(insert(BATCHES).values(**values, **sized, **row.caller.values))
    return True


def find_batch(connection: Connection, tenant: str, project: str, id: str) -> BatchRow | None:
    """`project`: empty for all."""
    mine = (BATCHES.c.tenant == tenant) & (BATCHES.c.id == id)
    mine = mine & (BATCHES.c.project == project) if project else mine
    found = connection.execute(select(BATCHES).where(mine)).mappings().one_or_none()
    return None if found is None else _batch(found)


def list_batches(
    connection: Connection, tenant: str, project: str, page: RowPage, is_unfinished: bool | None = None
) -> list[BatchRow]:
    """`project`: empty for all. `is_unfinished`: None for both."""
    query = select(BATCHES).where(BATCHES.c.tenant == tenant)
    if is_unfinished is not None:
        state = BATCHES.c.status
        query = query.where(state.in_(UNFINISHED) if is_unfinished else state.not_in(UNFINISHED))
    query = query.where(BATCHES.c.project == project) if project else query
    found = connection.execute(page_query(query, BATCHES.c.number, page)).mappings()
    return in_page_order([_batch(each) for each in found], page)


def change_batch(
    connection: Connection,
    row: BatchRow,
    sealed: bytes,
    was: tuple[BatchStatus, ...],
    status: BatchStatus,
    *,
    total: int | None = None,
    failed: int = 0,
    cost: int | None = None,
) -> bool:
    """Whether its status was one of `was`; it is `status` now. `total`: of its requests, once they are counted.
    `failed`: requests that were never answered; they count as done and failed. `cost`: as records have it.
    """
    its = BATCHES.c
    counted: dict[str, Any] = {name: value for name, value in (("total", total), ("cost", cost)) if value is not None}
    if failed:
        counted |= {"done": its.done + failed, "failed": its.failed + failed}
    changed = update(BATCHES).where(BATCH_TABLE.at(row) & its.status.in_(was))
    values = {"status": status, "sealed": sealed, "bytes": len(sealed), **counted}
    return connection.execute(changed.values(**values)).rowcount > 0


def take_orphans(connection: Connection, server: str, silent_ms: int) -> list[BatchRow]:
    return [_batch(each) for each in BATCH_TABLE.take_orphans(connection, server, silent_ms)]


# ---- results


def insert_result(
    connection: Connection, row: BatchRow, result: ResultRow, counts: BatchCounts, cost: int
) -> BatchStatus | None:
    """The batch's status; None if it has ended, is another server's, or has a result at this position. `counts`,
    `cost`: of this result.
    """
    its = BATCHES.c
    mine = BATCH_TABLE.at(row) & (its.server == row.server) & its.status.in_(ANSWERING)
    grown = {name: its[name] + getattr(counts, name) for name in COUNTS}
    same = (RESULTS.c.batch == row.id) & (RESULTS.c.position == result.position)
    if connection.scalar(select(func.count()).where(same)):
        return None
    if not connection.execute(
        update(BATCHES).where(mine).values(seen=clock_ms(), cost=its.cost + cost, **grown)
    ).rowcount:
        return None
    values = {"position": result.position, "failed": int(result.failed), "bytes": len(result.sealed)}
    sealed = {"sealed": result.sealed, "code": result.code}
    connection.execute(insert(RESULTS).values(tenant=row.tenant, batch=row.id, **sealed, **values))
    return connection.scalar(select(its.status).where(BATCH_TABLE.at(row)))


def answered(connection: Connection, batch: str) -> list[int]:
    """Positions that have a result."""
    return list(connection.scalars(select(RESULTS.c.position).where(RESULTS.c.batch == batch)))


def count_errors(connection: Connection, batch: str) -> dict[str, int]:
    """Requests that failed so far, by the code of their error."""
    its = RESULTS.c
    query = select(its.code, func.count()).where(its.batch == batch, HAS_FAILED).group_by(its.code)
    return dict(connection.execute(query).tuples().all())


def list_results(connection: Connection, batch: str, after: int, *, failed: bool, limit: int) -> list[ResultRow]:
    """In the order of the file, from behind the position `after`."""
    its = RESULTS.c
    query = select(its.position, its.failed, its.sealed).where(its.batch == batch, its.failed == int(failed))
    found = connection.execute(query.where(its.position > after).order_by(its.position).limit(limit))
    return [ResultRow(each.position, bool(each.failed), each.sealed) for each in found]


class BatchRetention:
    """Retention job: results of batches that have ended, which are in files by then, and batches past their age."""

    def __init__(self, retention_ms: int) -> None:
        self._retention_ms = retention_ms

    def __call__(self, connection: Connection) -> bool:
        """Deletes some results or one batch; True if there may be more."""
        its = BATCHES.c
        running = select(its.number).where(its.id == RESULTS.c.batch, its.status.in_(UNFINISHED)).exists()
        numbers = list(connection.scalars(select(RESULTS.c.number).where(~running).limit(RESULTS_PER_TRANSACTION)))
        if numbers:
            connection.execute(delete(RESULTS).where(RESULTS.c.number.in_(numbers)))
            return True
        before = time.time_ns() // 1_000_000 - self._retention_ms
        oldest = select(its.number).where(its.status.not_in(UNFINISHED), its.created <= before)
        number = connection.scalar(oldest.limit(1))
        if number is None:
            return False
        connection.execute(delete(BATCHES).where(its.number == number))
        return True
