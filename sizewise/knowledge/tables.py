"""The tables of knowledge bases, documents and passages; their text is stored encrypted only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct
from sqlalchemy import (
    Column,
    Connection,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    and_,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlalchemy.sql.elements import ColumnElement

from sizewise.audit_log import tables as audit
from sizewise.audit_log.hash_chain import AuditEvent
from sizewise.knowledge.base_summary import PassageCounts
from sizewise.storage.keys.tables import EncryptedTable
from sizewise.storage.migrations import BIG_INTEGER, Migrations
from sizewise.storage.upsert import insert_if_absent, upsert

META = MetaData()

BASES = Table(
    "knowledge_bases",
    META,
    Column("number", BIG_INTEGER, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("created", BIG_INTEGER, nullable=False),  # unix ms
    Column("model", Text, nullable=False),  # embedding model
    Column("dimension", Integer, nullable=False),  # 0: nothing embedded yet
    Column("bytes", BIG_INTEGER, nullable=False),
    Column("sealed", LargeBinary, nullable=False),  # the key for its terms, ids and digests
)
BY_NAME = Index("knowledge_bases_name", BASES.c.tenant, BASES.c.project, BASES.c.name, unique=True)

DOCUMENTS = Table(
    "knowledge_documents",
    META,
    Column("number", BIG_INTEGER, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("base", Text, nullable=False),
    Column("id", Text, nullable=False),  # keyed hash of its source
    Column("state", Text, nullable=False),  # waiting, ready, leaving
    Column("digest", Text, nullable=False),  # keyed hashes of its bytes and chunking, and of its access and tags
    Column("kind", Text, nullable=False),
    Column("data_class", Text, nullable=False),
    Column("readers", Text, nullable=False),  # one per line; empty: everyone in the project
    Column("pages", Integer, nullable=False),
    Column("created", BIG_INTEGER, nullable=False),
    Column("changed", BIG_INTEGER, nullable=False),
    Column("bytes", BIG_INTEGER, nullable=False),
    Column("sealed", LargeBinary, nullable=False),  # DocumentMetadata
)
BY_ID = Index(
    "knowledge_documents_id",
    DOCUMENTS.c.tenant,
    DOCUMENTS.c.project,
    DOCUMENTS.c.base,
    DOCUMENTS.c.id,
    unique=True,
)

BY_CONTENT = Index(
    "knowledge_documents_digest",
    DOCUMENTS.c.tenant,
    DOCUMENTS.c.project,
    DOCUMENTS.c.base,
    DOCUMENTS.c.digest,
)

PASSAGES = Table(
    "knowledge_passages",
    META,
    Column("number", BIG_INTEGER, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("base", Text, nullable=False),
    Column("document", Text, nullable=False),
    Column("id", Text, nullable=False),  # a UUID
    Column("place", Integer, nullable=False),  # index in its document
    Column("state", Text, nullable=False),  # waiting, ready, held, old
    Column("bytes", BIG_INTEGER, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)
BY_PASSAGE = Index(
    "knowledge_passages_id",
    PASSAGES.c.tenant,
    PASSAGES.c.project,
    PASSAGES.c.base,
    PASSAGES.c.id,
    unique=True,
)
BY_DOCUMENT = Index(
    "knowledge_passages_document",
    PASSAGES.c.tenant,
    PASSAGES.c.project,
    PASSAGES.c.base,
    PASSAGES.c.document,
    PASSAGES.c.state,
)

GENERATIONS = Table(  # none: the only index of a base is that of its `model`
    "knowledge_generations",
    META,
    Column("number", BIG_INTEGER, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("base", Text, nullable=False),
    Column("label", Text, nullable=False),  # in the name of its collection
    Column("model", Text, nullable=False),
    Column("dimension", Integer, nullable=False),  # 0: nothing embedded yet
    Column("built", Text),  # passages with ids up to it are embedded; null: all are
    Column("ready", Integer, nullable=False),  # 1: all passages were embedded once
    Column("started_by", Text, nullable=False),
    Column("created", BIG_INTEGER, nullable=False),
)
BY_MODEL = Index(
    "knowledge_generations_model",
    GENERATIONS.c.tenant,
    GENERATIONS.c.project,
    GENERATIONS.c.base,
    GENERATIONS.c.model,
    unique=True,
)

SCHEMA = Migrations(
    "knowledge",
    (
        (
            CreateTable(BASES),
            CreateIndex(BY_NAME),
            CreateTable(DOCUMENTS),
            CreateIndex(BY_ID),
            CreateTable(PASSAGES),
            CreateIndex(BY_PASSAGE),
            CreateIndex(BY_DOCUMENT),
        ),
        (CreateIndex(BY_CONTENT),),
        (CreateTable(GENERATIONS), CreateIndex(BY_MODEL)),
    ),
)
SEALED = (
    EncryptedTable(BASES, ("project", "name")),
    EncryptedTable(DOCUMENTS, ("project", "base", "id")),
    EncryptedTable(PASSAGES, ("project", "base", "id")),
)
ID_BATCH = 500
"""Ids per statement."""


class BaseRow(Struct, frozen=True):
    tenant: str
    project: str
    name: str
    created: int
    model: str
    dimension: int
    sealed: bytes


class DocumentRow(Struct, frozen=True):
    tenant: str
    project: str
    base: str
    id: str
    state: str
    digest: str
    kind: str
    data_class: str
    readers: str
    pages: int
    created: int
    changed: int
    sealed: bytes


class PassageRow(Struct, frozen=True):
    tenant: str
    project: str
    base: str
    document: str
    id: str
    place: int
    state: str
    sealed: bytes


def in_base(table: Table, tenant: str, project: str, base: str) -> ColumnElement[bool]:
    its = table.c
    return and_(its.tenant == tenant, its.project == project, (its.name if table is BASES else its.base) == base)


# ---- bases ----------------------------------------------------------------------------------------------------------


def bases(connection: Connection, tenant: str, project: str | None) -> list[BaseRow]:
    """`project` None: of all projects."""
    its = BASES.c
    mine = its.tenant == tenant if project is None else and_(its.tenant == tenant, its.project == project)
    names = [its[name] for name in BaseRow.__struct_fields__]
    found = connection.execute(select(*names).where(mine).order_by(its.project, its.name))
    return [BaseRow(*row) for row in found]


def base(connection: Connection, tenant: str, project: str, name: str) -> BaseRow | None:
    names = [BASES.c[each] for each in BaseRow.__struct_fields__]
    row = connection.execute(select(*names).where(in_base(BASES, tenant, project, name))).one_or_none()
    return None if row is None else BaseRow(*row)


def base_ids(connection: Connection) -> list[tuple[str, str, str]]:
    """(tenant, project, name) of the bases of all organizations."""
    its = BASES.c
    query = select(its.tenant, its.project, its.name).order_by(its.tenant, its.project, its.name)
    return [(row[0], row[1], row[2]) for row in connection.execute(query)]


def add_base(connection: Connection, row: BaseRow, audit_event: AuditEvent) -> BaseRow:
    """Returns the existing base if another request created it first."""
    there = base(connection, row.tenant, row.project, row.name)
    if there is not None:
        return there
    values = {name: getattr(row, name) for name in BaseRow.__struct_fields__}
    if not insert_if_absent(connection, BASES, {**values, "bytes": len(row.sealed)}):
        return base(connection, row.tenant, row.project, row.name) or row
    audit.append_event(connection, audit_event)
    return row


def set_embedding_model(
    connection: Connection,
    tenant: str,
    project: str,
    name: str,
    model: str,
    dimension: int,
    reembed: bool = False,
) -> None:
    """Of a base with one generation. If the model changes, or with `reembed`, all passages wait to be embedded."""
    where = in_base(BASES, tenant, project, name)
    before = connection.scalar(select(BASES.c.model).where(where))
    connection.execute(update(BASES).where(where).values(model=model, dimension=dimension))
    its = in_base(GENERATIONS, tenant, project, name)
    connection.execute(update(GENERATIONS).where(its).values(model=model, dimension=dimension))
    if reembed or before != model:
        its = in_base(PASSAGES, tenant, project, name)
        connection.execute(delete(PASSAGES).where(its, PASSAGES.c.state == "old"))
        connection.execute(update(PASSAGES).where(its, PASSAGES.c.state == "ready").values(state="waiting"))
        documents = in_base(DOCUMENTS, tenant, project, name)
        connection.execute(update(DOCUMENTS).where(documents, DOCUMENTS.c.state == "ready").values(state="waiting"))


def record_event(connection: Connection, audit_event: AuditEvent) -> None:
    audit.append_event(connection, audit_event)


def remove_base(connection: Connection, tenant: str, project: str, name: str, audit_event: AuditEvent) -> bool:
    """Deletes the base with all its documents. Returns whether it existed."""
    for table in (PASSAGES, DOCUMENTS, GENERATIONS):
        connection.execute(delete(table).where(in_base(table, tenant, project, name)))
    there = connection.execute(delete(BASES).where(in_base(BASES, tenant, project, name))).rowcount > 0
    if there:
        audit.append_event(connection, audit_event)
    return there


def empty_base(connection: Connection, tenant: str, project: str, name: str, audit_event: AuditEvent) -> None:
    """Deletes all documents of a base, which stays."""
    for table in (PASSAGES, DOCUMENTS, GENERATIONS):
        connection.execute(delete(table).where(in_base(table, tenant, project, name)))
    connection.execute(update(BASES).where(in_base(BASES, tenant, project, name)).values(dimension=0))
    audit.append_event(connection, audit_event)


def passage_counts(connection: Connection, tenant: str, project: str, name: str, document: str = "") -> PassageCounts:
    mine = in_base(PASSAGES, tenant, project, name)
    if document:
        mine = and_(mine, PASSAGES.c.document == document)
    query = select(PASSAGES.c.state, func.count()).where(mine).group_by(PASSAGES.c.state)
    counts: dict[str, int] = dict(connection.execute(query).tuples().all())
    there = and_(in_base(DOCUMENTS, tenant, project, name), DOCUMENTS.c.state != "leaving")
    documents = 1 if document else connection.scalar(select(func.count()).select_from(DOCUMENTS).where(there)) or 0
    waiting, held = counts.get("waiting", 0), counts.get("held", 0)
    return PassageCounts(counts.get("ready", 0) + waiting + held, waiting, held, documents)


# ---- documents ------------------------------------------------------------------------------------------------------


def documents(
    connection: Connection,
    tenant: str,
    project: str,
    name: str,
    after: str = "",
    limit: int = 1_000,
) -> list[DocumentRow]:
    """Ordered by id, after the id `after`; includes documents that are leaving."""
    its = DOCUMENTS.c
    names = [its[each] for each in DocumentRow.__struct_fields__]
    query = (
        select(*names).where(in_base(DOCUMENTS, tenant, project, name), its.id > after).order_by(its.id).limit(limit)
    )
    return [DocumentRow(*row) for row in connection.execute(query)]


def document(connection: Connection, tenant: str, project: str, name: str, id: str) -> DocumentRow | None:
    its = DOCUMENTS.c
    names = [its[each] for each in DocumentRow.__struct_fields__]
    row = connection.execute(
        select(*names).where(in_base(DOCUMENTS, tenant, project, name), its.id == id)
    ).one_or_none()
    return None if row is None else DocumentRow(*row)


def documents_by_id(
    connection: Connection,
    tenant: str,
    project: str,
    name: str,
    ids: Sequence[str],
) -> list[DocumentRow]:
    its, found = DOCUMENTS.c, list[DocumentRow]()
    names = [its[each] for each in DocumentRow.__struct_fields__]
    for start in range(0, len(ids), ID_BATCH):
        mine = and_(in_base(DOCUMENTS, tenant, project, name), its.id.in_(ids[start : start + ID_BATCH]))
        found += [DocumentRow(*row) for row in connection.execute(select(*names).where(mine))]
    return found


def access_counts(connection: Connection, tenant: str, project: str, name: str) -> list[tuple[str, str, int]]:
    """(data class, readers one per line, documents), without those that are leaving."""
    its = DOCUMENTS.c
    mine = and_(in_base(DOCUMENTS, tenant, project, name), its.state != "leaving")
    query = select(its.data_class, its.readers, func.count()).where(mine).group_by(its.data_class, its.readers)
    return [(row[0], row[1], row[2]) for row in connection.execute(query)]


def documents_by_content(
    connection: Connection, tenant: str, project: str, name: str, content: str, limit: int
) -> list[DocumentRow]:
    """Documents whose digest begins with `content`, lowercase hex, without those that are leaving."""
    its = DOCUMENTS.c
    names = [its[each] for each in DocumentRow.__struct_fields__]
    mine = and_(in_base(DOCUMENTS, tenant, project, name), its.state != "leaving")
    same = and_(mine, its.digest >= content, its.digest < f"{content}g")
    return [DocumentRow(*row) for row in connection.execute(select(*names).where(same).order_by(its.id).limit(limit))]


def save_document(
    connection: Connection,
    row: DocumentRow,
    passages: Sequence[PassageRow],
    reembed: bool,
    audit_event: AuditEvent,
) -> None:
    """Replaces a document. Embedded passages with the same id are kept; other embedded ones become old and stay
    searchable until `mark_document_ready`. `reembed`: keeps none, so that all passages are embedded again.
    """
    its = PASSAGES.c
    values = {name: getattr(row, name) for name in DocumentRow.__struct_fields__} | {"bytes": len(row.sealed)}
    key = {name: values.pop(name) for name in ("tenant", "project", "base", "id")}
    changed = {name: value for name, value in values.items() if name != "created"}
    upsert(connection, DOCUMENTS, key, values, changed)  # from here on, another one that saves it waits
    of_it = and_(in_base(PASSAGES, row.tenant, row.project, row.base), its.document == row.id)
    before = set(connection.scalars(select(its.id).where(of_it, its.state.in_(("ready", "old")))))
    kept = before.intersection(each.id for each in passages)
    connection.execute(delete(PASSAGES).where(of_it, its.state.in_(("waiting", "held"))))
    if reembed:  # the old version may have had more readers, so it must not be found any more
        connection.execute(delete(PASSAGES).where(of_it))
        kept = set()
    connection.execute(update(PASSAGES).where(of_it).values(state="old"))
    fresh = list[dict[str, object]]()
    for each in passages:
        values = {name: getattr(each, name) for name in PassageRow.__struct_fields__} | {"bytes": len(each.sealed)}
        if each.id not in kept:
            fresh.append(values)
        else:
            state = "held" if each.state == "held" else "ready"
            connection.execute(update(PASSAGES).where(of_it, its.id == each.id).values(**values | {"state": state}))
    if fresh:
        connection.execute(insert(PASSAGES), fresh)
    audit.append_event(connection, audit_event)


def mark_document_ready(connection: Connection, tenant: str, project: str, name: str, id: str) -> None:
    """Deletes the passages of the previous version."""
    of_it = and_(in_base(PASSAGES, tenant, project, name), PASSAGES.c.document == id)
    connection.execute(delete(PASSAGES).where(of_it, PASSAGES.c.state == "old"))
    its = and_(in_base(DOCUMENTS, tenant, project, name), DOCUMENTS.c.id == id, DOCUMENTS.c.state == "waiting")
    connection.execute(update(DOCUMENTS).where(its).values(state="ready"))


def mark_for_deletion(
    connection: Connection,
    tenant: str,
    project: str,
    name: str,
    id: str,
    audit_event: AuditEvent,
) -> bool:
    """Hides a document; `delete_document` removes its row once the vector store has deleted it. Returns whether it
    existed.
    """
    its = and_(in_base(DOCUMENTS, tenant, project, name), DOCUMENTS.c.id == id, DOCUMENTS.c.state != "leaving")
    there = connection.execute(update(DOCUMENTS).where(its).values(state="leaving")).rowcount > 0
    if there:
        connection.execute(delete(PASSAGES).where(in_base(PASSAGES, tenant, project, name), PASSAGES.c.document == id))
        audit.append_event(connection, audit_event)
    return there


def delete_document(connection: Connection, tenant: str, project: str, name: str, id: str) -> None:
    its = and_(in_base(DOCUMENTS, tenant, project, name), DOCUMENTS.c.id == id, DOCUMENTS.c.state == "leaving")
    connection.execute(delete(DOCUMENTS).where(its))


def bases_with_pending_documents(connection: Connection) -> list[tuple[str, str, str]]:
    """(tenant, project, name) of bases of all organizations."""
    its = DOCUMENTS.c
    query = select(its.tenant, its.project, its.base).where(its.state != "ready").distinct()
    return [(row[0], row[1], row[2]) for row in connection.execute(query)]


def pending_documents(connection: Connection, tenant: str, project: str, name: str, limit: int) -> list[DocumentRow]:
    """Documents to be embedded, or to be deleted from the vector store."""
    its = DOCUMENTS.c
    names = [its[each] for each in DocumentRow.__struct_fields__]
    query = select(*names).where(in_base(DOCUMENTS, tenant, project, name), its.state != "ready").limit(limit)
    return [DocumentRow(*row) for row in connection.execute(query)]


# ---- passages -------------------------------------------------------------------------------------------------------


def passages(
    connection: Connection,
    tenant: str,
    project: str,
    name: str,
    document: str,
    state: str = "",
    limit: int = 100_000,
) -> list[PassageRow]:
    """In document order; an empty `state` selects all."""
    its = PASSAGES.c
    mine = and_(in_base(PASSAGES, tenant, project, name), its.document == document)
    if state:
        mine = and_(mine, its.state == state)
    names = [its[each] for each in PassageRow.__struct_fields__]
    return [PassageRow(*row) for row in connection.execute(select(*names).where(mine).order_by(its.place).limit(limit))]


def embedded_passage_ids(connection: Connection, tenant: str, project: str, name: str, document: str) -> list[str]:
    its = PASSAGES.c
    mine = and_(in_base(PASSAGES, tenant, project, name), its.document == document, its.state == "ready")
    return list(connection.scalars(select(its.id).where(mine)))


def passages_by_id(
    connection: Connection,
    tenant: str,
    project: str,
    name: str,
    ids: Sequence[str],
) -> list[PassageRow]:
    """Only passages that are searchable (ready or old); unordered."""
    its, found = PASSAGES.c, list[PassageRow]()
    names = [its[each] for each in PassageRow.__struct_fields__]
    for start in range(0, len(ids), ID_BATCH):
        mine = and_(in_base(PASSAGES, tenant, project, name), its.id.in_(ids[start : start + ID_BATCH]))
        query = select(*names).where(mine, its.state.in_(("ready", "old")))
        found += [PassageRow(*row) for row in connection.execute(query)]
    return found


def embedded_passage_count(connection: Connection, tenant: str, project: str, name: str) -> int:
    """Passages that the vector store must have: ready or old."""
    mine = and_(in_base(PASSAGES, tenant, project, name), PASSAGES.c.state.in_(("ready", "old")))
    return connection.scalar(select(func.count()).select_from(PASSAGES).where(mine)) or 0


def ready_passage_ids(
    connection: Connection, tenant: str, project: str, name: str, after: str, limit: int
) -> list[str]:
    """Ordered by id, after the id `after`."""
    its = PASSAGES.c
    mine = and_(in_base(PASSAGES, tenant, project, name), its.state == "ready", its.id > after)
    return list(connection.scalars(select(its.id).where(mine).order_by(its.id).limit(limit)))


def mark_for_embedding(connection: Connection, tenant: str, project: str, name: str, ids: Iterable[str]) -> None:
    """Ready passages with these ids, and their documents, wait to be embedded again."""
    its, every = PASSAGES.c, list(ids)
    for start in range(0, len(every), ID_BATCH):
        mine = and_(in_base(PASSAGES, tenant, project, name), its.id.in_(every[start : start + ID_BATCH]))
        documents = set(connection.scalars(select(its.document).where(mine, its.state == "ready")))
        connection.execute(update(PASSAGES).where(mine, its.state == "ready").values(state="waiting"))
        theirs = and_(in_base(DOCUMENTS, tenant, project, name), DOCUMENTS.c.id.in_(documents))
        connection.execute(update(DOCUMENTS).where(theirs, DOCUMENTS.c.state == "ready").values(state="waiting"))


def set_passage_state(
    connection: Connection,
    tenant: str,
    project: str,
    name: str,
    ids: Iterable[str],
    state: str,
) -> None:
    """Ignores ids that have been deleted."""
    its, every = PASSAGES.c, list(ids)
    for start in range(0, len(every), ID_BATCH):
        mine = and_(in_base(PASSAGES, tenant, project, name), its.id.in_(every[start : start + ID_BATCH]))
        connection.execute(update(PASSAGES).where(mine).values(state=state))


def release_passages(
    connection: Connection,
    tenant: str,
    project: str,
    name: str,
    document: str,
    audit_event: AuditEvent,
) -> int:
    """Lets held back passages of a document be embedded. Returns how many."""
    mine = and_(in_base(PASSAGES, tenant, project, name), PASSAGES.c.document == document, PASSAGES.c.state == "held")
    count = connection.execute(update(PASSAGES).where(mine).values(state="waiting")).rowcount
    if count:
        its = and_(in_base(DOCUMENTS, tenant, project, name), DOCUMENTS.c.id == document, DOCUMENTS.c.state == "ready")
        connection.execute(update(DOCUMENTS).where(its).values(state="waiting"))
        audit.append_event(connection, audit_event)
    return count
