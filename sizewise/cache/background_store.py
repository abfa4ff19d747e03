"""Unfinished background responses on disk, encrypted: each is there, or is a stored response; runs none."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import Executor
from functools import partial

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from sizewise.cache import background_tables as tables
from sizewise.cache.background_tables import BackgroundRow, BackgroundStatus
from sizewise.cache.stored_responses import StoredResponse, StoredResponses
from sizewise.errors import Busy
from sizewise.handler import RequestOptions
from sizewise.storage.batch_writer import BatchWriter
from sizewise.storage.database import TransactionRunner, UnitOfWork
from sizewise.storage.encryption import EnvelopeEncryption

TABLE = "background_responses"
RETRY_AFTER_S = 5.0


class BackgroundRequest(Struct, frozen=True, array_like=True):
    """What is needed to run it, also after a restart; only the API interprets `body` and `context`.

    `context`: items before the request. `created_at`: unix seconds. `trace`: of the request that was accepted.
    """

    body: bytes
    context: bytes
    options: RequestOptions
    created_at: int
    trace: str
    previous_response_id: str | None = None


class BackgroundStore:
    """Rows of all projects. Each method raises EncryptionKeyUnavailable or StorageError."""

    def __init__(
        self,
        *,
        encryption: EnvelopeEncryption,
        read: TransactionRunner,
        writer: BatchWriter,
        executor: Executor,
        responses: StoredResponses,
    ) -> None:
        """`executor` runs encryption, which may take seconds."""
        self._encryption = encryption
        self._read = read
        self._writer = writer
        self._executor = executor
        self._responses = responses

    async def insert(self, row: BackgroundRow, request: BackgroundRequest, max_unfinished: int) -> None:
        """Durable when this returns. Raises Busy beyond `max_unfinished` of the organization."""
        plain = msgspec.msgpack.encode(_storable(request))
        seal = partial(self._encryption.encrypt, plain, row.tenant, TABLE, f"{row.project}/{row.id}")
        sealed = await asyncio.get_running_loop().run_in_executor(self._executor, seal)
        has_room = await self._writer.run_transaction(lambda c: tables.insert_row(c, row, sealed, max_unfinished))
        if not has_room:
            raise Busy(
                f"{max_unfinished} background responses of this organization are unfinished",
                "wait for some to end or cancel them; an administrator can raise [stored_responses] max_background",
                retry_after=RETRY_AFTER_S,
            )

    async def find(self, id: str, tenant: str, project: str) -> tuple[BackgroundRow, BackgroundRequest] | None:
        """None if the project has no unfinished response of this id."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._find, id, tenant, project)

    def _find(self, id: str, tenant: str, project: str) -> tuple[BackgroundRow, BackgroundRequest] | None:
        found = self._read(lambda c: tables.find_row(c, tenant, project, id))
        if found is None:
            return None
        row, sealed = found
        plain = self._encryption.decrypt(sealed, tenant, TABLE, f"{project}/{id}")
        return row, msgspec.msgpack.decode(plain, type=BackgroundRequest)

    async def claim(self, row: BackgroundRow, also: UnitOfWork[None]) -> bool:
        """Whether it was queued here, and is in progress now, with `also` done; durable when this returns."""
        return await self._writer.run_transaction(lambda c: tables.claim_row(c, row, also))

    async def change_status(self, row: BackgroundRow, before: BackgroundStatus, after: BackgroundStatus) -> bool:
        """Whether it was `before` and is `after` now; durable when this returns."""
        return await self._writer.run_transaction(lambda c: tables.change_status(c, row, before, after))

    async def finish(self, row: BackgroundRow, stored: StoredResponse, *statuses: BackgroundStatus) -> bool:
        """Replaces the row by `stored`, both or neither; False if the row is gone, or has none of `statuses`."""
        stored = replace(stored, caller=row.caller)
        return await self._responses.save(stored, only_if=lambda c: tables.delete_row(c, row, *statuses))

    async def delete(self, row: BackgroundRow) -> bool:
        return await self._writer.run_transaction(lambda c: tables.delete_row(c, row))

    async def ask_to_cancel(self, row: BackgroundRow) -> None:
        await self._writer.run_transaction(lambda c: tables.ask_to_cancel(c, row))

    async def take_orphans(self, server: str, silent_ms: int) -> list[BackgroundRow]:
        return await self._writer.run_transaction(lambda c: tables.take_orphans(c, server, silent_ms))

    async def renew(self, server: str) -> dict[str, str]:
        return await self._writer.run_transaction(lambda c: tables.renew(c, server))


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def _storable(request: BackgroundRequest) -> BackgroundRequest:
    """With a maximum cost that fits into 64 bits: nine million dollars limit no request."""
    most = request.options.max_cost
    if most is None or most < 1 << 63:
        return request
    return replace(request, options=replace(request.options, max_cost=(1 << 63) - 1))
