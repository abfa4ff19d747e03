"""Store of flow versions: saves, publishes and unpublishes them, each in one transaction with its audit event.

A version is the content hash of a flow, so publishing it again later publishes the same flow. Flow files are stored
encrypted, since they contain prompts.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from sizewise.auth.api_keys import audit_event
from sizewise.errors import BadRequest, PathNotFound
from sizewise.flows.language.flow_spec import MIN_VERSION_DIGITS
from sizewise.flows.step_store import StepStore
from sizewise.flows.versions import tables
from sizewise.flows.versions.published_flow import PublishedFlow
from sizewise.flows.versions.tables import FlowPublication, FlowVersion
from sizewise.principal import Principal

T = TypeVar("T")

VERSIONS = "flow_versions"
VERSION = re.compile(r"[0-9a-f]{64}\Z")
MAX_FLOW_BYTES = 2_000_000
MAX_VERSIONS = 1_000


class FlowVersions:
    """Calls `listeners` after a flow was published or unpublished, here or by another server (`refresh`)."""

    def __init__(self, store: StepStore) -> None:
        self.listeners: list[Callable[[], None]] = []
        self.generation = 0
        """Greater after each change of what is published."""
        self._store = store
        self._published: dict[tuple[str, str, str], PublishedFlow] = {}
        self._replace_published(store.read(tables.list_published))

    def list_published(self, tenant: str = "", project: str = "") -> list[PublishedFlow]:
        """Published flows, of one tenant and project or of all, sorted by name."""
        return [
            each
            for place, each in sorted(self._published.items())
            if tenant in ("", place[0]) and project in ("", place[1])
        ]

    def get_published(self, tenant: str, project: str, name: str) -> PublishedFlow:
        """Raises PathNotFound."""
        found = self._published.get((tenant, project, name))
        if found is None:
            raise PathNotFound(
                f"no flow {name[:100]!r} is published in the project {project!r}",
                "list the published flows: sizewise flow list",
            )
        return found

    async def read_source(self, tenant: str, project: str, name: str, version: str) -> bytes:
        """The YAML of a version. Raises PathNotFound, EncryptionKeyUnavailable, StorageError."""
        return await self.run_in_thread(partial(self.read_source_blocking, tenant, project, name, version))

    async def run_in_thread(self, work: Callable[[], T]) -> T:
        """Runs `work` on a thread: encryption and the database may take seconds."""
        return await self._store.run_in_thread(work)

    def read_source_blocking(self, tenant: str, project: str, name: str, version: str) -> bytes:
        """`read_source`, for callers on a thread."""
        sealed = self._store.read(lambda c: tables.find_version(c, tenant, project, name, version))
        if sealed is None:
            hint = f"list the versions: sizewise flow versions {name[:100]}"
            raise PathNotFound(f"the flow {name[:100]!r} has no version {version[:64]!r}", hint)
        return self._store.encryption.decrypt(sealed, tenant, VERSIONS, f"{project}/{name}/{version}")

    async def list_versions(self, tenant: str, project: str, name: str, limit: int = 100) -> list[FlowVersion]:
        """Newest first."""
        most = min(limit, MAX_VERSIONS)
        return await self._store.run_in_thread(
            lambda: self._store.read(lambda c: tables.list_versions(c, tenant, project, name, most)),
        )

    async def list_publications(self, tenant: str, project: str, name: str, limit: int = 200) -> list[FlowPublication]:
        """Newest first."""
        most = min(limit, MAX_VERSIONS)
        return await self._store.run_in_thread(
            lambda: self._store.read(lambda c: tables.list_publications(c, tenant, project, name, most)),
        )

    async def resolve_version(self, tenant: str, project: str, name: str, version: str) -> str:
        """The full version for `version` or a prefix of it; for an empty one, the published version.

        Raises PathNotFound if the flow is not published, BadRequest.
        """
        live = self.get_published(tenant, project, name).version
        if not version or VERSION.match(version):
            return version or live
        return await self.run_in_thread(partial(self.resolve_version_blocking, tenant, project, name, version))

    def resolve_version_blocking(self, tenant: str, project: str, name: str, version: str) -> str:
        """`resolve_version`, for callers on a thread."""
        live = self.get_published(tenant, project, name).version
        if not version or VERSION.match(version):
            return version or live
        found = self._store.read(lambda c: tables.list_versions(c, tenant, project, name, MAX_VERSIONS))
        fits = [each.version for each in found if each.version.startswith(version)]
        if len(version) < MIN_VERSION_DIGITS:
            fits = []
        if len(fits) != 1:
            raise BadRequest(
                f"{version[:64]!r} does not identify a version of the flow {name[:100]!r}",
                f"use all 64 digits, or at least the first {MIN_VERSION_DIGITS}; sizewise flow versions lists them",
                param="version",
            )
        return fits[0]

    async def save(self, principal: Principal, project: str, name: str, version: str, text: bytes) -> bool:
        """Stores a version durably; False if it exists. Raises BadRequest, EncryptionKeyUnavailable, StorageError."""
        if len(text) > MAX_FLOW_BYTES:
            raise BadRequest(
                f"the flow is {len(text)} bytes long",
                f"the maximum is {MAX_FLOW_BYTES} bytes; split it into subflows",
            )
        made = FlowVersion(name, version, _now(), principal.user_id or principal.key_id)
        return await self._store.run_in_thread(partial(self._save, principal, project, made, text))

    def _save(self, principal: Principal, project: str, version: FlowVersion, text: bytes) -> bool:
        place = f"{project}/{version.name}/{version.version}"
        sealed = self._store.encryption.encrypt(text, principal.tenant, VERSIONS, place)

        told = audit_event(principal, principal.tenant, "flow.save", f"flow:{project}/{version.name}@{version.version}")
        return self._store.write(lambda c: tables.insert_version(c, principal.tenant, project, version, sealed, told))

    async def publish(
        self, principal: Principal, project: str, name: str, version: str, expected: str | None = None, note: str = ""
    ) -> PublishedFlow:
        """Publishes a stored version instead of the current one. `expected`: which one that is; empty: none.

        `note`: what changed, for whom reads the versions or the audit log.

        Raises Conflict, PathNotFound, EncryptionKeyUnavailable, StorageError.
        """
        await self.read_source(principal.tenant, project, name, version)
        return await self._insert_published(
            principal,
            PublishedFlow(
                tenant=principal.tenant,
                project=project,
                name=name,
                version=version,
                at=_now(),
                key=principal.key_id,
                user=principal.user_id,
            ),
            "flow.publish",
            expected,
            note,
        )

    async def unpublish(self, principal: Principal, project: str, name: str) -> None:
        """Raises PathNotFound, StorageError."""
        self.get_published(principal.tenant, project, name)
        await self._insert_published(
            principal,
            PublishedFlow(
                tenant=principal.tenant,
                project=project,
                name=name,
                version="",
                at=_now(),
                key=principal.key_id,
                user=principal.user_id,
            ),
            "flow.withdraw",
        )

    async def _insert_published(
        self,
        principal: Principal,
        published: PublishedFlow,
        action: str,
        expected: str | None = None,
        note: str = "",
    ) -> PublishedFlow:
        before = self._published.get((principal.tenant, published.project, published.name))
        told = audit_event(
            principal,
            principal.tenant,
            action,
            f"flow:{published.project}/{published.name}",
            None if before is None else {"version": before.version},
            {"version": published.version, **({"note": note} if note else {})} if published.version else None,
        )

        self._replace_published(
            await self._store.run_in_thread(
                lambda: self._store.write(lambda c: tables.insert_published(c, published, told, expected, note)),
            ),
        )
        return published

    async def refresh(self) -> None:
        """Loads what other servers published. Raises StorageError."""
        self._replace_published(await self._store.run_in_thread(lambda: self._store.read(tables.list_published)))

    def _replace_published(self, found: list[PublishedFlow]) -> None:
        live = {(each.tenant, each.project, each.name): each for each in found}
        if live != self._published:
            self._published = live
            self.generation += 1
            for each in self.listeners:
                each()


def _now() -> int:
    """Unix ms."""
    return time.time_ns() // 1_000_000
