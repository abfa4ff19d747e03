"""Record store: writes, lists and deletes request records; knows no handler and decides no access."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from functools import partial

from msgspec import Struct

from sizewise.errors import BadRequest
from sizewise.storage.batch_writer import BatchWriter
from sizewise.storage.database import TransactionRunner, UnitOfWork
from sizewise.storage.rows import RowGroup
from sizewise.telemetry import payload_tables, record_queries, span_tables
from sizewise.telemetry.conversation_queries import SessionFilter, SessionPage, page_of_sessions
from sizewise.telemetry.payload_log import LoggedPayload, PayloadLog
from sizewise.telemetry.policy_usage import PolicyUsage, policy_usage
from sizewise.telemetry.record_ids import record_ids
from sizewise.telemetry.record_queries import RecordFilter, RecordPage
from sizewise.telemetry.tables import AttemptRow, RecordWithAttempts, RequestRecord
from sizewise.telemetry.trace_tree import TraceSpan, trace_spans
from sizewise.telemetry.usage_rollup import delete_key_records
from sizewise.telemetry.usage_tables import forget_key

MAX_RECORDS = 1_000
"""Records per list."""


class DeletedCounts(Struct, frozen=True):
    """How many of each were deleted."""

    records: int
    payloads: int
    feedback: int


class RecordStore:
    """One per process. Reads include every record that was accepted before, unless the disk cannot be written."""

    def __init__(
        self,
        *,
        read: TransactionRunner,
        writer: BatchWriter,
        payload_log: PayloadLog,
        executor: Executor,
        delete_feedback: Callable[[str, str], UnitOfWork[int]],
        process: int = 0,
    ) -> None:
        """`executor` runs decryption. `delete_feedback(tenant, key)` deletes the feedback of a key and counts it.
        `process` (0..1023): different for each process that writes to the database.
        """
        self.ids = record_ids(process)
        self._read = read
        self._writer = writer
        self._payload_log = payload_log
        self._executor = executor
        self._delete_feedback = delete_feedback
        self.flush_siblings: Callable[[], Awaitable[None]] | None = None  # has other processes write theirs

    @property
    def problem(self) -> str:
        """Why records cannot be written; empty when they can."""
        return self._writer.problem

    def enqueue(self, entry: RowGroup) -> None:
        """Accepts records without waiting; they are durable within `records.flush_ms`."""
        self._writer.enqueue(entry)

    def queue_counts(self) -> tuple[int, int]:
        """How many records wait to be written, and how many were dropped."""
        return self._writer.pending, self._writer.dropped

    async def flush(self) -> None:
        """Returns when every accepted record is durable. Raises StorageError."""
        await self._writer.flush()

    async def flush_if_healthy(self) -> None:
        """`flush`, also of sibling processes, unless records cannot be written: a disk that takes no writes can still
        be read.
        """
        if self.flush_siblings is not None:
            await self.flush_siblings()
        if not self._writer.problem:
            await self.flush()

    async def flush_all(self) -> None:
        """`flush`, also of payloads, and of sibling processes. Raises StorageError."""
        if self.flush_siblings is not None:
            await self.flush_siblings()
        await self.flush()
        await asyncio.to_thread(self._payload_log.flush)

    async def page(self, criteria: RecordFilter, limit: int = 20, before: int | None = None) -> RecordPage:
        """The newest `limit` (1..1000) records with an id below `before`. Raises BadRequest, StorageError."""
        if not 1 <= limit <= MAX_RECORDS:
            raise BadRequest(f"cannot list {limit!r} records", f"use 1 to {MAX_RECORDS}", param="last")
        if before is None:
            await self.flush_if_healthy()
        return await asyncio.to_thread(
            self._read,
            lambda c: record_queries.page_of_records(c, criteria, limit, before),
        )

    async def newest(self, criteria: RecordFilter, limit: int) -> list[RequestRecord]:
        """The newest `limit` records that are written by now, newest first. Raises StorageError."""
        return await asyncio.to_thread(self._read, lambda c: record_queries.newest_records(c, criteria, limit))

    async def sessions(self, criteria: SessionFilter, limit: int = 20, before: int | None = None) -> SessionPage:
        """The `limit` (1..1000) sessions with the newest request below the id `before`. Raises BadRequest,
        StorageError.
        """
        if not 1 <= limit <= MAX_RECORDS:
            raise BadRequest(f"cannot list {limit!r} sessions", f"use 1 to {MAX_RECORDS}", param="last")
        if before is None:
            await self.flush_if_healthy()
        return await asyncio.to_thread(self._read, lambda c: page_of_sessions(c, criteria, limit, before))

    async def attempts(self, records: Sequence[int]) -> dict[int, list[AttemptRow]]:
        """The attempts of records, by the id of their record, in order. Raises StorageError."""
        return await asyncio.to_thread(self._read, lambda c: record_queries.attempts_of(c, records))

    async def find_by_trace(
        self, trace: str, tenant: str = "local", project: str = "", limit: int = 100
    ) -> list[RecordWithAttempts]:
        """Records of a trace id or a prefix of it, with their attempts, newest first; empty if there are none.
        `project`: only of that one.
        """
        await self.flush_if_healthy()
        return await asyncio.to_thread(
            self._read, lambda c: record_queries.records_of_trace(c, tenant, trace, project, limit)
        )

    async def trace_spans(self, trace: str, tenant: str = "local", project: str = "") -> list[TraceSpan]:
        """The spans of a whole trace id, each behind its parent; empty if there is none. `project`: only of that."""
        records = await self.find_by_trace(trace, tenant, project, MAX_RECORDS)
        spans = await asyncio.to_thread(self._read, lambda c: span_tables.spans_of_trace(c, tenant, trace, project))
        return trace_spans(records, spans)

    async def policy_usage(self, tenant: str, since: int, policies: Sequence[str]) -> list[PolicyUsage]:
        """Usage of the requests that these policies answered since the hour of `since` (unix ms)."""
        await self.flush_if_healthy()
        return await asyncio.to_thread(self._read, partial(policy_usage, tenant=tenant, since=since, policies=policies))

    async def payload(self, record: int, tenant: str) -> LoggedPayload | None:
        """Prompt and reply of a record; None if they were not stored or are deleted. Raises EncryptionKeyUnavailable,
        StorageError.
        """
        find = partial(payload_tables.find_payload, tenant=tenant, record=record)
        sealed = await asyncio.to_thread(self._read, find)
        if sealed is None and not self._payload_log.problem:  # of a record that is written it may be queued still
            await asyncio.to_thread(self._payload_log.flush)
            sealed = await asyncio.to_thread(self._read, find)
        if sealed is None:
            return None
        decrypt = partial(self._payload_log.decrypt, sealed, tenant, record)
        return await asyncio.get_running_loop().run_in_executor(self._executor, decrypt)

    async def delete_key_data(self, tenant: str, key: str) -> DeletedCounts:
        """Deletes records, spans, payloads and feedback of the key with id `key`. Stored responses and idempotency
        records belong to the key's project and stay. Raises StorageError.
        """
        await self.flush_all()
        delete_feedback = self._delete_feedback(tenant, key)
        payloads, feedback, _ = await self._writer.run_transaction(
            lambda c: (
                payload_tables.delete_payloads(c, tenant, key),
                delete_feedback(c),
                span_tables.delete_spans(c, tenant, key),
            ),
        )
        records = 0
        while count := await self._writer.run_transaction(partial(delete_key_records, tenant=tenant, key=key)):
            records += count
        await self._writer.run_transaction(lambda c: forget_key(c, tenant, key))
        return DeletedCounts(records, payloads, feedback)
