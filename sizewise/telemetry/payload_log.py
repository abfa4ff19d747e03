"""Payload log: stores prompts and replies encrypted, written by a background thread.

It stores what the client sent, before masking, which is why it is encrypted. `enqueue` is an append. While the database
is unavailable a bounded number wait; without an encryption key nothing is stored.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from functools import partial

import msgspec
from msgspec import Struct

from sizewise.errors import Conflict, EncryptionKeyUnavailable, StorageError
from sizewise.handler import Request
from sizewise.messages import ChatRequest, Reply
from sizewise.providers.wires.original_body import ORIGINAL_FIELD, OriginalBody
from sizewise.storage.database import TransactionRunner
from sizewise.storage.encryption import EnvelopeEncryption
from sizewise.telemetry import payload_tables
from sizewise.telemetry.payload_tables import PayloadRow

log = logging.getLogger("sizewise.telemetry")

TABLE = "contents"
MAX_QUEUED = 2_000
MAX_QUEUED_BYTES = 64_000_000
MAX_BATCH = 200
LINGER_S = 0.05
RETRY_PAUSE_S = 1.0
FLUSH_TIMEOUT_S = 5.0
INTERNAL_ENDPOINTS = frozenset({"shadow", "judge"})
"""Endpoints of requests made by Sizewise itself, whose contents are copies of stored ones."""


class LoggedPayload(Struct, frozen=True, array_like=True):
    """JSON texts: the request body, and the choices of the reply (None: the request failed or was cancelled).
    `truncated`: a text was too long and is no longer valid JSON.
    """

    request: str
    response: str | None
    truncated: bool


class PayloadLog:
    """One per process. Call `enqueue` from one thread, the event loop's."""

    def __init__(self, encryption: EnvelopeEncryption, write: TransactionRunner, max_payload_bytes: int) -> None:
        """`max_payload_bytes`: limit for the request, and for the reply."""
        self.dropped = 0
        self.problem = ""
        self._encryption = encryption
        self._write = write
        self._max_payload_bytes = max_payload_bytes
        self._queue: deque[tuple[int, Request, Reply | None, int]] = deque()
        self._bytes = 0
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._batch_full = threading.Event()
        self._closing = False
        self._accepted = 0
        self._done = 0  # stored or dropped
        self._thread: threading.Thread | None = None

    def enqueue(self, record_id: int, request: Request, reply: Reply | None) -> None:
        """Never waits, never fails. If the queue is full, the payload is dropped and counted."""
        if request.endpoint in INTERNAL_ENDPOINTS:
            return
        size = _size(request, reply)
        with self._lock:
            if len(self._queue) >= MAX_QUEUED or self._bytes + size > MAX_QUEUED_BYTES:
                self.dropped += 1
                return
            self._queue.append((record_id, request, reply, size))
            self._accepted += 1
            self._bytes += size
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="sizewise-contents", daemon=True)
            self._thread.start()
        if not self._wake.is_set():
            self._wake.set()
        if len(self._queue) >= MAX_BATCH:
            self._batch_full.set()

    def decrypt(self, ciphertext: bytes, tenant: str, record_id: int) -> LoggedPayload:
        """Raises EncryptionKeyUnavailable, StorageError."""
        return msgspec.msgpack.decode(
            self._encryption.decrypt(ciphertext, tenant, TABLE, str(record_id)),
            type=LoggedPayload,
        )

    def flush(self) -> None:
        """Waits until what was accepted so far is stored or dropped; at most FLUSH_TIMEOUT_S."""
        accepted, until = self._accepted, time.monotonic() + FLUSH_TIMEOUT_S
        if self._done < accepted:
            self._batch_full.set()
        while self._done < accepted and time.monotonic() < until:
            time.sleep(0.005)

    def close(self) -> None:
        """Stores the queued payloads if the database is available."""
        self._closing = True
        self._batch_full.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._batch_full.wait(
                LINGER_S,
            )  # batches them: one transaction each cost its request half a millisecond
            self._wake.clear()
            self._batch_full.clear()
            while batch := self._take_batch():
                self._save(self._encrypt_batch(batch))
                self._done += len(batch)
            if self._closing:
                return

    def _take_batch(self) -> list[tuple[int, Request, Reply | None]]:
        with self._lock:
            taken = [self._queue.popleft() for _ in range(min(MAX_BATCH, len(self._queue)))]
            self._bytes -= sum(each[3] for each in taken)
        return [each[:3] for each in taken]

    def _encrypt_batch(self, batch: list[tuple[int, Request, Reply | None]]) -> list[PayloadRow]:
        found = []
        for record, request, reply in batch:
            plain = msgspec.msgpack.encode(payload_of(request, reply, self._max_payload_bytes))
            principal = request.principal
            try:
                sealed = self._encryption.encrypt(plain, principal.tenant, TABLE, str(record))
            except (EncryptionKeyUnavailable, StorageError) as error:
                self._drop(1, error.message)
                continue
            found.append(
                PayloadRow(
                    record=record,
                    tenant=principal.tenant,
                    key=principal.key_id,
                    created=time.time_ns() // 1_000_000,
                    sealed=sealed,
                )
            )
        return found

    def _save(self, found: list[PayloadRow]) -> None:
        while found:
            try:
                self._write(partial(payload_tables.insert_payloads, rows=found))
            except StorageError as error:
                if self._closing:
                    self._drop(len(found), error.message)
                    return
                self.problem = f"cannot store contents: {error.message}"
                time.sleep(RETRY_PAUSE_S)
                continue
            except Conflict as error:
                self._drop(len(found), error.message)
                return
            self.problem = ""
            return

    def _drop(self, count: int, reason: str) -> None:
        self.dropped += count
        if not self.problem:
            log.warning("contents are not stored: %s", reason)
        self.problem = f"cannot store contents: {reason}"


def payload_of(request: Request, reply: Reply | None, max_bytes: int) -> LoggedPayload:
    fields = request.payload.fields
    body = msgspec.json.decode(fields[ORIGINAL_FIELD], type=OriginalBody).body if ORIGINAL_FIELD in fields else fields
    asked, first = _text(msgspec.json.encode(body), max_bytes)
    if reply is None:
        return LoggedPayload(asked, None, first)
    said, second = _text(msgspec.json.encode(reply.choices), max_bytes)
    return LoggedPayload(asked, said, first or second)


def _text(data: bytes, max_bytes: int) -> tuple[str, bool]:
    return data[:max_bytes].decode("utf-8", "replace"), len(data) > max_bytes


def _size(request: Request, reply: Reply | None) -> int:
    """Approximate bytes in memory."""
    what = request.payload
    asked = (
        what.prompt_bytes()
        if isinstance(what, ChatRequest)
        else sum(memoryview(each).nbytes for each in what.fields.values())
    )
    return asked + (0 if reply is None else sum(len(each.text) + len(each.reasoning) for each in reply.choices)) + 1_000
