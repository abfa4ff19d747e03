"""Audit log service: appends and lists entries; table changes append theirs in their own transaction."""

from __future__ import annotations

import asyncio

from sizewise.audit_log import tables
from sizewise.audit_log.hash_chain import AuditEntry, AuditEvent
from sizewise.storage.batch_writer import BatchWriter
from sizewise.storage.database import TransactionRunner


class AuditLog:
    """The audit logs of all organizations."""

    def __init__(self, read: TransactionRunner, writer: BatchWriter) -> None:
        self._read = read
        self._writer = writer

    async def entries(self, tenant: str, after: int = 0, limit: int = 1_000) -> list[AuditEntry]:
        """Entries with a number above `after`, oldest first."""
        return await asyncio.to_thread(self._read, lambda c: tables.entries_after(c, tenant, after, limit))

    async def newest(self, tenant: str, limit: int = 20) -> list[AuditEntry]:
        """The newest entries, newest first."""
        return await asyncio.to_thread(self._read, lambda c: tables.newest_entries(c, tenant, limit))

    async def append(self, event: AuditEvent) -> None:
        """Appends an entry for an action, done or refused, that changed no table. Raises StorageError."""
        await self._writer.run_transaction(lambda c: tables.append_event(c, event))
