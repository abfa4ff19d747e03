"""/v1/vector_stores/{id}/files and file_batches: attaches, lists, shows, changes and detaches files of a store."""

from __future__ import annotations

from sizewise.app.application import Application
from sizewise.errors import BadRequest, PathNotFound
from sizewise.file_search.file_search_service import VectorStoreService
from sizewise.file_search.store_records import AttachedFile, StoreRecord
from sizewise.gateway.file_search import vector_stores_of
from sizewise.gateway.file_search_bodies import (
    FILE_STATUSES,
    AttributeChange,
    FileAttachment,
    FileBatchCreation,
    attributes_of,
    batch_object,
    file_object,
    read_body,
)
from sizewise.gateway.list_page import read_list_query
from sizewise.gateway.request_head import RequestHead
from sizewise.gateway.request_options import parse_options
from sizewise.gateway.response_writer import ResponseWriter
from sizewise.gateway.vector_stores import DEFAULT_LIMIT, ENDPOINT, MAX_LIMIT, Ids, page_of, send_json, send_page
from sizewise.knowledge.ingestion import MANAGE_ACTION
from sizewise.principal import Principal


async def attach(ids: Ids, app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
    """POST .../files. The file is read and embedded afterwards. Raises BadBody, PathNotFound, ModelUnavailable."""
    principal, service = head.authorize(app, ENDPOINT, MANAGE_ACTION), vector_stores_of(app)
    asked, options = read_body(FileAttachment, body)
    file = asked.file()
    store = await service.find_live(principal, ids["body"])
    await service.attach(principal, store, [file], parse_options(head.options, options).data_class)
    await _send(writer, head, service, await service.attached(principal, store, file.file))


async def list_files(ids: Ids, app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
    principal, service = head.authorize(app, ENDPOINT), vector_stores_of(app)
    await _list(head, writer, service, principal, await service.find(principal, ids["body"]))


async def get(ids: Ids, app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
    principal, service = head.authorize(app, ENDPOINT), vector_stores_of(app)
    store = await service.find(principal, ids["body"])
    await _send(writer, head, service, await service.attached(principal, store, ids["file"]))


async def set_attributes(ids: Ids, app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
    """POST .../files/{file}. Raises BadBody."""
    principal, service = head.authorize(app, ENDPOINT, MANAGE_ACTION), vector_stores_of(app)
    change, _ = read_body(AttributeChange, body)
    attributes = attributes_of(change.attributes)
    store = await service.find_live(principal, ids["body"])
    attached = await service.attached(principal, store, ids["file"])
    await _send(writer, head, service, await service.set_attributes(principal, attached, attributes))


async def detach(ids: Ids, app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
    """DELETE .../files/{file}: the file itself stays in /v1/files."""
    principal, service = head.authorize(app, ENDPOINT, MANAGE_ACTION), vector_stores_of(app)
    store = await service.find(principal, ids["body"])
    attached = await service.attached(principal, store, ids["file"])
    await service.detach(principal, attached)
    await send_json(writer, head, {"id": attached.file, "object": "vector_store.file.deleted", "deleted": True})


async def content(ids: Ids, app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
    """GET .../files/{file}/content: the text that was read from it."""
    principal, service = head.authorize(app, ENDPOINT), vector_stores_of(app)
    store = await service.find(principal, ids["body"])
    texts = await service.texts(principal, await service.attached(principal, store, ids["file"]))
    shown = {
        "object": "vector_store.file_content.page",
        "data": [{"type": "text", "text": text} for text in texts],
        "has_more": False,
        "next_page": None,
    }
    await send_json(writer, head, shown)


# ---- batches


async def create_batch(ids: Ids, app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
    principal, service = head.authorize(app, ENDPOINT, MANAGE_ACTION), vector_stores_of(app)
    asked, options = read_body(FileBatchCreation, body)
    files = asked.to_attach()
    store = await service.find_live(principal, ids["body"])
    data_class = parse_options(head.options, options).data_class
    batch = await service.attach(principal, store, files, data_class, as_batch=True)
    await _send_batch(writer, head, service, store, batch)


async def get_batch(ids: Ids, app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
    principal, service = head.authorize(app, ENDPOINT), vector_stores_of(app)
    await _send_batch(writer, head, service, await service.find(principal, ids["body"]), ids["batch"])


async def cancel_batch(ids: Ids, app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
    """POST .../cancel: files that are in progress are given up; those that are completed stay."""
    principal, service = head.authorize(app, ENDPOINT, MANAGE_ACTION), vector_stores_of(app)
    store = await service.find(principal, ids["body"])
    await service.cancel_batch(principal, store, ids["batch"])
    await _send_batch(writer, head, service, store, ids["batch"])


async def list_batch_files(ids: Ids, app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
    principal, service = head.authorize(app, ENDPOINT), vector_stores_of(app)
    store = await service.find(principal, ids["body"])
    await _counts_of(service, store, ids["batch"])
    await _list(head, writer, service, principal, store, ids["batch"])


# ----


async def _list(
    head: RequestHead,
    writer: ResponseWriter,
    service: VectorStoreService,
    principal: Principal,
    store: StoreRecord,
    batch: str = "",
) -> None:
    query = read_list_query(head.query_string, "filter", most=MAX_LIMIT, default=DEFAULT_LIMIT)
    status = query.filters.get("filter", "")
    if status and status not in FILE_STATUSES:
        raise BadRequest(f"`filter` is {status[:50]!r}", f"use one of: {', '.join(FILE_STATUSES)}", param="filter")
    after = (await service.attached(principal, store, query.after, "after")).number if query.after else None
    before = (await service.attached(principal, store, query.before, "before")).number if query.before else None
    found = await service.records.list_attached(store.base, page_of(query, after, before), batch=batch, status=status)
    settings = service.settings_of(store.id)
    await send_page(writer, head, query, [file_object(each, settings) for each in found])


async def _counts_of(service: VectorStoreService, store: StoreRecord, batch: str) -> dict[str, int]:
    counts = await service.records.batch_counts(store.base, batch) if batch else {}
    if not counts:
        raise PathNotFound(
            f"the vector store has no batch {batch[:100]!r}", "its files were detached, or its id is wrong"
        )
    return counts


async def _send_batch(
    writer: ResponseWriter, head: RequestHead, service: VectorStoreService, store: StoreRecord, batch: str
) -> None:
    await send_json(writer, head, batch_object(batch, store, await _counts_of(service, store, batch)))


async def _send(writer: ResponseWriter, head: RequestHead, service: VectorStoreService, attached: AttachedFile) -> None:
    await send_json(writer, head, file_object(attached, service.settings_of(attached.base.name)))
