"""/v1/files: lists, shows, returns and deletes the files of the caller's project, in OpenAI's format."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import msgspec

from sizewise.app.application import Application
from sizewise.errors import PathNotFound, SizewiseError
from sizewise.files.file_store import FileStore, StoredFile
from sizewise.gateway.file_search import vector_stores_of
from sizewise.gateway.list_page import page_object, read_list_query
from sizewise.gateway.request_head import RequestHead
from sizewise.gateway.response_writer import JSON, ResponseWriter, trace_headers
from sizewise.principal import Principal
from sizewise.storage.row_pages import RowPage

log = logging.getLogger("sizewise.gateway")

MAX_LIMIT = 10_000


async def list_files(app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
    """GET /v1/files. Raises BadRequest."""
    principal, store = _store_of(app, head)
    query = read_list_query(head.query_string, "purpose", most=MAX_LIMIT, default=MAX_LIMIT, cursors=("after",))
    after = (await _find(store, principal, query.after, "after")).number if query.after else None
    page = RowPage(query.newest_first, after, limit=query.limit + 1)
    purpose = query.filters.get("purpose", "")
    found = await store.list_files(principal.tenant, principal.project, page, purpose=purpose)
    shown = [file_object(each) for each in found[: query.limit]]
    await _send(writer, head, page_object(shown, has_more=len(found) > query.limit))


async def get_file(app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
    """GET /v1/files/{id}: `body` is the id from the path. Raises PathNotFound."""
    principal, store = _store_of(app, head)
    await _send(writer, head, file_object(await _find(store, principal, body.decode("utf-8", "replace"))))


async def delete_file(app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
    """DELETE /v1/files/{id}. Raises PathNotFound."""
    principal, store = _store_of(app, head)
    stored = await _find(store, principal, body.decode("utf-8", "replace"))
    await store.delete(stored.id, principal.tenant, principal.project)
    await vector_stores_of(app).detach_everywhere(principal, stored.id)
    await _send(writer, head, {"id": stored.id, "object": "file", "deleted": True})


async def file_content(app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
    """GET /v1/files/{id}/content, part by part. After an error within it the connection is closed: the client gets
    fewer bytes than were announced.
    """
    principal, store = _store_of(app, head)
    stored = await _find(store, principal, body.decode("utf-8", "replace"))
    headers = [
        (b"content-type", b"application/octet-stream"),
        (b"content-disposition", b"attachment"),
        (b"content-length", b"%d" % stored.size),
        *trace_headers(head.trace),
    ]
    parts = store.read(stored, principal.tenant)
    first = await anext(parts, b"")  # an error before it is an answer
    await writer.start_stream(headers)
    try:
        if first:
            await writer.write(first)
        async for part in parts:
            await writer.write(part)
    except SizewiseError as error:
        log.warning("a download was cut, trace %s: %s", head.trace, error.code)
        return
    await writer.end_stream()


def file_object(stored: StoredFile) -> dict[str, object]:
    expires = {} if stored.expires is None else {"expires_at": stored.expires // 1_000}
    return {
        "id": stored.id,
        "object": "file",
        "bytes": stored.size,
        "created_at": stored.created // 1_000,
        **expires,
        "filename": stored.name,
        "purpose": stored.purpose,
        "status": "processed",
        "status_details": None,
    }


def _store_of(app: Application, head: RequestHead) -> tuple[Principal, FileStore]:
    """Raises InvalidApiKey or Forbidden."""
    return head.authorize(app, "files"), app.resources.services.files


async def _find(store: FileStore, principal: Principal, id: str, param: str | None = None) -> StoredFile:
    stored = await store.find(id, principal.tenant, principal.project)
    if stored is None:
        hint = "it was deleted, has expired or is another project's: list the files with GET /v1/files"
        raise PathNotFound(f"there is no file {id[:200]!r}", hint, param=param)
    return stored


async def _send(writer: ResponseWriter, head: RequestHead, shown: Mapping[str, Any]) -> None:
    await writer.send_response(200, [JSON, *trace_headers(head.trace)], msgspec.json.encode(shown))
