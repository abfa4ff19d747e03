"""API key management: create, rotate and revoke, each with its audit event in one transaction; knows no HTTP.

Permissions are checked before, by the APIs.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Sequence

from msgspec import Struct, to_builtins
from msgspec.structs import replace

from sizewise.audit_log.hash_chain import AuditEvent, Snapshot
from sizewise.auth import tables
from sizewise.auth.authenticator import Authenticator, digest, generate_key
from sizewise.auth.authorization import not_found
from sizewise.auth.tables import ApiKey, CredentialSnapshot
from sizewise.data_class import DataClass
from sizewise.errors import ConfigError
from sizewise.jobs.periodic_tasks import PeriodicTask
from sizewise.principal import KeyScope, Principal
from sizewise.storage.database import (
    AsyncTransactionRunner,
    PublishEvent,
    TransactionRunner,
    UnitOfWork,
    no_event,
    with_event,
)

log = logging.getLogger("sizewise.auth")


POLL_S = 0.5  # seconds between checks for changes by other servers
PROVIDED_KEY_NAME = "SIZEWISE_KEY"
SERVER_PRINCIPAL = Principal(key_id="sizewise", name="sizewise", all_projects=True)
"""The actor in the audit log for changes by the server itself."""


class NewKey(Struct, frozen=True):
    """A key and its text, which is shown once and not stored."""

    key: ApiKey
    text: str


class ApiKeys:
    """Changes take effect in `authenticator` immediately."""

    def __init__(
        self,
        read: TransactionRunner,
        write: AsyncTransactionRunner,
        write_sync: TransactionRunner,
        authenticator: Authenticator,
        *,
        shared: bool = False,
        publish_event: PublishEvent = no_event,
    ) -> None:
        """`write_sync`: like `write`, for use before there is an event loop. `shared`: other servers write to the same
        database. `publish_event` receives each revoked key.
        """
        self._publish_event = publish_event
        self._shared = shared
        self._read = read
        self._write = write
        self._write_sync = write_sync
        self.authenticator = authenticator
        self._load(read(tables.read_snapshot))

    def ensure_first_key(self, provided_text: str = "") -> str:
        """Called at startup, so that there is a key. Returns the text of a generated key, to be shown once; else empty.

        `provided_text` (SIZEWISE_KEY) replaces a key provided earlier. Raises ConfigError if it was revoked.
        """
        if _has_first_key(self._read(tables.list_keys), provided_text):
            return ""
        name = PROVIDED_KEY_NAME if provided_text else "first"
        key, text = generate_key(name=name, may=("ask", "read"), key_text=provided_text, wide=True)

        def changes(known: Sequence[ApiKey]) -> list[UnitOfWork[CredentialSnapshot]]:
            if _has_first_key(known, provided_text):  # another server was first
                return []
            provided = [each for each in known if each.name == PROVIDED_KEY_NAME and each.revoked is None]
            old = [_revocation(each, SERVER_PRINCIPAL) for each in provided if provided_text]
            return [*old, _insertion(key, SERVER_PRINCIPAL)]

        snapshot = self._write_sync(lambda c: tables.change_first_key(c, changes))
        self._load(snapshot)
        return text if not provided_text and any(each.id == key.id for each in snapshot.keys) else ""

    @property
    def version(self) -> int:
        return self.authenticator.version

    async def refresh(self) -> None:
        """Loads changes by other processes."""
        if await asyncio.to_thread(self._read, tables.read_version) != self.version:
            await self.authenticator.apply(await asyncio.to_thread(self._read, tables.read_snapshot))

    def periodic_tasks(self) -> list[PeriodicTask]:
        """If several servers share a database, the changes of the others are loaded."""
        return [PeriodicTask("keys of other servers", POLL_S, self.refresh)] if self._shared else []

    async def list(self, tenant: str = "local") -> list[ApiKey]:
        """Includes revoked and expired keys, oldest first; without digests."""
        keys = await asyncio.to_thread(self._read, lambda c: tables.list_keys(c, tenant))
        return [replace(key, digest="") for key in keys]

    async def digests(self, tenant: str) -> dict[str, str]:
        """SHA-256 in hex, by the id of the key: all that are stored."""
        keys = await asyncio.to_thread(self._read, lambda c: tables.list_keys(c, tenant))
        return {key.id: key.digest for key in keys}

    async def get(self, id: str, tenant: str) -> ApiKey:
        """Raises PathNotFound if the tenant has no such key."""
        found = next((key for key in await self.list(tenant) if key.id == id), None)
        if found is None:
            raise not_found("key", id)
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
        scope: KeyScope | None = None,
        environment: str = "",
        actor: Principal = SERVER_PRINCIPAL,
    ) -> NewKey:
        """`expires`: unix ms. Raises BadRequest (unknown action, time in the past), Conflict (too many keys of a user),
        StorageError.
        """
        key, text = generate_key(
            project,
            name,
            may,
            tenant=tenant,
            expires=expires,
            data_class=data_class,
            user=user,
            wide=wide,
            scope=scope,
            environment=environment,
            created_by=actor.user_id or actor.key_id,
        )
        await self.authenticator.apply(await self._write(_insertion(key, actor)))
        return NewKey(replace(key, digest=""), text)

    async def rotate(self, id: str, tenant: str, overlap_ms: int, actor: Principal = SERVER_PRINCIPAL) -> NewKey:
        """Creates a key with the properties of the old one, which expires after `overlap_ms`. Raises PathNotFound, and
        Conflict if the old key is revoked.
        """
        old = await self.get(id, tenant)
        now = _now()
        key, text = generate_key(
            old.project,
            old.name,
            old.may,
            tenant=tenant,
            expires=old.expires,
            data_class=old.data_class,
            user=old.user,
            wide=old.wide,
            scope=old.scope,
            environment=old.environment,
            created_by=actor.user_id or actor.key_id,
        )
        await self.authenticator.apply(await self._write(_rotation(old, key, now + overlap_ms, actor)))
        return NewKey(replace(key, digest=""), text)

    async def revoke(self, id: str, tenant: str = "local", actor: Principal = SERVER_PRINCIPAL) -> None:
        """Invalidates the key and stops its requests in flight. Raises PathNotFound, StorageError."""
        key = await self.get(id, tenant)
        shown = {"key": key.id, "name": key.name, "project": key.project, "by": actor.user_id or actor.key_id}
        event = self._publish_event("key.revoked", shown, tenant)
        await self.authenticator.apply(await self._write(with_event(_revocation(key, actor), event)))

    def _load(self, snapshot: CredentialSnapshot) -> None:
        self.authenticator.load(snapshot.version, snapshot.keys, snapshot.users)


def audit_event(
    actor: Principal,
    tenant: str,
    action: str,
    resource: str,
    before: Snapshot | None = None,
    after: Snapshot | None = None,
) -> AuditEvent:
    """An event in the audit log of `tenant`, the owner of the resource."""
    return AuditEvent(
        tenant=tenant,
        who=actor.user_id or actor.key_id,
        action=action,
        thing=resource,
        before=before,
        after=after,
        by=actor.key_id if actor.user_id else "",
    )


def _has_first_key(known: Sequence[ApiKey], provided_text: str) -> bool:
    """Raises ConfigError if the provided one was revoked."""
    if not provided_text:
        return bool(known)
    mine = digest(provided_text).hex()
    same = next((key for key in known if key.digest == mine), None)
    if same is not None and same.revoked is not None:
        hint = "unset it, or set another key: `sizewise keys` lists them"
        raise ConfigError("the key in SIZEWISE_KEY was revoked", hint)
    return same is not None


def _insertion(key: ApiKey, actor: Principal) -> UnitOfWork[CredentialSnapshot]:
    told = audit_event(actor, key.tenant, "key.create", f"key:{key.id}", None, _audit_fields(key))
    return lambda c: (tables.add_user_key if key.user else tables.add_key)(c, key, told)


def _revocation(key: ApiKey, actor: Principal) -> UnitOfWork[CredentialSnapshot]:
    at = _now()
    told = audit_event(
        actor,
        key.tenant,
        "key.revoke",
        f"key:{key.id}",
        _audit_fields(key),
        _audit_fields(replace(key, revoked=at)),
    )
    return lambda c: tables.revoke_key(c, key, at, told)


def _rotation(old: ApiKey, key: ApiKey, until: int, actor: Principal) -> UnitOfWork[CredentialSnapshot]:
    ends = _audit_fields(replace(old, expires=until if old.expires is None else min(until, old.expires)))
    told = audit_event(actor, key.tenant, "key.rotate", f"key:{old.id}", _audit_fields(old), ends | {"next": key.id})
    return lambda c: tables.rotate_key(c, old, key, until, told)


def _audit_fields(key: ApiKey) -> Snapshot:
    """A key as recorded in the audit log: without digest and empty fields."""
    shown: Snapshot = to_builtins(replace(key, digest=""))
    return {**{name: value for name, value in shown.items() if value}, "may": sorted(key.may)}


def _now() -> int:
    """Unix ms."""
    return time.time_ns() // 1_000_000
