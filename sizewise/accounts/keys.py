"""API key -> Caller, in one microsecond; knows only the hash of a key, never its text.

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
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

from sizewise.accounts.actions import ACTIONS, granted
from sizewise.accounts.rows import Key
from sizewise.caller import Caller, Scope
from sizewise.egress import DataClass
from sizewise.errors import BadKey, BadRequest, ConfigError, Outside

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
) -> tuple[Key, str]:
    """A new key and its text, which exists only now. `expires`: unix ms. `text`: a key that the user brings.

    The id may be shown everywhere: it is the beginning of a text of ours, and unrelated to one that was brought.
    """
    may = frozenset(may)
    if not granted(may):
        raise BadRequest("a key that may do nothing is of no use", f"allow some of {', '.join(ACTIONS)}")
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
    )
    return key, text


def digest(text: str) -> bytes:
    return sha256(text.encode("utf-8", "surrogatepass")).digest()


class Running:
    """An answer under way, and how it is stopped."""

    __slots__ = ("_task", "stopped")

    def __init__(self, task: asyncio.Task[object]) -> None:
        self._task = task
        self.stopped = False

    def stop(self) -> None:
        if not self.stopped:
            self.stopped = True
            self._task.cancel()


class Keys:
    """All valid keys in memory. `renew` swaps the whole look-up at once, so a revoked key is gone from then on.

    `version` counts the swaps. `running` are the answers under way by the id of their key; `renew` stops those whose
    key is gone.
    """

    def __init__(self, admin: str = "") -> None:
        """`admin`: the text of the key that may everything and is kept in no database."""
        everything = Caller(key=ADMIN, name=ADMIN, may=frozenset(ACTIONS), wide=True)
        self._always: dict[bytes, tuple[Caller, float]] = {digest(admin): (everything, NEVER)} if admin else {}
        self._known = self._always
        self._ids: dict[str, float] = {ADMIN: NEVER}
        self.running: dict[str, set[Running]] = {}
        self.version = -1

    def renew(self, version: int, keys: Iterable[Key]) -> None:
        """The keys as the keeper knows them at `version`; an older state than the one held is ignored."""
        if version <= self.version:
            return
        valid = [key for key in keys if key.revoked is None]
        self._known = self._always | {bytes.fromhex(key.digest): (_caller(key), _until(key)) for key in valid}
        self._ids = {ADMIN: NEVER} | {key.id: _until(key) for key in valid}
        self.version = version
        for id in self.running.keys() - self._ids.keys():
            for one in tuple(self.running[id]):
                one.stop()

    def caller(self, presented: str) -> Caller:
        """Who presents this text. Raises BadKey, which never says how near it was."""
        found = self._known.get(sha256(presented.encode("utf-8", "surrogatepass")).digest())
        if found is None:
            raise BadKey("no valid API key was sent" if presented else "no API key was sent", _HINT)
        caller, until = found
        if until != NEVER and time.time() >= until:
            raise BadKey(f"the key {caller.key!r} has expired", _HINT)
        return caller

    def until(self, id: str) -> float:
        """Unix seconds when the key of this id ends; of one that is not known, NEVER: it came by no key of ours."""
        return self._ids.get(id, NEVER)

    def holds(self, caller: Caller) -> bool:
        """Whether the key that this caller came with is still good."""
        return time.time() < self._ids.get(caller.key, 0.0)


NEVER = float("inf")


def _until(key: Key) -> float:
    return NEVER if key.expires is None else key.expires / 1000


def _caller(key: Key) -> Caller:
    may = granted(key.may)
    return Caller(key.tenant, key.project, key.id, key.name, may, key.data_class, key.user, key.wide, key.scope)


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
