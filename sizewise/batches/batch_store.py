"""The encrypted store of batches and of their results; knows no API and asks no model.

All calls run off the event loop. Every method raises StorageError and EncryptionKeyUnavailable.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import ParamSpec, TypeVar

import msgspec
from msgspec import Struct

from sizewise.batches import tables
from sizewise.batches.batch_file import BatchError, BatchResult, result_counts
from sizewise.batches.tables import (
    BATCH_TABLE,
    BATCHES_NAME,
    RESULTS_NAME,
    UNFINISHED,
    BatchRow,
    BatchStatus,
    ResultRow,
)
from sizewise.errors import Busy
from sizewise.settings.batches import BatchesSettings
from sizewise.storage.database import TransactionRunner
from sizewise.storage.encryption import EnvelopeEncryption
from sizewise.storage.row_pages import RowPage

RETRY_AFTER_S = 30.0

P = ParamSpec("P")
T = TypeVar("T")


class BatchContent(Struct, frozen=True, array_like=True):
    """The encrypted fields of a batch. `options`: `x-sizewise-*` headers of its requests, by name without the prefix.
    `max_cost`: pico-dollars. `times`: unix seconds, by the field that shows them, as `completed_at`. `digest`: of the
    whole request. `files_expire_s`: seconds until its files do. `address`: of the client. `cut`: code and message of
    what kept the rest of its requests from being answered. `request_errors`: how many requests failed, by code, once it
    has ended.
    """

    endpoint: str
    input_file: str
    window: str
    metadata: dict[str, str] | None
    options: Mapping[str, str]
    max_cost: int | None
    files_expire_s: int
    digest: str
    address: str = ""
    times: Mapping[str, int] = {}
    errors: Sequence[BatchError] = ()
    output_file: str = ""
    error_file: str = ""
    cut: tuple[str, str] | None = None
    request_errors: Mapping[str, int] = {}


class StoredBatch(Struct, frozen=True):
    row: BatchRow
    content: BatchContent


class BatchStore:
    """Batches of all projects."""

    def __init__(
        self,
        *,
        encryption: EnvelopeEncryption,
        read: TransactionRunner,
        write: TransactionRunner,
        executor: Executor,
        settings: BatchesSettings,
    ) -> None:
        """`write` runs its argument in one transaction. `executor` runs encryption and database calls."""
        self.limits = settings
        self._encryption = encryption
        self._read = read
        self._write = write
        self._executor = executor

    async def insert(self, row: BatchRow, content: BatchContent) -> None:
        """Durable when this returns. Raises Busy beyond the unfinished batches of an organization, Conflict."""
        most = self.limits.max_unfinished

        def work() -> bool:
            sealed = msgspec.structs.replace(row, sealed=self._seal_content(row, content))
            return self._write(lambda c: tables.insert_batch(c, sealed, most))

        if not await self._run(work):
            raise Busy(
                f"{most} batches of this organization are unfinished",
                "wait for some to end or cancel them; an administrator can raise [batches] max_unfinished",
                retry_after=RETRY_AFTER_S,
            )

    async def find(self, tenant: str, project: str, id: str) -> StoredBatch | None:
        def work() -> StoredBatch | None:
            row = self._read(lambda c: tables.find_batch(c, tenant, project, id))
            return None if row is None else self._opened(row)

        return await self._run(work)

    async def list_batches(
        self, tenant: str, project: str, page: RowPage, is_unfinished: bool | None = None
    ) -> list[StoredBatch]:
        """As `tables.list_batches`."""

        def work() -> list[StoredBatch]:
            rows = self._read(lambda c: tables.list_batches(c, tenant, project, page, is_unfinished))
            return [self._opened(row) for row in rows]

        return await self._run(work)

    async def change(
        self,
        row: BatchRow,
        content: BatchContent,
        was: tuple[BatchStatus, ...],
        status: BatchStatus,
        *,
        total: int | None = None,
        failed: int = 0,
        cost: int | None = None,
    ) -> bool:
        """As `tables.change_batch`, with the content."""

        def work() -> bool:
            sealed = self._seal_content(row, content)
            return self._write(
                lambda c: tables.change_batch(c, row, sealed, was, status, total=total, failed=failed, cost=cost),
            )

        return await self._run(work)

    # ---- for the queue

    async def claim(self, row: BatchRow) -> bool:
        return await self._run(self._write, lambda c: BATCH_TABLE.claim(c, row))

    async def release(self, row: BatchRow) -> None:
        await self._run(self._write, lambda c: BATCH_TABLE.release(c, row))

    async def fail(self, row: BatchRow) -> bool:
        """One that was answering goes on to its result files, so that no answer is lost; every other one ends."""
        found = await self.find(row.tenant, row.project, row.id)
        if found is None or found.row.status not in UNFINISHED:
            return False
        fault = "internal_error", "internal error: see the server's log"
        if found.row.status == "in_progress":
            content = msgspec.structs.replace(found.content, cut=fault)
            return await self.change(row, content, ("in_progress",), "finalizing")
        content = msgspec.structs.replace(found.content, errors=[BatchError(*fault)])
        await self.change(row, content, UNFINISHED, "failed")
        return False

    async def take_orphans(self, server: str, silent_ms: int) -> list[BatchRow]:
        return await self._run(self._write, lambda c: tables.take_orphans(c, server, silent_ms))

    async def renew(self, server: str) -> set[str]:
        return await self._run(self._write, lambda c: BATCH_TABLE.renew(c, server))

    # ---- results

    async def insert_result(self, row: BatchRow, position: int, result: BatchResult) -> BatchStatus | None:
        """Durable when this returns the batch's status; None if it has ended, or is another server's."""

        def work() -> BatchStatus | None:
            plain, where = msgspec.msgpack.encode(result), f"{row.id}/{position}"
            sealed = self._encryption.encrypt(plain, row.tenant, RESULTS_NAME, where)
            made, counts = ResultRow(position, result.failed, sealed, result.error_code), result_counts(result)
            cost = result.cost or 0
            return self._write(lambda c: tables.insert_result(c, row, made, counts, cost))

        return await self._run(work)

    async def answered(self, batch: str) -> list[int]:
        """Positions that have a result."""
        return await self._run(self._read, lambda c: tables.answered(c, batch))

    async def count_errors(self, batch: str) -> dict[str, int]:
        """Requests that failed, by the code of their error; none once the batch has ended and its content has them."""
        return await self._run(self._read, lambda c: tables.count_errors(c, batch))

    async def results(self, row: BatchRow, after: int, *, failed: bool, limit: int) -> list[tuple[int, BatchResult]]:
        """With their positions, in the order of the file, from behind the position `after`."""

        def work() -> list[tuple[int, BatchResult]]:
            rows = self._read(lambda c: tables.list_results(c, row.id, after, failed=failed, limit=limit))
            return [(each.position, self._opened_result(row, each)) for each in rows]

        return await self._run(work)

    # ---- encryption

    def _opened(self, row: BatchRow) -> StoredBatch:
        plain = self._encryption.decrypt(row.sealed, row.tenant, BATCHES_NAME, f"{row.project}/{row.id}")
        return StoredBatch(row, msgspec.msgpack.decode(plain, type=BatchContent))

    def _opened_result(self, row: BatchRow, found: ResultRow) -> BatchResult:
        plain = self._encryption.decrypt(found.sealed, row.tenant, RESULTS_NAME, f"{row.id}/{found.position}")
        return msgspec.msgpack.decode(plain, type=BatchResult)

    def _seal_content(self, row: BatchRow, content: BatchContent) -> bytes:
        plain, where = msgspec.msgpack.encode(content), f"{row.project}/{row.id}"
        return self._encryption.encrypt(plain, row.tenant, BATCHES_NAME, where)

    async def _run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, partial(work, *args, **kwargs))


def now_ms() -> int:
    return time.time_ns() // 1_000_000
