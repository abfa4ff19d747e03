"""Metrics of alert rules over request records, by indexed queries of their window; the only place that reads them.

Records of the comparisons that Sizewise makes itself count in `cost_usd` and `tokens` alone.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Label, Select, case, func, select

from sizewise.alerts.rules import BURN_WINDOWS, AlertRule
from sizewise.alerts.series_state import SeriesValue
from sizewise.auth.permissions import DEFAULT_TENANT
from sizewise.money import PICO_PER_DOLLAR
from sizewise.settings.alerts import CONDITION
from sizewise.telemetry.record_ids import PROCESS_BITS
from sizewise.telemetry.tables import PENDING_STATUS, RECORDS

Measured = dict[tuple[str, str], SeriesValue]
"""By organization and labels."""

MAX_SERIES = 5_000
"""Series of a rule that are followed: those nearest to its thresholds."""
SUMS = frozenset({"requests", "cost_usd", "tokens"})
"""Metrics that are 0 without requests."""
OWN_ENDPOINTS = ("shadow", "judge")
COLUMNS: Mapping[str, str] = {"endpoint": "door"}
"""Names of labels -> columns, where they differ."""
OPERATORS: Mapping[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


def measure_records(connection: Connection, rule: AlertRule, now: int) -> Measured:
    """`now`: unix ms."""
    if rule.metric == "p95_s":
        rows = connection.execute(_percentiles(rule, now))
    else:
        value = _aggregate(rule.metric)
        ranked = value.asc() if rule.below else value.desc()
        query = select(*_columns(rule), value).where(*_selected(rule, now)).group_by(*_columns(rule))
        rows = connection.execute(query.order_by(ranked).limit(MAX_SERIES))
    found: Measured = {}
    if rule.metric in SUMS and not rule.by:
        found[DEFAULT_TENANT, "{}"] = SeriesValue(0.0, rule.level(0.0))
    for tenant, *labels, value in rows:
        if value is not None:
            measured = float(value)
            shown = encode_labels(dict(zip(rule.by, labels, strict=True)))
            found[tenant, shown] = SeriesValue(measured, rule.level(measured))
    return found


def measure_burn_rates(connection: Connection, rule: AlertRule, now: int) -> Measured:
    """Of a service level objective: 1 is a budget that lasts exactly its 30 days. `value`: that of the worst pair."""
    its, bad = RECORDS.c, case((_good(rule.good), 0), else_=1)
    windows = sorted({each for _, long, short, _ in BURN_WINDOWS for each in (long, short)})
    sums: list[ColumnElement[Any]] = []
    for window in windows:
        inside = its.id >= first_id(now - window * 1_000)
        sums += [func.sum(case((inside, 1), else_=0)), func.sum(case((inside, bad), else_=0))]
    query = select(its.tenant, *sums).where(*_selected(rule, now)).group_by(its.tenant)
    found: Measured = {}
    for tenant, *counts in connection.execute(query):
        burns = {
            window: bad / total / (1 - rule.objective) if total else 0.0
            for window, total, bad in zip(windows, map(int, counts[::2]), map(int, counts[1::2]), strict=True)
        }
        found[tenant, "{}"] = _worst(burns)
    return found


def _worst(burns: dict[int, float]) -> SeriesValue:
    """The first pair of windows whose burn rates are both too high; else the long window of the last pair."""
    for factor, long, short, severity in BURN_WINDOWS:
        if burns[long] >= factor and burns[short] >= factor:
            said = f"burn rate {burns[long]:.1f} over {_window(long)} and {burns[short]:.1f} over {_window(short)}"
            return SeriesValue(burns[long], 2 if severity == "alert" else 1, f"{said}; at most {factor:g}")
    return SeriesValue(burns[BURN_WINDOWS[-1][1]])


def _window(seconds: int) -> str:
    return f"{seconds // 60} min" if seconds < 3_600 else f"{seconds // 3_600} h"


def first_id(at: int) -> int:
    """The least id of a record that ended at `at` (unix ms) or later."""
    return max(0, at) * 1_000 << PROCESS_BITS


def encode_labels(labels: Mapping[str, str | None]) -> str:
    """JSON with sorted keys; a label that a record lacks is empty."""
    return msgspec.json.encode({name: labels[name] or "" for name in sorted(labels)}).decode()


def _columns(rule: AlertRule) -> list[ColumnElement[Any]]:
    return [RECORDS.c.tenant, *(RECORDS.c[COLUMNS.get(each, each)] for each in rule.by)]


def _selected(rule: AlertRule, now: int) -> list[ColumnElement[bool]]:
    its = RECORDS.c
    found = [its.id >= first_id(now - rule.window_s * 1_000), its.status != PENDING_STATUS]
    if rule.metric not in ("cost_usd", "tokens"):
        found.append(its.door.not_in(OWN_ENDPOINTS))
    if rule.policy:
        found.append(its.policy == rule.policy)
    if "end_user" in rule.by:
        found.append(its.end_user.is_not(None))
    return found


def _aggregate(metric: str) -> ColumnElement[Any]:
    its = RECORDS.c
    if metric == "requests":
        return func.count()
    if metric == "error_rate":
        return func.avg(case((its.status >= 500, 1.0), else_=0.0))
    if metric == "tokens":
        return func.sum(its.input + its.output)
    return func.sum(func.coalesce(its.cost, 0)) * (1.0 / PICO_PER_DOLLAR)


def _percentiles(rule: AlertRule, now: int) -> Select[Any]:
    """The 95th percentile of seconds (nearest rank) of each group."""
    its, groups = RECORDS.c, _columns(rule)
    place: Label[int] = func.row_number().over(partition_by=groups, order_by=its.total_ms).label("place")
    count: Label[int] = func.count().over(partition_by=groups).label("size")
    names = [f"label{number}" for number in range(len(groups))]
    ranked = (
        select(*(each.label(name) for each, name in zip(groups, names, strict=True)), its.total_ms, place, count)
        .where(*_selected(rule, now), its.status == 200)
        .subquery()
    )
    value = (func.min(ranked.c.total_ms) / 1_000).label("value")
    columns = [ranked.c[name] for name in names]
    query = select(*columns, value).where(ranked.c.place * 100 >= ranked.c.size * 95).group_by(*columns)
    return query.order_by(value.asc() if rule.below else value.desc()).limit(MAX_SERIES)


def _good(text: str) -> ColumnElement[bool]:
    its = RECORDS.c
    columns: dict[str, ColumnElement[Any]] = {
        "status": its.status,
        "total_ms": its.total_ms,
        "first_token_ms": func.coalesce(its.first_ms, its.total_ms),
        "attempts": its.attempts,
        "tokens": its.input + its.output,
    }
    good: ColumnElement[bool] | None = None
    for each in text.split(" and "):
        match = CONDITION.fullmatch(each.strip())
        assert match is not None, "the settings have checked it"
        name, sign, number = match.groups()
        term: ColumnElement[bool] = OPERATORS[sign](columns[name], int(number))
        good = term if good is None else good & term
    assert good is not None
    return good
