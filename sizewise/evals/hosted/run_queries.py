"""Queries on runs of the API's evals and on the results of their items; the definitions of evals are elsewhere."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, delete, func, insert, select, update

from sizewise.evals.hosted.tables import (
    DATA,
    EVALS,
    ITEMS,
    ITEMS_PER_TRANSACTION,
    RUNS,
    UNFINISHED,
    ItemRow,
    RunRow,
    RunStatus,
)
from sizewise.storage.database_clock import clock_ms
from sizewise.storage.erasure import CALLER_KEY, CALLER_USER, Caller
from sizewise.storage.row_pages import RowPage, in_page_order, page_query
from sizewise.storage.run_rows import RunTable

RUN_TABLE = RunTable(RUNS, UNFINISHED)
_ITEM = tuple(ITEMS.c[name] for name in ItemRow.__struct_fields__)


def insert_run(connection: Connection, row: RunRow, data: bytes, max_unfinished: int) -> bool:
    """With its data. False if its organization has `max_unfinished` unfinished runs. Raises Conflict, at the end, if
    the id is taken.
    """
    unfinished = (RUNS.c.tenant == row.tenant) & RUNS.c.status.in_(UNFINISHED)
    if (connection.scalar(select(func.count()).where(unfinished)) or 0) >= max_unfinished:
        return False
    named = {name: getattr(row, name) for name in ("tenant", "project", "eval", "id", "created", "status", "server")}
    sized = {"seen": clock_ms(), "summary": "", "bytes": len(row.sealed), "sealed": row.sealed}
    connection.execute(insert(RUNS).values(**named, **sized, **row.caller.values))
    connection.execute(insert(DATA).values(tenant=row.tenant, run=row.id, bytes=len(data), sealed=data))
    return True


def find_data(connection: Connection, run: str) -> bytes | None:
    found: bytes | None = connection.scalar(select(DATA.c.sealed).where(DATA.c.run == run))
    return found


def find_run(connection: Connection, tenant: str, project: str, id: str) -> RunRow | None:
    mine = (RUNS.c.tenant == tenant) & (RUNS.c.project == project) & (RUNS.c.id == id)
    found = connection.execute(select(RUNS).where(mine)).mappings().one_or_none()
    return None if found is None else _run(found)


def list_runs(
    connection: Connection, tenant: str, project: str, eval: str, page: RowPage, *, status: str = ""
) -> list[RunRow]:
    query: Select[Any] = select(RUNS).where(RUNS.c.tenant == tenant, RUNS.c.project == project, RUNS.c.eval == eval)
    if status:
        query = query.where(RUNS.c.status == status)
    found = connection.execute(page_query(query, RUNS.c.number, page)).mappings()
    return in_page_order([_run(each) for each in found], page)


def claim_run(connection: Connection, row: RunRow) -> bool:
    """Whether it is this server's and unfinished; it is in progress from now on."""
    return RUN_TABLE.claim(connection, row, status="in_progress")


def end_run(connection: Connection, row: RunRow, status: RunStatus, summary: str, sealed: bytes | None = None) -> bool:
    """Whether it was unfinished, and has ended now. `sealed`: its content with the error that ended it."""
    mine = RUN_TABLE.at(row) & RUNS.c.status.in_(UNFINISHED)
    content = {} if sealed is None else {"sealed": sealed, "bytes": len(sealed)}
    return connection.execute(update(RUNS).where(mine).values(status=status, summary=summary, **content)).rowcount > 0


def release_run(connection: Connection, row: RunRow) -> None:
    RUN_TABLE.release(connection, row)


def take_orphans(connection: Connection, server: str, silent_ms: int) -> list[RunRow]:
    return [_run(each) for each in RUN_TABLE.take_orphans(connection, server, silent_ms)]


def renew(connection: Connection, server: str) -> set[str]:
    return RUN_TABLE.renew(connection, server)


def delete_run(connection: Connection, row: RunRow) -> bool:
    """Whether it existed. Its items go with it, as many as may be in one transaction; the rest by retention."""
    existed = connection.execute(delete(RUNS).where(RUN_TABLE.at(row))).rowcount > 0
    connection.execute(delete(DATA).where(DATA.c.run == row.id))
    _delete_items(connection, row.id)
    return existed


def _delete_items(connection: Connection, run: str) -> bool:
    """One batch; True if there may be more."""
    some = select(ITEMS.c.number).where(ITEMS.c.run == run).limit(ITEMS_PER_TRANSACTION)
    numbers = list(connection.scalars(some))
    if numbers:
        connection.execute(delete(ITEMS).where(ITEMS.c.number.in_(numbers)))
    return len(numbers) == ITEMS_PER_TRANSACTION


def _run(values: RowMapping) -> RunRow:
    names = ("tenant", "project", "eval", "id", "created", "status", "server", "summary", "sealed", "number")
    caller = Caller(values[CALLER_KEY], values[CALLER_USER])
    return RunRow(**{name: values[name] for name in names}, caller=caller)


# ---- items


def insert_item(connection: Connection, row: RunRow, item: ItemRow) -> bool:
    """False if the run has ended, is another server's, or has a result at this position."""
    mine = RUN_TABLE.at(row) & (RUNS.c.server == row.server) & (RUNS.c.status == "in_progress")
    if not connection.execute(update(RUNS).where(mine).values(seen=clock_ms())).rowcount:
        return False
    same = (ITEMS.c.run == row.id) & (ITEMS.c.position == item.position)
    if connection.scalar(select(func.count()).where(same)):
        return False
    values = {name: getattr(item, name) for name in ItemRow.__struct_fields__ if name != "number"}
    connection.execute(insert(ITEMS).values(tenant=row.tenant, run=row.id, bytes=len(item.sealed), **values))
    return True


def counts_of(connection: Connection, run: str) -> list[tuple[int, str, str, str, int | None]]:
    """(position, status, marks, uses, cost) of each item."""
    its = ITEMS.c
    query = select(its.position, its.status, its.marks, its.uses, its.cost).where(its.run == run)
    return [(each[0], each[1], each[2], each[3], each[4]) for each in connection.execute(query)]


def list_items(connection: Connection, run: str, page: RowPage, *, status: str = "") -> list[ItemRow]:
    query = select(*_ITEM).where(ITEMS.c.run == run)
    if status:
        query = query.where(ITEMS.c.status == status)
    found = connection.execute(page_query(query, ITEMS.c.position, page))
    return in_page_order([ItemRow(*each) for each in found], page)


def find_item(connection: Connection, run: str, position: int) -> ItemRow | None:
    found = connection.execute(select(*_ITEM).where(ITEMS.c.run == run, ITEMS.c.position == position)).one_or_none()
    return None if found is None else ItemRow(*found)


class HostedEvalRetention:
    """Retention job: ended runs past their age or beyond the bytes of all items, and what lost its eval or run."""

    def __init__(self, retention_ms: int, max_bytes: int) -> None:
        self._retention_ms = retention_ms
        self._max_bytes = max_bytes

    def __call__(self, connection: Connection) -> bool:
        """Deletes one batch of items, and the run with the last of them; True if there may be more."""
        run = self._outlived(connection)
        if run is None:
            return False
        if not _delete_items(connection, run):
            connection.execute(delete(DATA).where(DATA.c.run == run))
            connection.execute(delete(RUNS).where(RUNS.c.id == run))
        return True

    def _outlived(self, connection: Connection) -> str | None:
        before = time.time_ns() // 1_000_000 - self._retention_ms
        ended = ~RUNS.c.status.in_(UNFINISHED)
        oldest = connection.execute(
            select(RUNS.c.id, RUNS.c.created).where(ended).order_by(RUNS.c.created).limit(1)
        ).one_or_none()
        if oldest is not None and oldest.created <= before:
            return str(oldest.id)
        same = (EVALS.c.tenant == RUNS.c.tenant) & (EVALS.c.id == RUNS.c.eval)
        alone = select(RUNS.c.id).where(~select(EVALS.c.number).where(same).exists()).limit(1)
        orphan: str | None = connection.scalar(alone)
        if orphan is None:
            lost = select(ITEMS.c.run).where(~select(RUNS.c.number).where(RUNS.c.id == ITEMS.c.run).exists()).limit(1)
            orphan = connection.scalar(lost)
        if orphan is None and oldest is not None:
            used = connection.scalar(select(func.coalesce(func.sum(ITEMS.c.bytes), 0))) or 0
            return str(oldest.id) if int(used) > self._max_bytes else None
        return orphan
