"""What keeps a widget from answering: bases that its flow searches and its key can read nothing of; changes nothing."""

from __future__ import annotations

import asyncio
import shlex

from sizewise.auth.tables import ApiKey
from sizewise.errors import PathNotFound, did_you_mean
from sizewise.flows.language.flow_spec import FlowSpec
from sizewise.flows.validator import parse_flow_text
from sizewise.graphql.context import RequestContext
from sizewise.knowledge.base_summary import ReadableDocuments
from sizewise.knowledge.declared_bases import fill_command
from sizewise.knowledge.ingestion import MANAGE_ACTION
from sizewise.knowledge.vector_store import KnowledgeBaseId
from sizewise.principal import Principal
from sizewise.widgets.tables import Widget

MAX_SOURCES = 1_000
"""Documents whose sources are read to name files in a command."""
MAX_FILES = 3
"""That a command names; if there are more, it says FILE..."""
FILES = ("FILE...",)


async def published_flow(context: RequestContext, name: str) -> FlowSpec | None:
    """The live version; None if it has errors. Raises PathNotFound."""
    versions, principal = context.services.flow_versions, context.principal
    published = await asyncio.to_thread(versions.list_published, principal.tenant)
    flow = next((each for each in published if (each.project, each.name) == (principal.project, name)), None)
    if flow is None:
        hint = f"publish it first: sizewise flow publish {shlex.quote(name[:100])}"
        raise PathNotFound(f"there is no published flow {name[:100]!r}", hint)
    place = (principal.tenant, principal.project, name, flow.version)
    text = (await asyncio.to_thread(versions.read_source_blocking, *place)).decode()
    return parse_flow_text(text).spec


async def widget_warnings(context: RequestContext, widget: Widget) -> list[str]:
    """One for each base that is not there, is empty, or has nothing that its key can read."""
    kind, _, name = widget.target.partition(":")
    if widget.revoked is not None or kind != "flow":  # a policy searches no knowledge base
        return []
    try:
        spec = await published_flow(context, name)
    except PathNotFound as error:
        return [f"{error.message}, so nothing answers; {error.hint}"]
    searched = [
        each.values.get("knowledge") for each in (spec.all_nodes() if spec is not None else ()) if each.kind == "search"
    ]
    bases = dict.fromkeys(each for each in searched if isinstance(each, str) and "{{" not in each)
    key = await context.services.api_keys.get(widget.key, widget.tenant)
    context.charge_rows(len(bases))
    return [said for base in bases if (said := await _base_warning(context, _reader(key), base))]


def _reader(key: ApiKey) -> Principal:
    return Principal(tenant=key.tenant, project=key.project, key_id=key.id, data_class=key.data_class)


async def _base_warning(context: RequestContext, reader: Principal, name: str) -> str:
    service = context.app.knowledge_base
    base = KnowledgeBaseId(reader.tenant, reader.project, name)
    public = " --data-class public" if reader.data_class == "public" else ""
    try:
        found = await service.readable_documents(reader, name)
    except PathNotFound as error:
        known = [each.name for each in await service.bases(context.principal) if each.project == reader.project]
        meant = did_you_mean(name, known)
        create = f"; create it: {fill_command(service.settings, base)}{public}"
        return error.message + (f". {meant}" if meant else create)
    if not found.total:
        return f"{name!r} has no documents; add some: {fill_command(service.settings, base)}{public}"
    if found.readable:
        return ""
    command = fill_command(service.settings, base, await _files(context, name)) + _options(found)
    return f"its key can read 0 of {found.total:,} documents of {name!r}; run: {command}"


def _options(found: ReadableDocuments) -> str:
    """The fewest that let a visitor find something."""
    if found.open:
        return " --data-class public"
    return " --reader everyone" if found.in_class else " --data-class public --reader everyone"


async def _files(context: RequestContext, name: str) -> tuple[str, ...]:
    """The folders and files that the documents came from, as `sizewise knowledge add` takes them."""
    if MANAGE_ACTION not in context.principal.permissions:
        return FILES
    try:
        documents = await context.app.knowledge_base.documents(context.principal, name, limit=MAX_SOURCES)
    except PathNotFound:
        return FILES
    found = dict.fromkeys(shlex.quote(_root(each.metadata.source)) for each in documents)
    return tuple(found) if 0 < len(found) <= MAX_FILES and len(documents) < MAX_SOURCES else FILES


def _root(source: str) -> str:
    """Documents of a folder have its name before theirs."""
    folder, slash, _ = source.partition("/")
    return source if "://" in source or not slash else f"{folder}/"
