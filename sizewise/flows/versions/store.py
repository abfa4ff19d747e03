"""Versions of flows and which of them is live in a project; each change in one transaction with its audit line.

A version is the hash of what a flow means, so it never changes: what is published again later is the same as before.
What a flow says lies sealed, for prompts are in it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from sizewise.auth.api_keys import deed
from sizewise.errors import BadRequest, UnknownPath
from sizewise.flows.step_store import Book
from sizewise.flows.versions import tables
from sizewise.flows.versions.tables import Published, Version
from sizewise.principal import Caller

T = TypeVar("T")

VERSIONS = "flow_versions"
VERSION = re.compile(r"[0-9a-f]{64}\Z")
SHORT = 8
"""Digits at least of a version that is not written out."""
LARGEST = 2_000_000
"""Bytes of one flow."""
MOST = 1_000


class Shelf:
    """Each of `watching` is called after a change of what is live, here or by another server."""

    def __init__(self, book: Book) -> None:
        self.watching: list[Callable[[], None]] = []
        self._book = book
        self._live: dict[tuple[str, str, str], Published] = {}
        self._renew(book.read(tables.live))

    def every(self, tenant: str = "", project: str = "") -> list[Published]:
        """What is live, of all or of whom is named; in the order of their names."""
        return [
            each for place, each in sorted(self._live.items()) if tenant in ("", place[0]) and project in ("", place[1])
        ]

    def live(self, tenant: str, project: str, name: str) -> Published:
        """Raises UnknownPath."""
        found = self._live.get((tenant, project, name))
        if found is None:
            raise UnknownPath(
                f"no flow {name[:100]!r} is published in the project {project!r}", "see: sizewise flow list"
            )
        return found

    async def text(self, tenant: str, project: str, name: str, version: str) -> bytes:
        """What the flow says. Raises UnknownPath, VaultLocked, StoreFailed."""
        return await self.off(partial(self.read, tenant, project, name, version))

    async def off(self, work: Callable[[], T]) -> T:
        """`work` beside the event loop, where the vault may take seconds."""
        return await self._book.off(work)

    def read(self, tenant: str, project: str, name: str, version: str) -> bytes:
        """`text`, for whoever is off the event loop."""
        sealed = self._book.read(lambda c: tables.find_version(c, tenant, project, name, version))
        if sealed is None:
            hint = f"see: sizewise flow versions {name[:100]}"
            raise UnknownPath(f"the flow {name[:100]!r} has no version {version[:64]!r}", hint)
        return self._book.vault.open(sealed, tenant, VERSIONS, f"{project}/{name}/{version}")

    async def versions(self, tenant: str, project: str, name: str, limit: int = 100) -> list[Version]:
        """Newest first."""
        most = min(limit, MOST)
        return await self._book.off(lambda: self._book.read(lambda c: tables.versions(c, tenant, project, name, most)))

    async def meant(self, tenant: str, project: str, name: str, version: str) -> str:
        """The whole version that `version`, at least its beginning, means; empty means the one that is live. Of a flow
        that was withdrawn none is there any more, but for runs that have begun.

        Raises UnknownPath, BadRequest.
        """
        live = self.live(tenant, project, name).version
        if not version:
            return live
        if VERSION.match(version):
            return version
        found = [each.version for each in await self.versions(tenant, project, name, MOST)]
        fits = [each for each in found if each.startswith(version)] if len(version) >= SHORT else []
        if len(fits) != 1:
            raise BadRequest(
                f"{version[:64]!r} means no version of the flow {name[:100]!r}",
                f"give all 64 digits, or the first {SHORT} at least, as sizewise flow versions shows them",
                param="version",
            )
        return fits[0]

    async def keep(self, by: Caller, project: str, name: str, version: str, text: bytes) -> bool:
        """Whether it is new. Durable and sealed when this returns. Raises BadRequest, VaultLocked, StoreFailed."""
        if len(text) > LARGEST:
            raise BadRequest(f"the flow takes {len(text)} bytes", f"{LARGEST} are the most: split it into subflows")
        made = Version(name, version, _now(), by.user or by.key)
        return await self._book.off(partial(self._keep, by, project, made, text))

    def _keep(self, by: Caller, project: str, version: Version, text: bytes) -> bool:
        place = f"{project}/{version.name}/{version.version}"
        sealed = self._book.vault.seal(text, by.tenant, VERSIONS, place)

        told = deed(by, by.tenant, "flow.keep", f"flow:{project}/{version.name}@{version.version}")
        return self._book.write(lambda c: tables.keep_version(c, by.tenant, project, version, sealed, told))

    async def publish(self, by: Caller, project: str, name: str, version: str) -> Published:
        """It is live when this returns, in the place of what was. Raises UnknownPath, StoreFailed."""
        await self.text(by.tenant, project, name, version)
        return await self._put(
            by, Published(by.tenant, project, name, version, _now(), by.key, by.user), "flow.publish"
        )

    async def withdraw(self, by: Caller, project: str, name: str) -> None:
        """Raises UnknownPath, StoreFailed."""
        self.live(by.tenant, project, name)
        await self._put(by, Published(by.tenant, project, name, "", _now(), by.key, by.user), "flow.withdraw")

    async def _put(self, by: Caller, published: Published, action: str) -> Published:
        before = self._live.get((by.tenant, published.project, published.name))
        told = deed(
            by,
            by.tenant,
            action,
            f"flow:{published.project}/{published.name}",
            None if before is None else {"version": before.version},
            {"version": published.version} if published.version else None,
        )

        self._renew(await self._book.off(lambda: self._book.write(lambda c: tables.put_published(c, published, told))))
        return published

    async def look(self) -> None:
        """What other servers published meanwhile. Raises StoreFailed."""
        self._renew(await self._book.off(lambda: self._book.read(tables.live)))

    def _renew(self, found: list[Published]) -> None:
        live = {(each.tenant, each.project, each.name): each for each in found}
        if live != self._live:
            self._live = live
            for each in self.watching:
                each()


def _now() -> int:
    """Unix ms."""
    return time.time_ns() // 1_000_000
