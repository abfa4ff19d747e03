"""Environment store: moves the release that is live in an environment, with history and audit event in one transaction.

Checks no permission, no plan and no requirement: callers do. A move is a compare-and-set of one row, so of two that
meet one fails and changes nothing.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial

from msgspec.structs import replace

from sizewise.audit_log.hash_chain import AuditEvent, Snapshot
from sizewise.auth.api_keys import audit_event
from sizewise.errors import BadRequest, Conflict
from sizewise.principal import Principal
from sizewise.releases.environments import tables
from sizewise.releases.environments.tables import LiveRelease, ReleaseMove
from sizewise.storage.database import AsyncTransactionRunner, TransactionRunner

Place = tuple[str, str, str]
"""Tenant, project and environment."""
MAX_REASON_CHARS = 500


class EnvironmentStore:
    def __init__(self, read: TransactionRunner, write: AsyncTransactionRunner) -> None:
        self._read = read
        self._write = write

    async def list_live(self) -> list[LiveRelease]:
        """Of all projects. Raises StorageError."""
        return await asyncio.to_thread(self._read, tables.list_live)

    async def find(self, place: Place) -> LiveRelease | None:
        return await asyncio.to_thread(self._read, lambda c: tables.find_live(c, place))

    async def since(self, live: LiveRelease) -> int:
        """Unix ms since which its release is live, whatever canaries there have been meanwhile."""
        arrival = partial(tables.last_arrival, place=live.place, release=live.release)
        found = await asyncio.to_thread(self._read, arrival)
        return live.changed if found is None else found.at

    async def history(self, place: Place, limit: int) -> list[ReleaseMove]:
        """Newest first."""
        return await asyncio.to_thread(self._read, lambda c: tables.list_moves(c, place, limit))

    async def apply(
        self,
        principal: Principal,
        place: Place,
        before: LiveRelease | None,
        release: str,
        *,
        action: str = "apply",
        reason: str = "",
    ) -> LiveRelease:
        """Makes `release` live. `before`: what is live as the caller knows it. Raises Conflict if that has changed."""
        after = LiveRelease(*place, release, changed=_now(), by=_who(principal))
        if before is None:
            told = _event(principal, place, f"release.{action}", None, after, reason)
            done = await self._write(lambda c: tables.insert_first(c, after, action, _short(reason), told))
            if not done:
                raise _moved(place)
            return after
        return await self._move(principal, before, replace(after, previous=before.release), action, reason)

    async def rollback(
        self, principal: Principal, place: Place, before: LiveRelease | None, *, to: str = "", reason: str = ""
    ) -> LiveRelease:
        """Back to the release that was live before, or to `to`, which has been live here; a canary alone ends, if there
        is one and no `to`. Raises BadRequest if there is none, and Conflict.
        """
        environment = place[2]
        if before is None:
            raise BadRequest(f"no release is live in {environment!r}", "apply one: sizewise release apply")
        if before.canary is not None and not to:
            return await self._move(principal, before, replace(before, canary=None, share=0.0), "rollback", reason)
        target = to or before.previous
        if target is None or target == before.release:
            raise BadRequest(
                f"there is no release before {before.release[:12]} in {environment!r}",
                f"apply another one: sizewise release apply HASH --to {environment}",
            )
        if to and not await asyncio.to_thread(self._read, lambda c: tables.has_been_live(c, place, to)):
            raise BadRequest(
                f"{to[:12]} has never been live in {environment!r}",
                f"plan it: sizewise release plan {to[:12]} {environment}",
            )
        earlier = await asyncio.to_thread(self._read, lambda c: tables.release_before(c, place, target))
        after = replace(before, release=target, previous=earlier, canary=None, share=0.0)
        return await self._move(principal, before, after, "rollback", reason)

    async def _move(
        self, principal: Principal, before: LiveRelease, after: LiveRelease, action: str, reason: str
    ) -> LiveRelease:
        after = replace(after, changed=_now(), by=_who(principal))
        told = _event(principal, before.place, f"release.{action}", before, after, reason)
        if not await self._write(lambda c: tables.move(c, before, after, action, _short(reason), told)):
            raise _moved(before.place)
        return replace(after, epoch=before.epoch + 1)


def _event(
    principal: Principal, place: Place, action: str, before: LiveRelease | None, after: LiveRelease, reason: str
) -> AuditEvent:
    tenant, project, environment = place
    resource = f"environment:{project}/{environment}"
    shown = {**_shown(after), **({"reason": _short(reason)} if reason else {})}
    return audit_event(principal, tenant, action, resource, None if before is None else _shown(before), shown)


def _shown(live: LiveRelease) -> Snapshot:
    return {"release": live.release} | ({"canary": live.canary, "share": live.share} if live.canary else {})


def _moved(place: Place) -> Conflict:
    return Conflict(
        f"another change of {place[2]!r} came first, nothing was changed",
        f"look at it, and plan again: sizewise release status {place[2]}",
    )


def _who(principal: Principal) -> str:
    return principal.user_id or principal.key_id


def _short(reason: str) -> str:
    return reason[:MAX_REASON_CHARS]


def _now() -> int:
    """Unix ms."""
    return time.time_ns() // 1_000_000
