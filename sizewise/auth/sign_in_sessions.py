"""Sign-in sessions: start, end, switch project, CSRF tokens and cleanup; knows neither cookies nor headers."""

from __future__ import annotations

import asyncio
import hmac
import logging
import secrets
import time
from hashlib import sha256

from msgspec import Struct, structs
from msgspec.structs import replace

from sizewise.audit_log import tables as audit
from sizewise.audit_log.hash_chain import AuditEvent
from sizewise.auth import tables
from sizewise.auth.api_keys import audit_event
from sizewise.auth.authenticator import Authenticator, digest, session_ended
from sizewise.auth.user_accounts import DAY_MS, new_id
from sizewise.auth.users import attempt_tables, link_tables, logout_tables
from sizewise.auth.users import tables as user_tables
from sizewise.auth.users.tables import Session, Transaction, User
from sizewise.errors import Forbidden, PathNotFound, SignInFailed, SizewiseError
from sizewise.principal import Principal
from sizewise.settings.validators import NAME
from sizewise.storage.database import AsyncTransactionRunner, UnitOfWork

log = logging.getLogger("sizewise.auth")


class SignInOrigin(Struct, frozen=True):
    """How and from where a user signed in; the fields of Session."""

    method: str
    factor: str = ""
    device: str = ""
    network: str = ""
    issuer: str = ""
    issuer_session: str = ""


class NewSession(Struct, frozen=True):
    """A session and its token, 256 random bits; only the digest is stored."""

    session: Session
    token: str


class Sessions:
    """Changes take effect in `authenticator` immediately."""

    def __init__(self, write: AsyncTransactionRunner, authenticator: Authenticator) -> None:
        self._write = write
        self._authenticator = authenticator
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, user: User, lifetime_s: float, origin: SignInOrigin, project: str = "") -> NewSession:
        """Valid for at most `lifetime_s` seconds. Ends the oldest sessions beyond MAX_SESSIONS_PER_USER. Raises
        Forbidden if the user is not in `project`, SignInFailed if `user` was disabled or got another password since.
        """
        home = self._initial_project(user, project)
        if home is None:
            raise Forbidden(
                f"you are not in the project {project[:100]!r}" if project else "you are in no project",
                _ASK_ADMIN_HINT,
            )
        token, now = secrets.token_urlsafe(32), time.time_ns() // 1_000_000
        ends = now + round(lifetime_s * 1_000)
        made = Session(
            id=new_id("ss"),
            tenant=user.tenant,
            user=user.id,
            digest=digest(token).hex(),
            project=home,
            created=now,
            seen=now,
            expires=ends,
            **structs.asdict(origin),
        )
        told = AuditEvent(
            tenant=user.tenant,
            who=user.id,
            action="session.begin",
            thing=f"session:{made.id}",
            before=None,
            after={"how": origin.method, "project": home, **({"factor": origin.factor} if origin.factor else {})},
        )

        def work(c: Transaction) -> None:
            if not user_tables.can_sign_in(c, user):
                raise SignInFailed("the account was changed during the sign-in", "sign in again")
            user_tables.revoke_oldest_sessions(c, user.tenant, user.id, now, MAX_SESSIONS_PER_USER - 1)
            user_tables.add_session(c, made)

        await self._commit(work, told)
        return NewSession(made, token)

    async def end(self, session: Session, actor: Principal) -> None:
        """Invalid from now on; stops requests in flight."""
        now = time.time_ns() // 1_000_000
        told = audit_event(actor, session.tenant, "session.end", f"session:{session.id}")
        await self._commit(lambda c: user_tables.revoke_session(c, session.id, now), told)

    async def end_all(self, user: User, actor: Principal) -> None:
        """Ends all sessions of a user and stops their requests in flight."""
        told = audit_event(actor, user.tenant, "session.end", f"user:{user.id}")
        now = time.time_ns() // 1_000_000
        await self._commit(lambda c: user_tables.revoke_sessions(c, user.tenant, user.id, now), told)

    async def switch_project(self, session: Session, project: str, actor: Principal) -> Session:
        """Moves the session to another project. Raises PathNotFound if the user is not in it, InvalidApiKey if the
        session has ended.
        """
        user = self._authenticator.effective_roles.users[session.user]
        if not project or self._initial_project(user, project) is None:
            raise PathNotFound(f"you are not in a project {project[:100]!r}", _ASK_ADMIN_HINT)
        before, after = {"project": session.project}, {"project": project}
        told = audit_event(actor, session.tenant, "session.move", f"session:{session.id}", dict(before), dict(after))
        now = time.time_ns() // 1_000_000

        def work(c: Transaction) -> None:
            if not user_tables.move_session(c, session.id, project, now):
                raise session_ended()

        await self._commit(work, told)
        return replace(session, project=project)

    def _initial_project(self, user: User, preferred: str) -> str | None:
        """None if the user may not use `preferred`, or it does not exist and the user may not create it."""
        standing = self._authenticator.effective_roles
        if (
            preferred
            and not self._authenticator.has_project(preferred)
            and not _can_create_project(preferred, standing.organization_actions(user))
        ):
            return None
        return standing.initial_project(user, preferred)

    def record_failed_sign_in(self, user: User, code: str) -> None:
        """Records a failed sign-in in the audit log, in the background: waiting would reveal by timing that the user
        exists.
        """
        told = AuditEvent(user.tenant, user.id, "session.begin", f"user:{user.id}", refused=code)
        task = asyncio.create_task(self._write_audit_event(told))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _write_audit_event(self, event: AuditEvent) -> None:
        try:
            await self._write(lambda c: audit.append_event(c, event))
        except SizewiseError as error:
            log.warning("a failed sign-in could not be written to the audit log: %s", error.message)

    def list_active(self, tenant: str) -> list[Session]:
        """Valid sessions, without digests."""
        return [replace(each, digest="") for each in self._authenticator.active_sessions(tenant)]

    def get_active(self, tenant: str, id: str) -> Session | None:
        return next((each for each in self._authenticator.active_sessions(tenant) if each.id == id), None)

    async def _commit(self, change: UnitOfWork[None], event: AuditEvent) -> None:
        await self._authenticator.apply(await self._write(tables.with_audit_event(change, event)))


def _can_create_project(project: str, may: frozenset[str]) -> bool:
    return "manage_keys" in may and len(project) <= 100 and bool(NAME.match(project))


_ASK_ADMIN_HINT = "ask an administrator to add you"


def csrf_token(token: str) -> str:
    """Proves that a request comes from a page of this server. Derived from the session token."""
    return hmac.new(token.encode("utf-8", "surrogatepass"), b"sizewise csrf", sha256).hexdigest()


def verify_csrf_token(presented: str, token: str) -> bool:
    """Whether `presented` is the CSRF token of this session; in constant time."""
    return hmac.compare_digest(presented.encode("utf-8", "surrogatepass"), csrf_token(token).encode())


class SessionCleanupJob:
    """A maintenance task of the batch writer: stores last-used times, and deletes sessions, invitations and keys after
    their retention time.

    Sessions and keys stay as long as records, by whose ids an erasure finds whose records are whose.
    """

    def __init__(self, authenticator: Authenticator, records_days: float = 0.0) -> None:
        """`records_days`: how long records are kept."""
        self._authenticator = authenticator
        self._records_days = records_days
        self._written: dict[str, float] = {}

    def __call__(self, connection: Transaction) -> bool:
        seen = dict(self._authenticator.last_used)
        user_tables.update_last_used(
            connection,
            {id: round(at * 1_000) for id, at in seen.items() if self._written.get(id) != at},
        )
        now = time.time_ns() // 1_000_000
        sessions, keys = (
            now - round(max(days, self._records_days) * DAY_MS) for days in (SESSION_RETENTION_DAYS, KEY_RETENTION_DAYS)
        )
        user_tables.delete_expired(connection, sessions, now - SESSION_RETENTION_DAYS * DAY_MS)
        tables.delete_expired_keys(connection, keys)
        link_tables.delete_expired_links(connection, now - DAY_MS)
        logout_tables.delete_expired_logout_tokens(connection, now)
        attempt_tables.delete_old_attempts(connection, now - DAY_MS)
        self._written = seen
        return False


SESSION_RETENTION_DAYS, KEY_RETENTION_DAYS = 30, 90
MAX_SESSIONS_PER_USER = 20
