"""The request record and attempt tables: counts and decisions, never prompt text.

A record's `id` is its time (microseconds) and its process, so the primary key is in the order of time: the newest
records, those since a time, and the oldest to delete are ranges of it. A trace id comes from the client and may name
several records. A single successful attempt is stored in its record's row, others in `attempts`; the view `tries` shows
all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct
from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Float,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    delete,
    select,
)
from sqlalchemy.schema import CreateIndex, CreateTable

from sizewise.data_class import DataClass
from sizewise.handler import AttemptResult
from sizewise.storage.database import migration_statement
from sizewise.storage.erasure import PersonalTable
from sizewise.storage.migrations import BIG_INTEGER, DropPlainIndex, Migrations, PartitionByDay
from sizewise.telemetry.record_ids import IDS_A_SECOND

META = MetaData()


def _used() -> list[Column[Any]]:
    return [
        Column("input", BIG_INTEGER, nullable=False),
        Column("output", BIG_INTEGER, nullable=False),
        Column("cached", BIG_INTEGER, nullable=False),
        Column("cache_write", BIG_INTEGER, nullable=False),
        Column("reasoning", BIG_INTEGER, nullable=False),
        Column("estimated", Boolean, nullable=False),
        Column("cost", BIG_INTEGER),
    ]


def _first() -> list[Column[Any]]:
    """The columns of records in version 1."""
    return [
        Column("id", BIG_INTEGER, primary_key=True, autoincrement=False),
        Column("tenant", Text, nullable=False),
        Column("project", Text, nullable=False),
        Column("key", Text, nullable=False),
        Column("trace", Text, nullable=False),
        Column("at", BIG_INTEGER, nullable=False),
        Column("door", Text, nullable=False),
        Column("asked", Text, nullable=False),
        Column("policy", Text, nullable=False),
        Column("model", Text, nullable=False),
        Column("why", Text, nullable=False),
        Column("status", Integer, nullable=False),
        Column("error", Text, nullable=False),
        Column("attempts", Integer, nullable=False),
        *_used(),
        Column("first_ms", Float),
        Column("total_ms", Float, nullable=False),
        Column("stream", Boolean, nullable=False),
        Column("degraded", Text, nullable=False),
        Column("data_class", Text),
    ]


def _labels() -> list[Column[Any]]:
    """Null in the record of a plain request."""
    return [
        Column("session", Text),
        Column("end_user", Text),
        Column("tags", Text),
        Column("parent_span", Text),
        Column("trace_flags", Integer),
        Column("flow", Text),
        Column("node", Text),
        Column("agent", Text),
        Column("prompt", Text),
        Column("environment", Text),
        Column("release", Text),
        Column("arm", Text),
    ]


def _energy() -> list[Column[Any]]:
    """Of all attempts; null: unknown, or written by an older server. `energy_source`: bits, see energy.py."""
    return [Column("energy", BIG_INTEGER), Column("energy_source", Integer)]  # microjoules


RECORDS_V1 = Table("records", MetaData(), *_first())
RECORDS = Table(
    "records",
    META,
    *_first(),
    Column("guards", Text, nullable=False, server_default=""),
    Column("only_place", Text),  # null: attempts are in `attempts`
    Column("only_why", Text),  # null: the same as `why`
    Column("only_began_ms", Float),
    Column("only_first_ms", Float),
    Column("only_ended_ms", Float),
    Column("only_score", Float),
    Column("chunk", BIG_INTEGER, nullable=False, server_default="0"),
    Column("audio_ms", BIG_INTEGER),
    Column("characters", BIG_INTEGER),
    Column("images", BIG_INTEGER),
    Column("freshness", Text),
    *_labels(),
    Column("only_threshold", Float),
    *_energy(),
)
BY_TRACE = Index("records_trace", RECORDS_V1.c.trace)
BY_CHUNK = Index("records_chunk", RECORDS.c.chunk, RECORDS.c.trace)
BY_TENANT = Index("records_tenant", RECORDS.c.tenant, RECORDS.c.id)
BY_SESSION = Index(  # the last three: so that the dearest sessions are found in it alone
    "records_session_cost",
    RECORDS.c.tenant,
    RECORDS.c.session,
    RECORDS.c.id,
    RECORDS.c.cost,
    RECORDS.c.attempts,
    RECORDS.c.project,
    sqlite_where=RECORDS.c.session.is_not(None),
    postgresql_where=RECORDS.c.session.is_not(None),
)
BY_END_USER = Index(
    "records_end_user",
    RECORDS.c.tenant,
    RECORDS.c.end_user,
    RECORDS.c.id,
    sqlite_where=RECORDS.c.end_user.is_not(None),
    postgresql_where=RECORDS.c.end_user.is_not(None),
)

BY_FLOW = Index(
    "records_flow",
    RECORDS.c.tenant,
    RECORDS.c.flow,
    RECORDS.c.id,
    sqlite_where=RECORDS.c.flow.is_not(None),
    postgresql_where=RECORDS.c.flow.is_not(None),
)


def _try() -> list[Column[Any]]:
    return [
        Column("record", BIG_INTEGER, primary_key=True, autoincrement=False),
        Column("number", Integer, primary_key=True, autoincrement=False),
        Column("tenant", Text, nullable=False),
        Column("trace", Text, nullable=False),
        Column("model", Text, nullable=False),
        Column("place", Text, nullable=False),
        Column("result", Text, nullable=False),
        Column("why", Text, nullable=False),
        Column("began_ms", Float, nullable=False),
        Column("first_ms", Float),
        Column("ended_ms", Float, nullable=False),
        *_used(),
        Column("error", Text, nullable=False),
        Column("score", Float),
    ]


ATTEMPTS_V1 = Table("attempts", MetaData(), *_try(), sqlite_with_rowid=False)
ATTEMPTS = Table(
    "attempts",
    META,
    *_try(),
    Column("threshold", Float),
    *_energy(),
    sqlite_with_rowid=False,  # stored in key order, next to the record's other attempts: one tree, no index
)
TRIES = Table("tries", META, *_try(), Column("threshold", Float))
VIEW_V3 = """CREATE VIEW tries AS
SELECT record, number, tenant, trace, model, place, result, why, began_ms, first_ms, ended_ms,
    input, output, cached, cache_write, reasoning, estimated, cost, error, score FROM attempts
UNION ALL
SELECT id, 1, tenant, trace, model, only_place, 'answered', coalesce(only_why, why), only_began_ms, only_first_ms,
    only_ended_ms, input, output, cached, cache_write, reasoning, estimated, cost, '', only_score
FROM records WHERE only_place IS NOT NULL"""
VIEW = """CREATE VIEW tries AS
SELECT record, number, tenant, trace, model, place, result, why, began_ms, first_ms, ended_ms,
    input, output, cached, cache_write, reasoning, estimated, cost, error, score, threshold FROM attempts
UNION ALL
SELECT id, 1, tenant, trace, model, only_place, 'answered', coalesce(only_why, why), only_began_ms, only_first_ms,
    only_ended_ms, input, output, cached, cache_write, reasoning, estimated, cost, '', only_score, only_threshold
FROM records WHERE only_place IS NOT NULL"""


PERSONAL = PersonalTable(
    "records",
    RECORDS,
    RECORDS.c.id,
    key=RECORDS.c.key,
    conversation=RECORDS.c.session,
    end_user=RECORDS.c.end_user,
    parts=(ATTEMPTS.c.record,),
)

SCHEMA = Migrations(
    "telemetry",
    (
        (
            CreateTable(RECORDS_V1),
            CreateIndex(BY_TRACE),
            CreateIndex(BY_TENANT),
            CreateTable(ATTEMPTS_V1),
        ),
        (migration_statement("ALTER TABLE records ADD COLUMN guards TEXT NOT NULL DEFAULT ''"),),
        (
            migration_statement("ALTER TABLE records ADD COLUMN only_place TEXT"),
            migration_statement("ALTER TABLE records ADD COLUMN only_why TEXT"),
            migration_statement("ALTER TABLE records ADD COLUMN only_began_ms FLOAT"),
            migration_statement("ALTER TABLE records ADD COLUMN only_first_ms FLOAT"),
            migration_statement("ALTER TABLE records ADD COLUMN only_ended_ms FLOAT"),
            migration_statement("ALTER TABLE records ADD COLUMN only_score FLOAT"),
            migration_statement("ALTER TABLE records ADD COLUMN chunk BIGINT NOT NULL DEFAULT 0"),
            migration_statement("DROP INDEX records_trace"),
            CreateIndex(BY_CHUNK),
            migration_statement(VIEW_V3),
        ),
        tuple(
            migration_statement(f"ALTER TABLE records ADD COLUMN {name} BIGINT")
            for name in ("audio_ms", "characters", "images")
        ),
        (migration_statement("ALTER TABLE records ADD COLUMN freshness TEXT"),),
        (
            *(
                migration_statement(f"ALTER TABLE records ADD COLUMN {name} TEXT")
                for name in ("session", "end_user", "tags", "parent_span")
            ),
            migration_statement("ALTER TABLE records ADD COLUMN trace_flags INTEGER"),
            *(migration_statement(f"ALTER TABLE records ADD COLUMN {name} TEXT") for name in ("flow", "node", "agent")),
            migration_statement(
                "CREATE INDEX records_session ON records (tenant, session, id) WHERE session IS NOT NULL"
            ),
            CreateIndex(BY_END_USER),
        ),
        tuple(
            migration_statement(f"ALTER TABLE records ADD COLUMN {name} TEXT")
            for name in ("prompt", "environment", "release", "arm")
        ),
        (
            migration_statement("ALTER TABLE attempts ADD COLUMN threshold FLOAT"),
            migration_statement("ALTER TABLE records ADD COLUMN only_threshold FLOAT"),
            migration_statement("DROP VIEW tries"),
            migration_statement(VIEW),
        ),
        (
            migration_statement("DROP VIEW tries"),
            PartitionByDay("records", "id", IDS_A_SECOND),
            PartitionByDay("attempts", "record", IDS_A_SECOND),
            migration_statement(VIEW),
        ),
        tuple(
            migration_statement(f"ALTER TABLE {table} ADD COLUMN {column}")
            for table in ("records", "attempts")
            for column in ("energy BIGINT", "energy_source INTEGER")
        ),
        (CreateIndex(BY_SESSION), DropPlainIndex("records_session", partitioned="records_tenant_session_id_idx")),
        (CreateIndex(BY_FLOW),),
    ),
)

CHUNK = 2_000
"""Records per chunk in the trace index, which is (chunk, trace). Trace ids are random: in one index over all records
each would touch a page of its own, half the cost of a record. A search looks into each chunk."""

ENDED_CALLS = "ended_calls"
"""Name of the batch writer's statement that deletes pending records."""
PENDING_STATUS = 0
"""`status` of a call whose end is not recorded: see pending_records.py."""


TAG_END = "\x1f"
"""Before, between and after the tags of a record. No tag has it, so `tags` contains each with its ends."""


def join_tags(tags: Sequence[str]) -> str:
    return f"{TAG_END}{TAG_END.join(tags)}{TAG_END}"


def split_tags(joined: str | None) -> list[str]:
    return joined.strip(TAG_END).split(TAG_END) if joined else []


class RequestRecord(Struct, frozen=True):
    """One request. `at`: unix ms of its arrival; `first_ms`, `total_ms`: from arrival to the first and last token.

    Tokens and `cost` (pico-dollars, None if any part is unknown) are summed over all attempts, including discarded
    ones. `status`: the HTTP status, 499 if the client disconnected, PENDING_STATUS; `error`: a code of errors.py.
    `asked`: the requested model name; `model`: the one that answered, or "". `guards`: findings and actions, as counts
    by guardrail and kind. `audio_ms` (milliseconds), `characters`, `images`: of a request for audio or images, None if
    not known or none.
    """

    id: int
    tenant: str
    project: str
    key: str
    trace: str
    at: int
    door: str
    asked: str
    policy: str
    model: str
    why: str
    status: int
    error: str
    attempts: int
    input: int
    output: int
    cached: int
    cache_write: int
    reasoning: int
    estimated: bool
    cost: int | None
    first_ms: float | None
    total_ms: float
    stream: bool
    degraded: str
    data_class: DataClass | None
    guards: str = ""
    audio_ms: int | None = None
    characters: int | None = None
    images: int | None = None
    freshness: str | None = None  # why the answer may be out of date; None: nothing shows it
    session: str | None = None  # the client's id of a conversation
    end_user: str | None = None  # EndUserHashes.hash of the client's own user
    tags: str | None = None  # see join_tags
    parent_span: str | None = None  # 16 hex digits: the span that caused it
    trace_flags: int | None = None  # of the client's traceparent
    flow: str | None = None
    node: str | None = None  # path in the flow
    agent: str | None = None
    prompt: str | None = None  # ID@VERSION of the prompt file that it used
    environment: str | None = None  # null: there are no environments
    release: str | None = None  # hash of the release that answered
    arm: str | None = None  # of a canary: stable, canary or unsplit; or forced
    energy: int | None = None  # microjoules, None if that of any attempt is unknown
    energy_source: int | None = None  # how it was found: see energy.py


class AttemptRow(Struct, frozen=True):
    """One attempt of a record. Times in ms since the request arrived.

    `score`: 0..1, the judge's, or a prior's chance; `threshold`: from which the answer is shown.
    """

    record: int
    number: int  # from 1
    tenant: str
    trace: str
    model: str
    place: str
    result: AttemptResult
    why: str
    began_ms: float
    first_ms: float | None
    ended_ms: float
    input: int
    output: int
    cached: int
    cache_write: int
    reasoning: int
    estimated: bool
    cost: int | None
    error: str
    score: float | None
    threshold: float | None = None


class RecordScore(Struct, frozen=True):
    """A judgement on a record or its trace, as an export has it. `value`: 0..1; `at`: unix ms."""

    id: str
    name: str
    value: float | None
    label: str | None
    source: str
    at: int
    of_record: bool


class RecordWithAttempts(Struct, frozen=True):
    """`scores`: in an export alone."""

    record: RequestRecord
    attempts: tuple[AttemptRow, ...]
    scores: tuple[RecordScore, ...] = ()


def ended_records(connection: Connection, after: int, until: int, limit: int) -> list[RecordWithAttempts]:
    """The first `limit` of all tenants with `after` < id <= `until`, in the order of their end, none pending."""
    range = (RECORDS.c.id > after) & (RECORDS.c.id <= until) & (RECORDS.c.status != PENDING_STATUS)
    columns = (RECORDS.c[name] for name in RequestRecord.__struct_fields__)
    rows = connection.execute(select(*columns).where(range).order_by(RECORDS.c.id).limit(limit)).all()
    attempts: dict[int, list[AttemptRow]] = {}
    tries = select(TRIES).where(TRIES.c.record.in_([row.id for row in rows])).order_by(TRIES.c.record, TRIES.c.number)
    for row in connection.execute(tries):
        attempts.setdefault(row.record, []).append(AttemptRow(*row))
    return [RecordWithAttempts(RequestRecord(*row), tuple(attempts.get(row.id, ()))) for row in rows]


def records_of_key(connection: Connection, tenant: str, key: str, limit: int = 1_000) -> list[int]:
    """The ids of at most `limit` records of an API key (by id)."""
    mine = (RECORDS.c.tenant == tenant) & (RECORDS.c.key == key)
    return list(connection.scalars(select(RECORDS.c.id).where(mine).limit(limit)))


def delete_records(connection: Connection, ids: Sequence[int]) -> None:
    """Deletes records and their attempts."""
    connection.execute(delete(ATTEMPTS).where(ATTEMPTS.c.record.in_(ids)))
    connection.execute(delete(RECORDS).where(RECORDS.c.id.in_(ids)))
