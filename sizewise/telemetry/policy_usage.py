"""What policies used, by model, with the products that an interval needs: by the hour once it is over, else of records.

A million records would take seconds each time that somebody looks at what was saved.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import astuple
from sqlalchemy import Connection, Double, Select, case, cast, delete, func, insert, or_, select, update
from sqlalchemy.sql.elements import ColumnElement

from sizewise.telemetry.tables import ATTEMPTS, RECORDS
from sizewise.telemetry.usage_sums import HOUR_IDS, uncounted_hours
from sizewise.telemetry.usage_tables import (
    PERIODS,
    POLICY_COUNTS,
    POLICY_ENERGY,
    POLICY_HOURLY,
    POLICY_HOURS,
    POLICY_PRODUCTS,
    TENANT,
)

HOUR_MS = 3_600_000
FAR_HOUR = 2**62 // HOUR_IDS
"""Later than any record."""
SUMMED = (*POLICY_COUNTS, *POLICY_PRODUCTS, *POLICY_ENERGY)


class PolicyUsage(Struct, frozen=True):
    """Usage of one model by one policy. Tokens are those of the answers; `cost` is that of all attempts and `overhead`
    the part that was not the answer, in pico-dollars. The products are sums, for the variance. `energy` and
    `energy_overhead` are the same in microjoules, of the `metered` requests alone: those of which it is known.
    """

    policy: str
    model: str
    requests: int
    input: int
    output: int
    cost: int
    overhead: int
    unpriced: int  # requests of unknown cost
    input_input: float
    input_output: float
    output_output: float
    input_cost: float
    output_cost: float
    cost_cost: float
    overhead_overhead: float
    energy: int = 0
    energy_overhead: int = 0
    metered: int = 0
    metered_output: int = 0  # tokens


class CountedHours(Struct, frozen=True):
    """`records`: how many records each hour has; `rows`: of POLICY_HOURS."""

    records: dict[int, int]
    rows: list[dict[str, object]]


def policy_usage(connection: Connection, tenant: str, since: int, policies: Sequence[str]) -> list[PolicyUsage]:
    """Usage of the requests that `policies` answered from the hour of `since` (unix ms) on, without those that no model
    answered; ordered by policy and model.
    """
    first, its = since // HOUR_MS, POLICY_HOURS.c
    summed = [func.sum(its[name]) for name in SUMMED]
    mine = (its.tenant == tenant) & (its.period >= first) & its.policy.in_(policies)
    found = _read(connection, select(its.policy, its.model, *summed).where(mine).group_by(its.policy, its.model))
    gaps = uncounted_hours(connection, POLICY_HOURLY, first, FAR_HOUR)
    if gaps:
        record = RECORDS.c
        ranges = or_(*((record.id >= start * HOUR_IDS) & (record.id < end * HOUR_IDS) for start, end in gaps))
        each = _answers((record.tenant == tenant) & record.policy.in_(policies) & ranges)
        for name, more in _read(connection, _sums(each, each.policy, each.model)).items():
            found[name] = _added(found[name], more) if name in found else more
    return [found[name] for name in sorted(found)]


def count_policy_hours(connection: Connection, hours: Sequence[int]) -> CountedHours:
    """Of hours with records. Writes nothing."""
    record = RECORDS.c
    hour = record.id // HOUR_IDS
    mine = (record.id >= min(hours) * HOUR_IDS) & (record.id < (max(hours) + 1) * HOUR_IDS) & hour.in_(hours)
    counts = select(hour.label("hour"), func.count()).where(mine).group_by("hour")
    counted = {row[0]: row[1] for row in connection.execute(counts)}
    each = _answers(mine)
    keys = (each.tenant, each.hour, each.policy, each.model)
    names = ("tenant", "period", "policy", "model", *SUMMED)
    rows = [dict(zip(names, row, strict=True)) for row in connection.execute(_sums(each, *keys))]
    return CountedHours(counted, rows)


def store_policy_hours(connection: Connection, counted: CountedHours) -> None:
    """In place of what these hours had."""
    hours, its, name = list(counted.records), PERIODS.c, POLICY_HOURS.name
    mine = (its.rollup == name) & its.period.in_(hours)
    known = set(connection.scalars(select(its.period).where(mine).order_by(its.period).with_for_update()))
    connection.execute(delete(POLICY_HOURS).where(POLICY_HOURS.c.period.in_(hours)))
    if counted.rows:
        connection.execute(insert(POLICY_HOURS), counted.rows)
    for hour, records in counted.records.items():
        if hour in known:
            connection.execute(update(PERIODS).where(its.rollup == name, its.period == hour).values(records=records))
        else:
            row = {"tenant": TENANT, "rollup": name, "period": hour, "records": records, "moves": 0}
            connection.execute(insert(PERIODS).values(row))


def delete_old_policy_hours(connection: Connection, before: int) -> None:
    """`before`: hours since 1970."""
    its = PERIODS.c
    connection.execute(delete(POLICY_HOURS).where(POLICY_HOURS.c.period < before))
    connection.execute(delete(PERIODS).where(its.rollup == POLICY_HOURS.name, its.period < before))


def _answers(where: ColumnElement[bool]) -> Any:
    """The columns of a row for each answered request among the records: its tokens, the cost of all attempts, and its
    own.
    """
    its, answer = RECORDS.c, ATTEMPTS.c
    named = (its.tenant, (its.id // HOUR_IDS).label("hour"), its.policy, its.model, its.cost, its.energy)
    mine = (its.status == 200) & (its.policy != "") & where
    among = (answer.record == its.id) & (answer.result == "answered") & (answer.model == its.model)
    own = (answer.cost.label("own"), answer.energy.label("own_energy"))
    several = select(*named, answer.input.label("read"), answer.output.label("said"), *own)
    only = select(*named, its.input, its.output, its.cost, its.energy).where(its.only_place.is_not(None), mine)
    return several.join(ATTEMPTS, among).where(mine).union_all(only).subquery().c


def _sums(each: Any, *keys: ColumnElement[Any]) -> Select[Any]:
    """In the order of SUMMED, after `keys`."""
    cost, own = cast(func.coalesce(each.cost, 0), Double), cast(func.coalesce(each.own, 0), Double)
    read, said = cast(each.read, Double), cast(each.said, Double)
    overhead = cost - own
    products = (read * read, read * said, said * said, read * cost, said * cost, cost * cost, overhead * overhead)
    sums = (each.read, each.said, func.coalesce(each.cost, 0), func.coalesce(each.cost - each.own, 0))
    unpriced = func.sum(case((each.cost.is_(None) | each.own.is_(None), 1), else_=0))
    known = each.energy.is_not(None)
    energy = (
        func.coalesce(each.energy, 0),
        func.coalesce(each.energy - func.coalesce(each.own_energy, 0), 0),
        case((known, 1), else_=0),
        case((known, each.said), else_=0),
    )
    summed = (*map(func.sum, sums), unpriced, *map(func.sum, products), *map(func.sum, energy))
    return select(*keys, func.count(), *summed).group_by(*keys)


def _read(connection: Connection, query: Select[Any]) -> dict[tuple[str, str], PolicyUsage]:
    """Sums are decimals on Postgres."""
    found = {}
    for row in connection.execute(query):
        values: list[Any] = [*map(int, row[2:8]), *map(float, row[8:15]), *(int(each or 0) for each in row[15:])]
        found[row[0], row[1]] = PolicyUsage(row[0], row[1], *values)
    return found


def _added(one: PolicyUsage, other: PolicyUsage) -> PolicyUsage:
    def both() -> Iterator[Any]:
        for a, b in zip(astuple(one)[2:], astuple(other)[2:], strict=True):
            yield a + b

    return PolicyUsage(one.policy, one.model, *both())
