"""Queries on request records: a page by a filter, newest first, and all of one trace; decides no access.

A page goes on below an id, so that records that come meanwhile move none. Filters without an index look at a bounded
number of records and say how far they came.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct
from sqlalchemy import ColumnElement, Connection, Select, func, select

from sizewise.data_class import DataClass
from sizewise.telemetry.record_ids import PROCESS_BITS
from sizewise.telemetry.tables import RECORDS, TRIES, AttemptRow, RecordWithAttempts, RequestRecord, join_tags

MAX_SCANNED = 200_000
"""Records that one page looks at, where no index finds those of its filter."""
COLUMNS = tuple(RECORDS.c[name] for name in RequestRecord.__struct_fields__)


class RecordFilter(Struct, frozen=True):
    """Selects records; None and "" mean all. `since`, `until`: unix ms of their end. `trace`: an id or its prefix."""

    tenant: str = "local"
    model: str = ""  # the model that answered
    status: int | None = None
    since: int | None = None
    trace: str = ""
    project: str = ""
    endpoint: str = ""
    session: str = ""
    end_user: str = ""  # its hash
    tag: str = ""
    until: int | None = None
    requested_model: str = ""
    policy: str = ""
    key: str = ""
    flow: str = ""
    node: str = ""
    agent: str = ""
    error: str = ""
    failed: bool | None = None  # with an error, whatever it is
    degraded: bool | None = None
    data_class: DataClass | None = None
    guardrail: str = ""  # part of the findings
    why: str = ""  # part of the reason
    min_cost: int | None = None  # pico-dollars
    min_ms: float | None = None
    max_ms: float | None = None

    @property
    def is_indexed(self) -> bool:
        """Whether an index finds the records, or nearly all records are found."""
        return bool(self.trace or self.session or self.end_user) or not _conditions(self)


class RecordPage(Struct, frozen=True):
    """`before`: the id below which the next page begins; None: there are no more records."""

    rows: list[RequestRecord]
    before: int | None

    @property
    def scanned_to(self) -> int | None:
        """Unix ms: all records that ended since were looked at; None: all."""
        return None if self.before is None else (self.before >> PROCESS_BITS) // 1000


def page_of_records(
    connection: Connection,
    criteria: RecordFilter,
    limit: int,
    before: int | None = None,
    max_scanned: int = MAX_SCANNED,
) -> RecordPage:
    """The newest `limit` records with an id below `before`, newest first."""
    end = None if criteria.is_indexed else scan_end(connection, criteria, before, max_scanned)
    query = _filtered(select(*COLUMNS), criteria).order_by(RECORDS.c.id.desc()).limit(limit + 1)
    if before is not None:
        query = query.where(RECORDS.c.id < before)
    if end is not None:
        query = query.where(RECORDS.c.id > end)
    rows = [RequestRecord(*row) for row in connection.execute(query)]
    if len(rows) > limit:
        return RecordPage(rows[:limit], rows[limit - 1].id)
    return RecordPage(rows, None if end is None else end + 1)


def newest_records(connection: Connection, criteria: RecordFilter, limit: int = 20) -> list[RequestRecord]:
    """The newest `limit` records, newest first."""
    query = _filtered(select(*COLUMNS), criteria).order_by(RECORDS.c.id.desc()).limit(limit)
    return [RequestRecord(*row) for row in connection.execute(query)]


def record_by_id(connection: Connection, tenant: str, id: int) -> RequestRecord | None:
    mine = (RECORDS.c.id == id) & (RECORDS.c.tenant == tenant)
    found = connection.execute(select(*COLUMNS).where(mine)).one_or_none()
    return None if found is None else RequestRecord(*found)


def records_of_trace(
    connection: Connection, tenant: str, trace: str, project: str = "", limit: int = 100
) -> list[RecordWithAttempts]:
    """The newest `limit` records of a trace id or prefix, with their attempts, newest first."""
    found = newest_records(connection, RecordFilter(tenant, trace=trace, project=project), limit)
    attempts = attempts_of(connection, [each.id for each in found])
    return [RecordWithAttempts(each, tuple(attempts.get(each.id, ()))) for each in found]


def attempts_of(connection: Connection, records: Sequence[int]) -> dict[int, list[AttemptRow]]:
    """The attempts of records, by the id of their record, in order."""
    found: dict[int, list[AttemptRow]] = {}
    query = select(TRIES).where(TRIES.c.record.in_(records)).order_by(TRIES.c.record, TRIES.c.number)
    for row in connection.execute(query):
        found.setdefault(row.record, []).append(AttemptRow(*row))
    return found


def scan_end(connection: Connection, criteria: RecordFilter, before: int | None, max_scanned: int) -> int | None:
    """The id down to which `max_scanned` records lie; None: there are fewer."""
    id = RECORDS.c.id
    query = select(id).where(RECORDS.c.tenant == criteria.tenant).order_by(id.desc()).offset(max_scanned).limit(1)
    for bound in () if before is None else (id < before,):
        query = query.where(bound)
    if criteria.until is not None:
        query = query.where(id < id_at(criteria.until))
    end = connection.scalar(query)
    return end if end is None or criteria.since is None or end >= id_at(criteria.since) else None


def _filtered(query: Select[Any], criteria: RecordFilter) -> Select[Any]:
    if criteria.trace:  # `concat` prevents SQLite from choosing the tenant index, whatever its size
        query = query.where(RECORDS.c.tenant.concat("") == criteria.tenant, RECORDS.c.id.in_(_traced(criteria.trace)))
    else:
        query = query.where(RECORDS.c.tenant == criteria.tenant)
    if criteria.since is not None:
        query = query.where(RECORDS.c.id >= id_at(criteria.since))
    if criteria.until is not None:
        query = query.where(RECORDS.c.id < id_at(criteria.until))
    its = RECORDS.c
    indexed = {its.session: criteria.session, its.end_user: criteria.end_user, its.flow: criteria.flow}
    query = query.where(*(column == wanted for column, wanted in indexed.items() if wanted))
    return query.where(*_conditions(criteria))


def _conditions(criteria: RecordFilter) -> list[ColumnElement[bool]]:
    """Those that no index serves."""
    its = RECORDS.c
    equal = {
        its.model: criteria.model,
        its.project: criteria.project,
        its.door: criteria.endpoint,
        its.asked: criteria.requested_model,
        its.policy: criteria.policy,
        its.key: criteria.key,
        its.node: criteria.node,
        its.agent: criteria.agent,
        its.error: criteria.error,
        its.data_class: criteria.data_class,
    }
    found: list[ColumnElement[bool]] = [column == wanted for column, wanted in equal.items() if wanted]
    if criteria.status is not None:
        found.append(its.status == criteria.status)
    for column, wanted in ((its.error, criteria.failed), (its.degraded, criteria.degraded)):
        if wanted is not None:
            found.append(column != "" if wanted else column == "")
    if criteria.tag:
        found.append(its.tags.contains(join_tags((criteria.tag,)), autoescape=True))
    for text, part in ((its.guards, criteria.guardrail), (its.why, criteria.why)):
        if part:
            found.append(text.icontains(part, autoescape=True))
    if criteria.min_cost is not None:
        found.append(its.cost >= criteria.min_cost)
    if criteria.min_ms is not None:
        found.append(its.total_ms >= criteria.min_ms)
    if criteria.max_ms is not None:
        found.append(its.total_ms <= criteria.max_ms)
    return found


def id_at(unix_ms: int) -> int:
    """The least id of this time."""
    return (unix_ms * 1000) << PROCESS_BITS


def _traced(trace: str) -> Select[tuple[int]]:
    """Ids of the records of a trace id or prefix, by index within each chunk."""
    other = RECORDS.alias("other")
    chunks = select(func.max(RECORDS.c.chunk).label("chunk")).cte("chunks", recursive=True)
    older = select(func.max(other.c.chunk)).where(other.c.chunk < chunks.c.chunk).scalar_subquery()
    chunks = chunks.union_all(select(older).where(chunks.c.chunk.is_not(None)))
    # not LIKE: both databases use the index for a range; hex digits are below "g"
    its = (RECORDS.c.chunk == chunks.c.chunk) & (RECORDS.c.trace >= trace) & (RECORDS.c.trace < trace + "g")
    return select(RECORDS.c.id).join_from(chunks, RECORDS, its)
