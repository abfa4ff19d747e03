"""Usage by session: reads the records of the dearest sessions alone; all others are a difference of sums; exact."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from sqlalchemy import Connection

from sizewise.telemetry.usage_query import Part, UsageQuery, of_records, of_rollup
from sizewise.telemetry.usage_sums import HOUR_IDS, NOTHING, Parameters, Sums, add_sums, complete_hours, run
from sizewise.telemetry.usage_tables import COST, HOURLY, IN_SESSIONS, REQUESTS

Buckets = dict[int, Sums]
"""By the start of the row in hours."""


def by_session(connection: Connection, query: UsageQuery) -> Iterator[Part]:
    """Of stored records. `query`: without a filter, or by project. Requests of no session have an empty name."""
    dearest, count = _dearest(connection, query)
    rest, plain = _sums(connection, query)
    if count >= query.limit and (total := _total(plain)) != NOTHING:
        if sum(each[1:] >= (total[COST], total[REQUESTS]) for each in dearest) < query.limit:
            dearest = dearest[: query.limit - 1]
        else:
            for start, sums in plain.items():
                rest[start] = _sum(rest, start, sums)
            count, plain = count + 1, {}
    names = [name for name, *_ in dearest]
    if names:
        for start, values, folded, sums in of_records(
            connection, query, 1, [(query.since, query.until)], sessions=names
        ):
            rest[start] = _sum(rest, start, _negative(sums))
            yield start, values, folded, sums
    for start, sums in plain.items():
        if any(sums):
            yield start, ("",), None, sums
    folded = count - len(names)
    for start, sums in sorted(rest.items()):
        if any(sums):
            yield start, ("",), folded, sums
            folded = 0


def _dearest(connection: Connection, query: UsageQuery) -> tuple[list[tuple[str, int, int]], int]:
    """At most `limit` sessions with their cost and requests, dearest first; and how many sessions there are.

    From an index alone: `cost` is that of all attempts, but where a part is unknown and there are several.
    """
    id = "+r.id" if connection.dialect.name == "sqlite" else "r.id"
    where = f"r.tenant = :tenant AND r.session >= '' AND {id} >= :since AND {id} < :until"
    given: Parameters = {"tenant": query.tenant, "since": query.since * HOUR_IDS, "until": query.until * HOUR_IDS}
    if "project" in query.filters:
        where, given = f"{where} AND r.project = :project", {**given, "project": str(query.filters["project"])}
    known = "CAST((SELECT sum(a.cost) FROM attempts a WHERE a.record = r.id) AS BIGINT)"  # else Postgres adds decimals
    cost = f"coalesce(r.cost, CASE WHEN r.attempts > 1 THEN {known} END, 0)"
    rows = run(
        connection,
        f"""SELECT session, cost, requests, count(*) OVER () AS sessions FROM (
            SELECT r.session, sum({cost}) AS cost, count(*) AS requests FROM records r WHERE {where} GROUP BY r.session
            ) AS ranked ORDER BY cost DESC, requests DESC LIMIT :most""",
        {**given, "most": query.limit},
    )
    found = [(str(row[0]), int(row[1]), int(row[2]), int(row[3])) for row in rows]
    return [each[:3] for each in found], found[0][3] if found else 0


def _sums(connection: Connection, query: UsageQuery) -> tuple[Buckets, Buckets]:
    """Of requests that belong to a session, and of those that belong to none."""
    whole, hours = replace(query, by=()), complete_hours(connection, query.since, query.until, IN_SESSIONS)
    counted = "period >= :first AND period < :last AND counted AND period IN :complete"
    given: Parameters = {"first": query.since, "last": query.until, "complete": hours.complete}
    inside, plain = dict[int, Sums](), dict[int, Sums]()
    for start, _, _, sums in of_rollup(connection, whole, IN_SESSIONS, counted, given):
        inside[start] = _sum(inside, start, sums)
        plain[start] = _sum(plain, start, _negative(sums))
    for start, _, _, sums in of_rollup(connection, whole, HOURLY, counted, given):
        plain[start] = _sum(plain, start, sums)
    for sums_of, only in ((inside, "AND r.session IS NOT NULL"), (plain, "AND r.session IS NULL")):
        for start, _, _, sums in of_records(connection, whole, 1, hours.others, only):
            sums_of[start] = _sum(sums_of, start, sums)
    return inside, plain


def _sum(buckets: Buckets, start: int, more: Sums) -> Sums:
    return add_sums(buckets.get(start, NOTHING), more)


def _negative(sums: Sums) -> Sums:
    return tuple(-each for each in sums)


def _total(buckets: Buckets) -> Sums:
    total: Sums = NOTHING
    for sums in buckets.values():
        total = add_sums(total, sums)
    return total
