"""/v1/vector_stores: creates, lists, shows, changes, deletes and searches vector stores, in OpenAI's format."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from sizewise.app.application import Application
from sizewise.file_search.store_records import StoreDescription, StoreRecord
from sizewise.gateway.file_search import vector_stores_of
from sizewise.gateway.file_search_bodies import (
    VectorStoreChange,
    VectorStoreCreation,
    VectorStoreSearch,
    check_metadata,
    read_body,
    result_object,
    store_object,
)
from sizewise.gateway.list_page import ListQuery, page_object, read_list_query
from sizewise.gateway.request_head import RequestHead
from sizewise.gateway.request_options import parse_options
from sizewise.gateway.response_writer import JSON, ResponseWriter, trace_headers
from sizewise.knowledge.ingestion import MANAGE_ACTION
from sizewise.messages import EmbeddingRequest
from sizewise.storage.row_pages import RowPage

Json = dict[str, Any]
ENDPOINT = "vector_stores"
Ids = Mapping[str, str]
"""The ids in a path: `body` is the vector store's, `file` and `batch` those below it."""
MAX_LIMIT, DEFAULT_LIMIT = 100, 20


async def create(ids: Ids, app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
    """POST /v1/vector_stores. Raises BadBody, PathNotFound for a file, ModelUnavailable if nothing can embed."""
    principal = head.authorize(app, ENDPOINT, MANAGE_ACTION)
    made, options = read_body(VectorStoreCreation, body)
    description = StoreDescription(made.name or "", check_metadata(made.metadata), made.description)
    days = made.expires_after.days if made.expires_after is not None else 0
    data_class = parse_options(head.options, options).data_class
    store = await vector_stores_of(app).create(principal, description, days, made.files(), data_class)
    await send_json(writer, head, store_object(store))


async def list_stores(ids: Ids, app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
    """GET /v1/vector_stores. Raises BadRequest."""
    principal, service = head.authorize(app, ENDPOINT), vector_stores_of(app)
    query = read_list_query(head.query_string, most=MAX_LIMIT, default=DEFAULT_LIMIT)
    after = (await service.find(principal, query.after, "after")).number if query.after else None
    before = (await service.find(principal, query.before, "before")).number if query.before else None
    found = await service.list_stores(principal, page_of(query, after, before))
    await send_page(writer, head, query, [store_object(each) for each in found])


async def get(ids: Ids, app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
    principal = head.authorize(app, ENDPOINT)
    await send_json(writer, head, store_object(await vector_stores_of(app).find(principal, ids["body"])))


async def modify(ids: Ids, app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
    """POST /v1/vector_stores/{id}: fields that are missing keep their value."""
    principal, service = head.authorize(app, ENDPOINT, MANAGE_ACTION), vector_stores_of(app)
    change, _ = read_body(VectorStoreChange, body)
    store = await service.find(principal, ids["body"])
    description, days = changed(store, change)
    await send_json(writer, head, store_object(await service.modify(principal, store, description, days)))


def changed(store: StoreRecord, change: VectorStoreChange) -> tuple[StoreDescription, int]:
    """Description and days of the changed store. Raises BadBody."""
    was = store.description
    metadata = was.metadata if isinstance(change.metadata, msgspec.UnsetType) else check_metadata(change.metadata)
    days = store.days
    if not isinstance(change.expires_after, msgspec.UnsetType):
        days = change.expires_after.days if change.expires_after is not None else 0
    return StoreDescription(was.name if change.name is None else change.name, metadata, was.description), days


async def delete(ids: Ids, app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
    principal = head.authorize(app, ENDPOINT, MANAGE_ACTION)
    await vector_stores_of(app).delete(principal, ids["body"])
    await send_json(writer, head, {"id": ids["body"], "object": "vector_store.deleted", "deleted": True})


async def search(ids: Ids, app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
    """POST /v1/vector_stores/{id}/search. Raises BadBody, and the errors of the embedding model and the store."""
    head.authorize(app, ENDPOINT)
    asked, options = read_body(VectorStoreSearch, body)
    wanted = asked.search()
    request = head.request(EmbeddingRequest("", [], {}), parse_options(head.options, options), ENDPOINT)
    found = await vector_stores_of(app).search(request, [ids["body"]], wanted, "vector_store_id")
    shown = {
        "object": "vector_store.search_results.page",
        "search_query": asked.queries(),
        "data": [result_object(each) for each in found],
        "has_more": False,
        "next_page": None,
    }
    await send_json(writer, head, shown)


def page_of(query: ListQuery, after: int | None, before: int | None) -> RowPage:
    """With one row more than the page, so that it is known whether there is another."""
    return RowPage(query.newest_first, after, before, query.limit + 1)


async def send_page(writer: ResponseWriter, head: RequestHead, query: ListQuery, data: list[Json]) -> None:
    """`data`: as found with `page_of`."""
    has_more = len(data) > query.limit
    if has_more:
        data = data[-query.limit :] if query.before else data[: query.limit]
    await send_json(writer, head, page_object(data, has_more=has_more))


async def send_json(writer: ResponseWriter, head: RequestHead, shown: Json) -> None:
    await writer.send_response(200, [JSON, *trace_headers(head.trace)], msgspec.json.encode(shown))
