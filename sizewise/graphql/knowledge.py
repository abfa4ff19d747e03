"""Fields of knowledge bases and documents; the knowledge service checks access."""

from __future__ import annotations

import binascii
import time
from base64 import b64decode
from collections.abc import Sequence
from functools import partial

import msgspec

from sizewise.data_class import DataClass
from sizewise.errors import BadRequest, SizewiseError
from sizewise.graphql.context import RequestContext
from sizewise.graphql.model_type import FieldValues
from sizewise.handler import Request
from sizewise.knowledge.base_summary import BaseSummary
from sizewise.knowledge.document import Document
from sizewise.knowledge.document_store import DocumentRecord, PassageRecord
from sizewise.knowledge.results import SearchMode, SearchResult
from sizewise.knowledge.upload import DocumentUpload, IngestionResult
from sizewise.messages import EmbeddingRequest
from sizewise.offload.offload import LONG_BYTES

MAX_PASSAGES = 1_000
PAGES = 100_000


def _request(context: RequestContext) -> Request:
    """Carries the principal and trace under which models are called."""
    return Request(
        EmbeddingRequest("", [], {}),
        context.principal,
        context.trace,
        time.perf_counter(),
        endpoint="graphql",
    )


async def knowledge(context: RequestContext) -> list[FieldValues]:
    found = await context.app.knowledge_base.bases(context.principal)
    context.charge_rows(len(found))
    return [
        {
            "name": its.name,
            "project": its.project,
            "created": its.created,
            "model": its.model,
            "documents": its.counts.documents,
            "passages": its.counts.passages,
            "waiting": its.counts.waiting,
            "quarantined": its.counts.held_back,
            "missing": partial(_missing, context, its),
            "generations": partial(_generations, context, its),
        }
        for its in found
    ]


async def _generations(context: RequestContext, its: BaseSummary, info: object) -> list[FieldValues]:
    record = await context.app.knowledge_base.record(context.principal, its.project, its.name)
    found = () if record is None else record.generations
    context.charge_rows(len(found))
    return [
        {"model": each.model, "current": record is not None and each.model == record.model, "ready": each.ready}
        for each in found
    ]


async def _missing(context: RequestContext, its: BaseSummary, info: object) -> int | None:
    try:
        return (await context.app.knowledge_base.stored_passages(context.principal, its.project, its.name)).missing
    except SizewiseError:  # the other bases are listed all the same
        return None


async def documents(
    context: RequestContext,
    base: str,
    after: str | None = None,
    limit: int = 100,
) -> list[FieldValues]:
    if not 1 <= limit <= MAX_PASSAGES:
        raise BadRequest(f"invalid page size {limit!r}", f"use 1 to {MAX_PASSAGES:,}", param="limit")
    context.charge_rows(limit)
    return [
        _document_values(each)
        for each in await context.app.knowledge_base.documents(context.principal, base, after or "", limit)
    ]


async def document(context: RequestContext, base: str, id: str) -> FieldValues:
    found, pieces = await context.app.knowledge_base.document(context.principal, base, id)
    return {**_document_values(found), "passages": partial(_passages, context, pieces)}


async def _passages(context: RequestContext, pieces: Sequence[PassageRecord], info: object) -> list[FieldValues]:
    some = pieces[:MAX_PASSAGES]
    context.charge_rows(len(some))
    return [
        {
            "id": each.id,
            "text": each.content.text,
            "page": each.content.first_page,
            "headings": list(each.content.headings),
            "tokens": each.content.tokens,
            "state": "quarantined" if each.state == "held" else each.state,
            "suspect": list(each.content.suspicions),
        }
        for each in some
    ]


async def passages(
    context: RequestContext,
    base: str,
    query: str,
    limit: int = 5,
    mode: SearchMode = "hybrid",
    alpha: float | None = None,
    max_data_class: DataClass | None = None,
) -> FieldValues:
    context.charge_rows(max(0, limit))
    found = await context.app.knowledge_base.search(
        _request(context),
        base,
        query,
        limit=limit,
        mode=mode,
        alpha=alpha,
        max_data_class=max_data_class,
    )
    return {"results": [result_values(each) for each in found.results], "warnings": list(found.warnings)}


def result_values(its: SearchResult) -> FieldValues:
    return {
        "id": its.id,
        "document": its.document,
        "source": its.source,
        "title": its.title,
        "text": its.text,
        "score": its.score,
        "page": its.page,
        "pages": list(its.pages),
        "headings": list(its.headings),
        "start": its.start,
        "end": its.end,
        "dataClass": its.data_class,
        "suspect": list(its.suspicions),
        "citation": its.cited,
    }


async def add_document(
    context: RequestContext,
    base: str,
    source: str,
    data: str | None = None,
    text: str | None = None,
    url: str | None = None,
    sha256: str | None = None,
    document: object = None,
    title: str | None = None,
    readers: list[str] | None = None,
    data_class: DataClass | None = None,
) -> FieldValues:
    library, request = context.app.knowledge_base, _request(context)
    if sum(each is not None for each in (data, text, url, sha256)) != 1 or (document and not sha256):
        hint = "pass one of them; `document` needs `sha256` as well"
        raise BadRequest("pass exactly one of `data`, `text`, `url` and `sha256`", hint, param="data")
    offload = context.app.resources.offload
    if data is not None and len(data) >= LONG_BYTES:
        sent = await offload.in_thread(_bytes, data)
    else:
        sent = text.encode("utf-8", "replace") if text is not None else _bytes(data or "")
    brought = DocumentUpload(
        source=source,
        data=sent,
        sha256=_digest(sha256),
        parsed=_parsed_document(document),
        title=title or "",
        readers=None if readers is None else tuple(readers),
        data_class=data_class,
    )
    if url is not None:
        return _ingestion_values(await library.add_web_page(request, base, url, brought))
    return _ingestion_values(await library.add_document(request, base, brought))


def _parsed_document(document: object) -> Document | None:
    """A document that the caller has parsed, in the format of `load_document`. Raises BadRequest."""
    if document is None:
        return None
    try:
        found = msgspec.convert(document, Document)
    except msgspec.ValidationError as error:
        hint = 'pass {"kind", "title", "blocks": [["heading", "Text", level, page], ...], "pages"}'
        raise BadRequest("`document` has the wrong shape", hint, param="document") from error
    if not 0 <= found.pages <= PAGES or any(not 0 <= each.page <= found.pages for each in found.blocks):
        raise BadRequest(
            "`document` has a block on a page that it does not have",
            "number pages from 1; 0: no page",
            param="document",
        )
    return found


def _bytes(data: str) -> bytes:
    try:
        return b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadRequest("`data` is not base64", "send the bytes of the file as base64", param="data") from error


def _digest(sha256: str | None) -> str:
    said = (sha256 or "").lower()
    if said and (len(said) != 64 or not set(said) <= set("0123456789abcdef")):
        raise BadRequest("`sha256` is not a SHA-256", "send 64 hexadecimal digits", param="sha256")
    return said


async def embed_documents(context: RequestContext, base: str) -> FieldValues:
    left = await context.app.knowledge_base.embed_pending(_request(context), base)
    return {"embedded": left.embedded, "waiting": left.waiting}


async def rebuild_knowledge(
    context: RequestContext, base: str, all: bool = False, dry_run: bool = False, after: str = ""
) -> FieldValues:
    service = context.app.knowledge_base
    step = await service.rebuild(context.principal, base, every=all, dry_run=dry_run, after=after)
    return {
        "checked": step.checked,
        "missing": step.missing,
        "total": step.total,
        "model": step.model,
        "previousModel": step.previous_model,
        "next": step.next,
    }


async def sync_knowledge(
    context: RequestContext, base: str, readers: list[str] | None = None, data_class: DataClass | None = None
) -> FieldValues:
    said = None if readers is None else tuple(readers)
    done = await context.app.knowledge_base.sync(_request(context), base, readers=said, data_class=data_class)
    return {
        "ingested": [_ingestion_values(each) for each in done.results],
        "removed": list(done.removed),
        "failed": [{"source": source, "why": why} for source, why in done.failed],
    }


async def approve_document(context: RequestContext, base: str, id: str) -> FieldValues:
    return {"passages": await context.app.knowledge_base.release_document(context.principal, base, id)}


async def remove_document(context: RequestContext, base: str, id: str) -> bool:
    await context.app.knowledge_base.remove_document(context.principal, base, id)
    return True


async def remove_knowledge(context: RequestContext, base: str) -> bool:
    await context.app.knowledge_base.remove_base(context.principal, base)
    return True


def _ingestion_values(its: IngestionResult) -> FieldValues:
    return {
        "source": its.source,
        "id": its.id,
        "outcome": its.outcome,
        "passages": its.passages,
        "quarantined": its.held_back,
        "notes": list(its.notes),
    }


def _document_values(its: DocumentRecord) -> FieldValues:
    return {
        "id": its.id,
        "source": its.metadata.source,
        "title": its.metadata.title,
        "kind": its.kind,
        "state": its.state,
        "dataClass": its.data_class,
        "readers": list(its.readers),
        "pages": its.pages,
        "created": its.created,
        "changed": its.updated,
        "addedBy": its.metadata.added_by,
        "notes": its.metadata.notes,
        "passages": None,
    }
