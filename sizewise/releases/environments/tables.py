"""Tables of environments: the release that is live in each, moved by compare-and-set, and the history of it."""

from __future__ import annotations

from msgspec import Struct
from sqlalchemy import (
    Column,
    Connection,
    Float,
    Index,
    MetaData,
    Table,
    Text,
    exists,
    insert,
    select,
    update,
)
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlalchemy.sql.elements import ColumnElement

from sizewise.audit_log import tables as audit
from sizewise.audit_log.hash_chain import AuditEvent
from sizewise.storage.migrations import BIG_INTEGER, Migrations
from sizewise.storage.upsert import insert_if_absent, upsert

META = MetaData()

ARRIVALS = ("first", "apply", "promote", "rollback")
"""Actions by which a release becomes live; the others begin a canary, or change its share."""

LIVE = Table(
    "live_releases",
    META,
    Column("tenant", Text, primary_key=True),
    Column("project", Text, primary_key=True),
    Column("environment", Text, primary_key=True),
    Column("release", Text, nullable=False),  # hash
    Column("previous", Text),  # hash of the one before, to which a rollback goes
    Column("epoch", BIG_INTEGER, nullable=False),  # one more with each move
    Column("changed", BIG_INTEGER, nullable=False),  # unix ms
    Column("by", Text, nullable=False),
    Column("canary", Text),  # hash
    Column("share", Float, nullable=False),  # of the canary, 0..1
    Column("split", Text, nullable=False),
    Column("ticked", BIG_INTEGER, nullable=False),  # unix ms of the evaluator's last look at the canary
)
HISTORY = Table(
    "release_history",
    META,
    Column("number", BIG_INTEGER, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("release", Text, nullable=False),
    Column("before", Text),
    Column("at", BIG_INTEGER, nullable=False),  # unix ms
    Column("by", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("reason", Text, nullable=False),
)
BY_ENVIRONMENT = Index(
    "release_history_environment", HISTORY.c.tenant, HISTORY.c.project, HISTORY.c.environment, HISTORY.c.number
)

PLANS = Table(
    "release_plans",  # hashes alone: what changes is computed when it is shown
    META,
    Column("id", Text, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("source", Text, nullable=False),  # an environment; empty: a release was named
    Column("release", Text, nullable=False),
    Column("base", Text, nullable=False),  # the release that was live; empty: none
    Column("created", BIG_INTEGER, nullable=False),  # unix ms
    Column("by", Text, nullable=False),
    Column("applied", BIG_INTEGER),  # unix ms
)
APPROVALS = Table(
    "release_approvals",
    META,
    Column("plan", Text, primary_key=True),
    Column("by", Text, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("at", BIG_INTEGER, nullable=False),  # unix ms
)

GATES = Table(
    "release_gates",  # verdicts of evals on a release, against the one that was live; the newest of each is kept
    META,
    Column("tenant", Text, primary_key=True),
    Column("project", Text, primary_key=True),
    Column("release", Text, primary_key=True),
    Column("base", Text, primary_key=True),
    Column("eval", Text, primary_key=True),
    Column("verdict", Text, nullable=False),
    Column("sentence", Text, nullable=False),
    Column("rules", Text, nullable=False),  # SHA-256 of the eval, its data and calibrations, in hex
    Column("at", BIG_INTEGER, nullable=False),  # unix ms
    Column("by", Text, nullable=False),
)

SCHEMA = Migrations(
    "environments",
    (
        (CreateTable(LIVE), CreateTable(HISTORY), CreateIndex(BY_ENVIRONMENT)),
        (CreateTable(PLANS), CreateTable(APPROVALS)),
        (CreateTable(GATES),),
    ),
)


class LiveRelease(Struct, frozen=True):
    """A row of LIVE: the release that is live in an environment of a project."""

    tenant: str
    project: str
    environment: str
    release: str
    previous: str | None = None
    epoch: int = 1
    changed: int = 0
    by: str = ""
    canary: str | None = None
    share: float = 0.0
    split: str = "session"
    ticked: int = 0

    @property
    def place(self) -> tuple[str, str, str]:
        return self.tenant, self.project, self.environment


class ReleaseMove(Struct, frozen=True):
    """A row of HISTORY. `before`: the release that was live until then. `at`: unix ms."""

    environment: str
    release: str
    before: str | None
    at: int
    by: str
    action: str
    reason: str


class PlanRow(Struct, frozen=True):
    """A row of PLANS. `created`, `applied`: unix ms."""

    id: str
    tenant: str
    project: str
    environment: str
    source: str
    release: str
    base: str
    created: int
    by: str
    applied: int | None = None


class GateRow(Struct, frozen=True):
    """A row of GATES. `at`: unix ms."""

    tenant: str
    project: str
    release: str
    base: str
    eval: str
    verdict: str
    sentence: str
    rules: str
    at: int
    by: str


def _is(table: Table, place: tuple[str, str, str]) -> ColumnElement[bool]:
    its = table.c
    return (its.tenant == place[0]) & (its.project == place[1]) & (its.environment == place[2])


def list_live(connection: Connection) -> list[LiveRelease]:
    """Of all projects."""
    rows = connection.execute(select(*(LIVE.c[name] for name in LiveRelease.__struct_fields__)))
    return [LiveRelease(*row) for row in rows]


def find_live(connection: Connection, place: tuple[str, str, str]) -> LiveRelease | None:
    """`place`: tenant, project and environment."""
    columns = (LIVE.c[name] for name in LiveRelease.__struct_fields__)
    row = connection.execute(select(*columns).where(_is(LIVE, place))).one_or_none()
    return None if row is None else LiveRelease(*row)


def insert_first(connection: Connection, live: LiveRelease, action: str, reason: str, event: AuditEvent) -> bool:
    """False if the environment has a release."""
    if not insert_if_absent(connection, LIVE, {name: getattr(live, name) for name in LiveRelease.__struct_fields__}):
        return False
    _note(connection, live, None, action, reason)
    audit.append_event(connection, event)
    return True


def move(
    connection: Connection, before: LiveRelease, after: LiveRelease, action: str, reason: str, event: AuditEvent
) -> bool:
    """Compare-and-set: False, and nothing is written, if the environment has moved since `before` was read.

    `after.epoch` is set here.
    """
    changed = {name: getattr(after, name) for name in ("release", "previous", "canary", "share", "split", "ticked")}
    done = connection.execute(
        update(LIVE)
        .where(_is(LIVE, before.place) & (LIVE.c.epoch == before.epoch))
        .values(**changed, epoch=before.epoch + 1, changed=after.changed, by=after.by)
    )
    if done.rowcount != 1:
        return False
    _note(connection, after, before.release, action, reason)
    audit.append_event(connection, event)
    return True


def tick(connection: Connection, live: LiveRelease, now: int) -> bool:
    """Notes that the canary was looked at. `now`: unix ms. False if the environment has moved."""
    found = update(LIVE).where(_is(LIVE, live.place) & (LIVE.c.epoch == live.epoch)).values(ticked=now)
    return connection.execute(found).rowcount == 1


def _note(connection: Connection, live: LiveRelease, before: str | None, action: str, reason: str) -> None:
    connection.execute(
        insert(HISTORY).values(
            tenant=live.tenant,
            project=live.project,
            environment=live.environment,
            release=live.canary or live.release,
            before=before,
            at=live.changed,
            by=live.by,
            action=action,
            reason=reason,
        )
    )


def list_moves(connection: Connection, place: tuple[str, str, str], limit: int) -> list[ReleaseMove]:
    """Newest first."""
    columns = (HISTORY.c[name] for name in ReleaseMove.__struct_fields__)
    found = select(*columns).where(_is(HISTORY, place)).order_by(HISTORY.c.number.desc()).limit(limit)
    return [ReleaseMove(*row) for row in connection.execute(found)]


def last_arrival(connection: Connection, place: tuple[str, str, str], release: str) -> ReleaseMove | None:
    """The move by which `release` last became live, in the place of another one; None: it never did."""
    columns = (HISTORY.c[name] for name in ReleaseMove.__struct_fields__)
    arrived = HISTORY.c.action.in_(ARRIVALS) & (HISTORY.c.before.is_(None) | (HISTORY.c.before != release))
    found = select(*columns).where(_is(HISTORY, place) & (HISTORY.c.release == release) & arrived)
    row = connection.execute(found.order_by(HISTORY.c.number.desc()).limit(1)).one_or_none()
    return None if row is None else ReleaseMove(*row)


def release_before(connection: Connection, place: tuple[str, str, str], release: str) -> str | None:
    """The one that was live when `release` last became live by other means than a rollback."""
    found = (
        select(HISTORY.c.before)
        .where(_is(HISTORY, place) & (HISTORY.c.release == release) & (HISTORY.c.action != "rollback"))
        .order_by(HISTORY.c.number.desc())
        .limit(1)
    )
    before: str | None = connection.scalar(found)
    return before if before != release else None


def has_been_live(connection: Connection, place: tuple[str, str, str], release: str) -> bool:
    return bool(connection.scalar(select(exists().where(_is(HISTORY, place) & (HISTORY.c.release == release)))))


def insert_plan(connection: Connection, plan: PlanRow, event: AuditEvent) -> None:
    connection.execute(insert(PLANS).values({name: getattr(plan, name) for name in PlanRow.__struct_fields__}))
    audit.append_event(connection, event)


def find_plan(connection: Connection, tenant: str, project: str, id: str) -> PlanRow | None:
    its = PLANS.c
    columns = (its[name] for name in PlanRow.__struct_fields__)
    mine = (its.tenant == tenant) & (its.project == project) & (its.id == id)
    row = connection.execute(select(*columns).where(mine)).one_or_none()
    return None if row is None else PlanRow(*row)


def find_open_plan(connection: Connection, place: tuple[str, str, str], release: str, base: str) -> PlanRow | None:
    """The newest one that was not applied."""
    its = PLANS.c
    same = _is(PLANS, place) & (its.release == release) & (its.base == base) & its.applied.is_(None)
    columns = (its[name] for name in PlanRow.__struct_fields__)
    row = connection.execute(select(*columns).where(same).order_by(its.created.desc()).limit(1)).one_or_none()
    return None if row is None else PlanRow(*row)


def list_open_plans(connection: Connection, place: tuple[str, str, str], limit: int) -> list[PlanRow]:
    """Those that were not applied, newest first."""
    columns = (PLANS.c[name] for name in PlanRow.__struct_fields__)
    unapplied = select(*columns).where(_is(PLANS, place) & PLANS.c.applied.is_(None))
    return [PlanRow(*row) for row in connection.execute(unapplied.order_by(PLANS.c.created.desc()).limit(limit))]


def mark_applied(connection: Connection, plan: str, now: int) -> None:
    connection.execute(update(PLANS).where(PLANS.c.id == plan).values(applied=now))


def insert_approval(connection: Connection, plan: PlanRow, by: str, now: int, event: AuditEvent) -> bool:
    """False if `by` has approved it before."""
    if not insert_if_absent(connection, APPROVALS, {"plan": plan.id, "by": by, "tenant": plan.tenant, "at": now}):
        return False
    audit.append_event(connection, event)
    return True


def list_approvals(connection: Connection, plan: str) -> list[str]:
    """Who has approved it, in order."""
    return list(connection.scalars(select(APPROVALS.c.by).where(APPROVALS.c.plan == plan).order_by(APPROVALS.c.at)))


def save_gate(connection: Connection, gate: GateRow, event: AuditEvent) -> None:
    """In place of the verdict before."""
    values = {name: getattr(gate, name) for name in GateRow.__struct_fields__}
    key = {name: values.pop(name) for name in ("tenant", "project", "release", "base", "eval")}
    upsert(connection, GATES, key, values)
    audit.append_event(connection, event)


def list_gates(connection: Connection, project: tuple[str, str], release: str, base: str) -> list[GateRow]:
    """`project`: tenant and project."""
    its = GATES.c
    mine = (its.tenant == project[0]) & (its.project == project[1]) & (its.release == release) & (its.base == base)
    columns = (its[name] for name in GateRow.__struct_fields__)
    return [GateRow(*row) for row in connection.execute(select(*columns).where(mine))]
