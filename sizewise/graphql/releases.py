"""Fields of releases: saving, listing and reading them and their parts; a part's content needs a permission."""

from __future__ import annotations

import base64
import binascii

import msgspec
from msgspec import Struct

from sizewise.errors import BadRequest, PathNotFound
from sizewise.graphql.context import RequestContext
from sizewise.graphql.model_type import FieldValues
from sizewise.releases.git_sync import GitStatus
from sizewise.releases.manifest import Part, PartKind, Release, canonical, read_manifest
from sizewise.releases.release_store import StoredRelease


async def releases(context: RequestContext, last: int = 20) -> list[FieldValues]:
    context.charge_rows(last)
    principal = context.principal
    found = await context.services.releases.list(principal.tenant, principal.project, last)
    return [_release(each) for each in found]


async def release(context: RequestContext, hash: str) -> FieldValues:
    principal = context.principal
    return _release(await context.services.releases.find(principal.tenant, principal.project, hash))


async def git_sync(context: RequestContext) -> FieldValues | None:
    return _git_status(context.services.git_sync.status) if _has_repository(context) else None


async def sync_git(context: RequestContext, ref: str | None = None) -> FieldValues:
    """Raises PathNotFound if the project has no repository, BadRequest for a commit that is refused."""
    if not _has_repository(context):  # the same error where there is no [git], so as not to reveal it
        hint = 'only the project of the server itself can have one: url = "https://..." in [git]'
        raise PathNotFound("this project has no repository whose commits become releases", hint)
    sync = context.services.git_sync
    return _git_status(await sync.sync() if ref is None else await sync.release_of(ref))


async def release_part(context: RequestContext, kind: str, name: str, version: str) -> FieldValues:
    """Raises PathNotFound, and Forbidden without the permission to read flows or contents."""
    context.require("manage_flows", "read_contents")
    principal = context.principal
    content = await context.services.releases.read_part(principal.tenant, principal.project, kind, name, version)
    return {"kind": kind, "name": name, "version": version, "content": base64.b64encode(content).decode()}


async def save_release(context: RequestContext, manifest: object, parts: object) -> FieldValues:
    """Raises BadRequest."""
    made = Release(read_manifest(canonical(manifest)), tuple(map(_part, _given(parts))))
    stored, is_new = await context.services.releases.save(context.principal, made)
    return {"release": _release(stored), "new": is_new}


class GivenPart(Struct):
    """`content`: base64."""

    kind: PartKind
    name: str
    version: str
    content: str


def _given(parts: object) -> list[GivenPart]:
    try:
        return msgspec.convert(parts, list[GivenPart])
    except msgspec.ValidationError as error:
        raise BadRequest(f"the parts are not valid: {error}", "build them: sizewise release build") from error


def _part(given: GivenPart) -> Part:
    try:
        content = base64.b64decode(given.content, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadRequest(f"the part {given.kind}/{given.name[:100]} is not base64", "encode its bytes") from error
    return Part(given.kind, given.name, given.version, content)


def _has_repository(context: RequestContext) -> bool:
    """Whether [git] is set, and the caller's project is the one that its releases are saved in."""
    return context.services.git_publisher.takes(context.principal.tenant, context.principal.project)


def _git_status(found: GitStatus) -> FieldValues:
    return {
        "url": found.url,
        "branch": found.branch,
        "commit": found.commit or None,
        "release": found.release or None,
        "plans": list(found.plans),
        "checked": found.checked or None,
        "error": found.error or None,
    }


def _release(stored: StoredRelease) -> FieldValues:
    return {
        "hash": stored.hash,
        "created": stored.created,
        "createdBy": stored.by,
        "parts": [{"kind": kind, "name": name, "version": version} for kind, name, version in stored.manifest.each()],
        "requires": msgspec.to_builtins(stored.manifest.requires),
    }
