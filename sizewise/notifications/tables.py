"""The outbox table: messages to receivers, added with the state that they report; sends nothing.

A message is delivered at least once: whoever delivers it claims it for a while, and a claim that nobody settled ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from msgspec import Struct
from sqlalchemy import (
    Column,
    Connection,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    case,
    delete,
    func,
    select,
    text,
    update,
)
from sqlalchemy.schema import CreateIndex, CreateTable

from sizewise.storage.migrations import BIG_INTEGER, Migrations

META = MetaData()

OUTBOX = Table(
    "outbox",
    META,
    Column("number", BIG_INTEGER, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("receiver", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("event", Text, nullable=False),
    Column("body", Text, nullable=False),  # JSON of names, counts and sums; never the text of a prompt
    Column("created", BIG_INTEGER, nullable=False),  # unix ms, as all times here
    Column("due", BIG_INTEGER, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("holder", Text, nullable=False),  # of the claim; empty: none
    Column("error", Text, nullable=False),  # of the last attempt
    Column("ended", BIG_INTEGER),
)
BY_ID = Index("outbox_id", OUTBOX.c.receiver, OUTBOX.c.id, unique=True)
BY_DUE = Index("outbox_due", OUTBOX.c.state, OUTBOX.c.receiver, OUTBOX.c.due)
BY_AGE = Index("outbox_age", OUTBOX.c.created)

SCHEMA = Migrations("outbox", ((CreateTable(OUTBOX), CreateIndex(BY_ID), CreateIndex(BY_DUE), CreateIndex(BY_AGE)),))

MAX_WAITING = 1_000
"""Messages that wait for one receiver; beyond this, the oldest is dropped."""
MAX_KEPT = 10_000
KEPT_MS = 7 * 86_400_000
"""How many messages are kept, and for how long."""
RETENTION_BATCH = 500

MessageState = Literal["waiting", "delivered", "failed", "dropped"]

INSERT = (
    "INSERT INTO outbox (tenant, receiver, id, event, body, created, due, attempts, state, holder, error)"
    " VALUES (:tenant, :receiver, :id, :event, :body, :now, :now, 0, 'waiting', '', '') ON CONFLICT DO NOTHING"
)


class OutboxMessage(Struct, frozen=True):
    """Id and body are the same in each attempt, and the id for all receivers. `attempts`: those that failed."""

    number: int
    tenant: str
    receiver: str
    id: str
    event: str
    body: str
    attempts: int


class ReceiverStatus(Struct, frozen=True):
    """Messages to one receiver, as far as they are kept. Times in unix ms; `oldest`: of what waits, `last_failure`:
    of a message that was given up or dropped.
    """

    receiver: str
    waiting: int = 0
    delivered: int = 0
    failed: int = 0
    dropped: int = 0
    oldest: int | None = None
    last_delivery: int | None = None
    last_failure: int | None = None
    last_error: str = ""


def add_message(
    connection: Connection, *, receivers: Iterable[str], id: str, event: str, body: str, tenant: str, now: int
) -> int:
    """A row for each receiver that has none with this id; how many waiting messages were dropped for them."""
    dropped = 0
    for receiver in receivers:
        values = {"tenant": tenant, "receiver": receiver, "id": id, "event": event, "body": body, "now": now}
        if connection.execute(text(INSERT), values).rowcount:
            dropped += _drop_oldest(connection, receiver, now)
    return dropped


def _drop_oldest(connection: Connection, receiver: str, now: int) -> int:
    its = OUTBOX.c
    waiting = (its.state == "waiting") & (its.receiver == receiver)
    excess = (connection.scalar(select(func.count()).where(waiting)) or 0) - MAX_WAITING
    if excess <= 0:
        return 0
    oldest = list(connection.scalars(select(its.number).where(waiting).order_by(its.number).limit(excess)))
    values = {"state": "dropped", "error": "too many messages waited", "ended": now}
    connection.execute(update(OUTBOX).where(its.number.in_(oldest)).values(values))
    return len(oldest)


def due_receivers(connection: Connection, receivers: Sequence[str], now: int) -> list[str]:
    """Those with a message to deliver now."""
    its = OUTBOX.c
    mine = (its.state == "waiting") & its.receiver.in_(receivers) & (its.due <= now)
    return list(connection.scalars(select(its.receiver).where(mine).distinct()))


def claim_messages(
    connection: Connection, receiver: str, holder: str, now: int, until: int, limit: int
) -> list[OutboxMessage]:
    """The oldest due messages, which no one else claims before `until`."""
    its = OUTBOX.c
    mine = (its.state == "waiting") & (its.receiver == receiver) & (its.due <= now)
    columns = (its[name] for name in OutboxMessage.__struct_fields__)
    query = select(*columns).where(mine).order_by(its.number).limit(limit).with_for_update(skip_locked=True)
    found = [OutboxMessage(*row) for row in connection.execute(query)]
    taken = its.number.in_([each.number for each in found])
    connection.execute(update(OUTBOX).where(taken).values(due=until, holder=holder))
    return found


def release_claims(connection: Connection, now: int) -> None:
    """Those of processes that are gone; only for a database of one server, at its start."""
    mine = (OUTBOX.c.state == "waiting") & (OUTBOX.c.holder != "")
    connection.execute(update(OUTBOX).where(mine).values(due=now, holder=""))


def settle_message(connection: Connection, number: int, now: int, error: str, retry_at: int | None) -> None:
    """After an attempt. `error`: empty if it succeeded. `retry_at`: None if there is no further attempt."""
    attempts = OUTBOX.c.attempts + (1 if error else 0)
    values: dict[str, object] = {"error": error, "holder": "", "attempts": attempts}
    if error and retry_at is not None:
        values["due"] = retry_at
    else:
        values |= {"state": "failed" if error else "delivered", "ended": now}
    connection.execute(update(OUTBOX).where(OUTBOX.c.number == number).values(values))


def receiver_statuses(connection: Connection) -> list[ReceiverStatus]:
    """Of all receivers with messages, by name."""
    its = OUTBOX.c
    counts = [func.sum(case((its.state == each, 1), else_=0)) for each in ("waiting", "delivered", "failed", "dropped")]
    oldest = func.min(case((its.state == "waiting", its.created), else_=None))
    delivery = func.max(case((its.state == "delivered", its.ended), else_=None))
    failure = func.max(case((its.state.in_(("failed", "dropped")), its.ended), else_=None))
    query = select(its.receiver, *counts, oldest, delivery, failure).group_by(its.receiver).order_by(its.receiver)
    found = []
    for row in connection.execute(query).all():
        newest = select(its.error).where((its.receiver == row[0]) & (its.error != "")).order_by(its.number.desc())
        error = connection.scalar(newest.limit(1)) or ""
        waiting, delivered, failed, dropped = map(int, row[1:5])
        found.append(
            ReceiverStatus(
                receiver=row[0],
                waiting=waiting,
                delivered=delivered,
                failed=failed,
                dropped=dropped,
                oldest=row[5],
                last_delivery=row[6],
                last_failure=row[7],
                last_error=error,
            )
        )
    return found


class OutboxRetention:
    """Maintenance task: deletes messages, waiting ones too, by age and number."""

    def __call__(self, connection: Connection, now: int) -> bool:
        """Deletes one batch; True if more is left."""
        its = OUTBOX.c
        excess = (connection.scalar(select(func.count()).select_from(OUTBOX)) or 0) - MAX_KEPT
        oldest = select(its.number, its.created).order_by(its.created).limit(RETENTION_BATCH)
        rows = list(connection.execute(oldest))
        gone = [number for place, (number, created) in enumerate(rows) if created < now - KEPT_MS or place < excess]
        if gone:
            connection.execute(delete(OUTBOX).where(its.number.in_(gone)))
        return len(gone) == RETENTION_BATCH
