"""The register of sessions: begun with a token that is shown once, ended at once; knows neither cookie nor header."""

from __future__ import annotations

import asyncio
import hmac
import logging
import secrets
import time
from hashlib import sha256

from msgspec import Struct
from msgspec.structs import replace

from sizewise.audit_log import tables as audit
from sizewise.audit_log.hash_chain import Deed
from sizewise.auth import tables
from sizewise.auth.api_keys import Write, deed
from sizewise.auth.authenticator import Keys, digest
from sizewise.auth.user_accounts import DAY_MS, new_id
from sizewise.auth.users import tables as people
from sizewise.auth.users.tables import Session, Transaction, User
from sizewise.errors import Forbidden, SizewiseError, UnknownPath
from sizewise.principal import Caller
from sizewise.settings.validators import NAME
from sizewise.storage.database import Work

log = logging.getLogger("sizewise.auth")


class NewSession(Struct, frozen=True):
    """A session and its token, 256 random bits, of which only a digest is kept."""

    session: Session
    token: str


class Sessions:
    """`keys` shows every change made here at once."""

    def __init__(self, write: Write, keys: Keys) -> None:
        self._write = write
        self._keys = keys
        self._notes: set[asyncio.Task[None]] = set()

    async def begin(self, user: User, lasts_s: float, project: str = "", how: str = "password") -> NewSession:
        """Good from now on, for `lasts_s` seconds at most; the oldest of too many ends. Raises Forbidden where the user
        is not in `project`."""
        home = self._home(user, project)
        if home is None:
            raise Forbidden(
                f"you are not in the project {project[:100]!r}" if project else "you are in no project", _ASK
            )
        token, now = secrets.token_urlsafe(32), time.time_ns() // 1_000_000
        ends = now + round(lasts_s * 1_000)
        made = Session(new_id("ss"), user.tenant, user.id, digest(token).hex(), home, now, now, ends)
        told = Deed(user.tenant, user.id, "session.begin", f"session:{made.id}", None, {"how": how, "project": home})

        def work(c: Transaction) -> None:
            people.end_oldest(c, user.tenant, user.id, now, AT_ONCE - 1)
            people.put_session(c, made)

        await self._do(work, told)
        return NewSession(made, token)

    async def end(self, session: Session, by: Caller) -> None:
        """Refused from now on, answers under way too."""
        over = replace(session, revoked=time.time_ns() // 1_000_000)
        told = deed(by, session.tenant, "session.end", f"session:{session.id}")
        await self._do(lambda c: people.put_session(c, over), told)

    async def end_all(self, user: User, by: Caller) -> None:
        """Those of one user, and answers under way by them."""
        told = deed(by, user.tenant, "session.end", f"user:{user.id}")
        now = time.time_ns() // 1_000_000
        await self._do(lambda c: people.end_sessions(c, user.tenant, user.id, now), told)

    async def move(self, session: Session, project: str, by: Caller) -> Session:
        """The same session in another project. Raises UnknownPath where its user is not in it."""
        user = self._keys.standing.users[session.user]
        if not project or self._home(user, project) is None:
            raise UnknownPath(f"there is no project {project[:100]!r} of yours", _ASK)
        moved = replace(session, project=project)
        before, after = {"project": session.project}, {"project": project}
        told = deed(by, session.tenant, "session.move", f"session:{session.id}", dict(before), dict(after))
        await self._do(lambda c: people.put_session(c, moved), told)
        return moved

    def _home(self, user: User, wanted: str) -> str | None:
        """None where `wanted` is not open to the user, or not there: who makes no keys begins no project either."""
        standing = self._keys.standing
        if wanted and not self._keys.project(wanted) and not _begins(wanted, standing.everywhere(user)):
            return None
        return standing.home(user, wanted)

    def refused(self, user: User, code: str) -> None:
        """A try to sign in as somebody, for the trail; nobody waits for it, or it would tell by its time that there is
        such a user."""
        told = Deed(user.tenant, user.id, "session.begin", f"user:{user.id}", refused=code)
        task = asyncio.create_task(self._note(told))
        self._notes.add(task)
        task.add_done_callback(self._notes.discard)

    async def _note(self, told: Deed) -> None:
        try:
            await self._write(lambda c: audit.add(c, told))
        except SizewiseError as error:
            log.warning("a refused try to sign in is not in the audit trail: %s", error.message)

    def live(self, tenant: str) -> list[Session]:
        """Those that are good now; without their digests."""
        return [replace(each, digest="") for each in self._keys.sessions(tenant)]

    async def _do(self, change: Work[None], told: Deed) -> None:
        await self._keys.follow(await self._write(tables.noted(change, told)))


def _begins(project: str, may: frozenset[str]) -> bool:
    return "manage_keys" in may and len(project) <= 100 and bool(NAME.match(project))


_ASK = "ask whoever manages users here"


def csrf(token: str) -> str:
    """What shows that a request comes from a page of ours: bound to the session, and worth nothing without it."""
    return hmac.new(token.encode("utf-8", "surrogatepass"), b"sizewise csrf", sha256).hexdigest()


def shows(presented: str, token: str) -> bool:
    """Whether `presented` is this session's; takes as long for a wrong one."""
    return hmac.compare_digest(presented.encode("utf-8", "surrogatepass"), csrf(token).encode())


class Unused:
    """A chore of the writer: writes down when sessions were last used, and forgets sessions and keys long over."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._written: dict[str, float] = {}

    def __call__(self, connection: Transaction) -> bool:
        seen = dict(self._keys.seen)
        people.saw(connection, {id: round(at * 1_000) for id, at in seen.items() if self._written.get(id) != at})
        now = time.time_ns() // 1_000_000
        people.forget(connection, now - KEEP_DAYS * DAY_MS)
        tables.forget(connection, now - KEYS_DAYS * DAY_MS)
        self._written = seen
        return False


KEEP_DAYS, KEYS_DAYS = 30, 90
AT_ONCE = 20
"""Sessions of one user."""
