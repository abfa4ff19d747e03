"""Manifest of a backup: what it holds, with sizes and SHA-256, and what it needs besides; opens no file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec
from msgspec import Struct

from sizewise.errors import BadRequest, StorageError
from sizewise.storage.backup.state_files import is_state_path

FORMAT = "sizewise-backup"
VERSION = 1
"""Version of the archive. A new key of the manifest does not raise it; readers ignore keys that they do not know."""
MANIFEST = "manifest.json"
MAX_BYTES = 16_000_000
"""Of a manifest: a hundred thousand files."""

KeyPlace = Literal["included", "left out", "elsewhere", "none"]
"""Where the encryption key is. `elsewhere`: outside of the home, by the settings. `none`: nothing is encrypted yet."""
PassagesPlace = Literal["included", "left out", "none"]


class ArchivedFile(Struct, frozen=True):
    """`name`: path from the home, with forward slashes. `sha256`: in hex."""

    name: str
    bytes: int
    sha256: str


class Manifest(Struct, frozen=True, kw_only=True):
    """`created`: unix ms. `schemas`: version of each component of the database. `key_ids`: the encryption keys that the
    data needs, in hex. `database`: `postgres` if the state is there, and only files are in the backup.
    `settings_file`: where it was, if that was not in the home.
    """

    format: str
    version: int
    sizewise: str
    created: int
    database: Literal["sqlite", "postgres", "none"]
    schemas: dict[str, int]
    key: KeyPlace
    key_ids: list[str]
    passages: PassagesPlace
    settings_file: str
    files: list[ArchivedFile]

    @property
    def total_bytes(self) -> int:
        return sum(each.bytes for each in self.files)


class _Head(Struct, frozen=True):
    format: str = ""
    version: int = 0
    sizewise: str = ""


def decode_manifest(data: bytes) -> Manifest:
    """Raises BadRequest: foreign, of a newer format, or with names that are not of the state."""
    try:
        head = msgspec.json.decode(data, type=_Head)
        if head.format != FORMAT:
            raise BadRequest("its manifest is not of a Sizewise backup", "name a file that `sizewise backup` wrote")
        if head.version > VERSION:
            raise BadRequest(
                f"a newer Sizewise, {head.sizewise[:40]!r}, wrote this backup",
                "install that version or a newer one, and restore with it",
            )
        found = msgspec.json.decode(data, type=Manifest)
    except msgspec.DecodeError as error:
        raise BadRequest("its manifest cannot be read", "the file is damaged: use another backup") from error
    names = [each.name for each in found.files]
    for each in found.files:
        if not is_state_path(each.name) or each.bytes < 0:
            raise BadRequest(
                f"its manifest names {each.name[:100]!r}, which no backup holds", "do not restore it: it was altered"
            )
    if len({name.casefold() for name in names}) != len(names):
        raise BadRequest("its manifest names a file twice", "do not restore it: it was altered")
    return found


def require_readable(manifest: Manifest, known: Mapping[str, int]) -> None:
    """`known`: version of each component that this release can read. Raises StorageError for a newer database."""
    for component, version in manifest.schemas.items():
        if version > known.get(component, 0):
            raise StorageError(
                f"a newer Sizewise, {manifest.sizewise[:40]!r}, wrote this database: {component[:40]} is at version"
                f" {version}, this one knows {known.get(component, 0)}",
                "install that version or a newer one, and restore with it",
            )
