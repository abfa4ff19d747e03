"""Sign-in sessions: start, end, switch project, CSRF tokens and cleanup; knows neither cookies nor headers."""

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
from sizewise.audit_log.hash_chain import AuditEvent
from sizewise.auth import tables
from sizewise.auth.api_keys import RunAsync, audit_event
from sizewise.auth.authenticator import Authenticator, digest
from sizewise.auth.user_accounts import DAY_MS, new_id
from sizewise.auth.users import tables as people
from sizewise.auth.users.tables import Session, Transaction, User
from sizewise.errors import Forbidden, PathNotFound, SizewiseError
from sizewise.principal import Principal
from sizewise.settings.validators import NAME
from sizewise.storage.database import UnitOfWork

log = logging.getLogger("sizewise.auth")


class NewSession(Struct, frozen=True):
    """A session and its token, 256 random bits, of which only a digest is kept."""

    session: Session
    token: str


class Sessions:
    """`authenticator` shows every change made here at once."""

    def __init__(self, write: RunAsync, authenticator: Authenticator) -> None:
        self._write = write
        self._authenticator = authenticator
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, user: User, lifetime_s: float, project: str = "", method: str = "password") -> NewSession:
        """Good from now on, for `lifetime_s` seconds at most; the oldest of too many ends. Raises Forbidden where the
        user is not in `has_project`.
        """
        home = self._initial_project(user, project)
        if home is None:
            raise Forbidden(
                f"you are not in the project {project[:100]!r}" if project else "you are in no project",
                _ASK_ADMIN_HINT,
            )
        token, now = secrets.token_urlsafe(32), time.time_ns() // 1_000_000
        ends = now + round(lifetime_s * 1_000)
        made = Session(new_id("ss"), user.tenant, user.id, digest(token).hex(), home, now, now, ends)
        told = AuditEvent(
            user.tenant,
            user.id,
            "session.begin",
            f"session:{made.id}",
            None,
            {"how": method, "project": home},
        )

        def work(c: Transaction) -> None:
            people.revoke_oldest_sessions(c, user.tenant, user.id, now, MAX_SESSIONS_PER_USER - 1)
            people.upsert_session(c, made)

        await self._commit(work, told)
        return NewSession(made, token)

    async def end(self, session: Session, actor: Principal) -> None:
        """Refused from now on, answers under way too."""
        over = replace(session, revoked=time.time_ns() // 1_000_000)
        told = audit_event(actor, session.tenant, "session.end", f"session:{session.id}")
        await self._commit(lambda c: people.upsert_session(c, over), told)

    async def end_all(self, user: User, actor: Principal) -> None:
        """Those of one user, and answers under way by them."""
        told = audit_event(actor, user.tenant, "session.end", f"user:{user.id}")
        now = time.time_ns() // 1_000_000
        await self._commit(lambda c: people.revoke_sessions(c, user.tenant, user.id, now), told)

    async def switch_project(self, session: Session, project: str, actor: Principal) -> Session:
        """The same session in another project. Raises PathNotFound where its user is not in it."""
        user = self._authenticator.effective_roles.users[session.user]
        if not project or self._initial_project(user, project) is None:
            raise PathNotFound(f"there is no project {project[:100]!r} of yours", _ASK_ADMIN_HINT)
        moved = replace(session, project=project)
        before, after = {"project": session.project}, {"project": project}
        told = audit_event(actor, session.tenant, "session.move", f"session:{session.id}", dict(before), dict(after))
        await self._commit(lambda c: people.upsert_session(c, moved), told)
        return moved

    def _initial_project(self, user: User, preferred: str) -> str | None:
        """None where `preferred` is not open to the user, or not there: who makes no keys begins no project either."""
        standing = self._authenticator.effective_roles
        if (
            preferred
            and not self._authenticator.has_project(preferred)
            and not _can_create_project(preferred, standing.organization_actions(user))
        ):
            return None
        return standing.initial_project(user, preferred)

    def record_failed_sign_in(self, user: User, code: str) -> None:
        """A try to sign in as somebody, for the trail; nobody waits for it, or it would tell by its time that there is
        such a user.
        """
        told = AuditEvent(user.tenant, user.id, "session.begin", f"user:{user.id}", refused=code)
        task = asyncio.create_task(self._write_audit_event(told))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _write_audit_event(self, event: AuditEvent) -> None:
        try:
            await self._write(lambda c: audit.append_event(c, event))
        except SizewiseError as error:
            log.warning("a refused try to sign in is not in the audit trail: %s", error.message)

    def list_active(self, tenant: str) -> list[Session]:
        """Those that are good now; without their digests."""
        return [replace(each, digest="") for each in self._authenticator.active_sessions(tenant)]

    async def _commit(self, change: UnitOfWork[None], event: AuditEvent) -> None:
        await self._authenticator.apply(await self._write(tables.with_audit_event(change, event)))


def _can_create_project(project: str, may: frozenset[str]) -> bool:
    return "manage_keys" in may and len(project) <= 100 and bool(NAME.match(project))


_ASK_ADMIN_HINT = "ask whoever manages users here"


def csrf_token(token: str) -> str:
    """What shows that a request comes from a page of ours: bound to the session, and worth nothing without it."""
    return hmac.new(token.encode("utf-8", "surrogatepass"), b"sizewise csrf", sha256).hexdigest()


def verify_csrf_token(presented: str, token: str) -> bool:
    """Whether `presented` is this session's; takes as long for a wrong one."""
    return hmac.compare_digest(presented.encode("utf-8", "surrogatepass"), csrf_token(token).encode())


class SessionCleanupJob:
    """A chore of the writer: writes down when sessions were last used, and forgets sessions and keys long over."""

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator
        self._written: dict[str, float] = {}

    def __call__(self, connection: Transaction) -> bool:
        seen = dict(self._authenticator.last_used)
        people.update_last_used(
            connection,
            {id: round(at * 1_000) for id, at in seen.items() if self._written.get(id) != at},
        )
        now = time.time_ns() // 1_000_000
        people.delete_expired(connection, now - SESSION_RETENTION_DAYS * DAY_MS)
        tables.delete_expired_keys(connection, now - KEY_RETENTION_DAYS * DAY_MS)
        self._written = seen
        return False


SESSION_RETENTION_DAYS, KEY_RETENTION_DAYS = 30, 90
MAX_SESSIONS_PER_USER = 20
"""Sessions of one user."""
