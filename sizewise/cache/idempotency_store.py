"""Idempotency store: leases on idempotency keys with their encrypted outcomes; makes no call."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import Executor
from functools import partial

from sizewise.cache import tables
from sizewise.cache.idempotency_record import IdempotencyRecord, decrypt_record, encrypt_record
from sizewise.cache.tables import IdempotencyLease
from sizewise.handler import Request
from sizewise.storage.batch_writer import BatchWriter
from sizewise.storage.encryption import EnvelopeEncryption
from sizewise.telemetry.pending_records import insert_pending_record


class IdempotencyStore:
    """Leases of all projects; each method raises EncryptionKeyUnavailable or StorageError."""

    def __init__(
        self,
        *,
        encryption: EnvelopeEncryption,
        writer: BatchWriter,
        executor: Executor,
        retention_ms: int,
    ) -> None:
        """`executor` runs encryption, which may take seconds."""
        self._encryption = encryption
        self._writer = writer
        self._executor = executor
        self._retention_ms = retention_ms

    async def acquire(self, lease: IdempotencyLease, request: Request) -> IdempotencyRecord | None:
        """None: the lease and the pending record of `request` are durable. Otherwise what is stored under its key."""
        pending = await self._encrypt(lease, IdempotencyRecord(lease.digest, trace_id=request.trace_id))
        now = time.time_ns() // 1_000_000
        found = await self._writer.run_transaction(
            lambda c: tables.acquire_lease(
                c, lease, pending, now, now - self._retention_ms, partial(insert_pending_record, request=request)
            ),
        )
        if found is None:
            return None
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, decrypt_record, self._encryption, lease, found)

    async def complete(self, lease: IdempotencyLease, record: IdempotencyRecord) -> None:
        """Stores the outcome; durable when this returns."""
        sealed = await self._encrypt(lease, record)
        await self._writer.run_transaction(lambda c: tables.complete_lease(c, lease, sealed))

    async def release(self, lease: IdempotencyLease) -> None:
        """Deletes the lease, as if it had never been acquired."""
        await self._writer.run_transaction(lambda c: tables.release_lease(c, lease))

    async def _encrypt(self, lease: IdempotencyLease, record: IdempotencyRecord) -> bytes:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, encrypt_record, self._encryption, lease, record)
