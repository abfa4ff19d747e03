"""Authenticator: API key or session token -> principal, from an in-memory index of digests; never stores a secret.

Plain SHA-256 is sufficient: a key is 256 random bits and cannot be guessed; slow hashes are for passwords. The lookup
is by the hash of the *whole* key (a cache keyed by a prefix was CVE-2026-35030) and leaks no timing: a client cannot
choose how many leading bytes of a digest match.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import stat
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from sizewise.atomic_file import create_file_atomically
from sizewise.auth.permissions import ACTIONS, BUILTIN_ROLES, expand_actions, restrict_actions
from sizewise.auth.tables import ApiKey, CredentialSnapshot
from sizewise.auth.users.effective_roles import NO_ACTIONS, NO_RULE, EffectiveRoles, RoleActions, SecondFactorRule
from sizewise.auth.users.tables import Session, UserSnapshot
from sizewise.data_class import DataClass
from sizewise.errors import (
    BadRequest,
    ConfigError,
    ExternalFailure,
    InvalidApiKey,
    ServerStopping,
    SizewiseError,
)
from sizewise.principal import KeyScope, Principal

ADMIN_KEY_ID = "admin"

_KEY_PREFIX = "sw-"
_ID_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"  # 32 characters that are hard to confuse
_HINT = "send `Authorization: Bearer sw-...`: `sizewise up` prints one, `sizewise keys create` makes more"


def generate_key(
    project: str = "default",
    name: str = "",
    may: Iterable[str] = ("ask",),
    *,
    tenant: str = "local",
    expires: int | None = None,
    data_class: DataClass | None = None,
    key_text: str = "",
    user: str = "",
    wide: bool = False,
    scope: KeyScope | None = None,
    created_by: str = "",
    environment: str = "",
) -> tuple[ApiKey, str]:
    """A new key and its text, which is stored nowhere. `expires`: unix ms. `key_text`: a key that the user provides.

    The id is not secret: it is the prefix of a generated text, and unrelated to a provided one. Raises BadRequest.
    """
    may = frozenset(may)
    if not expand_actions(may):
        raise BadRequest("a key needs at least one permission", f"grant some of: {', '.join(ACTIONS)}")
    if "create_organizations" in expand_actions(may):
        hint = "only the admin token in the home folder has it"
        raise BadRequest("no key can have `create_organizations`", hint, param="permissions")
    now = time.time_ns() // 1_000_000
    if expires is not None and expires <= now:
        raise BadRequest(f"a key cannot expire in the past: {expires!r}", "use a future time, in unix milliseconds")
    id = _KEY_PREFIX + "".join(secrets.choice(_ID_ALPHABET) for _ in range(8))
    key_text = key_text or id + secrets.token_urlsafe(32)
    key = ApiKey(
        id=id,
        tenant=tenant,
        project=project,
        name=name,
        digest=digest(key_text).hex(),
        may=may,
        data_class=data_class,
        created=now,
        expires=expires,
        user=user,
        wide=wide,
        scope=scope,
        by=created_by,
        environment=environment,
    )
    return key, key_text


def digest(text: str) -> bytes:
    return sha256(text.encode("utf-8", "surrogatepass")).digest()


class RevocationListener(Protocol):
    """Notified when keys, users or roles change (RevocableStream)."""

    def on_change(self) -> None: ...


class InFlightRequest(Struct, eq=False):
    """A request in flight for the key or session `id`."""

    id: str
    task: asyncio.Task[object]
    lasting_caller: Principal | None = None  # one that outlives its session
    stop_error: SizewiseError | None = None  # set once it is stopped
    is_awaited: bool = True  # by a client; a call of a run goes on after a restart

    def revoke(self) -> None:
        self.stop(InvalidApiKey(f"the key {self.id!r} was revoked or expired during the answer", "use another key"))

    def stop(self, error: SizewiseError) -> None:
        """Cancels the task, which then raises `error`. Only the first call counts."""
        if self.stop_error is None:
            self.stop_error = error
            self.task.cancel()


def server_stopping() -> ServerStopping:
    return ServerStopping("the server stops before the answer was complete", "retry", retry_after=1)


def session_ended() -> InvalidApiKey:
    return InvalidApiKey("the session has ended", "sign in again, at /sign-in")


FixedPrincipals = Mapping[bytes, tuple[Principal, float]]
"""Digest of a key -> principal, and its expiry in unix seconds."""


class CredentialIndex:
    """Immutable index of principals, computed from keys, users and roles."""

    def __init__(
        self,
        fixed: FixedPrincipals,
        keys: tuple[ApiKey, ...],
        users: UserSnapshot,
        roles: RoleActions,
        *,
        second_factor: SecondFactorRule = NO_RULE,
    ) -> None:
        self._sources = (fixed, keys, users)
        self.effective_roles = standing = EffectiveRoles(users, roles, second_factor)
        found = [(key, principal_of_key(key, standing)) for key in keys if key.revoked is None]
        met = [(session, principal_of_session(session, standing)) for session in users.sessions]
        good = [(key, caller) for key, caller in found if caller is not None]
        live = [(session, caller) for session, caller in met if caller is not None]
        self.principals_by_digest: FixedPrincipals = {
            **fixed,
            **{bytes.fromhex(key.digest): (who, _expires_at(key)) for key, who in good},
        }
        self.sessions_by_digest = {bytes.fromhex(each.digest): (who, each) for each, who in live}
        self.expiry_by_id = {ADMIN_KEY_ID: NEVER} | {key.id: _expires_at(key) for key, _ in good}
        self.expiry_by_id |= {session.id: session.expires / 1000 for session, _ in live}
        self.projects = {"default", *(key.project for key in keys), *(each.project for each in users.memberships)}
        self.principals_by_id = {
            who.key_id: who for who in (*(who for who, _ in fixed.values()), *(w for _, w in (*good, *live)))
        }
        self.creators = {key.id: key.by for key in keys}
        self.tenants = {caller.tenant for caller in self.principals_by_id.values()}
        self.ids_that_may_ask = {caller.key_id for _, caller in (*good, *live) if "ask" in caller.permissions} | {
            ADMIN_KEY_ID,
        }

    def with_roles(self, roles: RoleActions, second_factor: SecondFactorRule) -> CredentialIndex:
        return CredentialIndex(*self._sources, roles, second_factor=second_factor)


class Authenticator:
    """All valid keys and sessions in memory. Every change replaces the whole index at once, so a revocation takes
    effect immediately. A user's key or session never has more permissions than the user has now.

    `version` is that of the loaded snapshot. A change stops those of the `in_flight` requests whose key or session is
    gone or lost the permission `ask`; of stored work that a session started, if its user did. `last_used`: session id
    -> unix seconds.
    """

    def __init__(self, admin_token: str = "") -> None:
        """`admin_token`: the text of the key with all permissions, which is not in the database."""
        everything = Principal(
            key_id=ADMIN_KEY_ID,
            name=ADMIN_KEY_ID,
            permissions=frozenset(ACTIONS),
            all_projects=True,
        )
        self._fixed: FixedPrincipals = {digest(admin_token): (everything, NEVER)} if admin_token else {}
        self._idle_s, self._projects = NEVER, frozenset[str]()
        self._index = CredentialIndex(self._fixed, (), UserSnapshot(), BUILTIN_ROLES)
        self.effective_roles = self._index.effective_roles
        self._principals_by_digest, self._sessions_by_digest, self._expiry_by_id = (
            self._index.principals_by_digest,
            self._index.sessions_by_digest,
            self._index.expiry_by_id,
        )
        self.last_used: dict[str, float] = {}
        self.in_flight: set[InFlightRequest] = set()
        self.is_stopping = False  # the drain has ended: no request may begin
        self.listeners: set[RevocationListener] = set()  # notified of every change
        self.refresh_siblings: Callable[[], Awaitable[None]] | None = None  # has other processes read the change
        self.version = -1

    def load(self, version: int, keys: Iterable[ApiKey], users: UserSnapshot | None = None) -> None:
        """Replaces keys and users by those stored at `version`. Ignores versions that are not newer."""
        if version > self.version:
            standing = self.effective_roles
            view = CredentialIndex(
                self._fixed, tuple(keys), users or UserSnapshot(), standing.roles, second_factor=standing.second_factor
            )
            self._swap(version, view)

    async def apply(self, snapshot: CredentialSnapshot) -> None:
        """Like `load`, but builds the index in a thread: it takes 25 ms with 10,000 sessions."""
        was = self.effective_roles
        build = partial(CredentialIndex, second_factor=was.second_factor)
        view = await asyncio.to_thread(build, self._fixed, tuple(snapshot.keys), snapshot.users, was.roles)
        if snapshot.version > self.version:
            now = self.effective_roles
            same = was.roles is now.roles and was.second_factor == now.second_factor
            self._swap(snapshot.version, view if same else view.with_roles(now.roles, now.second_factor))
            if self.refresh_siblings is not None:
                await self.refresh_siblings()

    def prepare(
        self,
        roles: RoleActions,
        idle_s: float,
        projects: Iterable[str] = (),
        second_factor: SecondFactorRule = NO_RULE,
    ) -> Callable[[], None]:
        """Returns a function that applies these settings. A session unused for `idle_s` seconds ends."""
        before, named = self._index, frozenset(projects)
        view = before.with_roles(roles, second_factor)

        def apply() -> None:
            self._idle_s, self._projects = idle_s, named
            # do not undo keys created or revoked since `prepare`
            self._swap(self.version, view if self._index is before else self._index.with_roles(roles, second_factor))

        return apply

    def _swap(self, version: int, index: CredentialIndex) -> None:
        self.version, self._index, self.effective_roles = version, index, index.effective_roles
        self._principals_by_digest, self._sessions_by_digest, self._expiry_by_id = (
            index.principals_by_digest,
            index.sessions_by_digest,
            index.expiry_by_id,
        )
        self.last_used = {
            each.id: max(each.seen / 1000, self.last_used.get(each.id, 0.0))
            for _, each in index.sessions_by_digest.values()
        }
        for one in tuple(self.in_flight):
            if not self._may_still_ask(one):
                one.revoke()
        for each in tuple(self.listeners):
            each.on_change()

    def _may_still_ask(self, one: InFlightRequest) -> bool:
        caller = one.lasting_caller
        if caller is None:
            return one.id in self._index.ids_that_may_ask
        return self.stored_caller(caller.key_id, caller.user_id, caller.tenant, caller.project) is not None

    def stop_in_flight(self) -> None:
        """Ends requests that clients wait for with ServerStopping, at the end of the drain, and later ones at once."""
        self.is_stopping = True
        for one in tuple(self.in_flight):
            if one.is_awaited:
                one.stop(server_stopping())

    @property
    def organization_count(self) -> int:
        """Number of organizations with at least one valid key or session."""
        return len(self._index.tenants)

    def authenticate(self, token: str) -> Principal:
        """The principal of this key. Raises InvalidApiKey."""
        return self.authenticate_digest(digest(token), token)

    def authenticate_digest(self, digest: bytes, token: str) -> Principal:
        """Like `authenticate`, with the digest of `token` precomputed."""
        found = self._principals_by_digest.get(digest)
        if found is None:
            raise InvalidApiKey("the API key is not valid" if token else "no API key was sent", _HINT)
        principal, until = found
        if until != NEVER and time.time() >= until:
            raise InvalidApiKey(f"the key {principal.key_id!r} has expired", _HINT)
        return principal

    def principal_by_key_id(self, id: str) -> Principal:
        """The principal of the key or session with this id; for callers authenticated otherwise. Raises
        InvalidApiKey.
        """
        found = self._index.principals_by_id.get(id)
        if found is None or time.time() >= self._expiry_by_id.get(id, 0.0):
            raise InvalidApiKey(f"the key {id[:20]!r} does not exist, has expired or was revoked", _HINT)
        return found

    def authenticate_session(self, token: str) -> tuple[Principal, Session]:
        """Principal and session of this token; updates `last_used`. Raises InvalidApiKey."""
        found = self._sessions_by_digest.get(digest(token))
        now = time.time()
        if found is None:
            raise InvalidApiKey("you are not signed in", "sign in again, at /sign-in")
        if now >= found[1].expires / 1000 or now - self.last_used[found[1].id] > self._idle_s:
            raise session_ended()
        self.last_used[found[1].id] = now
        return found

    def has_project(self, name: str) -> bool:
        """Whether the project exists: it is in the settings, or has a key or a member."""
        return name in self._index.projects or name in self._projects

    def expires_at(self, id: str) -> float:
        """Expiry of a key or session, in unix seconds. NEVER for an unknown id: the caller came without a key."""
        return self._expiry_by_id.get(id, NEVER)

    def is_valid(self, principal: Principal) -> bool:
        """Whether the key or session of this principal is still valid."""
        return time.time() < self._expiry_by_id.get(principal.key_id, 0.0)

    def is_unchanged(self, principal: Principal) -> bool:
        """Whether the key or session is valid and still gives this very principal. With access to all projects, the
        project may differ from the key's.
        """
        found = self._index.principals_by_id.get(principal.key_id)
        if found is not None and found.all_projects:
            found = replace(found, project=principal.project)
        return found == principal and time.time() < self._expiry_by_id.get(principal.key_id, 0.0)

    def reauthenticate(self, key_id: str, user_id: str, tenant: str, project: str) -> Principal | None:
        """The principal of stored work (a run, a batch, a background response) with current permissions; None if access
        was lost. Work of a key ends with the key. Work of a session is its user's, in `project`: the session may have
        ended, moved to another project or lack a second factor.
        """
        if key_id == ADMIN_KEY_ID or key_id.startswith(_KEY_PREFIX):
            found = self._index.principals_by_id.get(key_id)
            return found if found is not None and found.tenant == tenant and self.is_valid(found) else None
        session = Session(  # of no method, so that a run goes on while its user enrolls a second factor
            id=key_id, tenant=tenant, user=user_id, digest="", project=project, created=0, seen=0, expires=0
        )
        found = principal_of_session(session, self.effective_roles)
        return None if found is None else replace(found, outlives_session=True)

    def stored_caller(self, key_id: str, user_id: str, tenant: str, project: str) -> Principal | None:
        """Like `reauthenticate`, in `project`; None also if it may not ask there."""
        found = self.reauthenticate(key_id, user_id, tenant, project)
        if found is None or "ask" not in found.permissions or not (found.all_projects or found.project == project):
            return None
        return found if found.project == project else replace(found, project=project)

    def key_creators(self, id: str) -> frozenset[str]:
        """Ids of the user or key that created this key, of the one that created that key, and so on. Not the admin
        token: who has it can create any key.
        """
        found: set[str] = set()
        by = self._index.creators.get(id, "")
        while by and by not in found and by != ADMIN_KEY_ID:
            found.add(by)
            by = self._index.creators.get(by, "")
        return frozenset(found)

    def active_sessions(self, tenant: str) -> list[Session]:
        """Valid sessions of a tenant, with `seen` up to date."""
        now = time.time()
        return [
            replace(each, seen=round(self.last_used[each.id] * 1000))
            for _, each in self._sessions_by_digest.values()
            if each.tenant == tenant and now < each.expires / 1000 and now - self.last_used[each.id] <= self._idle_s
        ]


NEVER = float("inf")


def _expires_at(key: ApiKey) -> float:
    return NEVER if key.expires is None else key.expires / 1000


def principal_of_key(key: ApiKey, effective_roles: EffectiveRoles) -> Principal | None:
    """None if its user is missing or disabled."""
    may, wide = expand_actions(key.may), key.wide
    if key.user:
        user = effective_roles.active_user(key.user, key.tenant)
        if user is None:
            return None
        may &= (
            effective_roles.organization_actions(user) if wide else effective_roles.project_actions(user, key.project)
        )
        wide = wide and bool(user.role)
    may = restrict_actions(may, key.tenant, wide)
    return Principal(
        tenant=key.tenant,
        project=key.project,
        key_id=key.id,
        name=key.name,
        permissions=may,
        data_class=key.data_class,
        user_id=key.user,
        all_projects=wide,
        scope=key.scope,
        environment=key.environment,
    )


def principal_of_session(session: Session, effective_roles: EffectiveRoles) -> Principal | None:
    """None if its user is missing or disabled, or has left the project. Without permissions while the user must enroll
    a second factor.
    """
    user = effective_roles.active_user(session.user, session.tenant)
    if user is None or effective_roles.initial_project(user, session.project) is None:
        return None
    wide = effective_roles.covers_all_projects(user, session.project)
    may = restrict_actions(effective_roles.project_actions(user, session.project), session.tenant, wide)
    if effective_roles.must_enroll(session):
        wide, may = False, NO_ACTIONS
    name = user.name or user.email
    return Principal(
        tenant=session.tenant,
        project=session.project,
        key_id=session.id,
        name=name,
        permissions=may,
        user_id=user.id,
        all_projects=wide,
    )


_ADMIN_TOKEN_HINT = "delete it: the next start creates a new one"


def load_or_create_admin_token(home: Path) -> str:
    """The text in `<home>/admin.token`, created at the first call. Raises ConfigError if other users have access to the
    file, ExternalFailure if it cannot be read or written.
    """
    path = home / "admin.token"
    token = "sw-admin" + secrets.token_urlsafe(32)
    try:
        create_file_atomically(path, f"{token}\n".encode("ascii"), 0o600)
    except FileExistsError:
        return _read_admin_token(path)
    except OSError as error:
        hint = "make the home folder writable and free space on its disk, or choose another with --home DIR"
        raise ExternalFailure(f"cannot write {str(path)!r}: {error.strerror}", hint) from error
    return token


def _read_admin_token(path: Path) -> str:
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), encoding="ascii", errors="replace") as file:
            state = os.fstat(file.fileno())
            token = file.read(1_000).strip()
    except OSError as error:
        raise ExternalFailure(f"cannot read {str(path)!r}: {error.strerror}", _ADMIN_TOKEN_HINT) from error
    if state.st_mode & (stat.S_IRWXG | stat.S_IRWXO) or state.st_uid != os.geteuid():
        raise ConfigError(
            f"other users can read or change {str(path)!r}",
            f"{_ADMIN_TOKEN_HINT}; or, if you trust its content: chmod 600 {path}",
        )
    if not token.startswith("sw-admin") or len(token) < 40:
        raise ConfigError(f"{str(path)!r} does not contain an admin token", _ADMIN_TOKEN_HINT)
    return token
