"""The rows of an eval run's data source: from the request, an uploaded file or stored responses; asks no model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from sizewise.app.application import Application
from sizewise.cache.stored_responses import StoredResponse
from sizewise.data_class import DataClass, strictest
from sizewise.errors import BadRequest, BodyTooLarge, Forbidden, PathNotFound
from sizewise.evals.hosted.data_sources import (
    DataRow,
    DataSource,
    FileContent,
    FileId,
    ResponsesQuery,
    check_count,
    check_rows,
    item_schema,
    read_jsonl,
)
from sizewise.handler import RequestOptions
from sizewise.principal import Principal

Json = dict[str, Any]
CONTENTS_ACTION = "read_contents"
MAX_TIME_MS = (1 << 63) - 1


async def load_rows(
    app: Application, principal: Principal, source: DataSource, config: Json, options: RequestOptions
) -> tuple[Sequence[DataRow], RequestOptions]:
    """`config`: the eval's data source. The options are tightened by the class of stored responses.

    Raises BadRequest, with the row that is wrong; Forbidden, PathNotFound.
    """
    most = app.resources.services.eval_runs.store.limits.max_items
    match source.source:
        case FileContent(content):
            rows: Sequence[DataRow] = content
        case FileId(id):
            rows = await _file_rows(app, principal, id, most)
        case ResponsesQuery() as query:
            found = await _responses(app, principal, query, config, most)
            rows, options = [_response_row(each) for each in found], _tightened(options, found)
            config = {}
        case _:
            raise BadRequest("this server stores no chat completions", "use the source `responses`")
    check_count(len(rows), most)
    schema = item_schema(config)
    await app.resources.offload.in_thread(check_rows, rows, schema)
    return rows, options


async def _file_rows(app: Application, principal: Principal, id: str, most: int) -> list[DataRow]:
    files, limits = app.resources.services.files, app.resources.services.eval_runs.store.limits
    stored = await files.find(id, principal.tenant, principal.project)
    if stored is None:
        hint = "upload it with POST /v1/files, or list the files with GET /v1/files"
        raise PathNotFound(f"there is no file {id[:100]!r}", hint, param="data_source.source.id")
    if stored.size > limits.max_data_bytes:
        hint = "split it, or raise `max_data_bytes` in [evals] of sizewise.toml"
        raise BodyTooLarge(f"the file is larger than {limits.max_data_bytes:,} bytes", hint, param="data_source")
    content = b"".join([part async for part in files.read(stored, principal.tenant)])
    return await app.resources.offload.in_thread(read_jsonl, content, most)


async def _responses(
    app: Application, principal: Principal, query: ResponsesQuery, config: Json, most: int
) -> list[StoredResponse]:
    """Newest first, then those that the query and the eval's own metadata select."""
    if CONTENTS_ACTION not in principal.permissions:
        raise Forbidden(
            f"this key lacks the permission `{CONTENTS_ACTION}`, which all stored responses of a project need",
            f"use a key with the permission `{CONTENTS_ACTION}`",
        )
    since = (query.created_after or 0) * 1_000
    until = MAX_TIME_MS if query.created_before is None else query.created_before * 1_000 + 999
    found = await app.resources.services.stored_responses.list_newest(
        principal.tenant, principal.project, since=since, until=min(until, MAX_TIME_MS), limit=most
    )
    metadata = {**(config.get("metadata") or {}), **(query.metadata or {})}
    return [each for each in found if _selects(query, metadata, msgspec.json.decode(each.body))]


def _selects(query: ResponsesQuery, metadata: Json, body: Json) -> bool:
    said = body.get("metadata") or {}
    words = query.instructions_search
    return (
        (query.model is None or body.get("model") == query.model)
        and all(said.get(name) == value for name, value in metadata.items())
        and (words is None or words.casefold() in str(body.get("instructions") or "").casefold())
    )


def _response_row(stored: StoredResponse) -> DataRow:
    body: Json = msgspec.json.decode(stored.body)
    asked = [each for each in msgspec.json.decode(stored.input) if isinstance(each, dict) and "role" in each]
    text, calls = list[str](), list[Json]()
    for item in body.get("output", ()):
        if item.get("type") == "message":
            text += [part["text"] for part in item.get("content", ()) if isinstance(part.get("text"), str)]
        elif item.get("type") == "function_call":
            called = {"name": item.get("name", ""), "arguments": item.get("arguments", "")}
            calls.append({"id": item.get("call_id", ""), "type": "function", "function": called})
    item = {
        "id": stored.id,
        "input": asked,
        "instructions": body.get("instructions"),
        "metadata": body.get("metadata") or {},
    }
    sample = {"output_text": "".join(text), "output_tools": calls, "model": body.get("model", "")}
    return DataRow(item, sample)


def _tightened(options: RequestOptions, found: Sequence[StoredResponse]) -> RequestOptions:
    """No looser than what the responses were made under: graders see them too."""
    classes: list[DataClass] = [each.data_class for each in found]
    classes += [options.data_class] if options.data_class is not None else []
    if not classes:
        return options
    online = options.online if all(each.online for each in found) else "deny"
    return replace(options, data_class=strictest(*classes), online=online)
