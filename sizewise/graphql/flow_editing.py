"""Fields of an editor of flows: drafts per person, the files of the folder, and the difference of two versions."""

from __future__ import annotations

import asyncio
import difflib

from sizewise.errors import BadRequest, PathNotFound
from sizewise.flows.drafts.store import DraftContent
from sizewise.flows.drafts.tables import FlowDraft
from sizewise.flows.file_source import FlowFile
from sizewise.flows.language.flow_spec import NodeSpec
from sizewise.flows.language.types import Json
from sizewise.flows.validator import parse_flow_text
from sizewise.graphql.context import RequestContext
from sizewise.graphql.flow_findings import flow_findings
from sizewise.graphql.model_type import FieldValues

# ---- drafts


async def flow_drafts(context: RequestContext) -> list[FieldValues]:
    principal = context.principal
    found = await context.services.flow_drafts.list_drafts(principal.tenant, principal.project)
    context.charge_rows(len(found))
    return [_draft(context, each) for each in found]


async def flow_draft(context: RequestContext, name: str) -> FieldValues | None:
    found = await context.services.flow_drafts.read(context.principal, name)
    return None if found is None else _draft(context, *found)


async def save_flow_draft(
    context: RequestContext,
    name: str,
    text: str,
    base_version: str = "",
    layout: Json = None,
    expected_saved: int | None = None,
) -> FieldValues:
    content = DraftContent(text, layout)
    drafts, principal = context.services.flow_drafts, context.principal
    return _draft(context, await drafts.save(principal, name, content, base_version, expected_saved), content)


async def drop_flow_draft(context: RequestContext, name: str) -> FieldValues:
    await context.services.flow_drafts.drop(context.principal, name)
    return {"name": name}


def _draft(context: RequestContext, draft: FlowDraft, content: DraftContent | None = None) -> FieldValues:
    """Of other people it is said that there is a draft, not what it says."""
    is_mine = draft.user == context.principal.user_id

    async def read() -> DraftContent | None:
        if content is not None or not is_mine:
            return content
        found = await context.services.flow_drafts.read(context.principal, draft.name)
        return None if found is None else found[1]

    async def text(info: object) -> str | None:
        found = await read()
        return None if found is None else found.text

    async def layout(info: object) -> Json:
        found = await read()
        return None if found is None else found.layout

    return {
        "name": draft.name,
        "user": draft.user,
        "mine": is_mine,
        "baseVersion": draft.base_version,
        "saved": draft.saved,
        "text": text,
        "layout": layout,
    }


# ---- files


async def flow_files(context: RequestContext) -> list[FieldValues]:
    """Empty if the folder belongs to another project, or to no server here."""
    principal, folder = context.principal, context.app.resources.flow_files
    if folder is None or not folder.belongs_to(principal.tenant, principal.project):
        return []
    allowed = principal.scope.flows if principal.scope is not None else ()
    found = [each for each in (await folder.load()).values() if not allowed or each.name in allowed]
    return [_file(context, each) for each in found]


def _file(context: RequestContext, file: FlowFile) -> FieldValues:
    def text(info: object) -> str:
        context.require("manage_flows", "read_contents")
        return file.text

    spec = file.validation.spec
    return {
        "name": file.name,
        "file": file.path.name,
        "version": "" if spec is None else spec.version,
        "valid": file.validation.flow is not None,
        "findings": flow_findings(file.text, file.validation.diagnostics),
        "text": text,
    }


# ---- differences


async def flow_diff(context: RequestContext, before: str, after: str, name: str = "") -> FieldValues:
    """`before`, `after`: versions of `name`, or whole texts without one. Both are contents."""
    if name:
        before, after = await _source(context, name, before), await _source(context, name, after)
    return await asyncio.to_thread(_diff, before, after)


async def _source(context: RequestContext, name: str, version: str) -> str:
    principal, versions = context.principal, context.services.flow_versions
    if principal.scope is not None and principal.scope.flows and name not in principal.scope.flows:
        raise PathNotFound(f"there is no flow {name[:100]!r}", "list the flows: flows")
    whole = await versions.resolve_version(principal.tenant, principal.project, name, version)
    return (await versions.read_source(principal.tenant, principal.project, name, whole)).decode()


MAX_DIFF_LINES = 20_000


def _diff(before: str, after: str) -> FieldValues:
    old, new = before.splitlines(), after.splitlines()
    if len(old) + len(new) > MAX_DIFF_LINES:
        raise BadRequest(f"the texts have more than {MAX_DIFF_LINES} lines", "compare them on your machine")
    left, right = parse_flow_text(before).spec, parse_flow_text(after).spec
    were, are = _nodes(left.nodes if left else ()), _nodes(right.nodes if right else ())
    return {
        "unified": "\n".join(difflib.unified_diff(old, new, "before", "after", lineterm="")),
        "sameMeaning": left is not None and right is not None and left.version == right.version,
        "nodesAdded": [id for id in are if id not in were],
        "nodesRemoved": [id for id in were if id not in are],
        "nodesChanged": [id for id in are if id in were and _meaning(are[id]) != _meaning(were[id])],
    }


def _nodes(nodes: tuple[NodeSpec, ...]) -> dict[str, NodeSpec]:
    """By id, those in other nodes too."""
    return {each.id: each for node in nodes for each in (node, *_nodes(node.nodes).values())}


def _meaning(node: NodeSpec) -> object:
    """Without the nodes in it, which change by themselves."""
    return (node.kind, node.values, node.outputs, node.after, node.retry, node.timeout_s)
