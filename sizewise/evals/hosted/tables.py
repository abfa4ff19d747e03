"""Tables of the API's evals, their runs and the results of items: states and costs in clear, texts encrypted."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct
from sqlalchemy import (
    Column,
    Connection,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.schema import CreateIndex, CreateTable

from sizewise.storage.erasure import Caller, PersonalTable, caller_columns, caller_index
from sizewise.storage.keys.tables import EncryptedTable
from sizewise.storage.migrations import BIG_INTEGER, Migrations
from sizewise.storage.row_pages import RowPage, in_page_order, page_query

META = MetaData()
EVALS_NAME, RUNS_NAME, DATA_NAME, ITEMS_NAME = (
    *("hosted_evals", "hosted_eval_runs"),
    *("hosted_eval_data", "hosted_eval_items"),
)
"""Ciphertexts are bound to them."""
EVALS = Table(
    EVALS_NAME,
    META,
    Column("number", BIG_INTEGER, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("created", BIG_INTEGER, nullable=False),  # unix ms
    Column("updated", BIG_INTEGER, nullable=False),
    Column("bytes", BIG_INTEGER, nullable=False),
    Column("sealed", LargeBinary, nullable=False),  # EvalDefinition
    *caller_columns(),
)
RUNS = Table(
    RUNS_NAME,
    META,
    Column("number", BIG_INTEGER, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("eval", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("server", Text, nullable=False),  # the process that runs it, or is to; empty: none
    Column(
        "seen", BIG_INTEGER, nullable=False
    ),  # when that process was last there, in unix ms by the clock of the database
    Column("created", BIG_INTEGER, nullable=False),  # unix ms
    Column("summary", Text, nullable=False),  # RunSummary as JSON, once it has ended
    Column("bytes", BIG_INTEGER, nullable=False),
    Column("sealed", LargeBinary, nullable=False),  # RunContent
    *caller_columns(),
)
DATA = Table(
    DATA_NAME,
    META,
    Column("number", BIG_INTEGER, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("run", Text, nullable=False),
    Column("bytes", BIG_INTEGER, nullable=False),
    Column("sealed", LargeBinary, nullable=False),  # list of DataRow
)
ITEMS = Table(
    ITEMS_NAME,
    META,
    Column("number", BIG_INTEGER, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("run", Text, nullable=False),
    Column("position", Integer, nullable=False),  # of the item in the data, from 0
    Column("status", Text, nullable=False),  # pass, fail, error
    Column("marks", Text, nullable=False),  # a character a grader
    Column("uses", Text, nullable=False),  # list of ModelUse as JSON
    Column("cost", BIG_INTEGER),  # pico-dollars; null: unknown
    Column("created", BIG_INTEGER, nullable=False),  # unix ms
    Column("bytes", BIG_INTEGER, nullable=False),
    Column("sealed", LargeBinary, nullable=False),  # ItemOutcome
)
EVAL_BY_ID = Index("hosted_evals_id", EVALS.c.tenant, EVALS.c.id, unique=True)
RUN_BY_ID = Index("hosted_eval_runs_id", RUNS.c.tenant, RUNS.c.id, unique=True)
RUN_BY_EVAL = Index("hosted_eval_runs_eval", RUNS.c.tenant, RUNS.c.eval)
DATA_BY_RUN = Index("hosted_eval_data_run", DATA.c.run, unique=True)
RUN_BY_AGE = Index("hosted_eval_runs_age", RUNS.c.created, RUNS.c.status)
ITEM_BY_RUN = Index("hosted_eval_items_run", ITEMS.c.run, ITEMS.c.position, unique=True)
ITEM_BY_SIZE = Index("hosted_eval_items_size", ITEMS.c.bytes)

SCHEMA = Migrations(
    "hosted_evals",
    (
        (
            *(CreateTable(table) for table in (EVALS, RUNS, DATA, ITEMS)),
            *(CreateIndex(each) for each in (EVAL_BY_ID, RUN_BY_ID, RUN_BY_EVAL, RUN_BY_AGE)),
            *(CreateIndex(each) for each in (DATA_BY_RUN, ITEM_BY_RUN, ITEM_BY_SIZE)),
            *(CreateIndex(each) for each in (caller_index(EVALS), caller_index(RUNS))),
        ),
    ),
)
SEALED = (
    EncryptedTable(EVALS, ("project", "id")),
    EncryptedTable(RUNS, ("project", "id")),
    EncryptedTable(DATA, ("run",)),
    EncryptedTable(ITEMS, ("run", "position")),
)
PERSONAL = (
    PersonalTable("eval runs", RUNS, RUNS.c.id, parts=(ITEMS.c.run, DATA.c.run), batch_rows=1),
    PersonalTable("evals", EVALS, EVALS.c.id),
)

RunStatus = Literal["queued", "in_progress", "completed", "failed", "canceled"]
UNFINISHED: tuple[str, ...] = ("queued", "in_progress")
ITEMS_PER_TRANSACTION = 500


class EvalRow(Struct, frozen=True):
    """One eval. Times: unix ms."""

    number: int
    tenant: str
    project: str
    id: str
    created: int
    updated: int
    sealed: bytes


class RunRow(Struct, frozen=True):
    """One run. `created`: unix ms. `summary`: JSON, empty until it has ended."""

    tenant: str
    project: str
    eval: str
    id: str
    created: int
    caller: Caller
    status: str = "queued"
    server: str = ""
    summary: str = ""
    sealed: bytes = b""
    number: int = 0


class ItemRow(Struct, frozen=True):
    """One item's result."""

    number: int
    position: int
    status: str
    marks: str
    uses: str
    cost: int | None
    created: int
    sealed: bytes


_EVAL = tuple(EVALS.c[name] for name in EvalRow.__struct_fields__)

# ---- evals


def insert_eval(connection: Connection, row: EvalRow, caller: Caller, max_evals: int) -> bool:
    """False if its organization has `max_evals` already. Raises Conflict, at the end, if the id is taken."""
    if (connection.scalar(select(func.count()).where(EVALS.c.tenant == row.tenant)) or 0) >= max_evals:
        return False
    named = {name: getattr(row, name) for name in ("tenant", "project", "id", "created", "updated", "sealed")}
    connection.execute(insert(EVALS).values(**named, bytes=len(row.sealed), **caller.values))
    return True


def find_eval(connection: Connection, tenant: str, project: str, id: str) -> EvalRow | None:
    mine = (EVALS.c.tenant == tenant) & (EVALS.c.project == project) & (EVALS.c.id == id)
    found = connection.execute(select(*_EVAL).where(mine)).one_or_none()
    return None if found is None else EvalRow(*found)


def list_evals(connection: Connection, tenant: str, project: str, page: RowPage) -> list[EvalRow]:
    query = select(*_EVAL).where(EVALS.c.tenant == tenant, EVALS.c.project == project)
    return in_page_order([EvalRow(*each) for each in connection.execute(page_query(query, EVALS.c.number, page))], page)


def update_eval(connection: Connection, row: EvalRow) -> bool:
    changed = update(EVALS).where(EVALS.c.number == row.number)
    values = {"sealed": row.sealed, "bytes": len(row.sealed), "updated": row.updated}
    return connection.execute(changed.values(**values)).rowcount > 0


def delete_eval(connection: Connection, row: EvalRow) -> None:
    """Its runs are not found from now on; `delete_orphan_runs` deletes them."""
    connection.execute(delete(EVALS).where(EVALS.c.number == row.number))
