"""Queries on the files attached to vector stores: each with the status that its state and its document give."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from msgspec import Struct
from sqlalchemy import Connection, Select, and_, case, delete, exists, func, insert, or_, select, update
from sqlalchemy.sql.elements import ColumnElement

from sizewise.file_search.tables import ATTACHED
from sizewise.files.tables import FILES
from sizewise.knowledge.tables import DOCUMENTS
from sizewise.storage.erasure import Caller
from sizewise.storage.row_pages import RowPage, in_page_order, page_query

FileStatus = Literal["in_progress", "completed", "cancelled", "failed"]
ID_BATCH = 500
"""Ids per statement."""


class AttachedRow(Struct, frozen=True):
    """`status` is derived from `state` and the document's."""

    number: int
    tenant: str
    project: str
    store: str
    file: str
    batch: str
    state: str
    document: str
    usage: int
    chunk_tokens: int
    chunk_overlap: int
    data_class: str
    created: int
    sealed: bytes
    caller_key: str
    caller_user: str
    status: FileStatus = "in_progress"


_ATTACHED = tuple(ATTACHED.c[name] for name in AttachedRow.__struct_fields__ if name != "status")


def _document() -> ColumnElement[bool]:
    """Joins an attached file to its document."""
    return and_(
        DOCUMENTS.c.tenant == ATTACHED.c.tenant,
        DOCUMENTS.c.project == ATTACHED.c.project,
        DOCUMENTS.c.base == ATTACHED.c.store,
        DOCUMENTS.c.id == ATTACHED.c.document,
    )


def _status() -> ColumnElement[str]:
    """The status of an attached file that is joined to its document."""
    return case(
        (ATTACHED.c.state == "queued", "in_progress"),
        (ATTACHED.c.state != "stored", ATTACHED.c.state),
        (DOCUMENTS.c.state == "ready", "completed"),
        (DOCUMENTS.c.state == "waiting", "in_progress"),
        else_="failed",  # its document was removed from the knowledge base
    )


def _attached(tenant: str, project: str, store: str) -> Select[Any]:
    its = ATTACHED.c
    joined = ATTACHED.outerjoin(DOCUMENTS, _document())
    query = select(*_ATTACHED, _status()).select_from(joined)
    return query.where(its.tenant == tenant, its.project == project, its.store == store)


def list_attached(
    connection: Connection, tenant: str, project: str, store: str, page: RowPage, *, batch: str = "", status: str = ""
) -> list[AttachedRow]:
    query = _attached(tenant, project, store)
    if batch:
        query = query.where(ATTACHED.c.batch == batch)
    if status:
        query = query.where(_status().in_([status]))
    found = connection.execute(page_query(query, ATTACHED.c.number, page))
    return in_page_order([AttachedRow(*each) for each in found], page)


def find_attached(connection: Connection, tenant: str, project: str, store: str, file: str) -> AttachedRow | None:
    found = connection.execute(_attached(tenant, project, store).where(ATTACHED.c.file == file)).one_or_none()
    return None if found is None else AttachedRow(*found)


def attached_by_document(
    connection: Connection, tenant: str, project: str, store: str, documents: Sequence[str]
) -> list[AttachedRow]:
    found = list[AttachedRow]()
    for start in range(0, len(documents), ID_BATCH):
        some = ATTACHED.c.document.in_(documents[start : start + ID_BATCH])
        found += [AttachedRow(*each) for each in connection.execute(_attached(tenant, project, store).where(some))]
    return found


def batch_counts(connection: Connection, tenant: str, project: str, store: str, batch: str) -> dict[str, int]:
    """Files by status, with the earliest creation time as `created`; empty if there is no such batch."""
    its = ATTACHED.c
    query = (
        select(_status().label("status"), func.count(), func.min(its.created))
        .select_from(ATTACHED.outerjoin(DOCUMENTS, _document()))
        .where(its.tenant == tenant, its.project == project, its.store == store, its.batch == batch)
        .group_by("status")  # the expression again would have other parameters, which Postgres takes for another
    )
    found: dict[str, int] = {}
    for status, count, created in connection.execute(query):
        found[status] = count
        found["created"] = min(created, found.get("created", created))
    return found


def failed_by_store(connection: Connection) -> dict[str, int]:
    """Failed files of all organizations, by the id of their vector store."""
    its = ATTACHED.c
    query = select(its.store, func.count()).select_from(ATTACHED.outerjoin(DOCUMENTS, _document()))
    found = connection.execute(query.where(_status().in_(["failed"])).group_by(its.store).order_by(its.store))
    return {row[0]: row[1] for row in found}


class NewAttached(Struct, frozen=True):
    """A file to attach."""

    file: str
    chunk_tokens: int
    chunk_overlap: int
    sealed: bytes


def attach(
    connection: Connection,
    tenant: str,
    project: str,
    store: str,
    files: Sequence[NewAttached],
    *,
    batch: str,
    data_class: str,
    now: int,
    caller: Caller,
) -> None:
    """A file that is there is read again, with its new attributes."""
    its = ATTACHED.c
    for each in files:
        values = {
            "batch": batch,
            "state": "queued",
            "chunk_tokens": each.chunk_tokens,
            "chunk_overlap": each.chunk_overlap,
            "data_class": data_class,
            "bytes": len(each.sealed),
            "sealed": each.sealed,
            **caller.values,
        }
        mine = and_(its.tenant == tenant, its.project == project, its.store == store, its.file == each.file)
        if connection.execute(update(ATTACHED).where(mine).values(**values)).rowcount:
            continue
        place = {"tenant": tenant, "project": project, "store": store, "file": each.file}
        connection.execute(insert(ATTACHED).values(**place, document="", usage=0, created=now, **values))


def set_sealed(connection: Connection, number: int, sealed: bytes, was: bytes, *, state: str) -> None:
    """Changes the encrypted fields and the state, unless the row has changed since it `was` read."""
    mine = and_(ATTACHED.c.number == number, ATTACHED.c.sealed == was)
    values = {"sealed": sealed, "bytes": len(sealed), "state": state}
    connection.execute(update(ATTACHED).where(mine).values(**values))


def mark_stored(connection: Connection, number: int, sealed: bytes, document: str, usage: int) -> bool:
    """False if the file was detached, attached anew or cancelled meanwhile: then `sealed` is no longer the row's."""
    mine = and_(ATTACHED.c.number == number, ATTACHED.c.state == "queued", ATTACHED.c.sealed == sealed)
    return (
        connection.execute(update(ATTACHED).where(mine).values(state="stored", document=document, usage=usage)).rowcount
        > 0
    )


def set_state(connection: Connection, number: int, state: str) -> None:
    connection.execute(update(ATTACHED).where(ATTACHED.c.number == number).values(state=state))


def detach(connection: Connection, number: int) -> None:
    connection.execute(delete(ATTACHED).where(ATTACHED.c.number == number))


def queued(connection: Connection, tenant: str, project: str, store: str, limit: int) -> list[AttachedRow]:
    """Oldest first."""
    query = _attached(tenant, project, store).where(ATTACHED.c.state == "queued")
    return [AttachedRow(*each) for each in connection.execute(query.order_by(ATTACHED.c.number).limit(limit))]


def stores_with_queued(connection: Connection) -> list[tuple[str, str, str]]:
    """(tenant, project, store) of all organizations."""
    its = ATTACHED.c
    query = select(its.tenant, its.project, its.store).where(its.state == "queued").distinct()
    return [(row[0], row[1], row[2]) for row in connection.execute(query)]


def without_file(connection: Connection, now: int, limit: int = 100) -> list[AttachedRow]:
    """Attached files of all organizations that were deleted or have expired."""
    its, file = ATTACHED.c, FILES.c
    alive = exists().where(file.id == its.file, file.state == "ready", or_(file.expires.is_(None), file.expires > now))
    query = select(*_ATTACHED).where(~alive).limit(limit)
    return [AttachedRow(*each) for each in connection.execute(query)]


def attached_everywhere(connection: Connection, tenant: str, project: str, file: str) -> list[AttachedRow]:
    """One file in all stores of its project."""
    its = ATTACHED.c
    query = select(*_ATTACHED).where(its.tenant == tenant, its.project == project, its.file == file)
    return [AttachedRow(*each) for each in connection.execute(query)]
