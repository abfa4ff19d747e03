"""Units of a canary from request records: the session, end user, key or trace of each record; decides nothing.

Only records of the two releases in the environment count, and of a unit only those of the arm that it entered.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b

from msgspec import Struct
from sqlalchemy import Connection, bindparam, case, delete, insert, select, update

from sizewise.releases.canary.split import Arm
from sizewise.releases.canary.tables import ENTERED, UNITS, Canary, FailedUnit
from sizewise.telemetry.record_ids import PROCESS_BITS
from sizewise.telemetry.tables import RECORDS

UNIT_BYTES = 12
CLIENT_LEFT = 499
NOT_OF_A_RELEASE = (401, 402, 403, 429, CLIENT_LEFT)
"""Statuses that a key, a limit or the client decides."""
BASELINE_ROWS = 20_000
"""The newest records of an organization that are searched for those of the stable release."""


class UnitRecord(Struct, frozen=True):
    """A request of one of the arms. `at`: unix ms of its arrival; `cost`: pico-dollars."""

    id: int
    unit: str
    session: str
    trace: str
    at: int
    arm: str
    error: float
    total_ms: float
    cost: int | None


class CanaryUnit(Struct):
    """A row of UNITS, with sums over its requests."""

    unit: str
    entered: int
    stage: int
    arm: str
    share: float
    trace: str
    first_error: float
    first_ms: float
    first_cost: int | None
    requests: int = 0
    errors: float = 0.0
    slow: float = 0.0
    priced: int = 0
    cost: float = 0.0


def first_id(at: int) -> int:
    """The least id of a record that ended at `at` (unix ms) or later."""
    return max(0, at) * 1_000 << PROCESS_BITS


def time_of(id: int) -> int:
    """Unix ms, the inverse of `first_id`."""
    return (id >> PROCESS_BITS) // 1_000


def error_of(status: int) -> float:
    return 1.0 if status >= 400 and status not in NOT_OF_A_RELEASE else 0.0


def unit_hash(session: str | None, end_user: str | None, key: str, trace: str) -> str:
    name = next(
        (f"{kind}:{value}" for kind, value in (("s", session), ("u", end_user), ("k", key)) if value), f"t:{trace}"
    )
    return blake2b(name.encode("utf-8", "surrogatepass"), digest_size=UNIT_BYTES).hexdigest()


def next_records(connection: Connection, canary: Canary, until: int, limit: int) -> list[UnitRecord]:
    """Records of the arms after the last that was read and up to the id `until`, in order of their ids."""
    its = RECORDS.c
    wanted = (
        (its.tenant == canary.tenant)
        & (its.id > canary.progress.read_until)
        & (its.id <= until)
        & (its.project == canary.project)
        & (its.environment == canary.environment)
        & its.arm.in_(("stable", "canary"))
        & its.release.in_((canary.stable, canary.release))
    )
    who = (its.session, its.end_user, its.key, its.trace)
    columns = (its.id, *who, its.at, its.arm, its.status, its.total_ms, its.cost)
    rows = connection.execute(select(*columns).where(wanted).order_by(its.id).limit(limit))
    return [
        UnitRecord(
            id=id,
            unit=unit_hash(session, end_user, key, trace),
            session=session or "",
            trace=trace,
            at=at,
            arm=arm,
            error=error_of(status),
            total_ms=total_ms,
            cost=cost,
        )
        for id, session, end_user, key, trace, at, arm, status, total_ms, cost in rows
    ]


def sessions_not_split(connection: Connection, canary: Canary, sessions: Iterable[str], before: int) -> set[str]:
    """Those of `sessions` whose arm no split chose: of a request that ended before `before` (unix ms), or unsplit."""
    its, wanted = RECORDS.c, sorted(set(sessions) - {""})
    if not wanted:
        return set()
    mine = (its.tenant == canary.tenant) & its.session.in_(wanted)
    found = mine & ((its.id < first_id(before)) | (its.arm == "unsplit"))
    return {str(each) for each in connection.scalars(select(its.session).where(found).distinct())}


def begun_arm(connection: Connection, place: tuple[str, str, str], canary: str, session: str) -> Arm | None:
    """The arm that answered a session last; stable, if it began before the canary, or while nothing was split."""
    its = RECORDS.c
    mine = (its.tenant == place[0]) & (its.session == session)
    here = (its.project == place[1]) & (its.environment == place[2])
    last = case((its.arm == "unsplit", 1), else_=0), its.id.desc()
    query = select(its.arm, its.release).where(mine & here).order_by(*last).limit(1)
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    return "canary" if row.arm == "canary" and row.release == canary else "stable"


def baseline(connection: Connection, canary: Canary, until: int, limit: int) -> list[tuple[float, int | None]]:
    """Milliseconds and cost of the newest answered requests of the stable release, up to the id `until`."""
    its = RECORDS.c
    newest = (
        select(its.environment, its.project, its.release, its.status, its.total_ms, its.cost)
        .where((its.tenant == canary.tenant) & (its.id <= until))
        .order_by(its.id.desc())
        .limit(BASELINE_ROWS)
        .subquery()
    )
    found = newest.c
    same = (
        (found.environment == canary.environment) & (found.project == canary.project) & (found.release == canary.stable)
    )
    query = select(found.total_ms, found.cost).where(same & (found.status == 200)).limit(limit)
    return [(total_ms, cost) for total_ms, cost in connection.execute(query)]


def load_units(connection: Connection, canary: int, units: Iterable[str]) -> dict[str, CanaryUnit]:
    its, wanted = UNITS.c, sorted(set(units))
    columns = [its[name] for name in CanaryUnit.__struct_fields__]
    rows = connection.execute(select(*columns).where((its.canary == canary) & its.unit.in_(wanted)))
    return {unit.unit: unit for unit in (CanaryUnit(*row) for row in rows)}


def units_at_stage(connection: Connection, canary: int, stage: int, until: int, limit: int) -> list[CanaryUnit]:
    """Those that entered until `until` (unix ms), in order of entry."""
    its = UNITS.c
    columns = [its[name] for name in CanaryUnit.__struct_fields__]
    wanted = (its.canary == canary) & (its.stage == stage) & (its.entered <= until)
    rows = connection.execute(select(*columns).where(wanted).order_by(its.entered, its.unit).limit(limit))
    return [CanaryUnit(*row) for row in rows]


def save_units(
    connection: Connection, canary: Canary, new: Sequence[CanaryUnit], changed: Sequence[CanaryUnit]
) -> None:
    if new:
        connection.execute(
            insert(UNITS), [{"canary": canary.number, "tenant": canary.tenant} | _values(each) for each in new]
        )
    if changed:
        its = UNITS.c
        found = update(UNITS).where((its.canary == bindparam("of")) & (its.unit == bindparam("one")))
        names = [name for name in CanaryUnit.__struct_fields__ if name != "unit"]
        query = found.values({name: bindparam(f"new_{name}") for name in names})
        connection.execute(
            query,
            [
                {"of": canary.number, "one": each.unit} | {f"new_{name}": getattr(each, name) for name in names}
                for each in changed
            ],
        )


def set_stage(connection: Connection, canary: int, units: Sequence[CanaryUnit], stage: int) -> None:
    if units:
        its = UNITS.c
        found = update(UNITS).where((its.canary == bindparam("of")) & (its.unit == bindparam("one")))
        connection.execute(found.values(stage=stage), [{"of": canary, "one": each.unit} for each in units])


def _values(unit: CanaryUnit) -> dict[str, object]:
    return {name: getattr(unit, name) for name in CanaryUnit.__struct_fields__}


def failed_units(connection: Connection, canary: int, limit: int) -> list[FailedUnit]:
    """The first units of the canary whose first request failed."""
    its = UNITS.c
    wanted = (its.canary == canary) & (its.arm == "canary") & (its.first_error > 0) & (its.stage != ENTERED)
    rows = connection.execute(
        select(its.trace, its.entered, its.first_error).where(wanted).order_by(its.entered).limit(limit)
    )
    return [FailedUnit(trace, entered, {"error": error}) for trace, entered, error in rows]


def forget_units(connection: Connection, canary: int, kept: Iterable[str] = ()) -> None:
    """Of a canary that has ended, all but those with a trace of `kept`."""
    its = UNITS.c
    connection.execute(delete(UNITS).where((its.canary == canary) & its.trace.not_in(list(kept))))
