"""Sign-in links: a one-time token that signs in the owner of this machine, without a password; knows no URL.

Only who can read the admin token in the home folder gets a link, and that token can do more than the account. So the
account needs no password: it is created with its first link, and its address receives no mail.
"""

from __future__ import annotations

import secrets
import time

from msgspec import Struct

from sizewise.audit_log import tables as audit
from sizewise.audit_log.hash_chain import AuditEvent
from sizewise.auth import tables
from sizewise.auth.authenticator import Authenticator, digest
from sizewise.auth.permissions import DEFAULT_TENANT
from sizewise.auth.tables import CredentialSnapshot
from sizewise.auth.user_accounts import OWNER_ROLE, new_id
from sizewise.auth.users import link_tables
from sizewise.auth.users import tables as user_tables
from sizewise.auth.users.link_tables import SignInLink
from sizewise.auth.users.tables import Transaction, User
from sizewise.errors import Forbidden, SizewiseError
from sizewise.storage.database import AsyncTransactionRunner, TransactionRunner

LINK_LIFETIME_S = 900
MACHINE_EMAIL = "owner@this-machine.invalid"
"""RFC 2606: nobody can receive mail there, so no identity provider can confirm it."""
MACHINE_NAME = "Owner (this machine)"
_NEW_LINK_HINT = "print a new one on the server's machine: sizewise open"


class NewSignInLink(Struct, frozen=True):
    """A link's token, which is stored nowhere, and its expiry in unix ms."""

    token: str
    expires: int


class SignInLinks:
    """Links of all servers of a database: each works once."""

    def __init__(
        self, write: AsyncTransactionRunner, write_sync: TransactionRunner, authenticator: Authenticator
    ) -> None:
        """`write_sync`: like `write`, for use before there is an event loop."""
        self._write = write
        self._write_sync = write_sync
        self._authenticator = authenticator

    async def create(self) -> NewSignInLink:
        token, link = _new_link()
        await self._write(lambda c: link_tables.add_link(c, link))
        return NewSignInLink(token, link.expires)

    def create_at_start(self) -> NewSignInLink:
        token, link = _new_link()
        self._write_sync(lambda c: link_tables.add_link(c, link))
        return NewSignInLink(token, link.expires)

    async def redeem(self, token: str) -> User:
        """The user that the link signs in. Raises Forbidden for a link that was used, has expired or never existed."""
        mine, now = digest(token).hex(), _now()
        inside: list[User] = []

        def work(c: Transaction) -> CredentialSnapshot:
            if not link_tables.use_link(c, mine, now):
                raise _refusal(link_tables.get_link(c, mine))
            user = user_tables.get_user_by_email(c, MACHINE_EMAIL)
            if user is not None and user.disabled is not None:
                raise Forbidden("the account of this machine is disabled", f"sizewise users enable {user.id}")
            if user is not None:
                inside.append(user)
                return tables.read_snapshot(c)
            inside.append(_machine_owner(now))
            user_tables.upsert_user(c, inside[0])
            audit.append_event(c, _joined(inside[0]))
            return tables.bump_version(c)

        await self._authenticator.apply(await self._write(work))
        return inside[0]


def _new_link() -> tuple[str, SignInLink]:
    token, now = secrets.token_urlsafe(32), _now()
    return token, SignInLink(digest(token).hex(), DEFAULT_TENANT, now, now + LINK_LIFETIME_S * 1_000)


def _refusal(link: SignInLink | None) -> SizewiseError:
    """Says which: a token of 256 random bits cannot be guessed, so its holder may know."""
    if link is None:
        return Forbidden("this sign-in link is not one of this server", _NEW_LINK_HINT)
    if link.used is not None:
        return Forbidden("this sign-in link was used already: each works once", _NEW_LINK_HINT)
    return Forbidden(f"this sign-in link is older than {LINK_LIFETIME_S // 60} minutes", _NEW_LINK_HINT)


def _machine_owner(now: int) -> User:
    return User(
        id=new_id("us"),
        tenant=DEFAULT_TENANT,
        email=MACHINE_EMAIL,
        name=MACHINE_NAME,
        role=OWNER_ROLE,
        password="",
        issuer=None,
        subject=None,
        created=now,
    )


def _joined(user: User) -> AuditEvent:
    return AuditEvent(
        tenant=user.tenant,
        who=user.id,
        action="user.join",
        thing=f"user:{user.id}",
        before=None,
        after={"how": "link", "role": user.role},
    )


def _now() -> int:
    """Unix ms."""
    return time.time_ns() // 1_000_000
