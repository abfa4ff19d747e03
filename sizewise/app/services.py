"""The one owner on one machine: of the database, its writer, the keys and their version; knows no door and no model.

Everything goes in and comes out as plain values, so that it can stand behind a local socket when there are several
gateway workers. Outlives Houses.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import ParamSpec, TypeVar

from msgspec import Struct

from sizewise.agents import tables as agents
from sizewise.agents.memory import Memories
from sizewise.audit_log import tables as audit
from sizewise.audit_log.hash_chain import Deed, Line
from sizewise.auth import tables as accounts
from sizewise.auth.api_keys import Register
from sizewise.auth.authenticator import Keys, admin_token
from sizewise.auth.denied_audit import Refusals
from sizewise.auth.permissions import roles
from sizewise.auth.sessions import Sessions, Unused
from sizewise.auth.user_accounts import Users
from sizewise.cache import idempotency_record as leases
from sizewise.cache import stored_response_tables as conversations
from sizewise.cache import stored_responses
from sizewise.cache import tables as cache
from sizewise.cache.idempotency_record import Kept
from sizewise.cache.stored_responses import Stored
from sizewise.cache.tables import Lease
from sizewise.errors import BadRequest, Outside, StoreFailed
from sizewise.evals import tables as evals
from sizewise.evals.quality_monitor import Watch
from sizewise.flows import tables as flows
from sizewise.flows.engine import Engine
from sizewise.flows.engines import tables as workers
from sizewise.flows.engines.dbos import Durable, installed
from sizewise.flows.engines.inline import Inline
from sizewise.flows.executor import Library
from sizewise.flows.run_service import Runs
from sizewise.flows.scheduler import Hooks, Timetable
from sizewise.flows.step_store import Book
from sizewise.flows.versions import tables as published
from sizewise.flows.versions.store import Shelf
from sizewise.http.client import Client
from sizewise.knowledge import tables as knowledge
from sizewise.knowledge.document_store import Ledger
from sizewise.limits import tables as budgets
from sizewise.limits.limiter import Budgets
from sizewise.settings.agents import Memory
from sizewise.settings.root import File
from sizewise.settings.storage import Conversations, Flows, Idempotency, Records
from sizewise.storage.batch_writer import Entry, Writer
from sizewise.storage.database import Database, Work, connect, file
from sizewise.storage.encryption import Vault
from sizewise.storage.keys import tables as keyring
from sizewise.storage.keys.tables import DataKeys
from sizewise.storage.reencryption import Resealing, Standing
from sizewise.storage.retention import Expiry
from sizewise.telemetry import payload_tables as contents
from sizewise.telemetry import tables as telemetry
from sizewise.telemetry.payload_log import Content
from sizewise.telemetry.payload_log import Kept as Contents
from sizewise.telemetry.tables import ATTEMPTS, RECORDS, Filter, Record, Retention, Spent, Whole, ids
from sizewise.tools import tables as tools
from sizewise.tools.mcp.pinning import Pins

T = TypeVar("T")
P = ParamSpec("P")

MOST = 1_000
"""Records in one answer."""
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


class Erased(Struct, frozen=True):
    """How many of each were deleted."""

    records: int
    contents: int
    feedback: int


class Keeper:
    """One per home; a second one is refused. `accounts` knows who may ask, `users` and `sessions` who they are;
    `numbers` ids records, `watch` knows how good answers were."""

    def __init__(
        self,
        home: Path,
        kept: Records | None = None,
        url: str = "",
        *,
        vault: str = "",
        kms: str = "",
        remembered: Conversations | None = None,
        again: Idempotency | None = None,
        flowing: Flows | None = None,
        memory: Memory | None = None,
    ) -> None:
        """Opens, migrates and locks. `url`: another database than the file in `home`. `vault`, `kms`: Vault's.

        Raises Outside (home taken or not writable), StoreFailed (database ill or newer), ConfigError (URL, token file).
        """
        kept, remembered = kept or Records(), remembered or Conversations()
        again, flowing, memory = again or Idempotency(), flowing or Flows(), memory or Memory()
        self._keep_ms, self._lease_ms = remembered.retention_days * DAY_MS, again.retention_hours * HOUR_MS
        with ExitStack() as undone:
            self._lock = _lock(home)
            undone.callback(os.close, self._lock)
            self.admin = admin_token(home)
            self._database = _open(home, url)
            undone.callback(self._database.close)
            keys = DataKeys(self._read, self._perform)
            self._vault = Vault(home, keys, vault, kms)
            self._vault.holds(
                filter(None, (self._read(room.newest) for room in (conversations, cache, flows, knowledge, agents)))
            )
            undone.pop_all()
        self.numbers = ids()
        callers, self.refusals = Keys(self.admin), Refusals()
        self._writer = Writer(
            self._database,
            {table.name: self._database.insertion(table) for table in (RECORDS, ATTEMPTS)},
            flush_ms=kept.flush_ms,
            chores=[
                Unused(callers),
                self.refusals,
                Retention(kept.retention_days, kept.max_rows),
                lambda c: budgets.forget(c, time.time()),
                evals.Forgetting(kept.retention_days, kept.max_rows),
                Expiry(conversations.RESPONSES, self._keep_ms, remembered.max_rows, remembered.max_bytes),
                Expiry(cache.IDEMPOTENCY, self._lease_ms, again.max_rows, again.max_bytes),
                flows.Forgetting(flowing.retention_days * DAY_MS, flowing.max_rows, flowing.max_bytes),
                Expiry(agents.MEMORIES, memory.retention_days * DAY_MS, memory.max_rows, memory.max_bytes),
                Expiry(
                    contents.CONTENTS,
                    kept.contents_retention_days * DAY_MS,
                    kept.contents_max_rows,
                    kept.contents_max_bytes,
                ),
            ],
        )
        self.accounts = Register(self._read, self._writer.write, self._writer.perform, callers, bool(url))
        self.users = Users(self._read, self._writer.write, callers)
        self.sessions = Sessions(self._writer.write, callers)
        tables = (
            conversations.SEALED,
            cache.SEALED,
            contents.SEALED,
            published.SEALED,
            *flows.SEALED,
            *knowledge.SEALED,
            agents.SEALED,
        )
        self.contents = Contents(self._vault, self._writer.perform, kept.contents_row_bytes)
        self.resealing = Resealing(self._vault, keys, tables, self._read, self._writer.perform)
        self._aside = ThreadPoolExecutor(4, "sizewise-vault")  # a key service that is slow delays what it seals alone
        self.ledger = Ledger(self._vault, self._read, self._writer.perform, self._aside)
        self._aside.submit(self._vault.probe)
        limits = self._read(budgets.known)
        self.budgets = Budgets(limits, self._look, self._writer.write, shared=bool(url))
        self.watch = Watch(self._read, self._writer.write, self._settled)
        self.pins = Pins(self._read, self._writer.write)
        self.memories = Memories(self._vault, self._read, self._writer.write, self._aside, memory.max_per_user)
        book = Book(self._vault, self._read, self._writer.perform, self._aside)
        shelf, engine = Shelf(book), self._engine(home, url)
        self.library = Library(shelf)
        self.runs = Runs(
            book,
            callers,
            shelf,
            engine,
            knock=self.budgets.knock,
            running=flowing.max_concurrent_runs,
            running_each=flowing.max_concurrent_runs_per_organization,
            shared=bool(url),
        )
        self.hooks, self.timetable = Hooks(self.runs, self.library), Timetable(self.runs, self.library)

    def _engine(self, home: Path, url: str) -> Engine:
        """Not open yet: a server that runs no flow never waits for it."""
        if not installed():
            return Inline()
        return Durable(url, self) if url else Durable(file(str(home / "flows.db")))

    def resume(self) -> None:
        """Goes on with what an earlier server left undone, behind everybody's back: no start need wait for it."""
        self._aside.submit(self.resealing.resume)

    def close(self) -> None:
        """Writes what waits, then lets go of the home."""
        self.contents.close()
        self.resealing.close()
        self._aside.shutdown(cancel_futures=True)
        self._writer.close()
        self._database.close()
        os.ftruncate(self._lock, 0)
        os.close(self._lock)

    def __enter__(self) -> Keeper:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def prepare(self, said: File, client: Client) -> Sequence[Callable[[], None]]:
        """The changes to what the settings say of people and their limits. Raises ConfigError."""
        known = roles({name: role.permissions for name, role in said.roles.items()})
        return (
            self.users.relying.prepare(said.oidc, client, known),
            self.accounts.keys.prepare(known, said.login_sessions.idle_timeout_s, said.projects),
            self.budgets.prepare(said.limits, said.budgets),
        )

    # Records

    def put(self, entry: Entry) -> None:
        """Accepts records without waiting: durable within flush_ms (Recorded's `write`)."""
        self._writer.put(entry)

    async def flush(self) -> None:
        """Returns when every accepted record is durable. Raises StoreFailed."""
        await self._writer.flush()

    def waiting(self) -> tuple[int, int]:
        """Records that wait to be written, and how many were lost (Metrics' `records`)."""
        return self._writer.pending, self._writer.dropped

    @property
    def trouble(self) -> str:
        """What limps, in words: `cannot write records: ...`; empty when all is well."""
        if self._vault.ill:
            self._aside.submit(self._vault.probe)
        return "; ".join(filter(None, (self._writer.trouble, self._vault.trouble, self.contents.trouble)))

    async def records(self, wanted: Filter | None = None, limit: int = 20) -> list[Record]:
        """The newest `limit` (1..1000) records, newest first; what was accepted just now is among them."""
        if not 1 <= limit <= MOST:
            raise BadRequest(f"a list of {limit!r} records cannot be had", f"ask for 1 to {MOST}", param="limit")
        await self._settled()
        return await asyncio.to_thread(self._read, lambda c: telemetry.last(c, wanted or Filter(), limit))

    async def trace(self, trace: str, tenant: str = "local", project: str = "") -> list[Whole]:
        """The records of a trace id, or of its beginning, with their attempts, newest first; empty when unknown.
        `project`: of that one only."""
        await self._settled()
        return await asyncio.to_thread(self._read, lambda c: telemetry.whole(c, tenant, trace, project))

    async def spent(self, tenant: str, since: int, policies: Sequence[str]) -> list[Spent]:
        """What answers by these policies took since unix ms."""
        await self._settled()
        return await asyncio.to_thread(self._read, lambda c: telemetry.spent(c, tenant, since, policies))

    async def content(self, record: int, tenant: str) -> Content | None:
        """What was asked and said; None where nothing was kept, or no longer. Raises VaultLocked, StoreFailed."""
        sealed = await asyncio.to_thread(self._read, lambda c: contents.find(c, tenant, record))
        return None if sealed is None else await self._sealing(self.contents.opened, sealed, tenant, record)

    async def _settled(self) -> None:
        if not self._writer.trouble:  # an ill disk can still be read
            await self.flush()

    async def erase(self, tenant: str, key: str) -> Erased:
        """Deletes what is kept of what `key` (its id) asked and thought. Responses and idempotent answers belong to its
        project, and stay. Raises StoreFailed."""
        await self._settled()
        await asyncio.to_thread(self.contents.settle)
        told = await self._writer.write(lambda c: (contents.erase(c, tenant, key), evals.erase(c, tenant, key)))
        count = 0
        while gone := await self._writer.write(lambda c: telemetry.erase(c, tenant, key)):
            count += gone
        return Erased(count, *told)

    # Responses that clients asked us to remember

    async def keep_response(self, stored: Stored) -> None:
        """Sealed and durable when this returns. Raises Conflict (the id is taken), VaultLocked, StoreFailed."""
        where = (stored.tenant, stored.project, stored.id, stored.created)
        kept = await self._sealing(stored_responses.sealed, self._vault, stored)
        await self._writer.write(lambda c: conversations.add(c, *where, kept))

    async def response(self, id: str, tenant: str, project: str) -> Stored | None:
        """None where the project has none of this id, or no longer. Raises VaultLocked, StoreFailed."""
        return await self._sealing(self._response, id, tenant, project)

    def _response(self, id: str, tenant: str, project: str) -> Stored | None:
        found = self._read(lambda c: conversations.find(c, tenant, project, id, _now() - self._keep_ms))
        return None if found is None else stored_responses.opened(self._vault, found[1], id, tenant, project, found[0])

    async def forget_response(self, id: str, tenant: str, project: str) -> bool:
        """Whether there was one. Raises StoreFailed."""
        return await self._writer.write(lambda c: conversations.remove(c, tenant, project, id))

    # Idempotency keys

    async def lease(self, lease: Lease) -> Kept | None:
        """None: the lease is ours and durable. Else what is kept under it. Raises VaultLocked, StoreFailed."""
        begun = await self._sealing(leases.sealed, self._vault, lease, Kept(lease.digest))
        now = _now()
        there = await self._writer.write(lambda c: cache.take(c, lease, begun, now, now - self._lease_ms))
        return None if there is None else await self._sealing(leases.opened, self._vault, lease, there)

    async def settle(self, lease: Lease, kept: Kept) -> None:
        """What came of it, durable when this returns. Raises VaultLocked, StoreFailed."""
        ended = await self._sealing(leases.sealed, self._vault, lease, kept)
        await self._writer.write(lambda c: cache.settle(c, lease, ended))

    async def release(self, lease: Lease) -> None:
        """As if it had never been taken. Raises StoreFailed."""
        await self._writer.write(lambda c: cache.release(c, lease))

    # Audit

    async def audit(self, tenant: str, after: int = 0, limit: int = 1_000) -> list[Line]:
        """Lines of the trail behind number `after`, oldest first."""
        return await asyncio.to_thread(self._read, lambda c: audit.lines(c, tenant, after, limit))

    async def audited(self, tenant: str, limit: int = 20) -> list[Line]:
        """The newest lines, newest first."""
        return await asyncio.to_thread(self._read, lambda c: audit.last(c, tenant, limit))

    async def note(self, deed: Deed) -> None:
        """A line for what was done, or refused, without a change of our tables. Raises StoreFailed."""
        await self._writer.write(lambda c: audit.add(c, deed))

    # Workers at flows (engines/dbos.py)

    def beat(self, worker: str) -> None:
        self._perform(lambda c: workers.beat(c, worker))

    def lapsed(self, silent_ms: int) -> list[str]:
        return self._perform(lambda c: workers.lapsed(c, silent_ms))

    def living(self) -> set[str]:
        return self._read(workers.living)

    def bury(self, worker: str) -> None:
        self._perform(lambda c: workers.gone(c, worker))

    # The vault

    async def rotate(self, data: bool) -> int:
        """Wraps every data key by the newest key, and with `data` makes new ones; what old keys sealed is sealed anew
        behind everybody's back. How many were wrapped. Raises VaultLocked, StoreFailed."""
        if data:
            await self._sealing(self._vault.retire)
        count = await self._sealing(self._vault.rewrap)
        self.resealing.begin()
        return count

    async def vault(self) -> tuple[str, list[Standing]]:
        """Who wraps, and every data key with what it sealed. Raises VaultLocked, StoreFailed."""
        by = await self._sealing(self._vault.wraps)
        return by, await self._sealing(self.resealing.standings)

    async def shred(self, tenant: str) -> int:
        """Erases the data keys of `tenant`: what is kept of it can be read by nobody any more, in a copy of the
        database neither. How many there were. Raises StoreFailed."""
        count = await self._sealing(self._vault.erase, tenant)
        await asyncio.to_thread(self._database.checkpoint, whole=True)
        return count

    async def _sealing(self, work: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._aside, partial(work, *given, **named))

    def _perform(self, work: Work[T]) -> T:
        return self._writer.perform(work)

    async def _look(self, work: Work[T]) -> T:
        return await asyncio.to_thread(self._read, work)

    def _read(self, work: Work[T]) -> T:
        with self._database.read() as connection:
            return work(connection)


def _now() -> int:
    """Unix ms."""
    return time.time_ns() // 1_000_000


def _open(home: Path, url: str) -> Database:
    path = home / "sizewise.db"
    if not url:
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # the driver would let everyone read it
        except OSError as error:
            hint = "make it writable, or choose another home with --home DIR"
            raise StoreFailed(f"cannot open {str(path)!r}: {error.strerror}", hint) from error
    rooms = (accounts, audit, budgets, telemetry, keyring, conversations, cache, contents, evals, tools, agents)
    return connect(url or file(str(path)), [room.SCHEMA for room in (*rooms, published, flows, workers, knowledge)])


def _lock(home: Path) -> int:
    """The descriptor that holds the home until it is closed or the process dies, however it dies."""
    path = home / "keeper.lock"
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        hint = "make it writable, or choose another with --home DIR"
        raise Outside(f"cannot use {str(home)!r} as home: {error.strerror}", hint) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.read(descriptor, 20).decode("ascii", "replace").strip() or "unknown"
        os.close(descriptor)
        hint = f"stop that one (kill {holder}), or give this one a home of its own with --home DIR"
        raise Outside(f"another Sizewise, process {holder}, works in the home {str(home)!r}", hint) from error
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
    return descriptor
