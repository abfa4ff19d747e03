"""Erasure of a user's account: the address, the name, sessions, invitations and personal keys; checks no permissions.

The audit log keeps the user's id, which then stands for nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from sizewise.auth import tables
from sizewise.auth.api_keys import audit_event
from sizewise.auth.authenticator import Authenticator
from sizewise.auth.tables import CredentialSnapshot
from sizewise.auth.users import tables as user_tables
from sizewise.auth.users.tables import Transaction, User
from sizewise.principal import Principal
from sizewise.storage.database import AsyncTransactionRunner, TransactionRunner

KEYS = "personal keys"


class AccountErasure:
    """Of users that are disabled already: the rules of an organization are those of disabling."""

    def __init__(self, read: TransactionRunner, write: AsyncTransactionRunner, authenticator: Authenticator) -> None:
        self._read = read
        self._write = write
        self._authenticator = authenticator

    async def caller_ids(self, user: User) -> tuple[str, ...]:
        """Ids of the keys and sessions by which the user called, as far as they are stored."""

        def work(c: Transaction) -> tuple[str, ...]:
            sessions = user_tables.session_ids(c, user.tenant, user.id)
            return (*tables.user_key_ids(c, user.tenant, user.id), *sessions)

        return await asyncio.to_thread(self._read, work)

    async def count(self, user: User) -> Mapping[str, int]:
        def work(c: Transaction) -> dict[str, int]:
            keys = len(tables.user_key_ids(c, user.tenant, user.id))
            return {KEYS: keys, **user_tables.count_account(c, user)}

        return await asyncio.to_thread(self._read, work)

    async def erase(self, user: User, actor: Principal) -> Mapping[str, int]:
        """In one transaction with its audit event. Raises StorageError."""
        gone: dict[str, int] = {}

        def work(c: Transaction) -> CredentialSnapshot:
            gone.update({KEYS: tables.delete_user_keys(c, user.tenant, user.id), **user_tables.delete_account(c, user)})
            event = audit_event(actor, user.tenant, "user.erase", f"user:{user.id}", None, {**gone})
            return tables.with_audit_event(lambda _: None, event)(c)

        await self._authenticator.apply(await self._write(work))
        return gone
