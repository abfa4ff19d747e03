"""Erasure of the data of one person or key: what is stored, counted or deleted, in every store of this server.

It cannot reach backups, the audit log, what a model's provider keeps, and documents of knowledge bases.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial

from msgspec.structs import replace

from sizewise.agents import tables as memory_tables
from sizewise.agents.memory import subject_hash
from sizewise.auth.account_erasure import AccountErasure
from sizewise.auth.user_accounts import UserAccounts
from sizewise.auth.users.tables import User
from sizewise.cache.cache_epoch import CacheEpoch
from sizewise.cache.shared_answers import SharedAnswers
from sizewise.errors import StorageError
from sizewise.flows.run_erasure import RunErasure
from sizewise.principal import Principal
from sizewise.storage.batch_writer import BatchWriter
from sizewise.storage.database import Database
from sizewise.storage.erasure import DataSubject, PersonalTable, RowId, overwrite_free_pages
from sizewise.telemetry.record_store import RecordStore

CHECKPOINTS, CHECKPOINT_WAIT_S = 20, 0.25
PASSES = 2
"""A request that was in flight during the first one may have stored something since."""
OTHER_SERVERS_S = 1.5
"""Seconds beyond `records.flush_ms` after which other servers of a database refuse a user who was disabled, and have
written what they accepted before.
"""
Counts = Mapping[str, int]
"""Rows by what people call them."""


class Erasure:
    """Checks no permissions. Each method raises StorageError."""

    def __init__(
        self,
        *,
        database: Database,
        writer: BatchWriter,
        records: RecordStore,
        tables: Sequence[PersonalTable],
        runs: RunErasure,
        users: UserAccounts,
        accounts: AccountErasure,
        cache_epoch: CacheEpoch,
        shared_answers: SharedAnswers | None,
        pause_s: float,
    ) -> None:
        """`tables`: all with personal data, except those of accounts and runs. `pause_s`: seconds between two passes,
        in which other servers of the database write what they accepted.
        """
        self._database = database
        self._writer = writer
        self._records = records
        self._tables = tables
        self._runs = runs
        self._users = users
        self._accounts = accounts
        self._cache_epoch = cache_epoch
        self._shared_answers = shared_answers
        self._pause_s = pause_s

    async def subject_of_user(self, user: User) -> DataSubject:
        keys = await self._accounts.caller_ids(user)
        names = (user.id, user.email, *keys)
        return await self._with_memories(DataSubject(user.tenant, user.id, keys), names)

    async def subject_of_key(self, tenant: str, key: str) -> DataSubject:
        return await self._with_memories(DataSubject(tenant, "", (key,)), (key,))

    async def subject_of_conversation(self, tenant: str, session: str) -> DataSubject:
        """`session`: as the client names it; with the memories of agents in it."""
        subject = await self._with_memories(DataSubject(tenant), (session,))
        return replace(subject, conversations=(session,))

    def subject_of_end_user(self, tenant: str, hashed: str) -> DataSubject:
        return DataSubject(tenant, end_users=(hashed,))

    async def count(self, subject: DataSubject, user: User | None) -> Counts:
        """`user`: also the account."""
        await self._records.flush_all()
        found = {each.label: len(await self._find(each, subject)) for each in self._tables}
        runs = {"flow runs": await self._runs.count(subject)}
        return {**found, **runs, **(await self._accounts.count(user) if user is not None else {})}

    async def erase(self, subject: DataSubject, user: User | None, actor: Principal) -> Counts:
        """A user is disabled first, so that nothing more is stored, and the account goes last: after an interruption
        the same call does the rest. Raises Conflict for the last owner.
        """
        if user is not None:
            await self._users.disable(user.id, user.tenant, actor)
        gone = {"flow runs": await self._runs.erase(subject)}
        gone |= {each.label: 0 for each in self._tables}
        for number in range(PASSES):
            if number:
                await asyncio.sleep(self._pause_s)
            await self._records.flush_all()
            for each in self._tables:
                gone[each.label] += await self._delete(each, subject)
        if self._shared_answers is not None:  # first: what is found there would fill the memory again
            await self._shared_answers.erase(subject.tenant)
        self._cache_epoch.advance()
        account = await self._accounts.erase(user, actor) if user is not None else {}
        await asyncio.to_thread(overwrite_free_pages, self._writer.run_transaction_sync)
        await self._empty_log()
        return {**gone, **account}

    async def _empty_log(self) -> None:
        """Brings the overwritten pages into SQLite's file. One checkpoint runs at a time, and another thread makes them
        too: then this one does nothing.
        """
        for _ in range(CHECKPOINTS):
            if await asyncio.to_thread(self._database.checkpoint, truncate=True):
                return
            await asyncio.sleep(CHECKPOINT_WAIT_S)
        raise StorageError(
            "all is deleted, but its old bytes still lie in the file of the database",
            "run the same erasure again when no backup and no other long read is under way",
        )

    async def _with_memories(self, subject: DataSubject, names: Sequence[str]) -> DataSubject:
        """The owners of memories under which agents and flows store: an id or address, or `user:` and that."""
        projects = await asyncio.to_thread(
            self._database.read_transaction, partial(memory_tables.list_projects, tenant=subject.tenant)
        )
        owners = [owner for name in names for owner in (name, f"user:{name}", f"session:{name}")]
        hashes = tuple(subject_hash(subject.tenant, project, owner) for project in projects for owner in owners)
        return replace(subject, subjects=hashes)

    async def _find(self, table: PersonalTable, subject: DataSubject) -> list[RowId]:
        return await asyncio.to_thread(self._database.read_transaction, partial(table.find, subject=subject))

    async def _delete(self, table: PersonalTable, subject: DataSubject) -> int:
        ids, count = await self._find(table, subject), 0
        for at in range(0, len(ids), table.batch_rows):
            part = ids[at : at + table.batch_rows]
            count += await self._writer.run_transaction(partial(table.delete, tenant=subject.tenant, ids=part))
        return count
