"""Seals anew what an old key sealed, a few rows at a time while the server serves; knows no table by name.

Nothing is lost on the way: a row holds the old or the new, and an old data key goes only when it has been retired for a
while and nothing names it any more. It begins again where a stopped server left it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from functools import partial

from msgspec import Struct

from sizewise.errors import SizewiseError, StoreFailed
from sizewise.storage.encryption import DIRECT, HEAD, RING, Vault
from sizewise.storage.keys.tables import DataKeys, Row, Run, SealedTable

log = logging.getLogger("sizewise.storage.encryption")

STEP = 50
"""Rows of one transaction."""
PAUSE_S = 0.005
GRACE_S = 600.0
"""A retired key outlives every sealing that was under way with it."""


class Standing(Struct, frozen=True):
    """One data key, or one key that sealed directly (`id` is then `key 1a2b3c4d`), and how many rows it sealed."""

    tenant: str
    id: str
    by: str
    created: int | None
    retired: int | None
    rows: int


class Resealing:
    """One per keeper, with a thread of its own while there is something to do."""

    def __init__(
        self,
        vault: Vault,
        keys: DataKeys,
        tables: Sequence[SealedTable],
        read: Run,
        write: Run,
        grace_s: float = GRACE_S,
    ) -> None:
        self.busy = False
        """Whether rows may wait to be sealed anew."""
        self._vault = vault
        self._keys = keys
        self._tables = tables
        self._read = read
        self._write = write
        self._grace_s = grace_s
        self._wanted = threading.Event()
        self._ends = False
        self._thread: threading.Thread | None = None

    def resume(self) -> None:
        """At start: goes on with what a server that stopped has left, as far as that shows without reading all."""
        firsts = [self._read(partial(table.rows, after=0, limit=1)) for table in self._tables]
        direct = any(rows and rows[0].sealed[:1] == DIRECT for rows in firsts)
        if direct or self._retired():
            self.begin()

    def begin(self) -> None:
        """Once more, from the first row."""
        self.busy = True
        self._wanted.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="sizewise-resealing", daemon=True)
            self._thread.start()

    def close(self) -> None:
        self._ends = True
        self._wanted.set()
        if self._thread is not None:
            self._thread.join()

    def standings(self) -> list[Standing]:
        """Every data key, oldest first, and what was sealed before there were any. Reads all that is sealed."""
        rows: dict[tuple[str, str], int] = {}
        for table in self._tables:
            for (tenant, head), count in self._read(partial(table.heads, size=HEAD)).items():
                id = f"{RING}{head[1:5].hex()}" if head[:1] == DIRECT else head[1:].hex()
                rows[tenant, id] = rows.get((tenant, id), 0) + count
        found = [
            Standing(key.tenant, key.id, key.by, key.created, key.retired, rows.pop((key.tenant, key.id), 0))
            for key in self._keys.every()
        ]
        return [*found, *(Standing(tenant, id, "", None, None, count) for (tenant, id), count in sorted(rows.items()))]

    def _run(self) -> None:
        patience: float | None = None
        while True:
            self._wanted.wait(patience)
            self._wanted.clear()
            if self._ends:
                return
            patience = self._grace_s
            try:
                self._all()
                patience = self._grace_s if self._retired() else None
            except SizewiseError as error:
                log.warning("what old keys sealed is not sealed anew yet: %s", error.message)

    def _retired(self) -> set[tuple[str, str]]:
        return {(key.tenant, key.id) for key in self._keys.every() if key.retired is not None}

    def _all(self) -> None:
        retired = self._retired()
        for table in self._tables:
            after = 0
            while not self._ends and (rows := self._read(partial(table.rows, after=after, limit=STEP))):
                after = rows[-1].number
                old = [row for row in rows if row.sealed[:1] == DIRECT or (row.tenant, _id(row)) in retired]
                if old:
                    self._some(table, old)
        if not self._ends:
            self._forget()
            self.busy = False

    def _some(self, table: SealedTable, rows: list[Row]) -> None:
        anew: list[tuple[Row, bytes]] = []
        for row in rows:
            try:
                plain = self._vault.open(row.sealed, row.tenant, table.name, row.place)
            except StoreFailed as error:  # one that was damaged long ago must not keep the others
                log.warning("a row cannot be sealed anew: %s", error.message)
                continue
            anew.append((row, self._vault.seal(plain, row.tenant, table.name, row.place)))
        self._write(partial(table.put, anew=anew))
        time.sleep(PAUSE_S)  # the server's turn

    def _forget(self) -> None:
        """Data keys that nothing names, once every sealing that was under way when they were retired is over."""
        before = time.time_ns() // 1_000_000 - round(self._grace_s * 1_000)
        old = [key for key in self._keys.every() if key.retired is not None and key.retired <= before]
        if old:
            empty = {(each.tenant, each.id) for each in self.standings() if not each.rows}
            for key in (key for key in old if (key.tenant, key.id) in empty):
                self._keys.remove(key)


def _id(row: Row) -> str:
    return row.sealed[1:HEAD].hex()
