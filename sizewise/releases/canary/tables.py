"""Tables of canaries: each with its evidence, its units and pairs while it runs, a tick a minute, and servers."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Float,
    Index,
    Integer,
    MetaData,
    Row,
    Table,
    Text,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.schema import CreateIndex, CreateTable

from sizewise.releases.canary.guards import GuardState, Losses
from sizewise.releases.canary.sample_ratio import SampleRatio
from sizewise.releases.environments.tables import LiveRelease, last_arrival
from sizewise.settings.canary import CanarySettings
from sizewise.storage.migrations import BIG_INTEGER, Migrations

META = MetaData()

CANARIES = Table(
    "canaries",
    META,
    Column("number", BIG_INTEGER, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("release", Text, nullable=False),  # hash of the canary
    Column("stable", Text, nullable=False),  # hash of the release beside it
    Column("state", Text, nullable=False),
    Column("paused", Boolean, nullable=False),
    Column("step", Integer, nullable=False),
    Column("step_since", BIG_INTEGER, nullable=False),  # unix ms
    Column("started", BIG_INTEGER, nullable=False),  # unix ms
    Column("ended", BIG_INTEGER),  # unix ms
    Column("reason", Text, nullable=False),
    Column("settings", Text, nullable=False),  # JSON, as they were when it started
    Column("progress", Text, nullable=False),  # JSON
)
UNITS = Table(
    "canary_units",
    META,
    Column("canary", BIG_INTEGER, primary_key=True, autoincrement=False),
    Column("unit", Text, primary_key=True),  # a hash
    Column("tenant", Text, nullable=False),
    Column("entered", BIG_INTEGER, nullable=False),  # unix ms
    Column("stage", Integer, nullable=False),
    Column("arm", Text, nullable=False),
    Column("share", Float, nullable=False),  # of the canary when it entered
    Column("trace", Text, nullable=False),  # of its first request
    Column("first_error", Float, nullable=False),
    Column("first_ms", Float, nullable=False),
    Column("first_cost", BIG_INTEGER),  # pico-dollars
    Column("requests", Integer, nullable=False),
    Column("errors", Float, nullable=False),
    Column("slow", Float, nullable=False),
    Column("priced", Integer, nullable=False),  # requests with a known cost
    Column("cost", Float, nullable=False),  # their sum, each 0..1
)
UNITS_BY_ENTRY = Index("canary_units_entry", UNITS.c.canary, UNITS.c.stage, UNITS.c.entered)
PAIRS = Table(
    "canary_pairs",
    META,
    Column("number", BIG_INTEGER, primary_key=True, autoincrement=False),  # an id of records, so in order of time
    Column("tenant", Text, nullable=False),
    Column("canary", BIG_INTEGER, nullable=False),
    Column("trace", Text, nullable=False),
    Column("stable_error", Float, nullable=False),
    Column("canary_error", Float, nullable=False),
    Column("stable_ms", Float, nullable=False),
    Column("canary_ms", Float, nullable=False),
    Column("stable_cost", BIG_INTEGER),  # pico-dollars
    Column("canary_cost", BIG_INTEGER),
    Column("worse", Float),  # -1..1, by the judge
    Column("spent", BIG_INTEGER, nullable=False),  # pico-dollars, with the judge
)
PAIRS_BY_CANARY = Index("canary_pairs_canary", PAIRS.c.canary, PAIRS.c.number)
TICKS = Table(
    "canary_ticks",
    META,
    Column("canary", BIG_INTEGER, primary_key=True, autoincrement=False),
    Column("at", BIG_INTEGER, primary_key=True, autoincrement=False),  # unix ms, of a whole minute
    Column("tenant", Text, nullable=False),
    Column("share", Float, nullable=False),
    Column("canary_units", Integer, nullable=False),
    Column("stable_units", Integer, nullable=False),
    Column("pairs", Integer, nullable=False),
    Column("evidence", Float, nullable=False),
    Column("certified", Float, nullable=False),
    Column("metrics", Text, nullable=False),  # JSON: metric -> value, low, high
)
SERVERS = Table(
    "canary_servers",
    META,
    Column("server", Text, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("at", BIG_INTEGER, nullable=False),  # unix ms
    Column("open_since", BIG_INTEGER, nullable=False),  # unix ms: earlier requests have ended
    Column("serves", Text, nullable=False),  # JSON: environment -> release and canary
)

SCHEMA = Migrations(
    "canaries",
    (
        (
            *(CreateTable(table) for table in (CANARIES, UNITS, PAIRS, TICKS, SERVERS)),
            *(CreateIndex(index) for index in (UNITS_BY_ENTRY, PAIRS_BY_CANARY)),
        ),
    ),
)
ALL_TENANTS = "*"
SHADOW, RUNNING = "shadow", "running"
OPEN_STATES = (SHADOW, RUNNING)
ENTERED, FIRST_KNOWN, WHOLE_KNOWN, NOT_COUNTED = 0, 1, 2, 3
"""Stages of a unit: what of it has been observed."""
SERVER_GONE_MS = 5_000
KEPT_CANARIES = 100
"""Of each environment, with their ticks."""


class ShareChange(Struct, frozen=True):
    """`at`: unix ms from which servers split by `share`."""

    at: int
    share: float


class CanaryProgress(Struct, frozen=True):
    """What the evaluator knows. `read_until`: id of the last record; `pairs_until`: number of the last pair.

    `slow_ms`, `cost_cap` (pico-dollars): quantiles of stable's requests before `thresholds_at` (unix ms; 0: not known
    yet). `looks`: when it looked, and since when requests were open then; both unix ms.
    """

    guards: GuardState
    ratio: SampleRatio = SampleRatio()
    read_until: int = 0
    pairs_until: int = 0
    pairs: int = 0
    canary_units: int = 0
    stable_units: int = 0
    step_units: int = 0  # of the canary, in this step
    slow_ms: float = 0.0
    cost_cap: int = 0
    thresholds_at: int = 0
    shares: tuple[ShareChange, ...] = ()
    looks: tuple[tuple[int, int], ...] = ()


class Canary(Struct, frozen=True):
    """A row of CANARIES. `state`: shadow, running, promoted, rolled_back or stopped."""

    number: int
    tenant: str
    project: str
    environment: str
    release: str
    stable: str
    state: str
    paused: bool
    step: int
    step_since: int
    started: int
    ended: int | None
    reason: str
    settings: CanarySettings
    progress: CanaryProgress

    @property
    def place(self) -> tuple[str, str, str]:
        return self.tenant, self.project, self.environment

    @property
    def needed(self) -> float:
        """Evidence for a rollback, and for promotion."""
        return 1.0 / self.settings.false_rollback


class CanaryPair(Struct, frozen=True):
    """A row of PAIRS: one request that both arms answered."""

    number: int
    canary: int
    trace: str
    stable_error: float
    canary_error: float
    stable_ms: float
    canary_ms: float
    stable_cost: int | None
    canary_cost: int | None
    worse: float | None
    spent: int


class CanaryTick(Struct, frozen=True):
    """A row of TICKS. `metrics`: JSON."""

    at: int
    share: float
    canary_units: int
    stable_units: int
    pairs: int
    evidence: float
    certified: float
    metrics: str


class FailedUnit(Struct, frozen=True):
    """A unit of the canary whose first request failed."""

    trace: str
    entered: int
    losses: Losses


def find_canary(connection: Connection, place: tuple[str, str, str]) -> Canary | None:
    """The newest of an environment, running or not."""
    its = CANARIES.c
    mine = (its.tenant == place[0]) & (its.project == place[1]) & (its.environment == place[2])
    row = connection.execute(select(CANARIES).where(mine).order_by(its.number.desc()).limit(1)).one_or_none()
    return None if row is None else _canary(row)


def newest_canaries(connection: Connection) -> list[Canary]:
    """The newest of each environment, running or not."""
    its = CANARIES.c
    newest = select(func.max(its.number)).group_by(its.tenant, its.project, its.environment)
    return [_canary(row) for row in connection.execute(select(CANARIES).where(its.number.in_(newest)))]


def open_canaries(connection: Connection) -> list[Canary]:
    """They have not ended: `state in OPEN_STATES` would leave a reference cycle in SQLAlchemy, once a second."""
    return [_canary(row) for row in connection.execute(select(CANARIES).where(CANARIES.c.ended.is_(None)))]


def _canary(row: Row[Any]) -> Canary:
    found = dict(row._mapping)
    found["settings"] = msgspec.json.decode(found["settings"], type=CanarySettings)
    found["progress"] = msgspec.json.decode(found["progress"], type=CanaryProgress)
    return Canary(**found)


def as_it_is(connection: Connection, canary: Canary, live: LiveRelease | None, now: int) -> Canary:
    """`canary`, or as it has ended, where a person has moved its environment and the evaluator has not looked since."""
    if canary.state not in OPEN_STATES or (live is not None and live.canary == canary.release):
        return canary
    ended = now if live is None else live.changed
    arrival = last_arrival(connection, canary.place, canary.release)
    if live is not None and live.release == canary.release:
        return replace(canary, state="promoted", reason="promoted by hand", ended=ended)
    if arrival is not None and arrival.at >= canary.started:  # it has been rolled back since
        return replace(canary, state="promoted", reason="promoted by hand", ended=arrival.at)
    return replace(canary, state="stopped", reason="ended by hand", ended=ended)


def insert_canary(connection: Connection, canary: Canary) -> Canary:
    """With its number. The oldest ended ones of its environment are deleted."""
    its = CANARIES.c
    number = (connection.scalar(select(func.max(its.number))) or 0) + 1
    made = replace(canary, number=number)
    connection.execute(insert(CANARIES).values(number=number, tenant=canary.tenant, **_values(made)))
    mine = (its.tenant == canary.tenant) & (its.project == canary.project) & (its.environment == canary.environment)
    old = list(connection.scalars(select(its.number).where(mine).order_by(its.number.desc()).offset(KEPT_CANARIES)))
    for table, column in ((CANARIES, its.number), (TICKS, TICKS.c.canary), (PAIRS, PAIRS.c.canary)):
        connection.execute(delete(table).where(column.in_(old)))
    return made


def save_canary(connection: Connection, canary: Canary) -> None:
    mine = (CANARIES.c.tenant == canary.tenant) & (CANARIES.c.number == canary.number)
    connection.execute(update(CANARIES).where(mine).values(_values(canary)))


def _values(canary: Canary) -> dict[str, object]:
    plain = {
        name: getattr(canary, name)
        for name in Canary.__struct_fields__
        if name not in ("number", "tenant", "settings", "progress")
    }
    encoded = {name: msgspec.json.encode(getattr(canary, name)).decode() for name in ("settings", "progress")}
    return plain | encoded


def insert_pair(connection: Connection, tenant: str, pair: CanaryPair) -> None:
    connection.execute(
        insert(PAIRS).values(tenant=tenant, **{name: getattr(pair, name) for name in CanaryPair.__struct_fields__})
    )


def next_pairs(connection: Connection, canary: Canary, until: int, limit: int) -> list[CanaryPair]:
    """In order, up to the number `until`."""
    its = PAIRS.c
    mine = (its.canary == canary.number) & (its.number > canary.progress.pairs_until) & (its.number <= until)
    columns = (its[name] for name in CanaryPair.__struct_fields__)
    return [
        CanaryPair(*row) for row in connection.execute(select(*columns).where(mine).order_by(its.number).limit(limit))
    ]


def pairs_cost(connection: Connection, since: int) -> int:
    """Pico-dollars of the pairs with a number of `since` or later."""
    return int(connection.scalar(select(func.sum(PAIRS.c.spent)).where(PAIRS.c.number >= since)) or 0)


def save_tick(connection: Connection, canary: Canary, tick: CanaryTick) -> None:
    """Replaces that of the same minute."""
    its = TICKS.c
    connection.execute(delete(TICKS).where((its.canary == canary.number) & (its.at == tick.at)))
    values = {name: getattr(tick, name) for name in CanaryTick.__struct_fields__}
    connection.execute(insert(TICKS).values(canary=canary.number, tenant=canary.tenant, **values))


def list_ticks(connection: Connection, canary: int, limit: int) -> list[CanaryTick]:
    """The newest, oldest first."""
    columns = (TICKS.c[name] for name in CanaryTick.__struct_fields__)
    newest = select(*columns).where(TICKS.c.canary == canary).order_by(TICKS.c.at.desc()).limit(limit)
    return [CanaryTick(*row) for row in reversed(connection.execute(newest).all())]


class CanaryServer(Struct, frozen=True):
    """A row of SERVERS. `serves`: JSON."""

    server: str
    at: int
    open_since: int
    serves: str


def save_server(connection: Connection, server: CanaryServer) -> None:
    connection.execute(delete(SERVERS).where(SERVERS.c.server == server.server))
    values = {name: getattr(server, name) for name in CanaryServer.__struct_fields__}
    connection.execute(insert(SERVERS).values(tenant=ALL_TENANTS, **values))


def live_servers(connection: Connection, now: int) -> list[CanaryServer]:
    """Those heard of in the last SERVER_GONE_MS; `now`: unix ms."""
    columns = (SERVERS.c[name] for name in CanaryServer.__struct_fields__)
    rows = connection.execute(select(*columns).where(SERVERS.c.at >= now - SERVER_GONE_MS).order_by(SERVERS.c.server))
    return [CanaryServer(*row) for row in rows]
