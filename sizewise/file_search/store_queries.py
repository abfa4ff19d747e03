"""Queries on vector stores: listed, changed, counted and expired; the rows of their files are elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct
from sqlalchemy import Connection, Select, and_, delete, exists, func, insert, or_, select, update

from sizewise.file_search.tables import ATTACHED, STORES
from sizewise.knowledge.tables import BASES, DOCUMENTS
from sizewise.storage.row_pages import RowPage, in_page_order, page_query


class StoreRow(Struct, frozen=True):
    """A knowledge base, with what is only stored of those that the API made. `number`: of the base."""

    number: int
    id: str
    created: int
    active: int | None = None
    days: int | None = None
    expires: int | None = None
    sealed: bytes | None = None


_STORE: Sequence[Any] = (
    BASES.c.number,
    BASES.c.name,
    BASES.c.created,
    *(STORES.c[n] for n in ("active", "days", "expires", "sealed")),
)


def _stores(tenant: str, project: str) -> Select[Any]:
    same = and_(STORES.c.tenant == BASES.c.tenant, STORES.c.project == BASES.c.project, STORES.c.id == BASES.c.name)
    joined = BASES.outerjoin(STORES, same)
    return select(*_STORE).select_from(joined).where(BASES.c.tenant == tenant, BASES.c.project == project)


def list_stores(connection: Connection, tenant: str, project: str, page: RowPage) -> list[StoreRow]:
    found = connection.execute(page_query(_stores(tenant, project), BASES.c.number, page))
    return in_page_order([StoreRow(*each) for each in found], page)


def find_store(connection: Connection, tenant: str, project: str, id: str) -> StoreRow | None:
    found = connection.execute(_stores(tenant, project).where(BASES.c.name == id)).one_or_none()
    return None if found is None else StoreRow(*found)


def put_store(
    connection: Connection,
    tenant: str,
    project: str,
    id: str,
    active: int,
    days: int,
    expires: int | None,
    sealed: bytes,
) -> None:
    """Adds or replaces the row of a vector store."""
    values = {"active": active, "days": days, "expires": expires, "bytes": len(sealed), "sealed": sealed}
    mine = and_(STORES.c.tenant == tenant, STORES.c.project == project, STORES.c.id == id)
    if not connection.execute(update(STORES).where(mine).values(**values)).rowcount:
        connection.execute(insert(STORES).values(tenant=tenant, project=project, id=id, **values))


def touch_store(connection: Connection, tenant: str, project: str, id: str, active: int, expires: int | None) -> None:
    """Records that it was used. One that has expired stays so."""
    mine = and_(STORES.c.tenant == tenant, STORES.c.project == project, STORES.c.id == id)
    alive = or_(STORES.c.expires.is_(None), STORES.c.expires > active)
    connection.execute(update(STORES).where(mine, alive).values(active=active, expires=expires))


def delete_store(connection: Connection, tenant: str, project: str, id: str) -> None:
    """Deletes what is stored here of a vector store; its knowledge base is removed apart."""
    its = ATTACHED.c
    connection.execute(delete(ATTACHED).where(its.tenant == tenant, its.project == project, its.store == id))
    connection.execute(delete(STORES).where(STORES.c.tenant == tenant, STORES.c.project == project, STORES.c.id == id))


def expired_stores(connection: Connection, now: int, limit: int = 20) -> list[tuple[str, str, str]]:
    """(tenant, project, id) of expired stores of all organizations that still have content."""
    its, mine = STORES.c, ATTACHED.c
    attached = exists().where(mine.tenant == its.tenant, mine.project == its.project, mine.store == its.id)
    documents = exists().where(
        DOCUMENTS.c.tenant == its.tenant, DOCUMENTS.c.project == its.project, DOCUMENTS.c.base == its.id
    )
    query = select(its.tenant, its.project, its.id).where(its.expires <= now, or_(attached, documents)).limit(limit)
    return [(row[0], row[1], row[2]) for row in connection.execute(query)]


def expired_ids(connection: Connection, now: int) -> list[str]:
    """Of all organizations, oldest first."""
    return list(connection.scalars(select(STORES.c.id).where(STORES.c.expires <= now).order_by(STORES.c.number)))


class StoreUsage(Struct, frozen=True):
    """Counts of one store's files by status, and the bytes of their texts."""

    in_progress: int = 0
    completed: int = 0
    cancelled: int = 0
    failed: int = 0
    bytes: int = 0

    @property
    def total(self) -> int:
        return self.in_progress + self.completed + self.cancelled + self.failed


DOCUMENT_STATUS: Mapping[str, str] = {"waiting": "in_progress", "ready": "completed"}
UNSTORED_STATUS: Mapping[str, str] = {"queued": "in_progress", "failed": "failed", "cancelled": "cancelled"}


def store_usage(connection: Connection, tenant: str, project: str, ids: Sequence[str]) -> dict[str, StoreUsage]:
    """By id. Counts the documents of the knowledge base, and the files that have none."""
    counts: dict[str, dict[str, int]] = {id: {} for id in ids}
    its, mine = DOCUMENTS.c, ATTACHED.c
    documents = select(its.base, its.state, func.count()).where(its.tenant == tenant, its.project == project)
    stored = (mine.document != "").label("is_stored")
    files = select(mine.store, mine.state, stored, func.count(), func.coalesce(func.sum(mine.usage), 0)).where(
        mine.tenant == tenant, mine.project == project
    )
    for base, state, count in connection.execute(documents.where(its.base.in_(ids)).group_by(its.base, its.state)):
        if state in DOCUMENT_STATUS:
            _add(counts[base], DOCUMENT_STATUS[state], count)
    for store, state, has_document, count, size in connection.execute(
        files.where(mine.store.in_(ids)).group_by(
            mine.store, mine.state, "is_stored"
        )  # an expression has other parameters
    ):
        if state in UNSTORED_STATUS and not has_document:
            _add(counts[store], UNSTORED_STATUS[state], count)
        _add(counts[store], "bytes", int(size))
    return {id: StoreUsage(**found) for id, found in counts.items()}


def _add(counts: dict[str, int], name: str, more: int) -> None:
    counts[name] = counts.get(name, 0) + more
