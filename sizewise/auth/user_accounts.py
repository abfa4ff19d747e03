"""User account management: invitations, sign-up, roles, disabling, linked identities; checks no permissions.

Each change is one transaction together with its audit event, which refers to users by id: names and addresses can be
erased, the audit log cannot. Invariants (an organization keeps an owner) are checked inside the transaction, so that
they hold under concurrent changes.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping

from msgspec import Struct
from msgspec.structs import replace

from sizewise.audit_log import tables as audit
from sizewise.audit_log.hash_chain import AuditEvent, Snapshot
from sizewise.auth import tables
from sizewise.auth.api_keys import audit_event
from sizewise.auth.authenticator import ADMIN_KEY_ID, Authenticator, digest, principal_of_key
from sizewise.auth.authorization import not_found
from sizewise.auth.oidc import RelyingParty
from sizewise.auth.permissions import restrict_actions
from sizewise.auth.tables import CredentialSnapshot
from sizewise.auth.users import tables as user_tables
from sizewise.auth.users.effective_roles import NO_ACTIONS, EffectiveRoles
from sizewise.auth.users.login_throttle import LoginThrottle
from sizewise.auth.users.passwords import PasswordHasher, validate_password
from sizewise.auth.users.tables import Invitation, Membership, Organization, Transaction, User
from sizewise.errors import BadRequest, Conflict, Forbidden, PathNotFound
from sizewise.principal import Principal
from sizewise.storage.database import AsyncTransactionRunner, TransactionRunner, UnitOfWork

OWNER_ROLE = "owner"
DAY_MS = 86_400_000
_ID_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"  # 32 characters that are hard to confuse
_INVALID_INVITATION = "the invitation is not valid: it was used, has expired, or never existed"
_ASK_INVITER_HINT = "ask the person who invited you for a new one"
_LAST_OWNER = "this is the organization's last owner"


UserChange = Callable[[User], User]


class NewInvitation(Struct, frozen=True):
    """An invitation and its token, which is shown once and not stored."""

    invitation: Invitation
    token: str


class UserAccounts:
    """Changes take effect in `authenticator` immediately."""

    def __init__(self, read: TransactionRunner, write: AsyncTransactionRunner, authenticator: Authenticator) -> None:
        self._read = read
        self._write = write
        self._authenticator = authenticator
        self.password_hasher = PasswordHasher()
        self.login_throttle = LoginThrottle("sign-in", read, write)
        self.relying_party = RelyingParty()

    def list_users(self, tenant: str) -> list[User]:
        """Includes disabled users, oldest first; without password hashes."""
        return [
            replace(u, password="") for u in self._authenticator.effective_roles.users.values() if u.tenant == tenant
        ]

    def get(self, id: str, tenant: str) -> User:
        """Raises PathNotFound if the tenant has no such user."""
        found = self._authenticator.effective_roles.users.get(id)
        if found is None or found.tenant != tenant:
            raise not_found("user", id)
        return found

    async def callers(self, tenant: str) -> Mapping[str, str]:
        """The user's id by the id of each of their keys and sign-in sessions, as far as they are stored."""

        def work(c: Transaction) -> dict[str, str]:
            return {**tables.key_users(c, tenant), **user_tables.session_users(c, tenant)}

        return await asyncio.to_thread(self._read, work)

    async def last_sign_ins(self, tenant: str) -> Mapping[str, int]:
        """When the newest stored session of each method began, in unix ms."""
        return await asyncio.to_thread(self._read, lambda c: user_tables.last_sign_ins(c, tenant))

    def find_by_email(self, email: str, tenant: str = "") -> User | None:
        """`tenant` empty: in any tenant."""
        wanted = email.strip().lower()
        known = self._authenticator.effective_roles.users.values()
        return next((u for u in known if u.email == wanted and tenant in ("", u.tenant)), None)

    async def list_organizations(self) -> list[Organization]:
        return await asyncio.to_thread(self._read, user_tables.list_organizations)

    async def list_invitations(self, tenant: str) -> list[Invitation]:
        """Includes used and expired ones, newest first; without digests."""
        found = await asyncio.to_thread(self._read, lambda c: user_tables.list_invitations(c, tenant))
        return [replace(each, digest="") for each in found]

    async def create_organization(self, tenant: str, name: str, actor: Principal) -> None:
        """Raises Conflict if the id is taken."""
        made = Organization(tenant, name, _now())
        told = audit_event(actor, tenant, "organization.create", f"organization:{tenant}", None, {"name": name})

        def work(c: Transaction) -> CredentialSnapshot:
            if any(each.tenant == tenant for each in user_tables.list_organizations(c)):
                raise Conflict(f"the organization {tenant!r} exists already", "choose another id")
            user_tables.add_organization(c, made)
            return _add_audit_event(c, told)

        await self._commit(work)

    async def invite(
        self,
        tenant: str,
        email: str,
        role: str,
        project: str,
        days: float,
        actor: Principal,
    ) -> NewInvitation:
        """Invites a new user or, without a role, lets an existing user set a new password. Closes earlier invitations
        for the address. Raises PathNotFound, BadRequest.
        """
        now, token = _now(), secrets.token_urlsafe(32)
        ends = now + round(days * DAY_MS)
        made = Invitation(
            id=new_id("in"),
            tenant=tenant,
            digest=digest(token).hex(),
            email=normalize_email(email),
            role=role,
            project=project,
            by=actor.user_id or actor.key_id,
            created=now,
            expires=ends,
        )
        shown = {"role": role, "project": project, "expires": ends}
        told = audit_event(actor, tenant, "user.invite", f"invitation:{made.id}", None, shown)

        def work(c: Transaction) -> CredentialSnapshot:
            if all(each.tenant != tenant for each in user_tables.list_organizations(c)):
                raise PathNotFound(f"there is no organization {tenant[:100]!r}")
            user_tables.close_invitations(c, tenant, made.email, now)
            user_tables.add_invitation(c, made)
            return _add_audit_event(c, told)

        await self._commit(work)
        return NewInvitation(replace(made, digest=""), token)

    async def withdraw_invitation(self, id: str, tenant: str, actor: Principal) -> None:
        """Raises PathNotFound."""
        if all(each.id != id for each in await self.list_invitations(tenant)):
            raise not_found("invitation", id)
        told = audit_event(actor, tenant, "invitation.withdraw", f"invitation:{id}")
        await self._commit(
            tables.with_audit_event(lambda c: user_tables.withdraw_invitation(c, tenant, id, _now()), told)
        )

    async def accept_invitation(
        self, token: str, name: str, password: str, check: Callable[[User], Awaitable[None]]
    ) -> User:
        """Creates the invited user, or sets a user's password. Raises Forbidden, BadRequest, Conflict, Busy.

        `check` is called with an existing user before anything changes, and may raise.
        """
        invitation = await self._valid_invitation(token)
        validate_password(password, name, invitation.email.partition("@")[0])
        existing = self.find_by_email(invitation.email, invitation.tenant)
        if existing is not None:
            await check(existing)
        phc = await self.password_hasher.hash(password)
        return await self._redeem(invitation, lambda user: replace(user, name=name or user.name, password=phc))

    async def change_password(self, user: User, password: str) -> None:
        """For a user who has given the old password. Sessions end, keys stay valid. Raises BadRequest, Busy."""
        validate_password(password, user.name, user.email.partition("@")[0])
        phc, now = await self.password_hasher.hash(password), _now()

        def work(c: Transaction) -> None:
            user_tables.set_password_hash(c, user.id, phc)
            user_tables.revoke_sessions(c, user.tenant, user.id, now)

        told = AuditEvent(
            tenant=user.tenant,
            who=user.id,
            action="user.password",
            thing=f"user:{user.id}",
            before=None,
            after={"by": "old password"},
        )
        await self._commit(tables.with_audit_event(work, told))

    async def link_identity(self, tenant: str, email: str, name: str, issuer: str, subject: str) -> User | None:
        """Links the user or invitation with this address, verified by `issuer`, to `subject`. None if there is neither,
        or if the user is linked to another subject.

        The provider has verified the address, whereas the account's password may have been set by another person. So
        the password is removed, and the user's sessions and keys are revoked.
        """
        user = self.find_by_email(email, tenant)
        if user is not None:
            return await self._link_user(user, issuer, subject)
        wanted = email.strip().lower()
        invitation = await asyncio.to_thread(
            self._read,
            lambda c: user_tables.get_open_invitation(c, tenant, wanted, _now()),
        )
        if invitation is None:
            return None
        return await self._redeem(invitation, lambda made: replace(made, name=name, issuer=issuer, subject=subject))

    async def _link_user(self, user: User, issuer: str, subject: str) -> User | None:
        now = _now()
        inside: list[User] = []

        def work(c: Transaction) -> CredentialSnapshot:
            old = user_tables.get_user_by_email(c, user.email)
            if old is None or old.id != user.id or old.subject is not None or old.disabled is not None:
                return tables.read_snapshot(c)
            inside.append(replace(old, issuer=issuer, subject=subject, password=""))
            user_tables.upsert_user(c, inside[0])
            user_tables.revoke_sessions(c, user.tenant, user.id, now)
            user_tables.close_invitations(c, user.tenant, user.email, now)
            revoked = tables.revoke_user_keys(c, user.tenant, user.id, now)
            shown: Snapshot = {"issuer": issuer, "password": False, "revoked": revoked}
            before: Snapshot = {"password": bool(old.password)}
            return _add_audit_event(
                c,
                AuditEvent(
                    tenant=user.tenant,
                    who=user.id,
                    action="user.link",
                    thing=f"user:{user.id}",
                    before=before,
                    after=shown,
                ),
            )

        await self._commit(work)
        return inside[0] if inside else None

    def find_by_subject(self, tenant: str, issuer: str, subject: str) -> User | None:
        """None for a disabled user."""
        for user in self._authenticator.effective_roles.users.values():
            if (user.tenant, user.issuer, user.subject, user.disabled) == (tenant, issuer, subject, None):
                return user
        return None

    async def _valid_invitation(self, token: str) -> Invitation:
        """Raises Forbidden, with the same message for every reason."""
        found = await asyncio.to_thread(self._read, lambda c: user_tables.get_invitation(c, digest(token).hex()))
        if not token or found is None or found.used is not None or found.expires <= _now():
            raise Forbidden(_INVALID_INVITATION, _ASK_INVITER_HINT)
        return found

    async def _redeem(self, invitation: Invitation, change: UserChange) -> User:
        """The created user, or the user whose password or identity was changed."""
        now, tenant = _now(), invitation.tenant
        inside: list[User] = []

        def work(c: Transaction) -> CredentialSnapshot:
            open = user_tables.get_invitation(c, invitation.digest)
            old = user_tables.get_user_by_email(c, invitation.email)
            if open is None or open.used is not None or (old is not None and old.disabled is not None):
                raise Forbidden(_INVALID_INVITATION, _ASK_INVITER_HINT)
            if old is not None and old.tenant != tenant:
                raise Forbidden(
                    _INVALID_INVITATION,
                    _ASK_INVITER_HINT,
                )  # do not reveal that another organization has this address
            if old is not None and invitation.role:
                raise Conflict(
                    "this address has an account already", "sign in, or use an invitation to another address"
                )
            if (old is None and not invitation.role) or not _inviter_may_grant(
                c,
                invitation,
                old,
                self._authenticator.effective_roles,
            ):
                raise Forbidden(_INVALID_INVITATION, _ASK_INVITER_HINT)
            role = "" if invitation.project else invitation.role
            new = User(
                id=new_id("us"),
                tenant=tenant,
                email=invitation.email,
                name="",
                role=role,
                password="",
                issuer=None,
                subject=None,
                created=now,
            )
            user = change(old or new)
            user_tables.upsert_user(c, user)
            if invitation.project and old is None:
                user_tables.upsert_membership(c, Membership(tenant, user.id, invitation.project, invitation.role))
            user_tables.revoke_sessions(c, tenant, user.id, now)
            user_tables.close_invitations(c, tenant, invitation.email, now)
            inside.append(user)
            shown: Snapshot = {"invitation": invitation.id, "role": invitation.role, "project": invitation.project}
            action = "user.join" if old is None else "user.password"
            return _add_audit_event(
                c,
                AuditEvent(
                    tenant=tenant, who=user.id, action=action, thing=f"user:{user.id}", before=None, after=shown
                ),
            )

        await self._commit(work)
        return inside[0]

    async def set_role(self, id: str, tenant: str, role: str, project: str, actor: Principal) -> None:
        """Sets a role in the organization, or in `project`; an empty role removes it. Raises PathNotFound, Conflict.

        Withdraws the user's invitations to others, and password resets for the user: their authors may lack permissions
        that the new role has.
        """
        user, now = self.get(id, tenant), _now()

        def work(c: Transaction) -> CredentialSnapshot:
            before = user_tables.get_role(c, id, tenant, project)
            if not project:
                _check_last_owner(c, user, role)
            if project:
                user_tables.upsert_membership(c, Membership(tenant, id, project, role))
            else:
                user_tables.set_role(c, id, role)
            user_tables.withdraw_invitations_by(c, tenant, id, now)
            user_tables.close_invitations(c, tenant, user.email, now)
            after: Snapshot = {"role": role, "project": project}
            return _add_audit_event(
                c,
                audit_event(actor, tenant, "user.role", f"user:{id}", {**after, "role": before}, after),
            )

        await self._commit(work)

    async def disable(self, id: str, tenant: str, actor: Principal) -> None:
        """Invalidates the user's sessions and keys and stops requests in flight. Raises PathNotFound, Conflict."""
        user, now = self.get(id, tenant), _now()

        def work(c: Transaction) -> CredentialSnapshot:
            _check_last_owner(c, user, "")
            user_tables.set_disabled(c, id, now)
            user_tables.revoke_sessions(c, tenant, id, now)
            user_tables.close_invitations(c, tenant, user.email, now)
            user_tables.withdraw_invitations_by(c, tenant, id, now)
            return _add_audit_event(c, audit_event(actor, tenant, "user.disable", f"user:{id}"))

        await self._commit(work)

    async def release_email(self, email: str, actor: Principal) -> User:
        """Disables the user with this address, in any organization, and frees the address for its rightful owner.
        Raises PathNotFound, Conflict, BadRequest.
        """
        wanted, now = normalize_email(email), _now()
        inside: list[User] = []

        def work(c: Transaction) -> CredentialSnapshot:
            user = user_tables.get_user_by_email(c, wanted)
            if user is None:
                raise not_found("user", wanted)
            if user.disabled is None:
                _check_last_owner(c, user, "")
            freed = replace(user, email=f"{user.id}@freed.invalid", password="", disabled=user.disabled or now)
            user_tables.upsert_user(c, freed)
            user_tables.revoke_sessions(c, user.tenant, user.id, now)
            user_tables.close_invitations(c, user.tenant, wanted, now)
            user_tables.withdraw_invitations_by(c, user.tenant, user.id, now)
            inside.append(freed)
            return _add_audit_event(c, audit_event(actor, user.tenant, "user.release_email", f"user:{user.id}"))

        await self._commit(work)
        return inside[0]

    async def enable(self, id: str, tenant: str, actor: Principal) -> None:
        """Keys become valid again, sessions do not. Raises PathNotFound."""
        user, now = self.get(id, tenant), _now()

        def work(c: Transaction) -> CredentialSnapshot:
            user_tables.set_disabled(c, id, None)
            user_tables.close_invitations(c, tenant, user.email, now)
            return _add_audit_event(c, audit_event(actor, tenant, "user.enable", f"user:{id}"))

        await self._commit(work)

    async def _commit(self, work: UnitOfWork[CredentialSnapshot]) -> None:
        await self._authenticator.apply(await self._write(work))


def normalize_email(email: str) -> str:
    """In lower case. Raises BadRequest for an invalid address."""
    tidy = email.strip().lower()
    name, at, host = tidy.partition("@")
    fits = name and at and "." in host.strip(".") + ("." if host == "localhost" else "") and "@" not in host
    if not fits or len(tidy) > 254 or not tidy.isprintable() or " " in tidy:
        raise BadRequest(f"{email[:100]!r} is not an email address", "write it as ada@example.com", param="email")
    return tidy


def _check_last_owner(c: Transaction, user: User, role: str) -> None:
    """Raises Conflict if `user` is the last owner and `role`, the new one, is not owner."""
    if role != OWNER_ROLE and user_tables.list_owner_ids(c, user.tenant) == [user.id]:
        raise Conflict(_LAST_OWNER, "make another user an owner first")


def _inviter_may_grant(c: Transaction, invitation: Invitation, old: User | None, now: EffectiveRoles) -> bool:
    """Whether the inviter may still manage users and has all permissions that the invitation gives: those of its role,
    or those of `old`, whose password it sets.
    """
    tenant, project, by = invitation.tenant, invitation.project, invitation.by
    if by == ADMIN_KEY_ID:
        return True
    key = tables.get_key(c, tenant, by)
    ids = [by, *([old.id] if old is not None else []), *([key.user] if key is not None else [])]
    standing = EffectiveRoles(user_tables.read_users(c, ids), now.roles)
    wanted = standing.all_actions(old) if old is not None else now.roles.get(invitation.role, NO_ACTIONS)
    user, has = standing.active_user(by, tenant), NO_ACTIONS
    if user is not None:
        has = restrict_actions(
            standing.project_actions(user, project) if project else standing.organization_actions(user),
            tenant,
            not project,
        )
    elif key is not None and key.revoked is None and (key.expires is None or key.expires > _now()):
        principal = principal_of_key(key, standing)
        reaches = principal is not None and (principal.all_projects or (bool(project) and principal.project == project))
        has = principal.permissions if principal is not None and reaches else NO_ACTIONS
    return "manage_users" in has and restrict_actions(wanted, tenant, not project) <= has


def _add_audit_event(c: Transaction, event: AuditEvent) -> CredentialSnapshot:
    audit.append_event(c, event)
    return tables.bump_version(c)


def new_id(kind: str) -> str:
    return f"{kind}-" + "".join(secrets.choice(_ID_ALPHABET) for _ in range(10))


def _now() -> int:
    """Unix ms."""
    return time.time_ns() // 1_000_000
