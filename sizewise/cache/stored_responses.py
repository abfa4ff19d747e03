"""Responses stored for `previous_response_id`, encrypted; knows no wire format."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import Executor

import msgspec
from msgspec import Struct

from sizewise.cache import stored_response_tables as tables
from sizewise.data_class import DataClass
from sizewise.storage.batch_writer import BatchWriter
from sizewise.storage.database import TransactionRunner, UnitOfWork
from sizewise.storage.encryption import EnvelopeEncryption
from sizewise.storage.erasure import ANYBODY, Caller

TABLE = "responses"


class StoredResponse(Struct, frozen=True):
    """One response. `body` is what the client got, `context` what the next request builds on, `input` what was sent;
    only the API interprets them. `created`: unix ms. `data_class` and `online` are the constraints that applied;
    requests that build on the response inherit them. `caller`: who asked; it is stored, and not read again. `events`:
    of its stream, compressed; empty if they can be made from `body`.
    """

    id: str
    tenant: str
    project: str
    created: int
    body: bytes
    context: bytes
    input: bytes = b"[]"
    data_class: DataClass = "confidential"
    online: bool = True
    caller: Caller = ANYBODY
    events: bytes = b""


class StoredPayload(Struct, frozen=True, array_like=True):
    """The encrypted part. Responses stored without a data class count as confidential."""

    body: bytes
    context: bytes
    input: bytes
    data_class: DataClass = "confidential"
    online: bool = True
    events: bytes = b""


class StoredResponses:
    """Stored responses of all projects; those past the retention period are not found."""

    def __init__(
        self,
        *,
        encryption: EnvelopeEncryption,
        read: TransactionRunner,
        writer: BatchWriter,
        executor: Executor,
        retention_ms: int,
    ) -> None:
        """`executor` runs encryption, which may take seconds."""
        self._encryption = encryption
        self._read = read
        self._writer = writer
        self._executor = executor
        self._retention_ms = retention_ms

    async def save(self, stored: StoredResponse, only_if: UnitOfWork[bool] | None = None) -> bool:
        """Encrypted and durable when this returns True; False if `only_if`, in the same transaction, says so. Raises
        Conflict (the id is taken), EncryptionKeyUnavailable, StorageError.
        """
        where = (stored.tenant, stored.project, stored.id, stored.created)
        sealed = await asyncio.get_running_loop().run_in_executor(self._executor, self._encrypt, stored)
        return await self._writer.run_transaction(
            lambda c: tables.insert_response(c, *where, sealed, stored.caller, only_if)
        )

    async def find(self, id: str, tenant: str, project: str) -> StoredResponse | None:
        """None if the project has no response of this id. Raises EncryptionKeyUnavailable, StorageError."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._find, id, tenant, project)

    async def list_newest(
        self, tenant: str, project: str, *, since: int, until: int, limit: int
    ) -> list[StoredResponse]:
        """Of the project, created from `since` to `until` (unix ms). Raises as `find`."""

        def work() -> list[StoredResponse]:
            oldest = max(since, time.time_ns() // 1_000_000 - self._retention_ms)
            found = self._read(lambda c: tables.list_responses(c, tenant, project, oldest, until, limit))
            return [self._opened(tenant, project, id, created, sealed) for id, created, sealed in found]

        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    async def delete(self, id: str, tenant: str, project: str) -> bool:
        """Whether it existed. Raises StorageError."""
        return await self._writer.run_transaction(lambda c: tables.delete_response(c, tenant, project, id))

    def _find(self, id: str, tenant: str, project: str) -> StoredResponse | None:
        since = time.time_ns() // 1_000_000 - self._retention_ms
        found = self._read(lambda c: tables.find_response(c, tenant, project, id, since))
        if found is None:
            return None
        return self._opened(tenant, project, id, *found)

    def _opened(self, tenant: str, project: str, id: str, created: int, sealed: bytes) -> StoredResponse:
        plain = self._encryption.decrypt(sealed, tenant, TABLE, f"{project}/{id}")
        payload = msgspec.msgpack.decode(plain, type=StoredPayload)
        return StoredResponse(
            id=id,
            tenant=tenant,
            project=project,
            created=created,
            body=payload.body,
            context=payload.context,
            input=payload.input,
            data_class=payload.data_class,
            online=payload.online,
            events=payload.events,
        )

    def _encrypt(self, stored: StoredResponse) -> bytes:
        payload = StoredPayload(
            body=stored.body,
            context=stored.context,
            input=stored.input,
            data_class=stored.data_class,
            online=stored.online,
            events=stored.events,
        )
        plain = msgspec.msgpack.encode(payload)
        return self._encryption.encrypt(plain, stored.tenant, TABLE, f"{stored.project}/{stored.id}")
