"""Cached answers of all servers of one Postgres: found there when the memory of this process has none, written behind.

It is a cache: an answer that cannot be found, read or stored in time is a miss, never an error of the request.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from msgspec import Struct

from sizewise.cache import shared_answer_tables as tables
from sizewise.cache.cache_epoch import CacheEpoch
from sizewise.cache.shared_answer_tables import SharedAnswerRow
from sizewise.errors import Conflict, EncryptionKeyUnavailable, SizewiseError, StorageError
from sizewise.jobs.periodic_tasks import PeriodicTask
from sizewise.storage.database import Database
from sizewise.storage.encryption import EnvelopeEncryption
from sizewise.telemetry.end_users import EndUserHashes

log = logging.getLogger("sizewise.cache")

POLL_S = 0.5
"""Seconds between two looks for erasures by other servers."""
FIND_TIMEOUT_S = 1.0
"""Longest wait of a request for the database; then its model is asked."""
PAUSE_S = 5.0
"""How long a database that failed or was too slow is not asked again."""
FIND_THREADS = 4
MAX_LOOKUPS = 256
"""Look-ups at a time; a request beyond asks its model."""
MAX_ANSWER_BYTES = 1_000_000
"""A longer answer stays in memory."""
MAX_QUEUED = 2_000
MAX_QUEUED_BYTES = 32_000_000
MAX_BATCH = 100
LINGER_S = 0.05


class FoundAnswer(Struct, frozen=True):
    """`age_s`: since it was given. `good_for_s`: until it expires."""

    age_s: float
    good_for_s: float
    encoded_reply: bytes


class NewAnswer(Struct, frozen=True):
    """`erasures`: `SharedAnswers.erasures` when its request began."""

    tenant: str
    project: str
    key: bytes
    erasures: int
    ttl_s: float
    encoded_reply: bytes


class SharedAnswers:
    """One per process. Call all but `close` from one thread, the event loop's. `erasures`: how many this process knows
    of; what a request that began before one was answered is not stored after it.
    """

    def __init__(
        self,
        *,
        encryption: EnvelopeEncryption,
        database: Database,
        hashes: EndUserHashes,
        epoch: CacheEpoch,
        stores: bool = True,
    ) -> None:
        """`database`: a Postgres. `hashes`: keyed, so that no request can be guessed. `stores`: False shares erasures
        alone. Raises StorageError.
        """
        self._stores = stores
        self._encryption = encryption
        self._database = database
        self._hashes = hashes
        self._epoch = epoch
        self._is_used = False
        self.erasures = database.read_transaction(tables.count_erasures)
        self.dropped = 0  # answers that were not stored
        self._finders = ThreadPoolExecutor(FIND_THREADS, "sizewise-cached-answers")
        self._lookups = 0
        self._paused: dict[str, float] = {}  # organization -> time.monotonic() until which it is not looked up
        self._queue: deque[NewAnswer] = deque()
        self._bytes = 0
        self._is_writing = False  # a batch was taken from the queue
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._writer: threading.Thread | None = None

    async def find(self, tenant: str, project: str, key: bytes) -> FoundAnswer | None:
        self._is_used = True
        if not self._stores or self._lookups >= MAX_LOOKUPS or time.monotonic() < self._paused.get(tenant, 0.0):
            return None
        self._lookups += 1
        try:
            async with asyncio.timeout(FIND_TIMEOUT_S):
                find = partial(self._find, tenant, project, key)
                return await asyncio.get_running_loop().run_in_executor(self._finders, find)
        except (StorageError, Conflict, EncryptionKeyUnavailable, TimeoutError) as error:
            why = error.message if isinstance(error, SizewiseError) else f"no answer within {FIND_TIMEOUT_S:g} s"
            log.warning("cached answers of other servers are not looked up for %g s: %s", PAUSE_S, why)
            self._paused[tenant] = time.monotonic() + PAUSE_S
            return None
        finally:
            self._lookups -= 1

    def store(self, answer: NewAnswer) -> None:
        """Queues it. Never waits, never fails: if the queue is full, the answer is dropped."""
        size = len(answer.encoded_reply)
        if not self._stores or size > MAX_ANSWER_BYTES:
            return
        with self._lock:
            if len(self._queue) >= MAX_QUEUED or self._bytes + size > MAX_QUEUED_BYTES:
                self.dropped += 1
                return
            self._queue.append(answer)
            self._bytes += size
        if self._writer is None:
            self._writer = threading.Thread(target=self._write_all, name="sizewise-shared-cache", daemon=True)
            self._writer.start()
        self._wake.set()

    async def erase(self, tenant: str) -> None:
        """Deletes the answers of `tenant` that are in the database. The other servers empty their memories within a
        second; this one is left to the caller. Raises StorageError.
        """
        self.erasures = await asyncio.to_thread(self._erase, tenant)

    def periodic_tasks(self) -> list[PeriodicTask]:
        return [PeriodicTask("erased answers of other servers", POLL_S, self.refresh)]

    async def refresh(self) -> None:
        """Empties the memory of this process if another server has erased something. Raises StorageError."""
        if not self._is_used:
            return
        count = await asyncio.to_thread(self._database.read_statement, tables.count_erasures)
        if count > self.erasures:
            self.erasures = count
            self._epoch.advance()

    def flush(self) -> None:
        """Waits until what was queued before is stored or dropped. Not for the event loop's thread."""
        while self._queue or self._is_writing:
            time.sleep(0.005)

    def close(self) -> None:
        """Stores what is queued, if the database takes it."""
        self._closing.set()
        self._wake.set()
        if self._writer is not None:
            self._writer.join()
        self._finders.shutdown(cancel_futures=True)

    def _find(self, tenant: str, project: str, key: bytes) -> FoundAnswer | None:
        """Raises StorageError, EncryptionKeyUnavailable."""
        name = self._name(tenant, key)
        found = self._database.read_statement(partial(tables.find_answer, tenant=tenant, project=project, key=name))
        if found is None:
            return None
        age_ms, good_for_ms, sealed = found
        try:
            plain = self._encryption.decrypt(sealed, tenant, tables.NAME, f"{project}/{name}")
        except StorageError:  # its key was deleted: no answer any more
            return None
        return FoundAnswer(age_ms / 1_000, good_for_ms / 1_000, plain)

    def _name(self, tenant: str, key: bytes) -> str:
        """Raises StorageError, EncryptionKeyUnavailable."""
        self._hashes.load_now(tenant)
        return self._hashes.hash(tenant, f"cached answer {key.hex()}")

    def _erase(self, tenant: str) -> int:
        with self._database.write() as connection:
            return tables.erase_answers(connection, tenant)

    def _write_all(self) -> None:
        while not self._closing.is_set() or self._queue:
            self._wake.wait()
            self._wake.clear()
            self._closing.wait(LINGER_S)  # more may come
            while batch := self._take_batch():
                self._write(batch)

    def _take_batch(self) -> list[NewAnswer]:
        with self._lock:
            self._is_writing = bool(self._queue)
            taken = [self._queue.popleft() for _ in range(min(MAX_BATCH, len(self._queue)))]
            self._bytes -= sum(len(each.encoded_reply) for each in taken)
        return taken

    def _write(self, batch: list[NewAnswer]) -> None:
        try:
            rows = [self._sealed(each) for each in batch]
            with self._database.write() as connection:
                tables.store_answers(connection, rows)
        except (StorageError, Conflict, EncryptionKeyUnavailable) as error:
            self.dropped += len(batch)
            log.warning("%d answers are not stored for other servers: %s", len(batch), error.message)

    def _sealed(self, answer: NewAnswer) -> SharedAnswerRow:
        name = self._name(answer.tenant, answer.key)
        bound = f"{answer.project}/{name}"
        return SharedAnswerRow(
            tenant=answer.tenant,
            project=answer.project,
            key=name,
            erasures=answer.erasures,
            ttl_ms=round(answer.ttl_s * 1_000),
            sealed=self._encryption.encrypt(answer.encoded_reply, answer.tenant, tables.NAME, bound),
        )
