"""Keeps what was asked and what was said of a record: sealed on a thread of its own, behind everybody's back.

What the client sent is kept, before anything was masked in it; it is what the client may have forgotten and we must not
leave readable. `put` is an append. When the store is ill some wait, bounded; when the vault is locked nothing is kept.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from functools import partial

import msgspec
from msgspec import Struct

from sizewise.errors import Conflict, StoreFailed, VaultLocked
from sizewise.handler import Ask
from sizewise.messages import Chat, Reply
from sizewise.providers.wires.original_body import FIELD, Origin
from sizewise.storage.encryption import Vault
from sizewise.storage.keys.tables import Run
from sizewise.telemetry import payload_tables
from sizewise.telemetry.payload_tables import Row

log = logging.getLogger("sizewise.telemetry")

TABLE = "contents"
WAITING = 2_000
WAITING_BYTES = 64_000_000
TOGETHER = 200
LINGER_S = 0.05
PAUSE_S = 1.0
SETTLE_S = 5.0
OURS = frozenset({"shadow", "judge"})
"""Doors of requests that nobody but Sizewise itself made: copies of what is kept already."""


class Content(Struct, frozen=True, array_like=True):
    """JSON as texts: the body that was sent, and the choices that came (None: the request failed, or was cut). `cut`:
    one of them was too long, and is not JSON any more."""

    asked: str
    said: str | None
    cut: bool


class Kept:
    """One per keeper. `put` for one thread, the event loop's."""

    def __init__(self, vault: Vault, write: Run, row_bytes: int) -> None:
        """`row_bytes`: of what was asked, and of what was said."""
        self.lost = 0
        self.trouble = ""
        self._vault = vault
        self._write = write
        self._most = row_bytes
        self._queue: deque[tuple[int, Ask, Reply | None, int]] = deque()
        self._bytes = 0
        self._turn = threading.Lock()
        self._wake = threading.Event()
        self._hurry = threading.Event()
        self._ends = False
        self._busy = False  # some were taken from the queue, and are not kept yet
        self._thread: threading.Thread | None = None

    def put(self, record: int, ask: Ask, reply: Reply | None) -> None:
        """Never waits, never fails; what finds no room is lost, and counted."""
        if ask.door in OURS:
            return
        size = _size(ask, reply)
        with self._turn:
            if len(self._queue) >= WAITING or self._bytes + size > WAITING_BYTES:
                self.lost += 1
                return
            self._queue.append((record, ask, reply, size))
            self._bytes += size
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="sizewise-contents", daemon=True)
            self._thread.start()
        if not self._wake.is_set():
            self._wake.set()
        if len(self._queue) >= TOGETHER:
            self._hurry.set()

    def opened(self, sealed: bytes, tenant: str, record: int) -> Content:
        """Raises VaultLocked, StoreFailed."""
        return msgspec.msgpack.decode(self._vault.open(sealed, tenant, TABLE, str(record)), type=Content)

    def settle(self) -> None:
        """Waits until what was put before is kept, or lost; some seconds at most, where the store is ill."""
        until = time.monotonic() + SETTLE_S
        while (self._queue or self._busy) and time.monotonic() < until:
            time.sleep(0.005)

    def close(self) -> None:
        """Writes what waits, if it can be written now."""
        self._ends = True
        self._hurry.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._hurry.wait(LINGER_S)  # many in one transaction: of its own, each took its request half a millisecond
            self._wake.clear()
            self._hurry.clear()
            while batch := self._taken():
                self._save(self._sealed(batch))
                self._busy = False
            if self._ends:
                return

    def _taken(self) -> list[tuple[int, Ask, Reply | None]]:
        with self._turn:
            self._busy = bool(self._queue)
            taken = [self._queue.popleft() for _ in range(min(TOGETHER, len(self._queue)))]
            self._bytes -= sum(each[3] for each in taken)
        return [each[:3] for each in taken]

    def _sealed(self, batch: list[tuple[int, Ask, Reply | None]]) -> list[Row]:
        found = []
        for record, ask, reply in batch:
            plain = msgspec.msgpack.encode(content(ask, reply, self._most))
            caller = ask.caller
            try:
                sealed = self._vault.seal(plain, caller.tenant, TABLE, str(record))
            except (VaultLocked, StoreFailed) as error:
                self._lose(1, error.message)
                continue
            found.append(Row(record, caller.tenant, caller.key, time.time_ns() // 1_000_000, sealed))
        return found

    def _save(self, found: list[Row]) -> None:
        while found:
            try:
                self._write(partial(payload_tables.add, rows=found))
            except StoreFailed as error:
                if self._ends:
                    self._lose(len(found), error.message)
                    return
                self.trouble = f"cannot keep contents: {error.message}"
                time.sleep(PAUSE_S)
                continue
            except Conflict as error:
                self._lose(len(found), error.message)
                return
            self.trouble = ""
            return

    def _lose(self, count: int, why: str) -> None:
        self.lost += count
        if not self.trouble:
            log.warning("contents are not kept: %s", why)
        self.trouble = f"cannot keep contents: {why}"


def content(ask: Ask, reply: Reply | None, most: int) -> Content:
    fields = ask.what.fields
    body = msgspec.json.decode(fields[FIELD], type=Origin).body if FIELD in fields else fields
    asked, first = _text(msgspec.json.encode(body), most)
    if reply is None:
        return Content(asked, None, first)
    said, second = _text(msgspec.json.encode(reply.choices), most)
    return Content(asked, said, first or second)


def _text(data: bytes, most: int) -> tuple[str, bool]:
    return data[:most].decode("utf-8", "replace"), len(data) > most


def _size(ask: Ask, reply: Reply | None) -> int:
    """Bytes in memory, roughly."""
    what = ask.what
    asked = what.size() if isinstance(what, Chat) else sum(memoryview(each).nbytes for each in what.fields.values())
    return asked + (0 if reply is None else sum(len(each.text) + len(each.thought) for each in reply.choices)) + 1_000
