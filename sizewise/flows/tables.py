"""Tables of flow runs, steps and large step values; all content is encrypted.

A step is written only if the run still has the writer's epoch, checked in the same transaction. A worker that was
paused while another took over the run, or while it was cancelled, can no longer write.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from msgspec import Struct
from sqlalchemy import (
    Column,
    Connection,
    Index,
    Insert,
    Integer,
    LargeBinary,
    MetaData,
    Select,
    Table,
    Text,
    bindparam,
    case,
    cast,
    delete,
    exists,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlalchemy.sql.elements import ColumnElement

from sizewise.audit_log import tables as audit
from sizewise.audit_log.hash_chain import AuditEvent
from sizewise.storage.database import migration_statement
from sizewise.storage.erasure import BATCH_ROWS, DataSubject, PersonalTable
from sizewise.storage.keys.tables import EncryptedTable
from sizewise.storage.migrations import BIG_INTEGER, Migrations

META = MetaData()


def _first_run_columns() -> list[Column[Any]]:
    """The columns of version 1."""
    return [
        Column("number", BIG_INTEGER, primary_key=True),
        Column("tenant", Text, nullable=False),
        Column("project", Text, nullable=False),
        Column("id", Text, nullable=False),
        Column("flow", Text, nullable=False),
        Column("version", Text, nullable=False),
        Column("door", Text, nullable=False),
        Column("key", Text, nullable=False),  # the id of the key or session that started it
        Column("user", Text, nullable=False),
        Column("state", Text, nullable=False),
        Column("attempt", Integer, nullable=False),
        Column("epoch", BIG_INTEGER, nullable=False),
        Column("created", BIG_INTEGER, nullable=False),  # unix ms, like `began` and `ended`
        Column("began", BIG_INTEGER),
        Column("ended", BIG_INTEGER),
        Column("error", Text, nullable=False),
        Column("bytes", BIG_INTEGER, nullable=False),  # of its steps
    ]


RUNS = Table(
    "flow_runs",
    META,
    *_first_run_columns(),
    Column("environment", Text),  # null: there are none
    Column("release", Text),  # hash; null: what is published
)
BY_RUN = Index("flow_runs_id", RUNS.c.id, unique=True)
BY_PROJECT = Index("flow_runs_project", RUNS.c.tenant, RUNS.c.project, RUNS.c.number)
BY_AGE = Index("flow_runs_age", RUNS.c.ended, RUNS.c.bytes)

STEPS = Table(
    "flow_steps",
    META,
    Column("number", BIG_INTEGER, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("run", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("began", BIG_INTEGER, nullable=False),  # unix ms, like `ended`
    Column("ended", BIG_INTEGER),
    Column("by", Text, nullable=False),  # the user or key that decided a waiting step
    Column("model", Text, nullable=False),
    Column("cost", BIG_INTEGER, nullable=False),  # pico-dollars
    Column("error", Text, nullable=False),
    Column("bytes", BIG_INTEGER, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)
BY_STEP = Index("flow_steps_key", STEPS.c.run, STEPS.c.key, unique=True)

BLOBS = Table(
    "flow_blobs",
    META,
    Column("number", BIG_INTEGER, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("run", Text, nullable=False),
    Column("hash", Text, nullable=False),  # SHA-256 of the run's id and the value, in hex
    Column("bytes", BIG_INTEGER, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)
BY_HASH = Index("flow_blobs_hash", BLOBS.c.run, BLOBS.c.hash, unique=True)

SCHEMA = Migrations(
    "flows",
    (
        (
            *(CreateTable(table) for table in (Table("flow_runs", MetaData(), *_first_run_columns()), STEPS, BLOBS)),
            *(CreateIndex(each) for each in (BY_RUN, BY_PROJECT, BY_AGE, BY_STEP, BY_HASH)),
        ),
        (
            migration_statement("ALTER TABLE flow_runs ADD COLUMN environment TEXT"),
            migration_statement("ALTER TABLE flow_runs ADD COLUMN release TEXT"),
        ),
    ),
)
PERSONAL = PersonalTable(
    "flow runs", RUNS, RUNS.c.id, key=RUNS.c.key, user=RUNS.c.user, parts=(STEPS.c.run, BLOBS.c.run)
)
SEALED = (
    EncryptedTable(STEPS, ("run", "key")),
    EncryptedTable(BLOBS, ("run", "hash")),
)

RunState = Literal["queued", "running", "waiting", "done", "failed", "cancelled"]
INPUTS, OUTPUTS, FAILURE, CLASS = ":inputs", ":outputs", ":failure", ":class"
"""Step keys of values that belong to the run."""
ACTIVE_STATES: tuple[RunState, ...] = ("queued", "running", "waiting")
RESUMABLE_STATES: tuple[RunState, ...] = ("failed", "cancelled")
EXPIRED = "timeout"
"""Error of a waiting step that nobody decided in time; it keeps its question."""
StepState = Literal["running", "waiting", "done", "failed"]


# Runs


class FlowRun(Struct, frozen=True):
    """One run, without its content. Times in unix ms; `error` is a code of errors.py."""

    id: str
    tenant: str
    project: str
    flow: str
    version: str
    door: str
    key: str
    user: str
    state: RunState
    attempt: int = 1
    epoch: int = 0
    created: int = 0
    began: int | None = None
    ended: int | None = None
    error: str = ""
    environment: str | None = None  # of who started it; null: there are none
    release: str | None = None  # hash, under which it ends; null: what is published


class RunStep(Struct, frozen=True):
    """One step of a run, without its content. Times in unix ms, `cost` in pico-dollars."""

    key: str
    state: StepState
    attempt: int
    began: int
    ended: int | None = None
    by: str = ""
    model: str = ""
    cost: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True)
class SealedStep:
    """A step with its encrypted value. `blob`: hash and encrypted value, if it is too large for the step's row.
    `may_exist`: the step may be stored already.
    """

    step: RunStep
    sealed: bytes
    blob: tuple[str, bytes] | None = None
    may_exist: bool = True


def insert_run(connection: Connection, run: FlowRun, sealed_step: SealedStep) -> bool:
    """False if a run with this id exists."""
    if connection.scalar(select(exists().where(RUNS.c.id == run.id))):
        return False
    row = {name: getattr(run, name) for name in FlowRun.__struct_fields__}
    connection.execute(insert(RUNS).values(**row, bytes=0))
    _write_step(connection, run.tenant, run.id, sealed_step)
    return True


def find_run(connection: Connection, id: str) -> FlowRun | None:
    row = connection.execute(_select_runs().where(RUNS.c.id == id)).one_or_none()
    return None if row is None else FlowRun(*row)


def list_runs(
    connection: Connection,
    tenant: str,
    project: str,
    flow: str,
    state: str,
    before: int,
    limit: int,
    flows: Sequence[str] = (),
) -> list[tuple[int, FlowRun]]:
    """Newest first, each with its number. `before`: only smaller numbers; `flows`: only these flows. Empty arguments do
    not filter.
    """
    its = RUNS.c
    query = select(its.number, *(its[name] for name in FlowRun.__struct_fields__)).where(its.tenant == tenant)
    for column, wanted in ((its.project, project), (its.flow, flow), (its.state, state)):
        if wanted:
            query = query.where(column == wanted)
    if flows:
        query = query.where(its.flow.in_(flows))
    if before:
        query = query.where(its.number < before)
    rows = connection.execute(query.order_by(its.number.desc()).limit(limit))
    return [(number, FlowRun(*rest)) for number, *rest in rows]


def claim_run(connection: Connection, id: str, now: int) -> FlowRun | None:
    """Gives the run a new epoch, which fences off older executions; None if it has ended."""
    its = RUNS.c
    mine = (its.id == id) & its.state.in_(ACTIVE_STATES)
    state = case((_has_waiting_step(id), "waiting"), else_="running")
    taken = {"epoch": its.epoch + 1, "state": state, "began": func.coalesce(its.began, now)}
    if not connection.execute(update(RUNS).where(mine).values(taken)).rowcount:
        return None
    return find_run(connection, id)


def holds_epoch(connection: Connection, id: str, epoch: int) -> bool:
    """Whether the run still has this epoch; locks the row until the transaction ends."""
    held = select(RUNS.c.epoch).where(RUNS.c.id == id).with_for_update(read=True)
    return connection.scalar(held) == epoch


def end_run(
    connection: Connection,
    run: FlowRun,
    state: RunState,
    now: int,
    sealed_step: SealedStep,
    error: str = "",
) -> bool:
    """False, and nothing is written, if the run has a newer epoch. `sealed_step`: its outputs or error."""
    if not save_step(connection, run, sealed_step):
        return False
    values = {"state": state, "error": error, "ended": now, "bytes": _run_bytes(run.id)}
    connection.execute(update(RUNS).where(RUNS.c.id == run.id).values(values))
    return True


def cancel_run(connection: Connection, id: str, now: int, audit_event: AuditEvent | None) -> bool:
    """False if the run has ended. The new epoch stops its worker from writing."""
    mine = (RUNS.c.id == id) & RUNS.c.state.in_(ACTIVE_STATES)
    over = {"state": "cancelled", "ended": now, "epoch": RUNS.c.epoch + 1, "bytes": _run_bytes(id)}
    if not connection.execute(update(RUNS).where(mine).values(over)).rowcount:
        return False
    if audit_event is not None:
        audit.append_event(connection, audit_event)
    return True


def _run_bytes(id: str) -> ColumnElement[int]:
    steps = select(func.coalesce(func.sum(STEPS.c.bytes), 0)).where(STEPS.c.run == id).scalar_subquery()
    blobs = select(func.coalesce(func.sum(BLOBS.c.bytes), 0)).where(BLOBS.c.run == id).scalar_subquery()
    return cast(steps + blobs, BIG_INTEGER)


def requeue_run(connection: Connection, id: str, audit_event: AuditEvent) -> bool:
    """Queues a failed or cancelled run again, without its failed steps; False in any other state."""
    mine = (RUNS.c.id == id) & RUNS.c.state.in_(RESUMABLE_STATES)
    anew = {"state": "queued", "ended": None, "error": "", "epoch": RUNS.c.epoch + 1, "attempt": RUNS.c.attempt + 1}
    if not connection.execute(update(RUNS).where(mine).values(anew)).rowcount:
        return False
    connection.execute(delete(STEPS).where((STEPS.c.run == id) & (STEPS.c.state == "failed")))
    connection.execute(delete(STEPS).where((STEPS.c.run == id) & (STEPS.c.key == FAILURE)))
    audit.append_event(connection, audit_event)
    return True


def find_epochs(connection: Connection, ids: Sequence[str]) -> dict[str, int]:
    return dict(connection.execute(select(RUNS.c.id, RUNS.c.epoch).where(RUNS.c.id.in_(ids))).tuples().all())


def list_orphaned_runs(connection: Connection, before: int) -> list[FlowRun]:
    """Runs queued before unix ms `before` that never began: their server died first."""
    query = _select_runs().where((RUNS.c.state == "queued") & (RUNS.c.created < before))
    return [FlowRun(*row) for row in connection.execute(query.order_by(RUNS.c.number).limit(1_000))]


def list_runs_of(connection: Connection, subject: DataSubject) -> list[FlowRun]:
    """The runs that a person or key started, oldest first."""
    ids = [str(id) for id in PERSONAL.find(connection, subject)]
    found = [connection.execute(_select_runs().where(RUNS.c.id.in_(part))) for part in _parts(ids)]
    return sorted((FlowRun(*row) for rows in found for row in rows), key=lambda run: run.created)


def delete_runs(connection: Connection, tenant: str, ids: Sequence[str]) -> int:
    """Deletes and overwrites runs with their steps and values, and returns their number."""
    return sum(PERSONAL.delete(connection, tenant, part) for part in _parts(ids))


def _parts(ids: Sequence[str]) -> list[list[str]]:
    return [list(ids[at : at + BATCH_ROWS]) for at in range(0, len(ids), BATCH_ROWS)]


def list_active_runs(connection: Connection, after: int, limit: int) -> list[tuple[int, FlowRun]]:
    """Runs that have not ended, oldest first, each with its number. `after`: only larger numbers."""
    query = select(RUNS.c.number, *(RUNS.c[name] for name in FlowRun.__struct_fields__))
    query = query.where(RUNS.c.state.in_(ACTIVE_STATES), RUNS.c.number > after)
    rows = connection.execute(query.order_by(RUNS.c.number).limit(limit))
    return [(number, FlowRun(*rest)) for number, *rest in rows]


def active_run_check() -> Callable[[Connection], bool]:
    """Whether there are active runs, to be asked again and again: a statement made each time is a reference cycle."""
    query = select(exists().where(RUNS.c.state.in_(ACTIVE_STATES)))
    return lambda connection: bool(connection.scalar(query))


def _select_runs() -> Select[Any]:
    return select(*(RUNS.c[name] for name in FlowRun.__struct_fields__))


# Steps


def save_step(connection: Connection, run: FlowRun, sealed_step: SealedStep) -> bool:
    """False, and nothing is written, if the run has a newer epoch."""
    if not sealed_step.may_exist and sealed_step.blob is None and sealed_step.step.state != "waiting":
        return _insert_step(connection, run, sealed_step)
    if not holds_epoch(connection, run.id, run.epoch):
        return False
    _write_step(connection, run.tenant, run.id, sealed_step)
    if sealed_step.step.state == "waiting":
        connection.execute(update(RUNS).where(RUNS.c.id == run.id).values(state="waiting"))
    return True


def _insert_if_owned() -> Insert:
    """Inserts a step if the run still has the epoch. Built once: it takes 180 us."""
    row = (*RunStep.__struct_fields__, "tenant", "run", "sealed", "bytes")
    values = [bindparam(f"its_{name}", type_=STEPS.c[name].type).label(name) for name in row]
    mine = (RUNS.c.id == bindparam("its_run")) & (RUNS.c.epoch == bindparam("its_epoch"))
    still = select(*values).where(mine).with_for_update(read=True)
    return insert(STEPS).from_select(row, still).execution_options(preserve_rowcount=True)


INSERT_IF_OWNED = _insert_if_owned()


def _insert_step(connection: Connection, run: FlowRun, sealed_step: SealedStep) -> bool:
    """Checks the epoch and inserts in one statement: on Postgres most of a step's time is round trips."""
    values = {f"its_{name}": getattr(sealed_step.step, name) for name in RunStep.__struct_fields__}
    values |= {"its_tenant": run.tenant, "its_run": run.id, "its_epoch": run.epoch}
    values |= {"its_sealed": sealed_step.sealed, "its_bytes": len(sealed_step.sealed)}
    return connection.execute(INSERT_IF_OWNED, values).rowcount > 0


def _write_step(connection: Connection, tenant: str, run: str, sealed_step: SealedStep) -> None:
    step, its = sealed_step.step, STEPS.c
    row = {name: getattr(step, name) for name in RunStep.__struct_fields__ if name != "key"}
    row |= {"sealed": sealed_step.sealed, "bytes": len(sealed_step.sealed)}
    there = update(STEPS).where((its.run == run) & (its.key == step.key))
    if not sealed_step.may_exist or not connection.execute(there.values(row)).rowcount:
        connection.execute(insert(STEPS).values(tenant=tenant, run=run, key=step.key, **row))
    _write_blob(connection, tenant, run, sealed_step)


def _write_blob(connection: Connection, tenant: str, run: str, sealed_step: SealedStep) -> None:
    if sealed_step.blob is None:
        return
    hash, sealed = sealed_step.blob
    if not connection.scalar(select(exists().where((BLOBS.c.run == run) & (BLOBS.c.hash == hash)))):
        connection.execute(insert(BLOBS).values(tenant=tenant, run=run, hash=hash, sealed=sealed, bytes=len(sealed)))


def complete_waiting_step(
    connection: Connection,
    run: FlowRun,
    sealed_step: SealedStep,
    now: int,
    audit_event: AuditEvent,
) -> bool:
    """Stores the decision on a waiting step; False if it does not wait."""
    values = {"state": "done", "by": audit_event.who, "sealed": sealed_step.sealed, "bytes": len(sealed_step.sealed)}
    if not _wake_step(connection, run.id, sealed_step.step.key, values, now):
        return False
    _write_blob(connection, run.tenant, run.id, sealed_step)
    audit.append_event(connection, audit_event)
    return True


def expire_waiting_step(connection: Connection, run: FlowRun, key: str, now: int) -> bool:
    """Marks a waiting step as failed; False if it was decided before, or the run has a newer epoch."""
    return holds_epoch(connection, run.id, run.epoch) and _wake_step(
        connection,
        run.id,
        key,
        {"state": "failed", "error": EXPIRED},
        now,
    )


def _wake_step(connection: Connection, run: str, key: str, values: dict[str, object], now: int) -> bool:
    its = STEPS.c
    waits = (its.run == run) & (its.key == key) & (its.state == "waiting")
    if not connection.execute(update(STEPS).where(waits).values(ended=now, **values)).rowcount:
        return False
    idle = (RUNS.c.id == run) & (RUNS.c.state == "waiting") & ~_has_waiting_step(run)
    connection.execute(update(RUNS).where(idle).values(state="running"))
    return True


def _has_waiting_step(run: str) -> ColumnElement[bool]:
    return exists().where((STEPS.c.run == run) & (STEPS.c.state == "waiting"))


def list_steps(connection: Connection, run: str) -> list[tuple[RunStep, bytes]]:
    """All steps of a run in the order in which they were written, each with its encrypted value."""
    its = STEPS.c
    query = select(*(its[name] for name in RunStep.__struct_fields__), its.sealed).where(its.run == run)
    return [(RunStep(*row[:-1]), row[-1]) for row in connection.execute(query.order_by(its.number))]


def find_step(connection: Connection, run: str, key: str) -> tuple[RunStep, bytes] | None:
    its = STEPS.c
    query = select(*(its[name] for name in RunStep.__struct_fields__), its.sealed)
    row = connection.execute(query.where((its.run == run) & (its.key == key))).one_or_none()
    return None if row is None else (RunStep(*row[:-1]), row[-1])


def list_waiting_steps(
    connection: Connection,
    tenant: str,
    project: str,
    limit: int,
) -> list[tuple[FlowRun, str, bytes]]:
    """Runs that wait for a decision, oldest first, each with the step's key and its encrypted question."""
    its = RUNS.c
    query = select(*(its[name] for name in FlowRun.__struct_fields__), STEPS.c.key, STEPS.c.sealed)
    query = query.join(STEPS, STEPS.c.run == its.id).where(its.tenant == tenant, its.state.in_(ACTIVE_STATES))
    query = query.where(STEPS.c.state == "waiting", ~STEPS.c.key.startswith(":"))
    if project:
        query = query.where(its.project == project)
    rows = connection.execute(query.order_by(STEPS.c.number).limit(limit))
    return [(FlowRun(*row[:-2]), row[-2], row[-1]) for row in rows]


def find_blob(connection: Connection, run: str, hash: str) -> bytes | None:
    return connection.scalar(select(BLOBS.c.sealed).where((BLOBS.c.run == run) & (BLOBS.c.hash == hash)))


class RunRetention:
    """Retention job of the batch writer: deletes ended runs, oldest first, by age, number and bytes."""

    def __init__(self, retention_ms: int, max_rows: int, max_bytes: int, batch_size: int = 50) -> None:
        """`batch_size`: runs deleted in one transaction."""
        self._retention_ms = retention_ms
        self._max_rows = max_rows
        self._max_bytes = max_bytes
        self._batch_size = batch_size

    def __call__(self, connection: Connection) -> bool:
        """Deletes one batch; True if there may be more."""
        its = RUNS.c
        over = its.ended.is_not(None)
        rows, size = connection.execute(select(func.count(), func.coalesce(func.sum(its.bytes), 0)).where(over)).one()
        outlived = time.time_ns() // 1_000_000 - self._retention_ms
        gone: list[str] = []
        oldest = select(its.id, its.ended, its.bytes).where(over).order_by(its.ended).limit(self._batch_size)
        for id, ended, bytes in connection.execute(oldest):
            if ended > outlived and rows <= self._max_rows and size <= self._max_bytes:
                break
            gone.append(id)
            rows -= 1
            size -= bytes
        for table, column in ((STEPS, STEPS.c.run), (BLOBS, BLOBS.c.run), (RUNS, its.id)):
            if gone:
                connection.execute(delete(table).where(column.in_(gone)))
        return len(gone) == self._batch_size
