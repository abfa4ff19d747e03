"""API key or session -> Caller, in one microsecond; knows only the hash of what is presented, never its text.

Plain SHA-256 is right here: a key is 256 random bits, so there is nothing to guess and no need for a slow hash; slow
hashes protect what people make up. The look-up is by the hash of the *whole* key (a cache keyed by a prefix was
CVE-2026-35030) and constant in time: nobody can choose how far a digest agrees with another.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import stat
import time
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from sizewise.auth.permissions import ACTIONS, ROLES, granted, within
from sizewise.auth.tables import Key, Known
from sizewise.auth.users.effective_roles import Roles, Standing
from sizewise.auth.users.tables import People, Session
from sizewise.data_class import DataClass
from sizewise.errors import BadKey, BadRequest, ConfigError, Outside
from sizewise.principal import Caller, Scope

ADMIN = "admin"

_ID = "abcdefghijkmnpqrstuvwxyz23456789"  # 32 letters that nobody confuses
_HINT = "send `Authorization: Bearer sw-...`: `sizewise up` prints one, `sizewise keys create` makes more"


def fresh(
    project: str = "default",
    name: str = "",
    may: Iterable[str] = ("ask",),
    *,
    tenant: str = "local",
    expires: int | None = None,
    data_class: DataClass | None = None,
    text: str = "",
    user: str = "",
    wide: bool = False,
    scope: Scope | None = None,
    by: str = "",
) -> tuple[Key, str]:
    """A new key and its text, which exists only now. `expires`: unix ms. `text`: a key that the user brings.

    The id may be shown everywhere: it is the beginning of a text of ours, and unrelated to one that was brought.
    """
    may = frozenset(may)
    if not granted(may):
        raise BadRequest("a key that may do nothing is of no use", f"allow some of {', '.join(ACTIONS)}")
    if "found_organisations" in granted(may):
        raise BadRequest("no key may `found_organisations`", "the admin token in the home folder may", param="may")
    now = time.time_ns() // 1_000_000
    if expires is not None and expires <= now:
        raise BadRequest(f"a key cannot expire in the past: {expires!r}", "give a time to come, in unix milliseconds")
    id = "sw-" + "".join(secrets.choice(_ID) for _ in range(8))
    text = text or id + secrets.token_urlsafe(32)
    key = Key(
        id,
        tenant,
        project,
        name,
        digest(text).hex(),
        may,
        data_class,
        now,
        expires,
        user=user,
        wide=wide,
        scope=scope,
        by=by,
    )
    return key, text


def digest(text: str) -> bytes:
    return sha256(text.encode("utf-8", "surrogatepass")).digest()


class Watching(Protocol):
    """Whoever must know when somebody may no longer what they might (attached.py)."""

    def look(self) -> None: ...


class Running(Struct, eq=False):
    """An answer under way by the key or session `id`, and how it is stopped."""

    id: str
    task: asyncio.Task[object]
    stopped: bool = False

    def stop(self) -> None:
        if not self.stopped:
            self.stopped = True
            self.task.cancel()


Always = Mapping[bytes, tuple[Caller, float]]
"""Callers by the digest of their key, and until when in unix seconds."""


class View:
    """Who may what, worked out of keys, people and roles; never changes. `asking` are ids that may ask."""

    def __init__(self, always: Always, keys: tuple[Key, ...], people: People, roles: Roles) -> None:
        self._made_of = (always, keys, people)
        self.standing = standing = Standing(people, roles)
        found = [(key, came_by(key, standing)) for key in keys if key.revoked is None]
        met = [(session, signed_in(session, standing)) for session in people.sessions]
        good = [(key, caller) for key, caller in found if caller is not None]
        live = [(session, caller) for session, caller in met if caller is not None]
        self.known: Always = {**always, **{bytes.fromhex(key.digest): (who, _until(key)) for key, who in good}}
        self.sessions = {bytes.fromhex(each.digest): (who, each) for each, who in live}
        self.ids = {ADMIN: NEVER} | {key.id: _until(key) for key, _ in good}
        self.ids |= {session.id: session.expires / 1000 for session, _ in live}
        self.projects = {"default", *(key.project for key in keys), *(each.project for each in people.memberships)}
        self.callers = {who.key: who for who in (*(who for who, _ in always.values()), *(w for _, w in (*good, *live)))}
        self.tenants = {caller.tenant for caller in self.callers.values()}
        self.asking = {caller.key for _, caller in (*good, *live) if "ask" in caller.may} | {ADMIN}

    def under(self, roles: Roles) -> View:
        return View(*self._made_of, roles)


class Keys:
    """All valid keys and sessions in memory. `renew` swaps the whole look-up at once, so a revoked one is gone from
    then on, and what is a user's never has more than that user has now.

    `version` counts the swaps. `running` are the answers under way; `renew` stops those whose key or session is gone
    or may no longer ask. `seen`: unix seconds when a session was last used.
    """

    def __init__(self, admin: str = "") -> None:
        """`admin`: the text of the key that may everything and is kept in no database."""
        everything = Caller(key=ADMIN, name=ADMIN, may=frozenset(ACTIONS), wide=True)
        self._always: Always = {digest(admin): (everything, NEVER)} if admin else {}
        self._idle_s, self._projects = NEVER, frozenset[str]()
        self._view = View(self._always, (), People(), ROLES)
        self.standing = self._view.standing
        self._known, self._sessions, self._ids = self._view.known, self._view.sessions, self._view.ids
        self.seen: dict[str, float] = {}
        self.running: set[Running] = set()
        self.watching: set[Watching] = set()  # told of every change
        self.version = -1

    def renew(self, version: int, keys: Iterable[Key], people: People | None = None) -> None:
        """The keys and people as the keeper knows them at `version`; an older state than the one held is ignored."""
        if version > self.version:
            self._take(version, View(self._always, tuple(keys), people or People(), self.standing.roles))

    async def follow(self, known: Known) -> None:
        """`renew`, worked out beside the event loop: 25 ms with 10,000 sessions."""
        roles = self.standing.roles
        view = await asyncio.to_thread(View, self._always, tuple(known.keys), known.people, roles)
        if known.version > self.version:
            self._take(known.version, view if roles is self.standing.roles else view.under(self.standing.roles))

    def prepare(self, roles: Roles, idle_s: float, projects: Iterable[str] = ()) -> Callable[[], None]:
        """The change to these roles and projects; a session unused for `idle_s` seconds ends."""
        before, named = self._view, frozenset(projects)
        view = before.under(roles)

        def apply() -> None:
            self._idle_s, self._projects = idle_s, named
            # keys that were made or revoked since are never undone
            self._take(self.version, view if self._view is before else self._view.under(roles))

        return apply

    def _take(self, version: int, view: View) -> None:
        self.version, self._view, self.standing = version, view, view.standing
        self._known, self._sessions, self._ids = view.known, view.sessions, view.ids
        self.seen = {each.id: max(each.seen / 1000, self.seen.get(each.id, 0.0)) for _, each in view.sessions.values()}
        for one in tuple(self.running):
            if one.id not in view.asking:
                one.stop()
        for each in tuple(self.watching):
            each.look()

    @property
    def organisations(self) -> int:
        """How many there are with somebody who can come in."""
        return len(self._view.tenants)

    def caller(self, presented: str) -> Caller:
        """Who presents this text. Raises BadKey, which never says how near it was."""
        return self.by(digest(presented), presented)

    def by(self, digest: bytes, presented: str) -> Caller:
        """The same for whoever has the digest of `presented` already."""
        found = self._known.get(digest)
        if found is None:
            raise BadKey("no valid API key was sent" if presented else "no API key was sent", _HINT)
        caller, until = found
        if until != NEVER and time.time() >= until:
            raise BadKey(f"the key {caller.key!r} has expired", _HINT)
        return caller

    def held(self, id: str) -> Caller:
        """Who has the key of this id, for whoever may act by it. Raises BadKey."""
        found = self._view.callers.get(id)
        if found is None or time.time() >= self._ids.get(id, 0.0):
            raise BadKey(f"the key {id[:20]!r} was revoked, has expired, or was never there", _HINT)
        return found

    def session(self, presented: str) -> tuple[Caller, Session]:
        """Whose session this token is of. Raises BadKey."""
        found = self._sessions.get(digest(presented))
        now = time.time()
        if found is None:
            raise BadKey("nobody is signed in here, or no longer", "sign in again, at /sign-in")
        if now >= found[1].expires / 1000 or now - self.seen[found[1].id] > self._idle_s:
            raise BadKey("this session is over", "sign in again, at /sign-in")
        self.seen[found[1].id] = now
        return found

    def project(self, name: str) -> bool:
        """Whether there is such a project: in the settings, or because somebody or a key is in it."""
        return name in self._view.projects or name in self._projects

    def until(self, id: str) -> float:
        """Unix seconds when the key of this id ends; of one that is not known, NEVER: it came by no key of ours."""
        return self._ids.get(id, NEVER)

    def holds(self, caller: Caller) -> bool:
        """Whether the key that this caller came with is still good."""
        return time.time() < self._ids.get(caller.key, 0.0)

    def still(self, caller: Caller) -> bool:
        """Whether the key or session that this caller came with is good, and would let in the very same caller; who
        sees every project may work in another one than the key's."""
        found = self._view.callers.get(caller.key)
        if found is not None and found.wide:
            found = replace(found, project=caller.project)
        return found == caller and time.time() < self._ids.get(caller.key, 0.0)

    def again(self, key: str, user: str, tenant: str, project: str) -> Caller | None:
        """Who came with this key or session, with what they may by now; None where they may nothing any more. What a
        user began by a session outlives it."""
        found = self._view.callers.get(key)
        if found is not None and found.tenant == tenant:
            return found if time.time() < self._ids.get(key, 0.0) else None
        known = self.standing.user(user, tenant) if user and not key.startswith("sw-") else None
        return None if known is None else signed_in(Session(key, tenant, user, "", project, 0, 0, 0), self.standing)

    def sessions(self, tenant: str) -> list[Session]:
        """Those of a tenant that are good now, with when they were last used."""
        now = time.time()
        return [
            replace(each, seen=round(self.seen[each.id] * 1000))
            for _, each in self._sessions.values()
            if each.tenant == tenant and now < each.expires / 1000 and now - self.seen[each.id] <= self._idle_s
        ]


NEVER = float("inf")


def _until(key: Key) -> float:
    return NEVER if key.expires is None else key.expires / 1000


def came_by(key: Key, standing: Standing) -> Caller | None:
    """None where it is a user's who is not there any more, or disabled."""
    may, wide = granted(key.may), key.wide
    if key.user:
        user = standing.user(key.user, key.tenant)
        if user is None:
            return None
        may &= standing.everywhere(user) if wide else standing.may(user, key.project)
        wide = wide and bool(user.role)
    may = within(may, key.tenant, wide)
    return Caller(key.tenant, key.project, key.id, key.name, may, key.data_class, key.user, wide, key.scope)


def signed_in(session: Session, standing: Standing) -> Caller | None:
    """None where its user is not there any more, or disabled, or has left the project."""
    user = standing.user(session.user, session.tenant)
    if user is None or standing.home(user, session.project) is None:
        return None
    wide = standing.wide(user, session.project)
    may = within(standing.may(user, session.project), session.tenant, wide)
    name = user.name or user.email
    return Caller(session.tenant, session.project, session.id, name, may, user=user.id, wide=wide)


_ANEW = "delete it: a new one is made at the next start"


def admin_token(home: Path) -> str:
    """The text in `<home>/admin.token`, made at the first call. Raises ConfigError where others could read it."""
    path = home / "admin.token"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return _read_token(path)
    except OSError as error:
        hint = "make the home folder writable, or choose another with --home DIR"
        raise Outside(f"cannot write {str(path)!r}: {error.strerror}", hint) from error
    token = "sw-admin" + secrets.token_urlsafe(32)
    with open(descriptor, "w", encoding="ascii") as file:
        file.write(token + "\n")
        file.flush()
        os.fsync(descriptor)
    return token


def _read_token(path: Path) -> str:
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), encoding="ascii", errors="replace") as file:
            state = os.fstat(file.fileno())
            token = file.read(1_000).strip()
    except OSError as error:
        raise Outside(f"cannot read {str(path)!r}: {error.strerror}", _ANEW) from error
    if state.st_mode & (stat.S_IRWXG | stat.S_IRWXO) or state.st_uid != os.geteuid():
        raise ConfigError(
            f"others than you can read or change {str(path)!r}",
            f"{_ANEW}; or if you trust it: chmod 600 {path}",
        )
    if not token.startswith("sw-admin") or len(token) < 40:
        raise ConfigError(f"{str(path)!r} holds no admin token", _ANEW)
    return token
