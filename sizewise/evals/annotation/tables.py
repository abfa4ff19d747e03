"""Tables of annotation queues: items with how they were drawn, who holds or has labeled them, and who saw more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from msgspec import Struct
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Select,
    Table,
    Text,
    delete,
    exists,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.schema import CreateIndex, CreateTable

from sizewise.evals.scores.tables import SCORES
from sizewise.storage.erasure import PersonalTable, caller_columns, caller_index
from sizewise.storage.keys.tables import EncryptedTable
from sizewise.storage.migrations import BIG_INTEGER, Migrations
from sizewise.storage.upsert import insert_if_absent, upsert
from sizewise.telemetry.payload_tables import CONTENTS
from sizewise.telemetry.record_queries import RecordFilter, newest_records
from sizewise.telemetry.tables import RECORDS, TRIES

META = MetaData()
ITEMS_NAME = "annotation_items"
MAX_TRACE_RECORDS = 20
CORRECTABLE = 20
"""A person's last labels, which they may change."""
ENDPOINTS = ("chat", "messages", "responses")
"""Whose answers are texts."""
Rule = Literal["random", "thumbs_down", "unsure", "given"]
ItemState = Literal["open", "done", "expired"]
ClaimState = Literal["held", "labeled", "skipped"]

ITEMS = Table(
    ITEMS_NAME,
    META,
    Column("number", BIG_INTEGER, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("queue", Text, nullable=False),
    Column("id", Text, nullable=False),  # random: it says nothing of the answer
    Column("ref", Text, nullable=False),  # span of a record, or given with the item
    Column("rule", Text, nullable=False),
    Column("probability", Float),  # with which it was drawn; null: not at random
    Column("labels", Integer, nullable=False),  # that it needs
    Column("done", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("created", BIG_INTEGER, nullable=False),  # unix ms
    Column("bytes", BIG_INTEGER, nullable=False),
    Column("sealed", LargeBinary, nullable=False),  # ItemContent
    Column("trace", Text),
    Column("session", Text),
    Column("end_user", Text),
    Column("about_key", Text),
    *caller_columns(),
)
CLAIMS = Table(
    "annotation_claims",
    META,
    Column("number", BIG_INTEGER, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("item", Text, nullable=False),
    Column("person", Text, nullable=False),  # id of a user or key
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False),  # of a skip
    Column("until", BIG_INTEGER, nullable=False),  # unix ms
)
VIEWS = Table(
    "annotation_views",
    META,
    Column("number", BIG_INTEGER, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("person", Text, nullable=False),
    Column("trace", Text, nullable=False),
)
POSITIONS = Table(
    "annotation_positions",
    META,
    Column("tenant", Text, primary_key=True),
    Column("queue", Text, primary_key=True),
    Column("record", BIG_INTEGER, nullable=False),
    Column("score", BIG_INTEGER, nullable=False),
)
ITEM_BY_ID = Index("annotation_items_id", ITEMS.c.tenant, ITEMS.c.id, unique=True)
ITEM_BY_REF = Index("annotation_items_ref", ITEMS.c.tenant, ITEMS.c.project, ITEMS.c.queue, ITEMS.c.ref, unique=True)
ITEM_OPEN = Index("annotation_items_open", ITEMS.c.queue, ITEMS.c.state, ITEMS.c.number)
ITEM_BY_AGE = Index("annotation_items_age", ITEMS.c.created, ITEMS.c.bytes)
CLAIM_OF = Index("annotation_claims_item", CLAIMS.c.tenant, CLAIMS.c.item, CLAIMS.c.person, unique=True)
CLAIM_BY = Index("annotation_claims_person", CLAIMS.c.tenant, CLAIMS.c.person, CLAIMS.c.number)
VIEW_OF = Index("annotation_views_trace", VIEWS.c.tenant, VIEWS.c.trace, VIEWS.c.person, unique=True)
SCHEMA = Migrations(
    "annotation",
    (
        (
            *(CreateTable(table) for table in (ITEMS, CLAIMS, VIEWS, POSITIONS)),
            *(CreateIndex(each) for each in (ITEM_BY_ID, ITEM_BY_REF, ITEM_OPEN, ITEM_BY_AGE, caller_index(ITEMS))),
            *(CreateIndex(each) for each in (CLAIM_OF, CLAIM_BY, VIEW_OF)),
        ),
    ),
)
SEALED = EncryptedTable(ITEMS, ("id",))
PERSONAL = (
    PersonalTable(
        "items to label",
        ITEMS,
        ITEMS.c.id,
        about=ITEMS.c.about_key,
        conversation=ITEMS.c.session,
        end_user=ITEMS.c.end_user,
        parts=(CLAIMS.c.item,),
    ),
    PersonalTable("labeled items", CLAIMS, CLAIMS.c.number, key=CLAIMS.c.person, user=CLAIMS.c.person),
    PersonalTable("seen answers", VIEWS, VIEWS.c.number, key=VIEWS.c.person, user=VIEWS.c.person),
)


class AnnotationItem(Struct, frozen=True, kw_only=True):
    """One item. `created`: unix ms."""

    tenant: str
    project: str
    queue: str
    id: str
    ref: str
    rule: Rule
    probability: float | None
    labels: int
    created: int
    sealed: bytes
    done: int = 0
    state: ItemState = "open"
    trace: str | None = None
    session: str | None = None
    end_user: str | None = None
    about_key: str | None = None
    caller_key: str = ""
    caller_user: str = ""
    number: int = 0


class QueuePlace(Struct, frozen=True):
    """A queue, as a person sees it. `project`: only of that; empty: any."""

    tenant: str
    queue: str
    project: str
    person: str

    def items(self) -> ColumnElement[bool]:
        mine = (ITEMS.c.tenant == self.tenant) & (ITEMS.c.queue == self.queue)
        return mine & (ITEMS.c.project == self.project) if self.project else mine


class AnnotationCandidate(Struct, frozen=True):
    """A record whose answer a queue may ask about."""

    record: int
    tenant: str
    project: str
    trace: str
    session: str | None
    end_user: str | None
    key: str


class QueueCounts(Struct, frozen=True):
    """`needed`: labels that open items still lack. `done`: items that have theirs. `mine`: labeled by one person."""

    needed: int
    done: int
    mine: int


_ITEM = tuple(ITEMS.c[name] for name in AnnotationItem.__struct_fields__)


def insert_items(connection: Connection, rows: Sequence[AnnotationItem], max_open: int) -> int:
    """Adds items whose `ref` their queue does not have, while it has less than `max_open` open ones; their number."""
    added = 0
    for row in rows:
        its = ITEMS.c
        queue = (its.tenant == row.tenant) & (its.queue == row.queue)
        same = select(its.number).where(queue, its.project == row.project, its.ref == row.ref)
        if connection.scalar(same) is not None:
            continue
        if added == 0 and _count(connection, queue & (its.state == "open")) + len(rows) > max_open:
            return 0
        values = {name: getattr(row, name) for name in AnnotationItem.__struct_fields__ if name != "number"}
        connection.execute(insert(ITEMS).values(**values, bytes=len(row.sealed)))
        added += 1
    return added


def find_item(connection: Connection, place: QueuePlace, id: str) -> AnnotationItem | None:
    found = connection.execute(select(*_ITEM).where(place.items(), ITEMS.c.id == id)).one_or_none()
    return None if found is None else _item(found)


def held_item(connection: Connection, place: QueuePlace) -> AnnotationItem | None:
    """The open item that a person holds, also after their time is over."""
    query = _claimed(place, "held").where(ITEMS.c.state == "open")
    found = connection.execute(query.limit(1)).one_or_none()
    return None if found is None else _item(found)


def free_item(connection: Connection, place: QueuePlace, now: int) -> AnnotationItem | None:
    """The oldest item that still lacks a label, and which the person has neither labeled nor skipped. Locked."""
    its, claim = ITEMS.c, CLAIMS.c
    of_item = (claim.tenant == its.tenant) & (claim.item == its.id)
    mine = exists().where(of_item, claim.person == place.person, claim.state != "held").correlate(ITEMS)
    held = (claim.person != place.person) & (claim.state == "held") & (claim.until > now)
    others = select(func.count()).select_from(CLAIMS).where(of_item, held).correlate(ITEMS).scalar_subquery()
    query = select(*_ITEM).where(place.items(), its.state == "open", ~mine, its.done + others < its.labels)
    found = connection.execute(query.order_by(its.number).limit(1).with_for_update(skip_locked=True, of=ITEMS)).first()
    return None if found is None else _item(found)


def claim_state(connection: Connection, item: AnnotationItem, person: str) -> ClaimState | None:
    """Locks the item until the end of the transaction."""
    its = ITEMS.c
    mine = (its.tenant == item.tenant) & (its.id == item.id)
    connection.execute(select(its.number).where(mine).with_for_update())
    claim = CLAIMS.c
    mine = (claim.tenant == item.tenant) & (claim.item == item.id) & (claim.person == person)
    found: ClaimState | None = connection.scalar(select(claim.state).where(mine))
    return found


def set_claim(
    connection: Connection, item: AnnotationItem, person: str, state: ClaimState, until: int = 0, reason: str = ""
) -> None:
    """`until`: when it ends, or when it was labeled."""
    key = {"tenant": item.tenant, "item": item.id, "person": person}
    upsert(connection, CLAIMS, key, {"state": state, "until": until, "reason": reason})


def release_claims(connection: Connection, place: QueuePlace, but: str) -> None:
    """A person holds one item at a time."""
    its = CLAIMS.c
    mine = (its.tenant == place.tenant) & (its.person == place.person) & (its.state == "held") & (its.item != but)
    connection.execute(delete(CLAIMS).where(mine))


def count_label(connection: Connection, item: AnnotationItem) -> None:
    its = ITEMS.c
    mine = (its.tenant == item.tenant) & (its.id == item.id)
    connection.execute(update(ITEMS).where(mine).values(done=its.done + 1))
    connection.execute(update(ITEMS).where(mine, its.done >= its.labels).values(state="done"))


def expire_item(connection: Connection, item: AnnotationItem) -> None:
    """Its text is gone: nobody can label it."""
    connection.execute(
        update(ITEMS).where(ITEMS.c.tenant == item.tenant, ITEMS.c.id == item.id).values(state="expired")
    )


def last_labeled(connection: Connection, place: QueuePlace, limit: int) -> list[AnnotationItem]:
    """Those that a person labeled last, the last one first."""
    query = _claimed(place, "labeled").order_by(CLAIMS.c.until.desc(), CLAIMS.c.number.desc()).limit(limit)
    return [_item(each) for each in connection.execute(query)]


def complete_items(connection: Connection, place: QueuePlace, limit: int, after: int) -> list[AnnotationItem]:
    """Items with all their labels, in the order of their numbers, above `after`."""
    its = ITEMS.c
    query = select(*_ITEM).where(place.items(), its.state == "done", its.number > after)
    return [_item(each) for each in connection.execute(query.order_by(its.number).limit(limit))]


def queue_counts(connection: Connection, place: QueuePlace) -> QueueCounts:
    its, mine = ITEMS.c, place.items()
    lacking = func.coalesce(func.sum(its.labels - its.done), 0)
    needed = connection.scalar(select(lacking).where(mine, its.state == "open", its.done < its.labels))
    own = _claimed(place, "labeled").with_only_columns(func.count())
    return QueueCounts(int(needed or 0), _count(connection, mine & (its.state == "done")), connection.scalar(own) or 0)


def add_view(connection: Connection, tenant: str, person: str, trace: str) -> None:
    insert_if_absent(connection, VIEWS, {"tenant": tenant, "person": person, "trace": trace})


def has_view(connection: Connection, tenant: str, person: str, trace: str) -> bool:
    """Whether a person read the record or the scores of a trace elsewhere."""
    its = VIEWS.c
    mine = (its.tenant == tenant) & (its.trace == trace) & (its.person == person)
    return connection.scalar(select(its.number).where(mine)) is not None


def queue_position(connection: Connection, tenant: str, queue: str) -> tuple[int, int] | None:
    """Up to which record and score they were looked at."""
    its = POSITIONS.c
    found = connection.execute(select(its.record, its.score).where(its.tenant == tenant, its.queue == queue)).first()
    return None if found is None else (found.record, found.score)


def set_position(connection: Connection, tenant: str, queue: str, record: int, score: int) -> None:
    upsert(connection, POSITIONS, {"tenant": tenant, "queue": queue}, {"record": record, "score": score})


def random_candidates(connection: Connection, after: int, until: int, limit: int) -> list[AnnotationCandidate]:
    """Answers with stored contents and `after` < id <= `until`, in the order of their end."""
    its = RECORDS.c
    query = _candidates().where(its.id > after, its.id <= until).order_by(its.id).limit(limit)
    return [AnnotationCandidate(*each) for each in connection.execute(query)]


def judged_candidates(connection: Connection, ids: Sequence[int], low: float, high: float) -> set[int]:
    """Those of `ids` whose answer a judge of a policy gave a score from `low` to `high`."""
    its = TRIES.c
    mine = (its.record.in_(ids)) & (its.result == "answered") & its.score.between(low, high)
    return set(connection.scalars(select(its.record).where(mine)))


def disliked_candidates(connection: Connection, after: int, limit: int) -> tuple[list[AnnotationCandidate], int]:
    """Answers of traces that a user gave a value below one half, in scores above the number `after`; and up to which
    score they were looked at.
    """
    its = SCORES.c
    query = select(its.number, its.tenant, its.trace).where(its.number > after, its.source == "user", its.value < 0.5)
    scores = connection.execute(query.order_by(its.number).limit(limit)).all()
    found = list[AnnotationCandidate]()
    for tenant, trace in {(tenant, trace) for _, tenant, trace in scores if trace}:
        ids = [each.id for each in newest_records(connection, RecordFilter(tenant, trace=trace), MAX_TRACE_RECORDS)]
        found += [AnnotationCandidate(*each) for each in connection.execute(_candidates().where(RECORDS.c.id.in_(ids)))]
    return found, max((number for number, _, _ in scores), default=after)


def _candidates() -> Select[Any]:
    its = RECORDS.c
    columns = (its.id, its.tenant, its.project, its.trace, its.session, its.end_user, its.key)
    query = select(*columns).join(CONTENTS, (CONTENTS.c.record == its.id) & (CONTENTS.c.tenant == its.tenant))
    return query.where(its.status == 200, its.model != "", its.door.in_(ENDPOINTS))


def _claimed(place: QueuePlace, state: ClaimState) -> Select[Any]:
    """Items that a person holds or has labeled."""
    its, claim = ITEMS.c, CLAIMS.c
    query = select(*_ITEM).join(CLAIMS, (claim.tenant == its.tenant) & (claim.item == its.id))
    return query.where(place.items(), claim.person == place.person, claim.state == state)


def _count(connection: Connection, which: ColumnElement[bool]) -> int:
    return connection.scalar(select(func.count()).select_from(ITEMS).where(which)) or 0


def _item(values: Sequence[Any]) -> AnnotationItem:
    return AnnotationItem(**dict(zip(AnnotationItem.__struct_fields__, values, strict=True)))
