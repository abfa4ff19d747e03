"""Tables of evaluation results: shadow samples, guarantee status and feedback. Stores no prompt or answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from msgspec import Struct, json
from sqlalchemy import (
    Column,
    Connection,
    Float,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    case,
    delete,
    func,
    insert,
    select,
)
from sqlalchemy.schema import CreateIndex, CreateTable

from sizewise.routing.guarantees.drift import INITIAL_DRIFT, DriftState
from sizewise.storage.database import UnitOfWork
from sizewise.storage.erasure import PersonalTable
from sizewise.storage.migrations import BIG_INTEGER, Migrations

META = MetaData()
DAY_MS = 86_400_000

SHADOW_SAMPLES = Table(
    "shadows",
    META,
    Column("number", BIG_INTEGER, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("policy", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("meaning", Text, nullable=False),
    Column("trace", Text, nullable=False),
    Column("at", BIG_INTEGER, nullable=False),
    Column("given", Text, nullable=False),
    Column("small", Text, nullable=False),
    Column("large", Text, nullable=False),
    Column("trust", Float),
    Column("worse", Float),
    Column("judge", Text, nullable=False),
    Column("share", Float, nullable=False),
    Column("cost", BIG_INTEGER, nullable=False),
    Column("error", Text, nullable=False),
)
SAMPLES_BY_POLICY = Index(
    "shadows_policy",
    SHADOW_SAMPLES.c.tenant,
    SHADOW_SAMPLES.c.policy,
    SHADOW_SAMPLES.c.version,
    SHADOW_SAMPLES.c.at,
)
SAMPLES_BY_AGE = Index("shadows_age", SHADOW_SAMPLES.c.at, SHADOW_SAMPLES.c.cost)

GUARANTEE_STATUS = Table(
    "standings",
    META,
    Column("tenant", Text, primary_key=True),
    Column("policy", Text, primary_key=True),
    Column("version", Text, primary_key=True),
    Column("since", BIG_INTEGER, nullable=False),
    Column("samples", Integer, nullable=False),
    Column("wealths", Text, nullable=False),
    Column("promised", Float),
    Column("alarm", BIG_INTEGER),
)

FEEDBACK = Table(
    "feedback",
    META,
    Column("number", BIG_INTEGER, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("policy", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("trace", Text, nullable=False),
    Column("at", BIG_INTEGER, nullable=False),
    Column("key", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("score", Float, nullable=False),
)
FEEDBACK_BY_TRACE = Index("feedback_trace", FEEDBACK.c.tenant, FEEDBACK.c.trace)
FEEDBACK_BY_AGE = Index("feedback_age", FEEDBACK.c.at)


def personal_ratings(trace: Column[str]) -> PersonalTable:
    """`trace`: of the table of records."""
    return PersonalTable("ratings", FEEDBACK, FEEDBACK.c.number, key=FEEDBACK.c.key, linked=(FEEDBACK.c.trace, trace))


SCHEMA = Migrations(
    "evals",
    (
        (
            *(CreateTable(table) for table in (SHADOW_SAMPLES, GUARANTEE_STATUS, FEEDBACK)),
            *(CreateIndex(index) for index in (SAMPLES_BY_POLICY, SAMPLES_BY_AGE, FEEDBACK_BY_TRACE, FEEDBACK_BY_AGE)),
        ),
    ),
)


class ShadowSample(Struct, frozen=True):
    """One randomly sampled request. `small` and `large` are the models compared, `given` is the one that answered the
    client; `small` is empty if no other model could have answered.

    `worse` (0..1) is how much worse the small answer was; None if undecided, with the reason's code in `error`. `trust`
    (0..1) is the score of the small answer; None if it was not judged. `share` is the sample rate, `cost` the
    pico-dollars of the comparison.
    """

    tenant: str
    project: str
    policy: str
    version: str
    meaning: str  # trust version: equal if trust scores have the same meaning
    trace: str
    at: int  # unix ms
    given: str
    small: str
    large: str
    trust: float | None
    worse: float | None
    judge: str
    share: float
    cost: int
    error: str = ""

    @property
    def loss(self) -> float | None:
        """The loss of the client's answer against the large model's, 0..1; None: undecided."""
        return self.worse if self.given == self.small else 0.0


class GuaranteeStatus(Struct, frozen=True):
    """The state of a policy version since `since` (unix ms). `alarm_at`: when its guarantee was found violated."""

    tenant: str
    policy: str
    version: str
    since: int
    drift: DriftState
    guaranteed_quality: float | None = None  # quality, 0..1
    alarm_at: int | None = None


class Feedback(Struct, frozen=True):
    """A rating of an answer. `score`: 0..1. `kind`: a word chosen by the client, such as `user`."""

    tenant: str
    project: str
    policy: str
    model: str
    trace: str
    at: int  # unix ms
    key: str
    kind: str
    score: float


class FeedbackSummary(Struct, frozen=True):
    """Feedback of one kind on one model's answers under one policy."""

    policy: str
    model: str
    kind: str
    count: int
    mean: float


class SampleSummary(Struct, frozen=True):
    """A status with its samples: how many the large model answered, the count of each loss of small answers, and how
    many of those were undecided.
    """

    status: GuaranteeStatus
    large_count: int
    loss_counts: dict[float, int]
    undecided: int


def insert_sample(
    connection: Connection,
    sample: ShadowSample,
    update_status: Callable[[GuaranteeStatus], GuaranteeStatus],
    event: UnitOfWork[None] = lambda connection: None,
) -> GuaranteeStatus:
    """Adds a sample and updates the status of its policy version; the first sample creates it. `event`: of an alarm
    that it raises.
    """
    connection.execute(
        insert(SHADOW_SAMPLES).values({name: getattr(sample, name) for name in sample.__struct_fields__}),
    )
    place = (sample.tenant, sample.policy, sample.version)
    before = guarantee_status(connection, *place) or GuaranteeStatus(*place, sample.at, INITIAL_DRIFT)
    now = update_status(before)
    save_status(connection, now)
    if before.alarm_at is None and now.alarm_at is not None:
        event(connection)
    return now


def summarize_samples(connection: Connection, tenant: str, policy: str, version: str) -> SampleSummary | None:
    """None if nothing was sampled yet."""
    its, found = SHADOW_SAMPLES.c, guarantee_status(connection, tenant, policy, version)
    if found is None:
        return None
    mine = (its.tenant == tenant) & (its.policy == policy) & (its.version == version) & (its.at >= found.since)
    small = its.given == its.small
    by = case((small, its.worse), else_=None)
    large, losses, unjudged = 0, dict[float, int](), 0
    for was_small, loss, count in connection.execute(select(small, by, func.count()).where(mine).group_by(small, by)):
        if not was_small:
            large = count
        elif loss is None:
            unjudged = count
        else:
            losses[float(loss)] = count
    return SampleSummary(found, large, losses, unjudged)


def recent_samples(connection: Connection, tenant: str, policy: str, meaning: str, limit: int) -> list[ShadowSample]:
    """The newest samples of a policy with two models to compare and this trust version, oldest first."""
    its = SHADOW_SAMPLES.c
    columns = [its[name] for name in ShadowSample.__struct_fields__]
    mine = (its.tenant == tenant) & (its.policy == policy) & (its.meaning == meaning) & (its.small != "")
    newest = select(*columns).where(mine).order_by(its.at.desc(), its.number.desc()).limit(limit)
    return [ShadowSample(*row) for row in reversed(connection.execute(newest).all())]


def comparison_cost(connection: Connection, since: int) -> int:
    """Pico-dollars of all comparisons since `since` (unix ms)."""
    return int(connection.scalar(select(func.sum(SHADOW_SAMPLES.c.cost)).where(SHADOW_SAMPLES.c.at >= since)) or 0)


def comparison_cost_by_policy(connection: Connection, tenant: str, since: int) -> dict[str, int]:
    """The same for one tenant, by policy."""
    its = SHADOW_SAMPLES.c
    mine = (its.tenant == tenant) & (its.at >= since)
    query = select(its.policy, func.sum(its.cost)).where(mine).group_by(its.policy)
    return {policy: int(cost) for policy, cost in connection.execute(query)}


def guarantee_status(connection: Connection, tenant: str, policy: str, version: str) -> GuaranteeStatus | None:
    its = GUARANTEE_STATUS.c
    mine = (its.tenant == tenant) & (its.policy == policy) & (its.version == version)
    found = connection.execute(select(GUARANTEE_STATUS).where(mine)).one_or_none()
    return None if found is None else _status_from_row(*found)


def guarantee_statuses(connection: Connection) -> list[GuaranteeStatus]:
    return [_status_from_row(*row) for row in connection.execute(select(GUARANTEE_STATUS))]


def _status_from_row(
    tenant: str,
    policy: str,
    version: str,
    since: int,
    sample_count: int,
    bet_wealths: str,
    guaranteed_quality: float | None,
    alarm_at: int | None,
) -> GuaranteeStatus:
    drift = DriftState(sample_count, json.decode(bet_wealths, type=tuple[float, ...]))
    return GuaranteeStatus(
        tenant=tenant,
        policy=policy,
        version=version,
        since=since,
        drift=drift,
        guaranteed_quality=guaranteed_quality,
        alarm_at=alarm_at,
    )


def save_status(connection: Connection, status: GuaranteeStatus) -> None:
    """Replaces the stored status of this policy version."""
    its = GUARANTEE_STATUS.c
    mine = (its.tenant == status.tenant) & (its.policy == status.policy) & (its.version == status.version)
    connection.execute(delete(GUARANTEE_STATUS).where(mine))
    connection.execute(
        insert(GUARANTEE_STATUS).values(
            tenant=status.tenant,
            policy=status.policy,
            version=status.version,
            since=status.since,
            samples=status.drift.sample_count,
            wealths=json.encode(status.drift.bet_wealths).decode(),
            promised=status.guaranteed_quality,
            alarm=status.alarm_at,
        ),
    )


def replace_feedback(connection: Connection, feedback: Iterable[Feedback]) -> None:
    """Replaces feedback of the same key, trace and kind. All of `feedback` has the same three."""
    its, given = FEEDBACK.c, list(feedback)
    for one in given[:1]:
        mine = (its.tenant == one.tenant) & (its.trace == one.trace) & (its.key == one.key) & (its.kind == one.kind)
        connection.execute(delete(FEEDBACK).where(mine))
    for one in given:
        connection.execute(insert(FEEDBACK).values({name: getattr(one, name) for name in one.__struct_fields__}))


def summarize_feedback(connection: Connection, tenant: str) -> list[FeedbackSummary]:
    its = FEEDBACK.c
    by = (its.policy, its.model, its.kind)
    query = select(*by, func.count(), func.avg(its.score)).where(its.tenant == tenant).group_by(*by).order_by(*by)
    return [FeedbackSummary(*row) for row in connection.execute(query)]


def erase_feedback(connection: Connection, tenant: str, key: str) -> int:
    """Deletes the feedback of a key, by id, and returns the number of rows."""
    mine = (FEEDBACK.c.tenant == tenant) & (FEEDBACK.c.key == key)
    return connection.execute(delete(FEEDBACK).where(mine)).rowcount


class EvalsRetention:
    """Maintenance task: deletes samples and feedback by age and number, like records. Statuses are few and stay."""

    def __init__(self, keep_days: float, max_rows: int, batch_size: int = 1_000) -> None:
        """`batch_size`: rows per table and transaction."""
        self._keep_ms = round(keep_days * DAY_MS)
        self._max_rows = max_rows
        self._batch_size = batch_size

    def __call__(self, connection: Connection) -> bool:
        """Deletes one batch; True if there is more to delete."""
        left = [self._delete_batch(connection, table) for table in (SHADOW_SAMPLES, FEEDBACK)]
        return any(left)

    def _delete_batch(self, connection: Connection, table: Table) -> bool:
        its, outlived = table.c, time.time_ns() // 1_000_000 - self._keep_ms
        excess = (connection.scalar(select(func.count()).select_from(table)) or 0) - self._max_rows
        oldest = select(its.number, its.at).order_by(its.number).limit(self._batch_size)
        rows = list(connection.execute(oldest))
        gone = [number for place, (number, at) in enumerate(rows) if at < outlived or place < excess]
        if gone:
            connection.execute(delete(table).where(its.number.in_(gone)))
        return len(gone) == self._batch_size
