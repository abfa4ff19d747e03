"""The register of keys: each change in one transaction with its line in the audit trail; knows no door.

Everything goes in and comes out as plain values. What a caller may is asked before, at the doors.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Protocol, TypeVar

from msgspec import Struct, to_builtins
from msgspec.structs import replace

from sizewise.audit_log.hash_chain import Deed, Shown
from sizewise.auth import tables
from sizewise.auth.authenticator import Keys, digest, fresh
from sizewise.auth.authorization import unknown
from sizewise.auth.tables import Key, Known
from sizewise.data_class import DataClass
from sizewise.errors import ConfigError, StoreFailed
from sizewise.principal import Caller, Scope
from sizewise.storage.database import Work

log = logging.getLogger("sizewise.auth")

T = TypeVar("T")

LOOK_S = 0.5  # seconds between two looks at what other servers have changed
BROUGHT = "SIZEWISE_KEY"
SERVER = Caller(key="sizewise", name="sizewise", wide=True)
"""Who stands in the trail where the server itself did it, at its start."""


def _nobody(event: str, data: Mapping[str, object], tenant: str) -> None:
    pass


class NewKey(Struct, frozen=True):
    """A key and its text, which is shown once and kept nowhere."""

    key: Key
    text: str


class Read(Protocol):
    def __call__(self, work: Work[T], /) -> T: ...


class Write(Protocol):
    def __call__(self, work: Work[T], /) -> Awaitable[T]: ...


class Register:
    """`keys` shows every change made here at once. `tell` is told of keys that are revoked (Hooks' `tell`)."""

    def __init__(self, read: Read, write: Write, perform: Read, keys: Keys, shared: bool = False) -> None:
        """`perform` is `write` for whoever has no event loop yet. `shared`: other servers write there too."""
        self.tell: Callable[[str, Mapping[str, object], str], None] = _nobody
        self._shared = shared
        self._read = read
        self._write = write
        self._perform = perform
        self.keys = keys
        self._seen(read(tables.known))

    def first_key(self, brought: str = "") -> str:
        """At start: makes sure somebody can ask. The text of the key that was made, to be shown once; else empty.

        `brought` (SIZEWISE_KEY) takes the place of the one brought earlier. Raises ConfigError when it was revoked.
        """
        known = self._read(tables.every)
        if not brought:
            return "" if known else self._made("first", "")
        mine = digest(brought).hex()
        same = next((key for key in known if key.digest == mine), None)
        if same is not None and same.revoked is not None:
            raise ConfigError("the key in SIZEWISE_KEY was revoked", "set another, or none: `sizewise keys` shows them")
        if same is None:
            for old in (key for key in known if key.name == BROUGHT and key.revoked is None):
                self._perform(_revoked(old, SERVER))
            self._made(BROUGHT, brought)
        return ""

    def _made(self, name: str, brought: str) -> str:
        key, text = fresh(name=name, may=("ask", "read"), text=brought, wide=True)
        self._seen(self._perform(_added(key, SERVER)))
        return text

    @property
    def version(self) -> int:
        """Rises with every change of any key."""
        return self.keys.version

    async def refresh(self) -> None:
        """Takes up what another process has changed."""
        if await asyncio.to_thread(self._read, tables.version) != self.version:
            await self.keys.follow(await asyncio.to_thread(self._read, tables.known))

    async def tend(self) -> None:
        """Where several servers share a store, takes up twice a second what the others change, until cancelled."""
        while self._shared:
            await asyncio.sleep(LOOK_S)
            try:
                await self.refresh()
            except StoreFailed as error:
                log.warning("what other servers change cannot be seen: %s", error.message)

    async def list(self, tenant: str = "local") -> list[Key]:
        """All keys, revoked and expired ones too, oldest first; without their digests."""
        keys = await asyncio.to_thread(self._read, lambda c: tables.every(c, tenant))
        return [replace(key, digest="") for key in keys]

    async def one(self, id: str, tenant: str) -> Key:
        """Raises UnknownPath where the tenant has no such key."""
        found = next((key for key in await self.list(tenant) if key.id == id), None)
        if found is None:
            raise unknown("key", id)
        return found

    async def create(
        self,
        project: str = "default",
        name: str = "",
        may: Iterable[str] = ("ask",),
        *,
        tenant: str = "local",
        expires: int | None = None,
        data_class: DataClass | None = None,
        user: str = "",
        wide: bool = False,
        scope: Scope | None = None,
        by: Caller = SERVER,
    ) -> NewKey:
        """Good from now on until `expires` (unix ms). Raises BadRequest (unknown action, time gone by), Conflict
        (too many of one user), StoreFailed."""
        key, text = fresh(
            project,
            name,
            may,
            tenant=tenant,
            expires=expires,
            data_class=data_class,
            user=user,
            wide=wide,
            scope=scope,
            by=by.user or by.key,
        )
        await self.keys.follow(await self._write(_added(key, by)))
        return NewKey(replace(key, digest=""), text)

    async def rotate(self, id: str, tenant: str, overlap_ms: int, by: Caller = SERVER) -> NewKey:
        """A new key with all that the old one had; the old one is refused after `overlap_ms`. Raises UnknownPath, and
        Conflict where it is revoked."""
        old = await self.one(id, tenant)
        now = _now()
        key, text = fresh(
            old.project,
            old.name,
            old.may,
            tenant=tenant,
            expires=old.expires,
            data_class=old.data_class,
            user=old.user,
            wide=old.wide,
            scope=old.scope,
            by=by.user or by.key,
        )
        await self.keys.follow(await self._write(_rotated(old, key, now + overlap_ms, by)))
        return NewKey(replace(key, digest=""), text)

    async def revoke(self, id: str, tenant: str = "local", by: Caller = SERVER) -> None:
        """Refused from now on, everywhere, answers under way too. Raises UnknownPath, StoreFailed."""
        key = await self.one(id, tenant)
        await self.keys.follow(await self._write(_revoked(key, by)))
        shown = {"key": key.id, "name": key.name, "project": key.project, "by": by.user or by.key}
        self.tell("key.revoked", shown, tenant)

    def _seen(self, known: Known) -> None:
        self.keys.renew(known.version, known.keys, known.people)


def deed(
    by: Caller, tenant: str, action: str, thing: str, before: Shown | None = None, after: Shown | None = None
) -> Deed:
    """In the trail of `tenant`, whose thing it is."""
    return Deed(tenant, by.user or by.key, action, thing, before, after, by=by.key if by.user else "")


def _added(key: Key, by: Caller) -> Work[Known]:
    told = deed(by, key.tenant, "key.create", f"key:{key.id}", None, _shown(key))
    return lambda c: (tables.add_own if key.user else tables.add)(c, key, told)


def _revoked(key: Key, by: Caller) -> Work[Known]:
    at = _now()
    told = deed(by, key.tenant, "key.revoke", f"key:{key.id}", _shown(key), _shown(replace(key, revoked=at)))
    return lambda c: tables.revoke(c, key, at, told)


def _rotated(old: Key, key: Key, until: int, by: Caller) -> Work[Known]:
    ends = _shown(replace(old, expires=until if old.expires is None else min(until, old.expires)))
    told = deed(by, key.tenant, "key.rotate", f"key:{old.id}", _shown(old), ends | {"next": key.id})
    return lambda c: tables.rotate(c, old, key, until, told)


def _shown(key: Key) -> Shown:
    """A key as it stands in the trail: all but its digest."""
    shown: Shown = to_builtins(replace(key, digest=""))
    return {**{name: value for name, value in shown.items() if value}, "may": sorted(key.may)}


def _now() -> int:
    """Unix ms."""
    return time.time_ns() // 1_000_000
