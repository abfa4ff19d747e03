"""The tables of how good answers were: scores of sampled pairs, how each promise stands, feedback; never a word."""

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

from sizewise.routing.guarantees.drift import BEGUN, Drift
from sizewise.storage.database import BIG, Schema

META = MetaData()
DAY_MS = 86_400_000

SHADOWS = Table(
    "shadows",
    META,
    Column("number", BIG, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("policy", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("meaning", Text, nullable=False),
    Column("trace", Text, nullable=False),
    Column("at", BIG, nullable=False),
    Column("given", Text, nullable=False),
    Column("small", Text, nullable=False),
    Column("large", Text, nullable=False),
    Column("trust", Float),
    Column("worse", Float),
    Column("judge", Text, nullable=False),
    Column("share", Float, nullable=False),
    Column("cost", BIG, nullable=False),
    Column("error", Text, nullable=False),
)
BY_POLICY = Index("shadows_policy", SHADOWS.c.tenant, SHADOWS.c.policy, SHADOWS.c.version, SHADOWS.c.at)
BY_AGE = Index("shadows_age", SHADOWS.c.at, SHADOWS.c.cost)

STANDINGS = Table(
    "standings",
    META,
    Column("tenant", Text, primary_key=True),
    Column("policy", Text, primary_key=True),
    Column("version", Text, primary_key=True),
    Column("since", BIG, nullable=False),
    Column("samples", Integer, nullable=False),
    Column("wealths", Text, nullable=False),
    Column("promised", Float),
    Column("alarm", BIG),
)

FEEDBACK = Table(
    "feedback",
    META,
    Column("number", BIG, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("policy", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("trace", Text, nullable=False),
    Column("at", BIG, nullable=False),
    Column("key", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("score", Float, nullable=False),
)
BY_TRACE = Index("feedback_trace", FEEDBACK.c.tenant, FEEDBACK.c.trace)
BY_FEEDBACK_AGE = Index("feedback_age", FEEDBACK.c.at)

SCHEMA = Schema(
    "evals",
    (
        (
            *(CreateTable(table) for table in (SHADOWS, STANDINGS, FEEDBACK)),
            *(CreateIndex(index) for index in (BY_POLICY, BY_AGE, BY_TRACE, BY_FEEDBACK_AGE)),
        ),
    ),
)


class Sample(Struct, frozen=True):
    """One request drawn by chance. `small` and `large` are whose answers were compared, `given` who answered the
    client; `small` is empty where none could have answered.

    `worse` (0..1) is how much worse the small answer was, None where nobody could tell: then `error` says why, by its
    code. `trust` (0..1) is that of the small answer, where it was judged before it was given. `share` is the chance
    with which it was drawn, `cost` what the comparison took, in pico-dollars.
    """

    tenant: str
    project: str
    policy: str
    version: str
    meaning: str  # of trust: the same for versions that come to it in the same way
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
        """What the client's answer lost against the large model's; None: nobody can tell."""
        return self.worse if self.given == self.small else 0.0


class Standing(Struct, frozen=True):
    """How a version of a policy stands since unix ms `since`. `alarm`: when its promise was found broken."""

    tenant: str
    policy: str
    version: str
    since: int
    drift: Drift
    promised: float | None = None  # quality, 0..1
    alarm: int | None = None


class Verdict(Struct, frozen=True):
    """What somebody thought of an answer: `score` 0..1. `kind` is a word of theirs, as `user`."""

    tenant: str
    project: str
    policy: str
    model: str
    trace: str
    at: int  # unix ms
    key: str
    kind: str
    score: float


class Opinion(Struct, frozen=True):
    """The verdicts of one kind on one model's answers by one policy."""

    policy: str
    model: str
    kind: str
    count: int
    mean: float


class Seen(Struct, frozen=True):
    """A standing with the samples of its time: how many the large model answered, how often each loss was seen of the
    small answers, and how many of these nobody could judge."""

    standing: Standing
    large: int
    losses: dict[float, int]
    unjudged: int


def note(connection: Connection, sample: Sample, moved: Callable[[Standing], Standing]) -> Standing:
    """Adds a sample, and lets its policy stand as `moved` says; the first one begins its time."""
    connection.execute(insert(SHADOWS).values({name: getattr(sample, name) for name in sample.__struct_fields__}))
    place = (sample.tenant, sample.policy, sample.version)
    now = moved(standing(connection, *place) or Standing(*place, sample.at, BEGUN))
    stand(connection, now)
    return now


def seen(connection: Connection, tenant: str, policy: str, version: str) -> Seen | None:
    """None where nothing was sampled yet."""
    its, found = SHADOWS.c, standing(connection, tenant, policy, version)
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
    return Seen(found, large, losses, unjudged)


def samples(connection: Connection, tenant: str, policy: str, meaning: str, limit: int) -> list[Sample]:
    """The newest of a policy where two answers were to be compared and trust means `meaning`; in the order of time."""
    its = SHADOWS.c
    columns = [its[name] for name in Sample.__struct_fields__]
    mine = (its.tenant == tenant) & (its.policy == policy) & (its.meaning == meaning) & (its.small != "")
    newest = select(*columns).where(mine).order_by(its.at.desc(), its.number.desc()).limit(limit)
    return [Sample(*row) for row in reversed(connection.execute(newest).all())]


def spent(connection: Connection, since: int) -> int:
    """Pico-dollars that all comparisons since unix ms have cost."""
    return int(connection.scalar(select(func.sum(SHADOWS.c.cost)).where(SHADOWS.c.at >= since)) or 0)


def spent_by(connection: Connection, tenant: str, since: int) -> dict[str, int]:
    """The same of one tenant, by policy."""
    its = SHADOWS.c
    mine = (its.tenant == tenant) & (its.at >= since)
    query = select(its.policy, func.sum(its.cost)).where(mine).group_by(its.policy)
    return {policy: int(cost) for policy, cost in connection.execute(query)}


def standing(connection: Connection, tenant: str, policy: str, version: str) -> Standing | None:
    its = STANDINGS.c
    mine = (its.tenant == tenant) & (its.policy == policy) & (its.version == version)
    found = connection.execute(select(STANDINGS).where(mine)).one_or_none()
    return None if found is None else _standing(*found)


def standings(connection: Connection) -> list[Standing]:
    return [_standing(*row) for row in connection.execute(select(STANDINGS))]


def _standing(
    tenant: str,
    policy: str,
    version: str,
    since: int,
    samples: int,
    wealths: str,
    promised: float | None,
    alarm: int | None,
) -> Standing:
    drift = Drift(samples, json.decode(wealths, type=tuple[float, ...]))
    return Standing(tenant, policy, version, since, drift, promised, alarm)


def stand(connection: Connection, now: Standing) -> None:
    """In place of what stood there."""
    its = STANDINGS.c
    mine = (its.tenant == now.tenant) & (its.policy == now.policy) & (its.version == now.version)
    connection.execute(delete(STANDINGS).where(mine))
    connection.execute(
        insert(STANDINGS).values(
            tenant=now.tenant,
            policy=now.policy,
            version=now.version,
            since=now.since,
            samples=now.drift.samples,
            wealths=json.encode(now.drift.wealths).decode(),
            promised=now.promised,
            alarm=now.alarm,
        )
    )


def judge(connection: Connection, verdicts: Iterable[Verdict]) -> None:
    """Each in place of what the same key said of the same trace under the same kind; all of one trace."""
    its, given = FEEDBACK.c, list(verdicts)
    for one in given[:1]:
        mine = (its.tenant == one.tenant) & (its.trace == one.trace) & (its.key == one.key) & (its.kind == one.kind)
        connection.execute(delete(FEEDBACK).where(mine))
    for one in given:
        connection.execute(insert(FEEDBACK).values({name: getattr(one, name) for name in one.__struct_fields__}))


def opinions(connection: Connection, tenant: str) -> list[Opinion]:
    its = FEEDBACK.c
    by = (its.policy, its.model, its.kind)
    query = select(*by, func.count(), func.avg(its.score)).where(its.tenant == tenant).group_by(*by).order_by(*by)
    return [Opinion(*row) for row in connection.execute(query)]


def erase(connection: Connection, tenant: str, key: str) -> int:
    """How much feedback of `key` (its id) there was."""
    mine = (FEEDBACK.c.tenant == tenant) & (FEEDBACK.c.key == key)
    return connection.execute(delete(FEEDBACK).where(mine)).rowcount


class Forgetting:
    """A chore of the writer: pairs and feedback go as records do, by age and by number; standings are few and stay."""

    def __init__(self, keep_days: float, max_rows: int, step: int = 1_000) -> None:
        """`step`: rows of a table in one transaction."""
        self._keep_ms = round(keep_days * DAY_MS)
        self._max_rows = max_rows
        self._step = step

    def __call__(self, connection: Connection) -> bool:
        """One step; True when more is left to forget."""
        left = [self._forget(connection, table) for table in (SHADOWS, FEEDBACK)]
        return any(left)

    def _forget(self, connection: Connection, table: Table) -> bool:
        its, outlived = table.c, time.time_ns() // 1_000_000 - self._keep_ms
        excess = (connection.scalar(select(func.count()).select_from(table)) or 0) - self._max_rows
        oldest = select(its.number, its.at).order_by(its.number).limit(self._step)
        rows = list(connection.execute(oldest))
        gone = [number for place, (number, at) in enumerate(rows) if at < outlived or place < excess]
        if gone:
            connection.execute(delete(table).where(its.number.in_(gone)))
        return len(gone) == self._step
