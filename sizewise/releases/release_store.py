"""Release store: saves releases of a project and reads them back; parts are encrypted and stored once by hash."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from functools import partial
from hashlib import sha256
from typing import TypeVar

import msgspec
from msgspec import Struct

from sizewise.auth.api_keys import audit_event
from sizewise.errors import BadRequest, PathNotFound
from sizewise.flows.language.yaml_source import YamlError, content_hash, parse_yaml
from sizewise.principal import Principal
from sizewise.prompts.prompt import PromptSyntaxError, parse_prompt
from sizewise.releases import tables
from sizewise.releases.manifest import (
    MAX_PART_BYTES,
    MIN_HASH_DIGITS,
    Part,
    Release,
    ReleaseManifest,
    canonical,
    read_manifest,
)
from sizewise.releases.tables import PartRow, ReleaseRow
from sizewise.storage.database import TransactionRunner
from sizewise.storage.encryption import EnvelopeEncryption

T = TypeVar("T")

PARTS = tables.SEALED.name
HEX = re.compile(r"[0-9a-f]{1,64}")


class StoredRelease(Struct, frozen=True):
    """`created`: unix ms; `by`: the id of the user or key that saved it."""

    hash: str
    created: int
    by: str
    manifest: ReleaseManifest


class ReleaseStore:
    """`executor`: the threads that encrypt and wait for the database."""

    def __init__(
        self, encryption: EnvelopeEncryption, read: TransactionRunner, write: TransactionRunner, executor: Executor
    ) -> None:
        self._encryption = encryption
        self._read = read
        self._write = write
        self._executor = executor

    async def save(self, principal: Principal, release: Release) -> tuple[StoredRelease, bool]:
        """The stored release, and whether it is new. Raises BadRequest for a part that is missing or not what its
        hash says, EncryptionKeyUnavailable, StorageError.
        """
        return await self._in_thread(partial(self._save, principal, release))

    def _save(self, principal: Principal, release: Release) -> tuple[StoredRelease, bool]:
        tenant, project, manifest = principal.tenant, principal.project, release.manifest
        for part in release.parts:
            check_part(part)
        given = {(each.kind, each.name, each.version) for each in release.parts}
        for kind, name, version in manifest.each():
            found = partial(tables.find_part, tenant=tenant, project=project, kind=kind, name=name, version=version)
            if (kind, name, version) not in given and self._read(found) is None:
                raise BadRequest(f"the part {kind}/{name} of the release is missing", "send it with the manifest")
        wanted = set(manifest.each())
        rows = [
            PartRow(each.kind, each.name, each.version, self._encrypt(tenant, project, each))
            for each in release.parts
            if (each.kind, each.name, each.version) in wanted
        ]
        made = StoredRelease(
            manifest.hash, time.time_ns() // 1_000_000, principal.user_id or principal.key_id, manifest
        )
        row = ReleaseRow(made.hash, made.created, made.by, canonical(manifest).decode())
        told = audit_event(principal, tenant, "release.save", f"release:{project}/{made.hash}")
        is_new = self._write(lambda c: tables.insert_release(c, tenant, project, row, rows, told))
        return (made if is_new else self._find(tenant, project, made.hash)), is_new

    async def list(self, tenant: str, project: str, limit: int) -> Sequence[StoredRelease]:
        """Newest first."""
        return await self._in_thread(
            lambda: list(map(_stored, self._read(lambda c: tables.list_releases(c, tenant, project, limit))))
        )

    async def find(self, tenant: str, project: str, hash: str) -> StoredRelease:
        """`hash`: whole, or its first digits. Raises PathNotFound, BadRequest."""
        return await self._in_thread(partial(self._find, tenant, project, hash))

    def _find(self, tenant: str, project: str, hash: str) -> StoredRelease:
        hint = "sizewise release list shows the releases"
        if HEX.fullmatch(hash) is None or len(hash) < MIN_HASH_DIGITS:
            raise BadRequest(f"{hash[:64]!r} is not a release", f"use {MIN_HASH_DIGITS} or more of its digits; {hint}")
        found = self._read(lambda c: tables.find_releases(c, tenant, project, hash))
        if len(found) > 1:
            raise BadRequest(f"several releases begin with {hash!r}", "use more digits")
        if not found:
            raise PathNotFound(f"there is no release {hash[:64]!r}", hint)
        return _stored(found[0])

    async def load(self, tenant: str, project: str, hash: str) -> Release:
        """With all its parts. Raises PathNotFound, BadRequest, EncryptionKeyUnavailable, StorageError."""
        return await self._in_thread(partial(self._load, tenant, project, hash))

    def _load(self, tenant: str, project: str, hash: str) -> Release:
        manifest = self._find(tenant, project, hash).manifest
        parts = [
            Part(kind, name, version, self._read_part(tenant, project, kind, name, version))
            for kind, name, version in manifest.each()
        ]
        return Release(manifest, tuple(parts))

    async def read_part(self, tenant: str, project: str, kind: str, name: str, version: str) -> bytes:
        """Raises PathNotFound, EncryptionKeyUnavailable, StorageError."""
        return await self._in_thread(partial(self._read_part, tenant, project, kind, name, version))

    def _read_part(self, tenant: str, project: str, kind: str, name: str, version: str) -> bytes:
        sealed = self._read(lambda c: tables.find_part(c, tenant, project, kind, name, version))
        if sealed is None:
            raise PathNotFound(f"there is no part {kind}/{name[:100]} with this version", "sizewise release show")
        return self._encryption.decrypt(sealed, tenant, PARTS, f"{project}/{kind}/{name}/{version}")

    def _encrypt(self, tenant: str, project: str, part: Part) -> bytes:
        return self._encryption.encrypt(
            part.content, tenant, PARTS, f"{project}/{part.kind}/{part.name}/{part.version}"
        )

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)


def _stored(row: ReleaseRow) -> StoredRelease:
    return StoredRelease(row.hash, row.created, row.by, read_manifest(row.manifest))


def check_part(part: Part) -> None:
    """Raises BadRequest unless the content is what the version says."""
    if len(part.content) > MAX_PART_BYTES:
        raise BadRequest(f"the part {part.kind}/{part.name} is larger than {MAX_PART_BYTES} bytes", "shorten it")
    try:
        version = _version(part)
    except (YamlError, PromptSyntaxError, UnicodeDecodeError, msgspec.DecodeError) as error:
        raise BadRequest(f"the part {part.kind}/{part.name} cannot be read", "build the release again") from error
    if version != part.version:
        hint = "build the release again: sizewise release build"
        raise BadRequest(f"the part {part.kind}/{part.name} is not what its hash says", hint)


def _version(part: Part) -> str:
    match part.kind:
        case "flows":
            return content_hash(parse_yaml(part.content.decode()).data)
        case "prompts":
            return parse_prompt(part.name, part.content.decode(), lambda text: parse_yaml(text).data).version
        case "certificates":
            return sha256(part.content).hexdigest()
        case _:
            return sha256(canonical(msgspec.json.decode(part.content))).hexdigest()
