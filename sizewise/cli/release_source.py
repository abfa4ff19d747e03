"""Releases by name for commands: the folder's own, `.`, or one of the server; with the content of their parts."""

from __future__ import annotations

import asyncio
import base64

import click
import msgspec

from sizewise.cli import operations
from sizewise.cli.options import api_client, api_client_or_none, command_settings
from sizewise.errors import SizewiseError
from sizewise.releases.folder_release import build_release
from sizewise.releases.manifest import FORMAT, Json, PartKind, ReleaseManifest, ReleaseRequirements
from sizewise.releases.part_meaning import meaning

FOLDER = "."


class NamedRelease:
    """`name`: `.` or the digits of a hash."""

    def __init__(self, name: str) -> None:
        self._built = build_release(command_settings()) if name == FOLDER else None
        self.name = name
        self.manifest = self._built.manifest if self._built is not None else _of_server(name)

    def content(self, kind: PartKind, name: str) -> Json:
        """The meaning of a part; None if it is in no known format."""
        version = self.manifest.parts[kind][name]
        if self._built is not None:
            content = next(each.content for each in self._built.parts if (each.kind, each.name) == (kind, name))
        else:
            found = asyncio.run(operations.get_release_part(api_client(), kind=kind, name=name, version=version))
            content = base64.b64decode(found.content)
        return meaning(kind, name, content)


def _of_server(name: str) -> ReleaseManifest:
    return manifest_of(asyncio.run(operations.get_release(api_client(), hash=name)))


def manifest_of(found: operations.Release) -> ReleaseManifest:
    """Of the server's answer."""
    parts: dict[PartKind, dict[str, str]] = {}
    for each in found.parts:
        parts.setdefault(msgspec.convert(each.kind, PartKind), {})[each.name] = each.version
    return ReleaseManifest(FORMAT, parts, msgspec.convert(found.requires, ReleaseRequirements))


def complete_release(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    try:
        server = api_client_or_none()
        found = asyncio.run(operations.list_releases(server, last=100)) if server is not None else []
    except SizewiseError:
        return []
    return [each.hash[:12] for each in found if each.hash.startswith(incomplete)]
