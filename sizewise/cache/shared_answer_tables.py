"""The table of cached answers that servers of one Postgres share, encrypted; lost in a crash of the database."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from sqlalchemy import (
    Column,
    Connection,
    Index,
    LargeBinary,
    MetaData,
    Table,
    Text,
    bindparam,
    delete,
    func,
    select,
    text,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

from sizewise.storage.database_clock import clock_ms
from sizewise.storage.keys.tables import EncryptedTable
from sizewise.storage.migrations import BIG_INTEGER, CreateUnloggedTable, Migrations
from sizewise.storage.upsert import upsert

META = MetaData()
NAME = "cached_answers"
ANSWERS = Table(
    NAME,
    META,
    Column("number", BIG_INTEGER, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("key", Text, nullable=False),  # of the request, hashed with a key of the tenant
    Column("created", BIG_INTEGER, nullable=False),  # unix ms by the clock of the database, as `expires`
    Column("expires", BIG_INTEGER, nullable=False),
    Column("bytes", BIG_INTEGER, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)
BY_KEY = Index("cached_answers_key", ANSWERS.c.tenant, ANSWERS.c.key, unique=True)
BY_EXPIRY = Index("cached_answers_expiry", ANSWERS.c.expires, ANSWERS.c.bytes)
ERASURES = Table(
    "cache_erasures",
    META,
    Column("tenant", Text, primary_key=True),
    Column("count", BIG_INTEGER, nullable=False),
)
TENANT = "*"
"""Caches in memory do not say whose an answer is, so an erasure empties them of all organizations."""

SCHEMA = Migrations(
    NAME,
    ((CreateUnloggedTable(ANSWERS), CreateIndex(BY_KEY), CreateIndex(BY_EXPIRY), CreateTable(ERASURES)),),
)
SEALED = EncryptedTable(ANSWERS, ("project", "key"))
LOCK = "SELECT pg_advisory_xact_lock{}(hashtextextended('cached answers', 0))"
"""Held by an erasure alone, or by those who insert together: it writes nothing, as a lock of a row would."""
ROW_BYTES = 200
"""Of a row in addition to its answer, with its indexes."""
BATCH_ROWS = 1_000


class SharedAnswerRow(Struct, frozen=True):
    """`erasures`: how many there were when the request began. `ttl_ms`: how long the answer is good for."""

    tenant: str
    project: str
    key: str
    erasures: int
    ttl_ms: int
    sealed: bytes


def count_erasures(connection: Connection) -> int:
    return connection.scalar(select(ERASURES.c.count).where(ERASURES.c.tenant == TENANT)) or 0


def store_answers(connection: Connection, rows: Sequence[SharedAnswerRow]) -> int:
    """Inserts or replaces those of requests that began after the last erasure, and returns their number."""
    connection.execute(text(LOCK.format("_shared")))
    now, count = clock_ms(), count_erasures(connection)
    good = {(row.tenant, row.key): row for row in rows if row.erasures == count}
    if not good:
        return 0
    wanted = postgresql.insert(ANSWERS).values(created=now, expires=now + bindparam("ttl"))
    changed = {name: wanted.excluded[name] for name in ("project", "created", "expires", "bytes", "sealed")}
    values = [
        {
            "tenant": row.tenant,
            "project": row.project,
            "key": row.key,
            "ttl": row.ttl_ms,
            "bytes": len(row.sealed),
            "sealed": row.sealed,
        }
        for _, row in sorted(good.items())  # in one order, so that two servers never wait for each other
    ]
    connection.execute(wanted.on_conflict_do_update(index_elements=["tenant", "key"], set_=changed), values)
    return len(values)


def find_answer(connection: Connection, tenant: str, project: str, key: str) -> tuple[int, int, bytes] | None:
    """Its age and how long it is still good for, in ms, and the ciphertext; None if there is none, or it is too old."""
    its, now = ANSWERS.c, clock_ms()
    mine = (its.tenant == tenant) & (its.key == key) & (its.project == project) & (its.expires > now)
    row = connection.execute(select(now - its.created, its.expires - now, its.sealed).where(mine)).one_or_none()
    return None if row is None else (row[0], row[1], row[2])


def erase_answers(connection: Connection, tenant: str) -> int:
    """Deletes all answers of `tenant`; who began before stores none any more. Returns the number of erasures."""
    connection.execute(text(LOCK.format("")))
    upsert(connection, ERASURES, {"tenant": TENANT}, {"count": 1}, {"count": ERASURES.c.count + 1})
    connection.execute(delete(ANSWERS).where(ANSWERS.c.tenant == tenant))
    return count_erasures(connection)


class AnswerRetention:
    """Deletes what has expired, then what expires next while there is more than `max_bytes`, a batch at a time."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes

    def __call__(self, connection: Connection) -> bool:
        """True if more is left."""
        its = ANSWERS.c
        now = connection.scalar(select(clock_ms())) or 0
        rows, size = connection.execute(select(func.count(), func.coalesce(func.sum(its.bytes), 0))).one()
        size += rows * ROW_BYTES
        gone: list[int] = []
        for number, expires, bytes in connection.execute(
            select(its.number, its.expires, its.bytes).order_by(its.expires).limit(BATCH_ROWS)
        ):
            if expires > now and size <= self._max_bytes:
                break
            gone.append(number)
            size -= bytes + ROW_BYTES
        if gone:
            connection.execute(delete(ANSWERS).where(its.number.in_(gone)))
        return len(gone) == BATCH_ROWS
