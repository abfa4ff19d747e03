"""The append-only audit log table, written in the transaction of the change itself."""

from __future__ import annotations

import time
from typing import Any

import msgspec
from sqlalchemy import Column, Connection, Integer, MetaData, Select, Table, Text, func, insert, select
from sqlalchemy.schema import CreateTable

from sizewise.audit_log.hash_chain import GENESIS, AuditEntry, AuditEvent, chain_entry
from sizewise.storage.migrations import BIG_INTEGER, Migrations

META = MetaData()

AUDIT_LOG = Table(
    "audit",
    META,
    Column("tenant", Text, primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at", BIG_INTEGER, nullable=False),
    Column("deed", Text, nullable=False),  # JSON
    Column("previous", Text, nullable=False),
    Column("hash", Text, nullable=False),
    sqlite_with_rowid=False,
)

SCHEMA = Migrations("audit", ((CreateTable(AUDIT_LOG),),))


def append_event(connection: Connection, event: AuditEvent) -> AuditEntry:
    """Appends to the tenant's chain; concurrent writers wait for the end of the transaction."""
    if connection.dialect.name == "postgresql":  # several servers may write at once
        connection.execute(select(func.pg_advisory_xact_lock(func.hashtext(f"audit {event.tenant}"))))
    newest = select(AUDIT_LOG.c.seq, AUDIT_LOG.c.hash).where(AUDIT_LOG.c.tenant == event.tenant)
    seq, previous = connection.execute(newest.order_by(AUDIT_LOG.c.seq.desc()).limit(1)).first() or (0, GENESIS)
    line = chain_entry(event, seq + 1, time.time_ns() // 1_000_000, previous)
    row = {"tenant": event.tenant, "seq": line.seq, "at": line.at, "previous": line.previous, "hash": line.hash}
    connection.execute(insert(AUDIT_LOG).values(**row, deed=msgspec.json.encode(event, order="deterministic").decode()))
    return line


def entries_after(connection: Connection, tenant: str, after: int = 0, limit: int = 1_000) -> list[AuditEntry]:
    """Entries with a number above `after`, oldest first."""
    mine = (AUDIT_LOG.c.tenant == tenant) & (AUDIT_LOG.c.seq > after)
    return _read(connection, select(AUDIT_LOG).where(mine).order_by(AUDIT_LOG.c.seq).limit(limit))


def newest_entries(connection: Connection, tenant: str, limit: int) -> list[AuditEntry]:
    """The newest entries, newest first."""
    return _read(
        connection,
        select(AUDIT_LOG).where(AUDIT_LOG.c.tenant == tenant).order_by(AUDIT_LOG.c.seq.desc()).limit(limit),
    )


def _read(connection: Connection, query: Select[Any]) -> list[AuditEntry]:
    return [
        AuditEntry(seq=seq, at=at, deed=msgspec.json.decode(deed, type=AuditEvent), previous=previous, hash=hash)
        for _, seq, at, deed, previous, hash in connection.execute(query)
    ]
