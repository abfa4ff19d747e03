"""Tables of the API's vector stores and the files attached to them: states and times in clear, texts encrypted.

A vector store is a row here and the knowledge base of the same name. An attached file is `queued` until its document is
stored; from then on its status is that of the document.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct
from sqlalchemy import (
    Column,
    Connection,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Select,
    Table,
    Text,
    and_,
    case,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlalchemy.sql.elements import ColumnElement

from sizewise.files.tables import FILES
from sizewise.knowledge.tables import BASES, DOCUMENTS
from sizewise.storage.erasure import Caller, caller_columns, caller_index
from sizewise.storage.keys.tables import EncryptedTable
from sizewise.storage.migrations import BIG_INTEGER, Migrations

META = MetaData()
STORES_NAME, ATTACHED_NAME = "vector_stores", "vector_store_files"
"""Ciphertexts are bound to them."""
STORES = Table(
    STORES_NAME,
    META,
    Column("number", BIG_INTEGER, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("id", Text, nullable=False),  # also the name of its knowledge base
    Column("active", BIG_INTEGER, nullable=False),  # unix ms
    Column("days", Integer, nullable=False),  # of inactivity until it expires; 0: never
    Column("expires", BIG_INTEGER),  # unix ms; null: never
    Column("bytes", BIG_INTEGER, nullable=False),
    Column("sealed", LargeBinary, nullable=False),  # StoreDescription
)
ATTACHED = Table(
    ATTACHED_NAME,
    META,
    Column("number", BIG_INTEGER, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("store", Text, nullable=False),
    Column("file", Text, nullable=False),
    Column("batch", Text, nullable=False),  # empty: attached alone
    Column("state", Text, nullable=False),  # queued, stored, failed, cancelled
    Column("document", Text, nullable=False),  # id in the knowledge base; empty until it is stored
    Column("usage", BIG_INTEGER, nullable=False),  # bytes of its text
    Column("chunk_tokens", Integer, nullable=False),  # 0: as the knowledge base's settings say
    Column("chunk_overlap", Integer, nullable=False),
    Column("data_class", Text, nullable=False),  # empty: as the settings say
    Column("created", BIG_INTEGER, nullable=False),
    Column("bytes", BIG_INTEGER, nullable=False),
    Column("sealed", LargeBinary, nullable=False),  # AttachedContent
    *caller_columns(),
)
BY_STORE = Index("vector_stores_id", STORES.c.tenant, STORES.c.project, STORES.c.id, unique=True)
BY_FILE = Index(
    "vector_store_files_file",
    *(ATTACHED.c[name] for name in ("tenant", "project", "store", "file")),
    unique=True,
)
BY_BATCH = Index("vector_store_files_batch", ATTACHED.c.batch)

SCHEMA = Migrations(
    "file_search",
    (
        (
            *(CreateTable(table) for table in (STORES, ATTACHED)),
            *(CreateIndex(each) for each in (BY_STORE, BY_FILE, BY_BATCH, caller_index(ATTACHED))),
        ),
    ),
)
SEALED = (EncryptedTable(STORES, ("project", "id")), EncryptedTable(ATTACHED, ("project", "store", "file")))

FileStatus = Literal["in_progress", "completed", "cancelled", "failed"]
ID_BATCH = 500
"""Ids per statement."""


class Page(Struct, frozen=True):
    """`after`, `before`: the number of a row that the page follows or precedes."""

    newest_first: bool = True
    after: int | None = None
    before: int | None = None
    limit: int = 20


class StoreRow(Struct, frozen=True):
    """A knowledge base, with what is only stored of those that the API made. `number`: of the base."""

    number: int
    id: str
    created: int
    active: int | None = None
    days: int | None = None
    expires: int | None = None
    sealed: bytes | None = None


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


_STORE: Sequence[Any] = (
    BASES.c.number,
    BASES.c.name,
    BASES.c.created,
    *(STORES.c[n] for n in ("active", "days", "expires", "sealed")),
)
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


def _paged(query: Select[Any], number: ColumnElement[int], page: Page) -> Select[Any]:
    """Rows nearest to the cursor first; `_in_order` puts them in the page's order."""
    descending = page.newest_first is (page.before is None)
    if page.after is not None:
        query = query.where(number < page.after if page.newest_first else number > page.after)
    if page.before is not None:
        query = query.where(number > page.before if page.newest_first else number < page.before)
    return query.order_by(number.desc() if descending else number).limit(page.limit)


def _in_order(rows: list[Any], page: Page) -> list[Any]:
    return rows[::-1] if page.before is not None else rows


# ---- vector stores


def _stores(tenant: str, project: str) -> Select[Any]:
    same = and_(STORES.c.tenant == BASES.c.tenant, STORES.c.project == BASES.c.project, STORES.c.id == BASES.c.name)
    joined = BASES.outerjoin(STORES, same)
    return select(*_STORE).select_from(joined).where(BASES.c.tenant == tenant, BASES.c.project == project)


def list_stores(connection: Connection, tenant: str, project: str, page: Page) -> list[StoreRow]:
    found = connection.execute(_paged(_stores(tenant, project), BASES.c.number, page))
    return _in_order([StoreRow(*each) for each in found], page)


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
    stored = mine.document != ""
    files = select(mine.store, mine.state, stored, func.count(), func.coalesce(func.sum(mine.usage), 0)).where(
        mine.tenant == tenant, mine.project == project
    )
    for base, state, count in connection.execute(documents.where(its.base.in_(ids)).group_by(its.base, its.state)):
        if state in DOCUMENT_STATUS:
            _add(counts[base], DOCUMENT_STATUS[state], count)
    for store, state, has_document, count, size in connection.execute(
        files.where(mine.store.in_(ids)).group_by(mine.store, mine.state, stored)
    ):
        if state in UNSTORED_STATUS and not has_document:
            _add(counts[store], UNSTORED_STATUS[state], count)
        _add(counts[store], "bytes", int(size))
    return {id: StoreUsage(**found) for id, found in counts.items()}


def _add(counts: dict[str, int], name: str, more: int) -> None:
    counts[name] = counts.get(name, 0) + more


# ---- attached files


def _attached(tenant: str, project: str, store: str) -> Select[Any]:
    its = ATTACHED.c
    joined = ATTACHED.outerjoin(DOCUMENTS, _document())
    query = select(*_ATTACHED, _status()).select_from(joined)
    return query.where(its.tenant == tenant, its.project == project, its.store == store)


def list_attached(
    connection: Connection, tenant: str, project: str, store: str, page: Page, *, batch: str = "", status: str = ""
) -> list[AttachedRow]:
    query = _attached(tenant, project, store)
    if batch:
        query = query.where(ATTACHED.c.batch == batch)
    if status:
        query = query.where(_status().in_([status]))
    found = connection.execute(_paged(query, ATTACHED.c.number, page))
    return _in_order([AttachedRow(*each) for each in found], page)


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
        select(_status(), func.count(), func.min(its.created))
        .select_from(ATTACHED.outerjoin(DOCUMENTS, _document()))
        .where(its.tenant == tenant, its.project == project, its.store == store, its.batch == batch)
        .group_by(_status())
    )
    found: dict[str, int] = {}
    for status, count, created in connection.execute(query):
        found[status] = count
        found["created"] = min(created, found.get("created", created))
    return found


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


def newest_sealed(connection: Connection) -> bytes | None:
    """The most recently encrypted description, of any tenant."""
    return connection.scalar(select(STORES.c.sealed).order_by(STORES.c.number.desc()).limit(1))
