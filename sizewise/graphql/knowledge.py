"""Knowledge bases told and changed in the words of schema.graphql; who may what and how, the library knows."""

from __future__ import annotations

import binascii
import time
from base64 import b64decode
from collections.abc import Sequence
from functools import partial

import msgspec

from sizewise.data_class import DataClass
from sizewise.errors import BadRequest
from sizewise.graphql.context import Context
from sizewise.graphql.model_type import Told
from sizewise.handler import Ask
from sizewise.knowledge.document import Document
from sizewise.knowledge.document_store import Kept, Piece
from sizewise.knowledge.ingestion import Brought, Taken
from sizewise.knowledge.knowledge_service import Mode
from sizewise.knowledge.results import Found
from sizewise.messages import Embed

MOST = 1_000
PAGES = 100_000


def _ask(context: Context) -> Ask:
    """In whose name models are asked."""
    return Ask(Embed("", [], {}), context.caller, context.trace, time.perf_counter(), door="graphql")


async def bases(context: Context) -> list[Told]:
    found = await context.house.library.bases(context.caller)
    context.take(len(found))
    return [
        {
            "name": its.name,
            "project": its.project,
            "created": its.created,
            "model": its.model,
            "documents": its.size.documents,
            "passages": its.size.passages,
            "waiting": its.size.waiting,
            "quarantined": its.size.held,
        }
        for its in found
    ]


async def documents(context: Context, base: str, after: str | None = None, limit: int = 100) -> list[Told]:
    if not 1 <= limit <= MOST:
        raise BadRequest(f"invalid page size {limit!r}", f"ask for 1 to {MOST:,}", param="limit")
    context.take(limit)
    return [_document(each) for each in await context.house.library.documents(context.caller, base, after or "", limit)]


async def document(context: Context, base: str, id: str) -> Told:
    found, pieces = await context.house.library.document(context.caller, base, id)
    return {**_document(found), "passages": partial(_passages, context, pieces)}


async def _passages(context: Context, pieces: Sequence[Piece], info: object) -> list[Told]:
    some = pieces[:MOST]
    context.take(len(some))
    return [
        {
            "id": each.id,
            "text": each.words.text,
            "page": each.words.first,
            "headings": list(each.words.headings),
            "tokens": each.words.tokens,
            "state": "quarantined" if each.state == "held" else each.state,
            "suspect": list(each.words.suspect),
        }
        for each in some
    ]


async def passages(
    context: Context,
    base: str,
    query: str,
    limit: int = 5,
    mode: Mode = "hybrid",
    alpha: float | None = None,
    max_data_class: DataClass | None = None,
) -> list[Told]:
    context.take(max(0, limit))
    search = context.house.library.search
    return [
        told(each)
        for each in await search(_ask(context), base, query, limit=limit, mode=mode, alpha=alpha, most=max_data_class)
    ]


def told(its: Found) -> Told:
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
        "suspect": list(its.suspect),
        "citation": its.cited,
    }


async def add_document(
    context: Context,
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
) -> Told:
    library, ask = context.house.library, _ask(context)
    if sum(each is not None for each in (data, text, url, sha256)) != 1 or (document and not sha256):
        hint = "give one of the four; `document` goes with its sha256"
        raise BadRequest("a document is its data, its text, a URL or a sha256", hint, param="data")
    brought = Brought(
        source,
        text.encode("utf-8", "replace") if text is not None else _bytes(data or ""),
        _digest(sha256),
        _read(document),
        title or "",
        tuple(readers or ()),
        data_class,
    )
    if url is not None:
        return _taken(await library.bring_page(ask, base, url, brought))
    return _taken(await library.bring(ask, base, brought))


def _read(document: object) -> Document | None:
    """What somebody has read in a file: as our own reader gives it."""
    if document is None:
        return None
    try:
        found = msgspec.convert(document, Document)
    except msgspec.ValidationError as error:
        hint = '{"kind", "title", "blocks": [["heading", "Text", level, page], ...], "pages"}'
        raise BadRequest("`document` has the wrong shape", hint, param="document") from error
    if not 0 <= found.pages <= PAGES or any(not 0 <= each.page <= found.pages for each in found.blocks):
        raise BadRequest("`document` has a block on no page of its own", "pages are from 1, or 0", param="document")
    return found


def _bytes(data: str) -> bytes:
    try:
        return b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadRequest("`data` is no base64", "send the bytes of the file as base64", param="data") from error


def _digest(sha256: str | None) -> str:
    said = (sha256 or "").lower()
    if said and (len(said) != 64 or not set(said) <= set("0123456789abcdef")):
        raise BadRequest("`sha256` is no SHA-256 in hex", "64 digits of hexadecimal", param="sha256")
    return said


async def embed_documents(context: Context, base: str) -> Told:
    left = await context.house.library.embed(_ask(context), base)
    return {"embedded": left.done, "waiting": left.waiting}


async def sync_knowledge(context: Context, base: str) -> Told:
    done = await context.house.library.sync(_ask(context), base)
    return {
        "ingested": [_taken(each) for each in done.taken],
        "removed": list(done.removed),
        "failed": [{"source": source, "why": why} for source, why in done.failed],
    }


async def approve_document(context: Context, base: str, id: str) -> Told:
    return {"passages": await context.house.library.release(context.caller, base, id)}


async def remove_document(context: Context, base: str, id: str) -> bool:
    await context.house.library.forget(context.caller, base, id)
    return True


async def remove_knowledge(context: Context, base: str) -> bool:
    await context.house.library.remove(context.caller, base)
    return True


def _taken(its: Taken) -> Told:
    return {
        "source": its.source,
        "id": its.id,
        "outcome": its.outcome,
        "passages": its.passages,
        "quarantined": its.held,
        "notes": list(its.notes),
    }


def _document(its: Kept) -> Told:
    return {
        "id": its.id,
        "source": its.about.source,
        "title": its.about.title,
        "kind": its.kind,
        "state": its.state,
        "dataClass": its.data_class,
        "readers": list(its.readers),
        "pages": its.pages,
        "created": its.created,
        "changed": its.changed,
        "addedBy": its.about.by,
        "notes": its.about.notes,
        "passages": None,
    }
