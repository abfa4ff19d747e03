"""The table of scores: named judgements on records, traces, sessions and items of runs; only comments are encrypted.

A score repeats the labels of the record that it is about, so that it can be found and erased after that is deleted.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Float,
    Index,
    LargeBinary,
    MetaData,
    Table,
    Text,
    delete,
    func,
    insert,
    select,
    tuple_,
)
from sqlalchemy.schema import CreateIndex, CreateTable

from sizewise.evals.tables import erase_feedback
from sizewise.storage.database import migration_statement
from sizewise.storage.erasure import PersonalTable, caller_columns, caller_index
from sizewise.storage.keys.tables import EncryptedTable
from sizewise.storage.migrations import BIG_INTEGER, Migrations
from sizewise.storage.upsert import upsert
from sizewise.telemetry.tables import RequestRecord

META = MetaData()
NAME, COMMENTS_NAME = "scores", "score_comments"
TargetKind = Literal["record", "trace", "session", "item"]
ScoreSource = Literal["user", "person", "judge", "code"]
BATCH_ROWS = 500

SCORES = Table(
    NAME,
    META,
    Column("number", BIG_INTEGER, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("id", Text, nullable=False),  # see score_id
    Column("kind", Text, nullable=False),  # of the target
    Column("target", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("author", Text, nullable=False),  # id of a user or key
    Column("value", Float),
    Column("label", Text),
    Column("scorer", Text, nullable=False),  # NAME@VERSION of a judge, code or queue; empty: none
    Column("weight", Float, nullable=False),
    Column("blind", Boolean),
    Column("commented", Boolean, nullable=False),
    Column("created", BIG_INTEGER, nullable=False),  # unix ms
    Column("trace", Text),
    Column("session", Text),
    Column("end_user", Text),
    Column("about_key", Text),  # by which the record was made
    Column("model", Text),
    Column("policy", Text),
    Column("flow", Text),
    Column("release", Text),
    Column("arm", Text),
    *caller_columns(),
)
COMMENTS = Table(
    COMMENTS_NAME,
    META,
    Column("number", BIG_INTEGER, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("score", Text, nullable=False),
    Column("bytes", BIG_INTEGER, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)
BY_ID = Index("scores_id", SCORES.c.tenant, SCORES.c.id, unique=True)
BY_TRACE = Index("scores_trace", SCORES.c.tenant, SCORES.c.trace)
BY_TARGET = Index("scores_target", SCORES.c.tenant, SCORES.c.kind, SCORES.c.target)
BY_NAME = Index("scores_name", SCORES.c.tenant, SCORES.c.name, SCORES.c.created)
BY_AGE = Index("scores_age", SCORES.c.created)
COMMENT_OF = Index("score_comments_score", COMMENTS.c.tenant, COMMENTS.c.score, unique=True)

EARLIER_FEEDBACK = """INSERT INTO scores (tenant, project, id, kind, target, name, source, author, value, scorer,
    weight, commented, created, trace, model, policy, caller_key)
SELECT tenant, min(project),
    'trace/' || kind || CASE WHEN kind = 'asked-again' THEN '/code/' ELSE '/user/' END || key || '/' || trace,
    'trace', trace, kind, CASE WHEN kind = 'asked-again' THEN 'code' ELSE 'user' END, key, avg(score), '', 1.0,
    false, max(at), trace, min(model), min(policy), key
FROM feedback GROUP BY tenant, trace, key, kind"""
"""The feedback of earlier releases, with the ids of `score_id`."""

SCHEMA = Migrations(
    "scores",
    (
        (
            *(CreateTable(table) for table in (SCORES, COMMENTS)),
            *(CreateIndex(each) for each in (BY_ID, BY_TRACE, BY_TARGET, BY_NAME, BY_AGE, COMMENT_OF)),
            CreateIndex(caller_index(SCORES)),
            migration_statement(EARLIER_FEEDBACK),
        ),
    ),
)
SEALED = EncryptedTable(COMMENTS, ("score",))
PERSONAL = PersonalTable(
    "scores",
    SCORES,
    SCORES.c.id,
    about=SCORES.c.about_key,
    conversation=SCORES.c.session,
    end_user=SCORES.c.end_user,
    parts=(COMMENTS.c.score,),
)


class ScoreRow(Struct, frozen=True, kw_only=True):
    """One score. `value`: 0..1; `label`: a word. `weight`: how many answers it stands for. `blind`: of a person's
    label, whether they could not know who answered; None: not said. `created`: unix ms. `trace` and what follows are
    labels of the record that it is about.
    """

    tenant: str
    project: str
    kind: TargetKind
    target: str
    name: str
    source: ScoreSource
    author: str
    value: float | None = None
    label: str | None = None
    scorer: str = ""
    weight: float = 1.0
    blind: bool | None = None
    commented: bool = False
    created: int = 0
    trace: str | None = None
    session: str | None = None
    end_user: str | None = None
    about_key: str | None = None
    model: str | None = None
    policy: str | None = None
    flow: str | None = None
    release: str | None = None
    arm: str | None = None
    caller_key: str = ""
    caller_user: str = ""
    id: str = ""
    number: int = 0


class ScoreFilter(Struct, frozen=True):
    """Selects scores; None and "" mean all. `since`, `until`: unix ms."""

    tenant: str
    project: str = ""
    name: str = ""
    source: str = ""
    trace: str = ""
    session: str = ""
    model: str = ""
    scorer: str = ""
    since: int | None = None
    until: int | None = None


def with_record_labels(row: ScoreRow, record: RequestRecord) -> ScoreRow:
    """With the labels that a score repeats."""
    return replace(
        row,
        project=record.project,
        trace=record.trace,
        session=record.session,
        end_user=record.end_user,
        about_key=record.key,
        model=record.model,
        policy=record.policy,
        flow=record.flow,
        release=record.release,
        arm=record.arm,
    )


def score_id(row: ScoreRow) -> str:
    """What makes a score the same: kind of its target, name, source, author and target; the last alone may have "/"."""
    return "/".join((row.kind, row.name, row.source, row.author, row.target))


def put_score(connection: Connection, row: ScoreRow, sealed: bytes | None = None) -> None:
    """Adds a score, or replaces the same author's of this name on this target. `sealed`: its comment, bound to its
    id.
    """
    id = row.id or score_id(row)
    values = {name: getattr(row, name) for name in ScoreRow.__struct_fields__ if name not in ("number", "id")}
    upsert(connection, SCORES, {"tenant": values.pop("tenant"), "id": id}, values)
    connection.execute(delete(COMMENTS).where(COMMENTS.c.tenant == row.tenant, COMMENTS.c.score == id))
    if sealed is not None:
        comment = {"tenant": row.tenant, "score": id, "bytes": len(sealed), "sealed": sealed}
        connection.execute(insert(COMMENTS).values(comment))


_COLUMNS = tuple(SCORES.c[name] for name in ScoreRow.__struct_fields__)


def page_of_scores(connection: Connection, criteria: ScoreFilter, limit: int, before: int | None) -> list[ScoreRow]:
    """The newest `limit` scores with a number below `before`, newest first."""
    query = select(*_COLUMNS).where(*_conditions(criteria)).order_by(SCORES.c.number.desc()).limit(limit)
    if before is not None:
        query = query.where(SCORES.c.number < before)
    return [_row(each) for each in connection.execute(query)]


def scores_of_traces(connection: Connection, tenant: str, traces: Sequence[str], limit: int) -> list[ScoreRow]:
    """The oldest `limit`, in the order in which they were added."""
    mine = (SCORES.c.tenant == tenant) & SCORES.c.trace.in_(traces)
    query = select(*_COLUMNS).where(mine).order_by(SCORES.c.number).limit(limit)
    return [_row(each) for each in connection.execute(query)]


def labels_of(connection: Connection, tenant: str, targets: Sequence[tuple[str, str]], scorer: str) -> list[ScoreRow]:
    """People's scores by `scorer` on targets, each a kind and what it names, in the order in which they were added."""
    its = SCORES.c
    mine = (its.tenant == tenant) & (its.source == "person") & (its.scorer == scorer)
    among = tuple_(its.kind, its.target).in_(targets)
    return [_row(each) for each in connection.execute(select(*_COLUMNS).where(mine, among).order_by(its.number))]


def count_values(
    connection: Connection, name: str, since: int, by: Sequence[str], most: int
) -> dict[tuple[str, ...], dict[float, int]]:
    """How often each value, to the hundredth, was given under a name since unix ms: by tenant and the columns `by`, the
    `most` groups with the most values. A column that a score lacks is empty.
    """
    its = SCORES.c
    groups = [its.tenant, *(func.coalesce(its[each], "") for each in by)]
    mine = (its.name == name) & (its.created >= since) & its.value.is_not(None)
    if "end_user" in by:
        mine &= its.end_user.is_not(None)
    many = select(*groups).where(mine).group_by(*groups).order_by(func.count().desc()).limit(most)
    found: dict[tuple[str, ...], dict[float, int]] = {tuple(row): {} for row in connection.execute(many)}
    hundredths = func.round(its.value * 100)
    for *group, value, count in connection.execute(
        select(*groups, hundredths, func.count()).where(mine).group_by(*groups, hundredths)
    ):
        if tuple(group) in found:
            found[tuple(group)][float(value) / 100] = count
    return found


def find_comment(connection: Connection, tenant: str, score: str) -> bytes | None:
    return connection.scalar(select(COMMENTS.c.sealed).where(COMMENTS.c.tenant == tenant, COMMENTS.c.score == score))


def erase_judgements(connection: Connection, tenant: str, key: str) -> int:
    """Deletes the scores that a key gave, those on its records, and its feedback; returns the number of the last."""
    its = SCORES.c
    mine = (its.tenant == tenant) & ((its.caller_key == key) | (its.about_key == key))
    ids = list(connection.scalars(select(its.id).where(mine)))
    _delete(connection, (its.tenant == tenant) & its.id.in_(ids), ids)
    return erase_feedback(connection, tenant, key)


class ScoreRetention:
    """Maintenance task: deletes scores by age and number, with their comments."""

    def __init__(self, keep_days: float, max_rows: int, batch_rows: int = BATCH_ROWS) -> None:
        """`batch_rows`: rows per transaction."""
        self._keep_ms = round(keep_days * 86_400_000)
        self._max_rows = max_rows
        self._batch_rows = batch_rows

    def __call__(self, connection: Connection) -> bool:
        """Deletes one batch; True if more is left."""
        its, outlived = SCORES.c, time.time_ns() // 1_000_000 - self._keep_ms
        excess = (connection.scalar(select(func.count()).select_from(SCORES)) or 0) - self._max_rows
        oldest = select(its.number, its.id, its.created).order_by(its.created, its.number).limit(self._batch_rows)
        gone = [
            (number, id)
            for place, (number, id, created) in enumerate(connection.execute(oldest))
            if created < outlived or place < excess
        ]
        if gone:
            _delete(connection, its.number.in_([number for number, _ in gone]), [id for _, id in gone])
        return len(gone) == self._batch_rows


def _delete(connection: Connection, which: ColumnElement[bool], ids: Sequence[str]) -> None:
    connection.execute(delete(SCORES).where(which))
    connection.execute(delete(COMMENTS).where(COMMENTS.c.score.in_(ids)))


def _conditions(criteria: ScoreFilter) -> list[ColumnElement[bool]]:
    its = SCORES.c
    names = ("project", "name", "source", "trace", "session", "model", "scorer")
    found = [its.tenant == criteria.tenant]
    found += [its[name] == wanted for name in names if (wanted := getattr(criteria, name))]
    if criteria.since is not None:
        found.append(its.created >= criteria.since)
    if criteria.until is not None:
        found.append(its.created < criteria.until)
    return found


def _row(values: Sequence[Any]) -> ScoreRow:
    return ScoreRow(**dict(zip(ScoreRow.__struct_fields__, values, strict=True)))
