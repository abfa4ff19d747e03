"""The register of users: who is invited, comes in, gets a role or is disabled; asks of no caller what it may.

Each change is one transaction with its line in the audit trail, where people stand by their ids: names and addresses
can be erased, a trail cannot. What must hold whoever changes something at the same time (an organisation keeps an
owner) is looked at inside the transaction.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from sizewise.audit_log import tables as audit
from sizewise.audit_log.hash_chain import Deed, Shown
from sizewise.auth import tables
from sizewise.auth.api_keys import Read, Write, deed
from sizewise.auth.authenticator import ADMIN, Keys, came_by, digest
from sizewise.auth.authorization import unknown
from sizewise.auth.oidc import Relying
from sizewise.auth.permissions import within
from sizewise.auth.tables import Known
from sizewise.auth.users import tables as people
from sizewise.auth.users.effective_roles import NONE, Standing
from sizewise.auth.users.login_throttle import Throttle
from sizewise.auth.users.passwords import Passwords, demand_good
from sizewise.auth.users.tables import Invitation, Membership, Organisation, Transaction, User
from sizewise.errors import BadRequest, Conflict, Forbidden, UnknownPath
from sizewise.principal import Caller
from sizewise.storage.database import Work

OWNER = "owner"
DAY_MS = 86_400_000
_ID = "abcdefghijkmnpqrstuvwxyz23456789"  # 32 letters that nobody confuses
_NOT_GOOD = "this invitation is not good: it was used, ran out, or never was one"
_ANEW = "ask whoever invited you for a new one"
_LAST = "an organisation keeps an owner, and this is its last"


Changed = Callable[[User], User]


class NewInvitation(Struct, frozen=True):
    """An invitation and its token, which is shown once and kept nowhere."""

    invitation: Invitation
    token: str


class Users:
    """`keys` shows every change made here at once."""

    def __init__(self, read: Read, write: Write, keys: Keys) -> None:
        self._read = read
        self._write = write
        self._keys = keys
        self.passwords = Passwords()
        self.throttle = Throttle()
        self.relying = Relying()

    def all(self, tenant: str) -> list[User]:
        """Disabled ones too, oldest first; without their passwords."""
        return [replace(u, password="") for u in self._keys.standing.users.values() if u.tenant == tenant]

    def one(self, id: str, tenant: str) -> User:
        """Raises UnknownPath where the tenant has no such user."""
        found = self._keys.standing.users.get(id)
        if found is None or found.tenant != tenant:
            raise unknown("user", id)
        return found

    def by_email(self, email: str, tenant: str = "") -> User | None:
        """`tenant` empty: of any."""
        wanted = email.strip().lower()
        known = self._keys.standing.users.values()
        return next((u for u in known if u.email == wanted and tenant in ("", u.tenant)), None)

    async def organisations(self) -> list[Organisation]:
        return await asyncio.to_thread(self._read, people.organisations)

    async def invitations(self, tenant: str) -> list[Invitation]:
        """The newest first, used ones too; without their digests."""
        found = await asyncio.to_thread(self._read, lambda c: people.invitations(c, tenant))
        return [replace(each, digest="") for each in found]

    async def found(self, tenant: str, name: str, by: Caller) -> None:
        """Raises Conflict where there is one of this id."""
        made = Organisation(tenant, name, _now())
        told = deed(by, tenant, "organisation.found", f"organisation:{tenant}", None, {"name": name})

        def work(c: Transaction) -> Known:
            if any(each.tenant == tenant for each in people.organisations(c)):
                raise Conflict(f"there is an organisation {tenant!r} already", "choose another id")
            people.found(c, made)
            return _noted(c, told)

        await self._do(work)

    async def invite(self, tenant: str, email: str, role: str, project: str, days: float, by: Caller) -> NewInvitation:
        """For whoever has no account here, or, without a role, for a new password. Older ones of the address end."""
        now, token = _now(), secrets.token_urlsafe(32)
        ends = now + round(days * DAY_MS)
        made = Invitation(
            new_id("in"), tenant, digest(token).hex(), address(email), role, project, by.user or by.key, now, ends
        )
        shown = {"role": role, "project": project, "expires": ends}
        told = deed(by, tenant, "user.invite", f"invitation:{made.id}", None, shown)

        def work(c: Transaction) -> Known:
            if all(each.tenant != tenant for each in people.organisations(c)):
                raise UnknownPath(f"there is no organisation {tenant[:100]!r}")
            people.use_up(c, tenant, made.email, now)
            people.invite(c, made)
            return _noted(c, told)

        await self._do(work)
        return NewInvitation(replace(made, digest=""), token)

    async def withdraw(self, id: str, tenant: str, by: Caller) -> None:
        """Raises UnknownPath."""
        if all(each.id != id for each in await self.invitations(tenant)):
            raise unknown("invitation", id)
        told = deed(by, tenant, "invitation.withdraw", f"invitation:{id}")
        await self._do(tables.noted(lambda c: people.withdraw(c, tenant, id, _now()), told))

    async def accept(self, token: str, name: str, password: str) -> User:
        """Who comes in by this token, from now on with this password. Raises Forbidden, BadRequest, Conflict, Busy."""
        invitation = await self._good(token)
        demand_good(password, name, invitation.email.partition("@")[0])
        phc = await self.passwords.hashed(password)
        return await self._enter(invitation, lambda user: replace(user, name=name or user.name, password=phc))

    async def change_password(self, user: User, password: str) -> None:
        """By the user, who knows the old one; sessions end, keys stay. Raises BadRequest, Busy."""
        demand_good(password, user.name, user.email.partition("@")[0])
        phc, now = await self.passwords.hashed(password), _now()

        def work(c: Transaction) -> None:
            people.put_password(c, user.id, phc)
            people.end_sessions(c, user.tenant, user.id, now)

        told = Deed(user.tenant, user.id, "user.password", f"user:{user.id}", None, {"by": "old password"})
        await self._do(tables.noted(work, told))

    async def link(self, tenant: str, email: str, name: str, issuer: str, subject: str) -> User | None:
        """Whoever has this address, verified by `issuer`, comes in as `subject`: a user without one, or somebody
        invited. None: a stranger, or somebody who is known there as another.

        Whoever comes has shown that the mailbox is theirs; whoever chose the password before had not. So the password,
        the sessions and the user's own keys end with it.
        """
        user = self.by_email(email, tenant)
        if user is not None:
            return await self._linked(user, issuer, subject)
        wanted = email.strip().lower()
        invitation = await asyncio.to_thread(self._read, lambda c: people.invited(c, tenant, wanted, _now()))
        if invitation is None:
            return None
        return await self._enter(invitation, lambda made: replace(made, name=name, issuer=issuer, subject=subject))

    async def _linked(self, user: User, issuer: str, subject: str) -> User | None:
        now = _now()
        inside: list[User] = []

        def work(c: Transaction) -> Known:
            old = people.user(c, user.email)
            if old is None or old.id != user.id or old.subject is not None or old.disabled is not None:
                return tables.known(c)
            inside.append(replace(old, issuer=issuer, subject=subject, password=""))
            people.put_user(c, inside[0])
            people.end_sessions(c, user.tenant, user.id, now)
            people.use_up(c, user.tenant, user.email, now)
            revoked = tables.revoke_own(c, user.tenant, user.id, now)
            shown: Shown = {"issuer": issuer, "password": False, "revoked": revoked}
            before: Shown = {"password": bool(old.password)}
            return _noted(c, Deed(user.tenant, user.id, "user.link", f"user:{user.id}", before, shown))

        await self._do(work)
        return inside[0] if inside else None

    def by_subject(self, tenant: str, issuer: str, subject: str) -> User | None:
        """Disabled ones are nobody."""
        for user in self._keys.standing.users.values():
            if (user.tenant, user.issuer, user.subject, user.disabled) == (tenant, issuer, subject, None):
                return user
        return None

    async def _good(self, token: str) -> Invitation:
        """Raises Forbidden, in the same words whatever is wrong with it."""
        found = await asyncio.to_thread(self._read, lambda c: people.invitation(c, digest(token).hex()))
        if not token or found is None or found.used is not None or found.expires <= _now():
            raise Forbidden(_NOT_GOOD, _ANEW)
        return found

    async def _enter(self, invitation: Invitation, with_: Changed) -> User:
        """The user that this invitation makes, or the one whose password it renews."""
        now, tenant = _now(), invitation.tenant
        inside: list[User] = []

        def work(c: Transaction) -> Known:
            open = people.invitation(c, invitation.digest)
            old = people.user(c, invitation.email)
            if open is None or open.used is not None or (old is not None and old.disabled is not None):
                raise Forbidden(_NOT_GOOD, _ANEW)
            if old is not None and old.tenant != tenant:
                raise Forbidden(_NOT_GOOD, _ANEW)  # whether another organisation has this address is not told
            if old is not None and invitation.role:
                raise Conflict("this address has an account already", "sign in with it, or be invited by another")
            if (old is None and not invitation.role) or not _still_may_give(c, invitation, old, self._keys.standing):
                raise Forbidden(_NOT_GOOD, _ANEW)
            role = "" if invitation.project else invitation.role
            new = User(new_id("us"), tenant, invitation.email, "", role, "", None, None, now)
            user = with_(old or new)
            people.put_user(c, user)
            if invitation.project and old is None:
                people.put_membership(c, Membership(tenant, user.id, invitation.project, invitation.role))
            people.end_sessions(c, tenant, user.id, now)
            people.use_up(c, tenant, invitation.email, now)
            inside.append(user)
            shown: Shown = {"invitation": invitation.id, "role": invitation.role, "project": invitation.project}
            action = "user.join" if old is None else "user.password"
            return _noted(c, Deed(tenant, user.id, action, f"user:{user.id}", None, shown))

        await self._do(work)
        return inside[0]

    async def give(self, id: str, tenant: str, role: str, project: str, by: Caller) -> None:
        """A role in the organisation, or with `project` in that one; an empty role takes it away. What somebody
        invited others to with the old one ends, and so does a link to a new password for them: whoever had it made
        might not have got one to who they are now. Raises UnknownPath, Conflict."""
        user, now = self.one(id, tenant), _now()

        def work(c: Transaction) -> Known:
            before = people.role(c, id, tenant, project)
            if not project:
                _keeps_an_owner(c, user, role)
            if project:
                people.put_membership(c, Membership(tenant, id, project, role))
            else:
                people.put_role(c, id, role)
            people.withdraw_by(c, tenant, id, now)
            people.use_up(c, tenant, user.email, now)
            after: Shown = {"role": role, "project": project}
            return _noted(c, deed(by, tenant, "user.role", f"user:{id}", {**after, "role": before}, after))

        await self._do(work)

    async def disable(self, id: str, tenant: str, by: Caller) -> None:
        """The sessions and keys of this user are refused from now on, answers under way too. Raises
        UnknownPath, Conflict."""
        user, now = self.one(id, tenant), _now()

        def work(c: Transaction) -> Known:
            _keeps_an_owner(c, user, "")
            people.able(c, id, now)
            people.end_sessions(c, tenant, id, now)
            people.use_up(c, tenant, user.email, now)
            people.withdraw_by(c, tenant, id, now)
            return _noted(c, deed(by, tenant, "user.disable", f"user:{id}"))

        await self._do(work)

    async def free(self, email: str, by: Caller) -> User:
        """Whoever has this address, in whatever organisation, has it no more and is disabled: it was not theirs. Raises
        UnknownPath, Conflict."""
        wanted, now = address(email), _now()
        inside: list[User] = []

        def work(c: Transaction) -> Known:
            user = people.user(c, wanted)
            if user is None:
                raise unknown("user", wanted)
            if user.disabled is None:
                _keeps_an_owner(c, user, "")
            freed = replace(user, email=f"{user.id}@freed.invalid", password="", disabled=user.disabled or now)
            people.put_user(c, freed)
            people.end_sessions(c, user.tenant, user.id, now)
            people.use_up(c, user.tenant, wanted, now)
            people.withdraw_by(c, user.tenant, user.id, now)
            inside.append(freed)
            return _noted(c, deed(by, user.tenant, "user.free", f"user:{user.id}"))

        await self._do(work)
        return inside[0]

    async def enable(self, id: str, tenant: str, by: Caller) -> None:
        """Keys are good again, sessions are not. Raises UnknownPath."""
        user, now = self.one(id, tenant), _now()

        def work(c: Transaction) -> Known:
            people.able(c, id, None)
            people.use_up(c, tenant, user.email, now)
            return _noted(c, deed(by, tenant, "user.enable", f"user:{id}"))

        await self._do(work)

    async def _do(self, work: Work[Known]) -> None:
        await self._keys.follow(await self._write(work))


def address(email: str) -> str:
    """In small letters. Raises BadRequest for what is no address."""
    tidy = email.strip().lower()
    name, at, host = tidy.partition("@")
    fits = name and at and "." in host.strip(".") + ("." if host == "localhost" else "") and "@" not in host
    if not fits or len(tidy) > 254 or not tidy.isprintable() or " " in tidy:
        raise BadRequest(f"{email[:100]!r} is no e-mail address", "write it as ada@example.com", param="email")
    return tidy


def _keeps_an_owner(c: Transaction, user: User, role: str) -> None:
    """Raises Conflict where `user` is the last owner, and will be `role` now."""
    if role != OWNER and people.owners(c, user.tenant) == [user.id]:
        raise Conflict(_LAST, "make somebody else an owner first")


def _still_may_give(c: Transaction, invitation: Invitation, old: User | None, now: Standing) -> bool:
    """Whether whoever invited may give what comes of it now: a role, or the way in of `old` as `old` is now."""
    tenant, project, by = invitation.tenant, invitation.project, invitation.by
    if by == ADMIN:
        return True
    key = tables.one(c, tenant, by)
    ids = [by, *([old.id] if old is not None else []), *([key.user] if key is not None else [])]
    standing = Standing(people.some(c, ids), now.roles)
    wanted = standing.most(old) if old is not None else now.roles.get(invitation.role, NONE)
    user, has = standing.user(by, tenant), NONE
    if user is not None:
        has = within(standing.may(user, project) if project else standing.everywhere(user), tenant, not project)
    elif key is not None and key.revoked is None and (key.expires is None or key.expires > _now()):
        caller = came_by(key, standing)
        reaches = caller is not None and (caller.wide or (bool(project) and caller.project == project))
        has = caller.may if caller is not None and reaches else NONE
    return "manage_users" in has and within(wanted, tenant, not project) <= has


def _noted(c: Transaction, told: Deed) -> Known:
    audit.add(c, told)
    return tables.changed(c)


def new_id(kind: str) -> str:
    return f"{kind}-" + "".join(secrets.choice(_ID) for _ in range(10))


def _now() -> int:
    """Unix ms."""
    return time.time_ns() // 1_000_000
