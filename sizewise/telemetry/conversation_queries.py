"""Queries on sessions: requests that named the same conversation, as one row each; decides no access."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct
from sqlalchemy import Column, ColumnElement, Connection, and_, case, distinct, exists, func, select
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from sizewise.telemetry.record_ids import PROCESS_BITS
from sizewise.telemetry.record_queries import MAX_SCANNED, RecordFilter, id_at, scan_end
from sizewise.telemetry.tables import RECORDS

Columns = ReadOnlyColumnCollection[str, Column[Any]]


class SessionFilter(Struct, frozen=True):
    """Selects sessions with a request that has all of this. `since`, `until`: unix ms of its end; None and "": all."""

    tenant: str = "local"
    project: str = ""
    session: str = ""
    end_user: str = ""  # its hash
    since: int | None = None
    until: int | None = None


class SessionSummary(Struct, frozen=True):
    """All stored requests of a session. `first`, `last`: unix ms of arrival; `cost`: pico-dollars, without `unpriced`
    requests. `end_user`: a hash; None if none or several were named.
    """

    id: str
    requests: int
    traces: int
    errors: int
    first: int
    last: int
    cost: int
    unpriced: int
    input: int
    output: int
    end_user: str | None


class SessionPage(Struct, frozen=True):
    """`before`: the id of a record below which the next page begins; None: there are no more sessions."""

    rows: list[SessionSummary]
    before: int | None

    @property
    def scanned_to(self) -> int | None:
        """Unix ms: all requests that ended since were looked at; None: all."""
        return None if self.before is None else (self.before >> PROCESS_BITS) // 1000


def page_of_sessions(
    connection: Connection,
    criteria: SessionFilter,
    limit: int,
    before: int | None = None,
    max_scanned: int = MAX_SCANNED,
) -> SessionPage:
    """The `limit` sessions with the newest request below the id `before`, newest first; without those that have a
    newer one, which were on an earlier page.
    """
    its, newer = RECORDS.c, RECORDS.alias("newer").c
    scanned = RecordFilter(criteria.tenant, since=criteria.since, until=criteria.until)
    by_session = bool(criteria.session or criteria.end_user)
    end = None if by_session else scan_end(connection, scanned, before, max_scanned)
    wanted = _wanted(its, criteria)
    if before is not None:
        wanted.append(its.id < before)
    if end is not None:
        wanted.append(its.id > end)
    found = select(its.session, func.max(its.id).label("last")).where(*wanted).group_by(its.session).subquery()
    query = select(found.c.session, found.c.last).order_by(found.c.last.desc()).limit(limit + 1)
    if before is not None:
        seen = and_(newer.session == found.c.session, newer.id >= before, *_wanted(newer, criteria))
        query = query.where(~exists().where(seen))
    last = {session: int(id) for session, id in connection.execute(query)}
    shown = list(last)[:limit]
    rows = _summaries(connection, criteria, shown)
    if len(last) > limit:
        return SessionPage(rows, last[shown[-1]])
    return SessionPage(rows, None if end is None else end + 1)


def _wanted(its: Columns, criteria: SessionFilter) -> list[ColumnElement[bool]]:
    found = [its.tenant == criteria.tenant, its.session.is_not(None)]
    equal = ((its.project, criteria.project), (its.session, criteria.session), (its.end_user, criteria.end_user))
    found += [column == value for column, value in equal if value]
    if criteria.since is not None:
        found.append(its.id >= id_at(criteria.since))
    if criteria.until is not None:
        found.append(its.id < id_at(criteria.until))
    return found


def _summaries(connection: Connection, criteria: SessionFilter, sessions: Sequence[str]) -> list[SessionSummary]:
    """In the order of `sessions`; whatever was filtered by, of all their requests in the project."""
    its = RECORDS.c
    mine = _wanted(its, SessionFilter(criteria.tenant, criteria.project))
    query = select(
        its.session,
        func.count(),
        func.count(distinct(its.trace)),
        func.sum(case((its.error != "", 1), else_=0)),
        func.min(its.at),
        func.max(its.at),
        func.coalesce(func.sum(its.cost), 0),
        func.sum(case((its.cost.is_(None), 1), else_=0)),
        func.sum(its.input),
        func.sum(its.output),
        func.min(its.end_user),
        func.max(its.end_user),
    ).where(*mine, its.session.in_(sessions))
    found: dict[str, SessionSummary] = {}
    for session, *sums, least, most in connection.execute(query.group_by(its.session)):
        requests, traces, errors, first, last, cost, unpriced, read, written = (int(each) for each in sums)
        found[session] = SessionSummary(
            id=session,
            requests=requests,
            traces=traces,
            errors=errors,
            first=first,
            last=last,
            cost=cost,
            unpriced=unpriced,
            input=read,
            output=written,
            end_user=least if least == most else None,
        )
    return [found[each] for each in sessions if each in found]
