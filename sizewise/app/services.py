"""Process-wide services over one home directory: database, batch writer, encryption and the rooms' stores.

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
from sizewise.agents.memory import AgentMemory
from sizewise.audit_log import tables as audit
from sizewise.audit_log.hash_chain import AuditEntry, AuditEvent
from sizewise.auth import tables as accounts
from sizewise.auth.api_keys import ApiKeys
from sizewise.auth.authenticator import Authenticator, load_or_create_admin_token
from sizewise.auth.denied_audit import DeniedRequestLog
from sizewise.auth.permissions import merge_roles
from sizewise.auth.sign_in_sessions import SessionCleanupJob, Sessions
from sizewise.auth.user_accounts import UserAccounts
from sizewise.cache import idempotency_record as leases
from sizewise.cache import stored_response_tables as conversations
from sizewise.cache import stored_responses
from sizewise.cache import tables as cache
from sizewise.cache.idempotency_record import IdempotencyRecord
from sizewise.cache.stored_responses import StoredResponse
from sizewise.cache.tables import IdempotencyLease
from sizewise.errors import BadRequest, ExternalFailure, StorageError
from sizewise.evals import tables as evals
from sizewise.evals.quality_monitor import QualityMonitor
from sizewise.flows import tables as flows
from sizewise.flows.engine import Engine, Runner
from sizewise.flows.engines import tables as workers
from sizewise.flows.engines.dbos import DbosEngine, is_installed
from sizewise.flows.engines.inline import InlineEngine
from sizewise.flows.executor import CompiledFlows
from sizewise.flows.run_service import RunService
from sizewise.flows.scheduler import Scheduler, WebhookTriggers
from sizewise.flows.step_store import StepStore
from sizewise.flows.versions import tables as published
from sizewise.flows.versions.store import FlowVersions
from sizewise.http.client import HttpClient
from sizewise.knowledge import tables as knowledge
from sizewise.knowledge.document_store import DocumentStore
from sizewise.limits import tables as budgets
from sizewise.limits.rate_limiter import Limiter
from sizewise.settings.agents import MemorySettings
from sizewise.settings.root import FileSettings
from sizewise.settings.storage import ConversationsSettings, FlowsSettings, IdempotencySettings, RecordsSettings
from sizewise.storage.batch_writer import BatchWriter, RowGroup
from sizewise.storage.database import Database, UnitOfWork, open_database, sqlite_url
from sizewise.storage.encryption import EnvelopeEncryption
from sizewise.storage.keys import tables as keyring
from sizewise.storage.keys.tables import DataKeyStore
from sizewise.storage.reencryption import DataKeyStatus, ReencryptionJob
from sizewise.storage.retention import RetentionJob
from sizewise.telemetry import payload_tables as contents
from sizewise.telemetry import tables as telemetry
from sizewise.telemetry.payload_log import LoggedPayload
from sizewise.telemetry.payload_log import PayloadLog as Contents
from sizewise.telemetry.tables import (
    ATTEMPTS,
    RECORDS,
    PolicyUsage,
    RecordFilter,
    RecordRetention,
    RecordWithAttempts,
    RequestRecord,
    record_ids,
)
from sizewise.tools import tables as tools
from sizewise.tools.mcp.pinning import DatabasePinStore

T = TypeVar("T")
P = ParamSpec("P")

MAX_RECORDS = 1_000
"""Records in one answer."""
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


class DeletedCounts(Struct, frozen=True):
    """How many of each were deleted."""

    records: int
    payloads: int
    feedback: int


class Services:
    """One per home; a second one is refused. `api_keys` knows who may ask, `users` and `sessions` who they are;
    `record_ids` ids records, `quality_monitor` knows how good answers were.
    """

    def __init__(
        self,
        home: Path,
        record_settings: RecordsSettings | None = None,
        url: str = "",
        *,
        key_reference: str = "",
        kms: str = "",
        response_settings: ConversationsSettings | None = None,
        idempotency_settings: IdempotencySettings | None = None,
        flow_settings: FlowsSettings | None = None,
        memory_settings: MemorySettings | None = None,
    ) -> None:
        """Opens, migrates and locks. `url`: another database than the file in `home`. `vault`, `kms`:
        EnvelopeEncryption's.

        Raises ExternalFailure (home taken or not writable), StorageError (database ill or newer), ConfigError (URL,
        token file).
        """
        record_settings, response_settings = (
            record_settings or RecordsSettings(),
            response_settings or ConversationsSettings(),
        )
        idempotency_settings, flow_settings, memory_settings = (
            idempotency_settings or IdempotencySettings(),
            flow_settings or FlowsSettings(),
            memory_settings or MemorySettings(),
        )
        self._response_retention_ms, self._idempotency_retention_ms = (
            response_settings.retention_days * DAY_MS,
            idempotency_settings.retention_hours * HOUR_MS,
        )
        with ExitStack() as undone:
            self._lock = _lock_home(home)
            undone.callback(os.close, self._lock)
            self.admin_token = load_or_create_admin_token(home)
            self._database = _open_database(home, url)
            undone.callback(self._database.close)
            keys = DataKeyStore(self._read, self._perform)
            self._encryption = EnvelopeEncryption(home, keys, key_reference, kms)
            self._encryption.expect_keys_for(
                filter(
                    None, (self._read(room.newest_sealed) for room in (conversations, cache, flows, knowledge, agents))
                ),
            )
            undone.pop_all()
        self.record_ids = record_ids()
        principals, self.denied_requests = Authenticator(self.admin_token), DeniedRequestLog()
        self._writer = BatchWriter(
            self._database,
            {table.name: self._database.insert_statement(table) for table in (RECORDS, ATTEMPTS)},
            flush_interval_ms=record_settings.flush_ms,
            maintenance=[
                SessionCleanupJob(principals),
                self.denied_requests,
                RecordRetention(record_settings.retention_days, record_settings.max_rows),
                lambda c: budgets.delete_expired_windows(c, time.time()),
                evals.EvalsRetention(record_settings.retention_days, record_settings.max_rows),
                RetentionJob(
                    conversations.RESPONSES,
                    self._response_retention_ms,
                    response_settings.max_rows,
                    response_settings.max_bytes,
                ),
                RetentionJob(
                    cache.IDEMPOTENCY,
                    self._idempotency_retention_ms,
                    idempotency_settings.max_rows,
                    idempotency_settings.max_bytes,
                ),
                flows.RunRetention(
                    flow_settings.retention_days * DAY_MS,
                    flow_settings.max_rows,
                    flow_settings.max_bytes,
                ),
                RetentionJob(
                    agents.MEMORIES,
                    memory_settings.retention_days * DAY_MS,
                    memory_settings.max_rows,
                    memory_settings.max_bytes,
                ),
                RetentionJob(
                    contents.CONTENTS,
                    record_settings.contents_retention_days * DAY_MS,
                    record_settings.contents_max_rows,
                    record_settings.contents_max_bytes,
                ),
            ],
        )
        self.api_keys = ApiKeys(
            self._read,
            self._writer.run_transaction,
            self._writer.run_transaction_sync,
            principals,
            bool(url),
        )
        self.users = UserAccounts(self._read, self._writer.run_transaction, principals)
        self.sessions = Sessions(self._writer.run_transaction, principals)
        tables = (
            conversations.SEALED,
            cache.SEALED,
            contents.SEALED,
            published.SEALED,
            *flows.SEALED,
            *knowledge.SEALED,
            agents.SEALED,
        )
        self.payload_log = Contents(
            self._encryption,
            self._writer.run_transaction_sync,
            record_settings.contents_row_bytes,
        )
        self.reencryption = ReencryptionJob(
            self._encryption,
            keys,
            tables,
            self._read,
            self._writer.run_transaction_sync,
        )
        self._executor = ThreadPoolExecutor(
            4,
            "sizewise-vault",
        )  # a key service that is slow delays what it seals alone
        self.documents = DocumentStore(self._encryption, self._read, self._writer.run_transaction_sync, self._executor)
        self._executor.submit(self._encryption.probe)
        limits = self._read(budgets.read_snapshot)
        self.limiter = Limiter(limits, self._read_async, self._writer.run_transaction, shared=bool(url))
        self.quality_monitor = QualityMonitor(self._read, self._writer.run_transaction, self._flush_if_healthy)
        self.tool_pins = DatabasePinStore(self._read, self._writer.run_transaction)
        self.memories = AgentMemory(
            encryption=self._encryption,
            read=self._read,
            write=self._writer.run_transaction,
            executor=self._executor,
            max_memories=memory_settings.max_per_user,
        )
        book = StepStore(self._encryption, self._read, self._writer.run_transaction_sync, self._executor)
        self.flow_versions = FlowVersions(book)
        self.compiled_flows = CompiledFlows(self.flow_versions)
        self.runs = RunService(
            store=book,
            authenticator=principals,
            versions=self.flow_versions,
            build_engine=partial(self._engine, home=home, url=url),
            count_request=self.limiter.count_request,
            max_running=flow_settings.max_concurrent_runs,
            max_running_per_organization=flow_settings.max_concurrent_runs_per_organization,
            store_is_shared=bool(url),
        )
        self.webhook_triggers, self.scheduler = (
            WebhookTriggers(self.flow_versions, self.compiled_flows, self.runs.starter),
            Scheduler(self.flow_versions, self.compiled_flows, self.runs.starter),
        )

    def _engine(self, runner: Runner, *, home: Path, url: str) -> Engine:
        """Not open yet: a server that runs no flow never waits for it."""
        if not is_installed():
            return InlineEngine(runner)
        return DbosEngine(runner, url, self) if url else DbosEngine(runner, sqlite_url(str(home / "flows.db")))

    def resume(self) -> None:
        """Goes on with what an earlier server left undone, behind everybody's back: no start need wait for it."""
        self._executor.submit(self.reencryption.resume)

    def close(self) -> None:
        """Writes what waits, then lets go of the home."""
        self.payload_log.close()
        self.reencryption.close()
        self._executor.shutdown(cancel_futures=True)
        self._writer.close()
        self._database.close()
        os.ftruncate(self._lock, 0)
        os.close(self._lock)

    def __enter__(self) -> Services:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def prepare(self, said: FileSettings, client: HttpClient) -> Sequence[Callable[[], None]]:
        """The changes to what the settings say of people and their limits. Raises ConfigError."""
        known = merge_roles({name: role.permissions for name, role in said.roles.items()})
        return (
            self.users.relying_party.prepare(said.oidc, client, known),
            self.api_keys.authenticator.prepare(known, said.login_sessions.idle_timeout_s, said.projects),
            self.limiter.prepare(said.limits, said.budgets),
        )

    # Records

    def enqueue_record(self, entry: RowGroup) -> None:
        """Accepts records without waiting: durable within flush_ms (Recorded's `run_transaction`)."""
        self._writer.enqueue(entry)

    async def flush(self) -> None:
        """Returns when every accepted record is durable. Raises StorageError."""
        await self._writer.flush()

    def record_queue(self) -> tuple[int, int]:
        """Records that wait to be written, and how many were lost (Metrics' `records`)."""
        return self._writer.pending, self._writer.dropped

    @property
    def problem(self) -> str:
        """What limps, in words: `cannot run_transaction records: ...`; empty when all is well."""
        if self._encryption.should_probe:
            self._executor.submit(self._encryption.probe)
        return "; ".join(filter(None, (self._writer.problem, self._encryption.problem, self.payload_log.problem)))

    async def records(self, criteria: RecordFilter | None = None, limit: int = 20) -> list[RequestRecord]:
        """The newest `limit` (1..1000) records, newest first; what was accepted just now is among them."""
        if not 1 <= limit <= MAX_RECORDS:
            raise BadRequest(f"a list of {limit!r} records cannot be had", f"ask for 1 to {MAX_RECORDS}", param="limit")
        await self._flush_if_healthy()
        return await asyncio.to_thread(
            self._read,
            lambda c: telemetry.newest_records(c, criteria or RecordFilter(), limit),
        )

    async def records_of_trace(self, trace: str, tenant: str = "local", project: str = "") -> list[RecordWithAttempts]:
        """The records of a trace id, or of its beginning, with their attempts, newest first; empty when unknown.
        `project`: of that one only.
        """
        await self._flush_if_healthy()
        return await asyncio.to_thread(self._read, lambda c: telemetry.records_of_trace(c, tenant, trace, project))

    async def policy_usage(self, tenant: str, since: int, policies: Sequence[str]) -> list[PolicyUsage]:
        """What answers by these policies took since unix ms."""
        await self._flush_if_healthy()
        return await asyncio.to_thread(self._read, lambda c: telemetry.policy_usage(c, tenant, since, policies))

    async def payload(self, record: int, tenant: str) -> LoggedPayload | None:
        """What was asked and said; None where nothing was kept, or no longer. Raises VaultLocked, StorageError."""
        sealed = await asyncio.to_thread(self._read, lambda c: contents.find_payload(c, tenant, record))
        return None if sealed is None else await self._run_in_executor(self.payload_log.decrypt, sealed, tenant, record)

    async def _flush_if_healthy(self) -> None:
        if not self._writer.problem:  # an ill disk can still be read
            await self.flush()

    async def delete_key_data(self, tenant: str, key: str) -> DeletedCounts:
        """Deletes what is kept of what `key` (its id) asked and thought. Responses and idempotent answers belong to its
        project, and stay. Raises StorageError.
        """
        await self._flush_if_healthy()
        await asyncio.to_thread(self.payload_log.flush)
        told = await self._writer.run_transaction(
            lambda c: (contents.delete_payloads(c, tenant, key), evals.erase_feedback(c, tenant, key)),
        )
        count = 0
        while gone := await self._writer.run_transaction(lambda c: telemetry.delete_records(c, tenant, key)):
            count += gone
        return DeletedCounts(count, *told)

    # Responses that clients asked us to remember

    async def store_response(self, stored: StoredResponse) -> None:
        """Sealed and durable when this returns. Raises Conflict (the id is taken), VaultLocked, StorageError."""
        where = (stored.tenant, stored.project, stored.id, stored.created)
        kept = await self._run_in_executor(stored_responses.encrypt_response, self._encryption, stored)
        await self._writer.run_transaction(lambda c: conversations.insert_response(c, *where, kept))

    async def stored_response(self, id: str, tenant: str, project: str) -> StoredResponse | None:
        """None where the project has none of this id, or no longer. Raises VaultLocked, StorageError."""
        return await self._run_in_executor(self._stored_response, id, tenant, project)

    def _stored_response(self, id: str, tenant: str, project: str) -> StoredResponse | None:
        found = self._read(
            lambda c: conversations.find_response(c, tenant, project, id, _now() - self._response_retention_ms),
        )
        return (
            None
            if found is None
            else stored_responses.decrypt_response(self._encryption, found[1], id, tenant, project, found[0])
        )

    async def delete_response(self, id: str, tenant: str, project: str) -> bool:
        """Whether there was one. Raises StorageError."""
        return await self._writer.run_transaction(lambda c: conversations.delete_response(c, tenant, project, id))

    # Idempotency keys

    async def acquire_lease(self, lease: IdempotencyLease) -> IdempotencyRecord | None:
        """None: the lease is ours and durable. Else what is kept under it. Raises VaultLocked, StorageError."""
        begun = await self._run_in_executor(
            leases.encrypt_record,
            self._encryption,
            lease,
            IdempotencyRecord(lease.digest),
        )
        now = _now()
        there = await self._writer.run_transaction(
            lambda c: cache.acquire_lease(c, lease, begun, now, now - self._idempotency_retention_ms),
        )
        return (
            None
            if there is None
            else await self._run_in_executor(leases.decrypt_record, self._encryption, lease, there)
        )

    async def complete_lease(self, lease: IdempotencyLease, record: IdempotencyRecord) -> None:
        """What came of it, durable when this returns. Raises VaultLocked, StorageError."""
        ended = await self._run_in_executor(leases.encrypt_record, self._encryption, lease, record)
        await self._writer.run_transaction(lambda c: cache.complete_lease(c, lease, ended))

    async def release_lease(self, lease: IdempotencyLease) -> None:
        """As if it had never been taken. Raises StorageError."""
        await self._writer.run_transaction(lambda c: cache.release_lease(c, lease))

    # Audit

    async def audit_entries(self, tenant: str, after: int = 0, limit: int = 1_000) -> list[AuditEntry]:
        """Lines of the trail behind number `after`, oldest first."""
        return await asyncio.to_thread(self._read, lambda c: audit.entries_after(c, tenant, after, limit))

    async def newest_audit_entries(self, tenant: str, limit: int = 20) -> list[AuditEntry]:
        """The newest lines, newest first."""
        return await asyncio.to_thread(self._read, lambda c: audit.newest_entries(c, tenant, limit))

    async def append_audit_event(self, event: AuditEvent) -> None:
        """A line for what was done, or refused, without a change of our tables. Raises StorageError."""
        await self._writer.run_transaction(lambda c: audit.append_event(c, event))

    # Workers at flows (engines/dbos.py)

    def heartbeat(self, worker: str) -> None:
        self._perform(lambda c: workers.upsert_heartbeat(c, worker))

    def claim_expired_workers(self, silent_ms: int) -> list[str]:
        return self._perform(lambda c: workers.claim_expired_workers(c, silent_ms))

    def list_workers(self) -> set[str]:
        return self._read(workers.list_workers)

    def remove_worker(self, worker: str) -> None:
        self._perform(lambda c: workers.delete_worker(c, worker))

    # The vault

    async def rotate_keys(self, new_data_keys: bool) -> int:
        """Wraps every data key by the newest key, and with `new_data_keys` makes new ones; what old keys sealed is
        sealed anew behind everybody's back. How many were wrapped. Raises VaultLocked, StorageError.
        """
        if new_data_keys:
            await self._run_in_executor(self._encryption.rotate_data_keys)
        count = await self._run_in_executor(self._encryption.rewrap)
        self.reencryption.start()
        return count

    async def key_status(self) -> tuple[str, list[DataKeyStatus]]:
        """Who wraps, and every data key with what it sealed. Raises VaultLocked, StorageError."""
        by = await self._run_in_executor(self._encryption.key_provider)
        return by, await self._run_in_executor(self.reencryption.key_statuses)

    async def shred_tenant(self, tenant: str) -> int:
        """Erases the data keys of `tenant`: what is kept of it can be read by nobody any more, in a copy of the
        database neither. How many there were. Raises StorageError.
        """
        count = await self._run_in_executor(self._encryption.delete_keys, tenant)
        await asyncio.to_thread(self._database.checkpoint, truncate=True)
        return count

    async def _run_in_executor(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, partial(work, *args, **kwargs))

    def _perform(self, work: UnitOfWork[T]) -> T:
        return self._writer.run_transaction_sync(work)

    async def _read_async(self, work: UnitOfWork[T]) -> T:
        return await asyncio.to_thread(self._read, work)

    def _read(self, work: UnitOfWork[T]) -> T:
        with self._database.read() as connection:
            return work(connection)


def _now() -> int:
    """Unix ms."""
    return time.time_ns() // 1_000_000


def _open_database(home: Path, url: str) -> Database:
    path = home / "sizewise.db"
    if not url:
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # the driver would let everyone read it
        except OSError as error:
            hint = "make it writable, or choose another home with --home DIR"
            raise StorageError(f"cannot open {str(path)!r}: {error.strerror}", hint) from error
    rooms = (accounts, audit, budgets, telemetry, keyring, conversations, cache, contents, evals, tools, agents)
    return open_database(
        url or sqlite_url(str(path)),
        [room.SCHEMA for room in (*rooms, published, flows, workers, knowledge)],
    )


def _lock_home(home: Path) -> int:
    """The descriptor that holds the home until it is closed or the process dies, however it dies."""
    path = home / "keeper.lock"
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        hint = "make it writable, or choose another with --home DIR"
        raise ExternalFailure(f"cannot use {str(home)!r} as home: {error.strerror}", hint) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.read(descriptor, 20).decode("ascii", "replace").strip() or "unknown"
        os.close(descriptor)
        hint = f"stop that one (kill {holder}), or give this one a home of its own with --home DIR"
        raise ExternalFailure(f"another Sizewise, process {holder}, works in the home {str(home)!r}", hint) from error
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
    return descriptor
