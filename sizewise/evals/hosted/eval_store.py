"""The encrypted store of the API's evals, their runs and the results of items; knows no API and asks no model.

All calls run off the event loop. Every method raises StorageError and EncryptionKeyUnavailable.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Any, ParamSpec, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from sizewise.errors import Busy
from sizewise.evals.hosted import run_queries, tables
from sizewise.evals.hosted.data_sources import DataRow
from sizewise.evals.hosted.results import GradedItem, ItemCounts, ItemOutcome, ModelUse, RunSummary, summarize
from sizewise.evals.hosted.tables import (
    DATA_NAME,
    EVALS_NAME,
    ITEMS_NAME,
    RUNS_NAME,
    EvalRow,
    ItemRow,
    RunRow,
    RunStatus,
)
from sizewise.handler import RequestOptions
from sizewise.settings.evals import EvalsSettings
from sizewise.storage.database import TransactionRunner
from sizewise.storage.encryption import EnvelopeEncryption
from sizewise.storage.erasure import Caller
from sizewise.storage.row_pages import RowPage

Json = dict[str, Any]
RETRY_AFTER_S = 5.0

P = ParamSpec("P")
T = TypeVar("T")


class EvalDefinition(Struct, frozen=True, array_like=True):
    """The encrypted fields of an eval, as the client sent them. `digest`: of the whole request."""

    name: str
    metadata: dict[str, str] | None
    config: Json
    criteria: list[Json]
    digest: str = ""


class RunContent(Struct, frozen=True, array_like=True):
    """The encrypted fields of a run. `source`: the data source as it is shown. `criteria`: of the eval, as they were
    when the run began. `trace`: of the request. `error`: code and message of what ended it.
    """

    name: str
    metadata: dict[str, str] | None
    source: bytes
    criteria: list[Json]
    model: str
    options: RequestOptions
    trace: str
    digest: str = ""
    error: tuple[str, str] | None = None


class StoredEval(Struct, frozen=True):
    row: EvalRow
    definition: EvalDefinition


class StoredRun(Struct, frozen=True):
    """`summary`: so far."""

    row: RunRow
    content: RunContent
    summary: RunSummary = RunSummary()


class StoredItem(Struct, frozen=True):
    """`created`: unix ms."""

    number: int
    position: int
    status: str
    created: int
    outcome: ItemOutcome


class HostedEvalStore:
    """Evals of all projects."""

    def __init__(
        self,
        *,
        encryption: EnvelopeEncryption,
        read: TransactionRunner,
        write: TransactionRunner,
        executor: Executor,
        settings: EvalsSettings,
    ) -> None:
        """`write` runs its argument in one transaction. `executor` runs encryption and database calls."""
        self._encryption = encryption
        self._read = read
        self._write = write
        self._executor = executor
        self._settings = settings

    # Evals

    async def insert_eval(self, row: EvalRow, definition: EvalDefinition, caller: Caller) -> None:
        """Raises Busy if the organization has too many, Conflict if the id is taken."""

        def work() -> bool:
            sealed = self._seal(definition, row.tenant, EVALS_NAME, f"{row.project}/{row.id}")
            most = self._settings.max_evals
            return self._write(lambda c: tables.insert_eval(c, replace(row, sealed=sealed), caller, most))

        if not await self._run(work):
            hint = "delete some, or raise `max_evals` in [evals] of sizewise.toml"
            raise Busy(f"this organization has {self._settings.max_evals} evals", hint, retry_after=RETRY_AFTER_S)

    async def find_eval(self, tenant: str, project: str, id: str) -> StoredEval | None:
        def work() -> StoredEval | None:
            row = self._read(lambda c: tables.find_eval(c, tenant, project, id))
            return None if row is None else self._opened_eval(row)

        return await self._run(work)

    async def list_evals(self, tenant: str, project: str, page: RowPage) -> list[StoredEval]:
        return await self._run(
            lambda: [
                self._opened_eval(row) for row in self._read(lambda c: tables.list_evals(c, tenant, project, page))
            ]
        )

    async def update_eval(self, stored: StoredEval) -> None:
        def work() -> None:
            row = stored.row
            sealed = self._seal(stored.definition, row.tenant, EVALS_NAME, f"{row.project}/{row.id}")
            changed = replace(row, sealed=sealed, updated=now_ms())
            self._write(lambda c: tables.update_eval(c, changed))

        await self._run(work)

    async def delete_eval(self, stored: StoredEval) -> None:
        await self._run(self._write, lambda c: tables.delete_eval(c, stored.row))

    # Runs

    async def insert_run(self, row: RunRow, content: RunContent, rows: Sequence[DataRow]) -> None:
        """Durable when this returns. Raises Busy beyond the unfinished runs of an organization, Conflict."""

        def work() -> bool:
            sealed = self._seal(content, row.tenant, RUNS_NAME, f"{row.project}/{row.id}")
            plain, most = msgspec.msgpack.encode(rows), self._settings.max_unfinished
            data = self._encryption.encrypt(plain, row.tenant, DATA_NAME, row.id)
            return self._write(lambda c: run_queries.insert_run(c, replace(row, sealed=sealed), data, most))

        if not await self._run(work):
            raise Busy(
                f"{self._settings.max_unfinished} eval runs of this organization are unfinished",
                "wait for some to end or cancel them; an administrator can raise [evals] max_unfinished",
                retry_after=RETRY_AFTER_S,
            )

    async def find_run(self, tenant: str, project: str, id: str) -> StoredRun | None:
        def work() -> StoredRun | None:
            row = self._read(lambda c: run_queries.find_run(c, tenant, project, id))
            return None if row is None else self._opened_run(row)

        return await self._run(work)

    async def rows(self, row: RunRow) -> list[DataRow]:
        """Its data; empty if the run was deleted."""

        def work() -> list[DataRow]:
            sealed = self._read(lambda c: run_queries.find_data(c, row.id))
            plain = b"\x90" if sealed is None else self._encryption.decrypt(sealed, row.tenant, DATA_NAME, row.id)
            return msgspec.msgpack.decode(plain, type=list[DataRow])

        return await self._run(work)

    async def list_runs(
        self, tenant: str, project: str, eval: str, page: RowPage, *, status: str = ""
    ) -> list[StoredRun]:
        def work() -> list[StoredRun]:
            rows = self._read(lambda c: run_queries.list_runs(c, tenant, project, eval, page, status=status))
            return [self._opened_run(row) for row in rows]

        return await self._run(work)

    async def claim(self, row: RunRow) -> bool:
        """Whether this server has it and it is unfinished; it is in progress from now on."""
        return await self._run(self._write, lambda c: run_queries.claim_run(c, row))

    async def end_run(self, row: RunRow, status: RunStatus, error: tuple[str, str] | None = None) -> bool:
        """Whether it was unfinished, and has ended now, with the sums of its items."""

        def work() -> bool:
            found = self._read(lambda c: run_queries.find_run(c, row.tenant, row.project, row.id))
            if found is None:
                return False
            stored, where = self._opened_run(found), f"{row.project}/{row.id}"
            summary = msgspec.json.encode(stored.summary).decode()
            failed = replace(stored.content, error=error)
            sealed = None if error is None else self._seal(failed, row.tenant, RUNS_NAME, where)
            return self._write(lambda c: run_queries.end_run(c, row, status, summary, sealed))

        return await self._run(work)

    async def fail(self, row: RunRow) -> bool:
        """False: it ends."""
        await self.end_run(row, "failed", ("internal_error", "internal error: see the server's log"))
        return False

    async def release(self, row: RunRow) -> None:
        """Leaves it to the next server that looks."""
        await self._run(self._write, lambda c: run_queries.release_run(c, row))

    async def delete_run(self, row: RunRow) -> bool:
        return await self._run(self._write, lambda c: run_queries.delete_run(c, row))

    async def take_orphans(self, server: str, silent_ms: int) -> list[RunRow]:
        return await self._run(self._write, lambda c: run_queries.take_orphans(c, server, silent_ms))

    async def renew(self, server: str) -> set[str]:
        return await self._run(self._write, lambda c: run_queries.renew(c, server))

    # Items

    async def insert_item(self, row: RunRow, item: GradedItem) -> bool:
        """Durable when this returns True; False if the run has ended, or is another server's."""

        def work() -> bool:
            made = ItemRow(
                number=0,
                position=item.position,
                status=item.status,
                marks=item.marks,
                uses=msgspec.json.encode(item.uses).decode(),
                cost=item.cost,
                created=now_ms(),
                sealed=self._seal(item.outcome, row.tenant, ITEMS_NAME, f"{row.id}/{item.position}"),
            )
            return self._write(lambda c: run_queries.insert_item(c, row, made))

        return await self._run(work)

    async def progress(self, run: str) -> tuple[set[int], int]:
        """Positions that have a result, and the pico-dollars that they cost."""
        found = await self._run(self._read, lambda c: run_queries.counts_of(c, run))
        return {each[0] for each in found}, sum(each[4] or 0 for each in found)

    async def list_items(self, run: RunRow, page: RowPage, *, status: str = "") -> list[StoredItem]:
        def work() -> list[StoredItem]:
            rows = self._read(lambda c: run_queries.list_items(c, run.id, page, status=status))
            return [self._opened_item(run, row) for row in rows]

        return await self._run(work)

    async def find_item(self, run: RunRow, position: int) -> StoredItem | None:
        def work() -> StoredItem | None:
            row = self._read(lambda c: run_queries.find_item(c, run.id, position))
            return None if row is None else self._opened_item(run, row)

        return await self._run(work)

    @property
    def limits(self) -> EvalsSettings:
        return self._settings

    # Encryption

    def _opened_eval(self, row: EvalRow) -> StoredEval:
        plain = self._encryption.decrypt(row.sealed, row.tenant, EVALS_NAME, f"{row.project}/{row.id}")
        return StoredEval(row, msgspec.msgpack.decode(plain, type=EvalDefinition))

    def _opened_run(self, row: RunRow) -> StoredRun:
        plain = self._encryption.decrypt(row.sealed, row.tenant, RUNS_NAME, f"{row.project}/{row.id}")
        content = msgspec.msgpack.decode(plain, type=RunContent)
        if row.summary:
            return StoredRun(row, content, msgspec.json.decode(row.summary, type=RunSummary))
        found = self._read(lambda c: run_queries.counts_of(c, row.id))
        return StoredRun(row, content, summarize(_counts(found), len(content.criteria)))

    def _opened_item(self, run: RunRow, row: ItemRow) -> StoredItem:
        plain = self._encryption.decrypt(row.sealed, run.tenant, ITEMS_NAME, f"{run.id}/{row.position}")
        outcome = msgspec.msgpack.decode(plain, type=ItemOutcome)
        return StoredItem(
            number=row.number, position=row.position, status=row.status, created=row.created, outcome=outcome
        )

    def _seal(self, value: Struct, tenant: str, table: str, where: str) -> bytes:
        return self._encryption.encrypt(msgspec.msgpack.encode(value), tenant, table, where)

    async def _run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, partial(work, *args, **kwargs))


def _counts(rows: Sequence[tuple[int, str, str, str, int | None]]) -> list[ItemCounts]:
    decode = msgspec.json.Decoder(tuple[ModelUse, ...]).decode
    return [ItemCounts(status, marks, decode(uses), cost) for _, status, marks, uses, cost in rows]


def now_ms() -> int:
    return time.time_ns() // 1_000_000
