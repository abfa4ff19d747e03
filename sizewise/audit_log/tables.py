"""The table of the audit trail: lines are added, in the transaction of the change itself, and never touched again."""

from __future__ import annotations

import time
from typing import Any

import msgspec
from sqlalchemy import Column, Connection, Integer, MetaData, Select, Table, Text, func, insert, select
from sqlalchemy.schema import CreateTable

from sizewise.audit_log.hash_chain import GENESIS, Deed, Line, linked
from sizewise.storage.database import BIG, Schema

META = MetaData()

TRAIL = Table(
    "audit",
    META,
    Column("tenant", Text, primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at", BIG, nullable=False),
    Column("deed", Text, nullable=False),  # JSON
    Column("previous", Text, nullable=False),
    Column("hash", Text, nullable=False),
    sqlite_with_rowid=False,
)

SCHEMA = Schema("audit", ((CreateTable(TRAIL),),))


def add(connection: Connection, deed: Deed) -> Line:
    """The next line of its tenant's chain; who writes at the same time waits for the end of the transaction."""
    if connection.dialect.name == "postgresql":  # where several servers write at once
        connection.execute(select(func.pg_advisory_xact_lock(func.hashtext(f"audit {deed.tenant}"))))
    newest = select(TRAIL.c.seq, TRAIL.c.hash).where(TRAIL.c.tenant == deed.tenant)
    seq, previous = connection.execute(newest.order_by(TRAIL.c.seq.desc()).limit(1)).first() or (0, GENESIS)
    line = linked(deed, seq + 1, time.time_ns() // 1_000_000, previous)
    row = {"tenant": deed.tenant, "seq": line.seq, "at": line.at, "previous": line.previous, "hash": line.hash}
    connection.execute(insert(TRAIL).values(**row, deed=msgspec.json.encode(deed, order="deterministic").decode()))
    return line


def lines(connection: Connection, tenant: str, after: int = 0, limit: int = 1_000) -> list[Line]:
    """The lines behind number `after`, oldest first."""
    mine = (TRAIL.c.tenant == tenant) & (TRAIL.c.seq > after)
    return _read(connection, select(TRAIL).where(mine).order_by(TRAIL.c.seq).limit(limit))


def last(connection: Connection, tenant: str, limit: int) -> list[Line]:
    """The newest lines, newest first."""
    return _read(connection, select(TRAIL).where(TRAIL.c.tenant == tenant).order_by(TRAIL.c.seq.desc()).limit(limit))


def _read(connection: Connection, query: Select[Any]) -> list[Line]:
    return [
        Line(seq, at, msgspec.json.decode(deed, type=Deed), previous, hash)
        for _, seq, at, deed, previous, hash in connection.execute(query)
    ]
