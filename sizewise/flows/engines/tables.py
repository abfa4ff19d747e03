"""Table of workers and their last heartbeats, for servers that share one store."""

from __future__ import annotations

from sqlalchemy import Column, Connection, MetaData, Table, Text, delete, insert, select, update
from sqlalchemy.schema import CreateTable

from sizewise.storage.database_clock import database_time_ms
from sizewise.storage.migrations import BIG_INTEGER, Migrations

META = MetaData()

WORKERS = Table(
    "flow_workers",
    META,
    Column("id", Text, primary_key=True),
    Column("tenant", Text, nullable=False),  # always `local`
    Column("seen", BIG_INTEGER, nullable=False),  # unix ms, by the database's clock
)

SCHEMA = Migrations("flow_workers", ((CreateTable(WORKERS),),))


def upsert_heartbeat(connection: Connection, worker: str) -> None:
    now = database_time_ms(connection)
    if not connection.execute(update(WORKERS).where(WORKERS.c.id == worker).values(seen=now)).rowcount:
        connection.execute(insert(WORKERS).values(id=worker, tenant="local", seen=now))


def claim_expired_workers(connection: Connection, silent_ms: int) -> list[str]:
    """Workers without a heartbeat for `silent_ms`; no other caller claims them for as long again."""
    now = database_time_ms(connection)
    found = connection.scalars(select(WORKERS.c.id).where(WORKERS.c.seen < now - silent_ms)).all()
    return [id for id in found if _claim_worker(connection, id, now, silent_ms)]


def _claim_worker(connection: Connection, worker: str, now: int, silent_ms: int) -> bool:
    dead = (WORKERS.c.id == worker) & (WORKERS.c.seen < now - silent_ms)
    return connection.execute(update(WORKERS).where(dead).values(seen=now)).rowcount > 0


def delete_worker(connection: Connection, worker: str) -> None:
    connection.execute(delete(WORKERS).where(WORKERS.c.id == worker))


def list_workers(connection: Connection) -> set[str]:
    """Workers that were not removed."""
    return set(connection.scalars(select(WORKERS.c.id)))
