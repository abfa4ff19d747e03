"""Re-encryption job for key rotation: rewrites rows that a retired key encrypted, a few at a time.

No data is lost on the way: each row holds the old or the new ciphertext, and an old data key is deleted only when it
has been retired for a while and no row names it. The job resumes after a restart of the server.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from functools import partial

from msgspec import Struct

from sizewise.errors import SizewiseError, StorageError
from sizewise.storage.database import TransactionRunner
from sizewise.storage.encryption import DIRECT_VERSION, HEADER_BYTES, LOCAL_PREFIX, EnvelopeEncryption
from sizewise.storage.keys.tables import DataKeyStore, EncryptedRow, EncryptedTable

log = logging.getLogger("sizewise.storage.encryption")

BATCH_ROWS = 50
"""Rows per transaction."""
PAUSE_S = 0.005
GRACE_S = 600.0
"""Seconds to keep a retired key, so that encryptions in progress can finish, and other processes can learn of it
(`encryption.KEY_CHECK_S`).
"""


class DataKeyStatus(Struct, frozen=True):
    """A data key, or a local key that encrypted rows directly (`id` is then `key 1a2b3c4d`), and its number of rows."""

    tenant: str
    id: str
    wrapped_by: str
    created_at: int | None
    retired_at: int | None
    row_count: int


class ReencryptionJob:
    """One per process, with a thread while there is work."""

    def __init__(
        self,
        *,
        encryption: EnvelopeEncryption,
        keys: DataKeyStore,
        tables: Sequence[EncryptedTable],
        read: TransactionRunner,
        write: TransactionRunner,
        grace_s: float = GRACE_S,
    ) -> None:
        self.in_progress = False
        """Whether rows may still need to be re-encrypted."""
        self._encryption = encryption
        self._keys = keys
        self._tables = tables
        self._read = read
        self._write = write
        self._grace_s = grace_s
        self._wake = threading.Event()
        self._closing = False
        self._thread: threading.Thread | None = None

    def resume(self) -> None:
        """At startup: resumes unfinished work, as far as it can be seen without reading all rows."""
        firsts = [self._read(partial(table.rows, after=0, limit=1)) for table in self._tables]
        direct = any(rows and rows[0].ciphertext[:1] == DIRECT_VERSION for rows in firsts)
        if direct or self._retired():
            self.start()

    def start(self) -> None:
        """Starts over from the first row."""
        self.in_progress = True
        self._wake.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="sizewise-resealing", daemon=True)
            self._thread.start()

    def close(self) -> None:
        self._closing = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()

    def key_statuses(self) -> list[DataKeyStatus]:
        """Every data key, oldest first, then local keys that encrypted rows directly. Reads all encrypted rows."""
        rows: dict[tuple[str, str], int] = {}
        for table in self._tables:
            for (tenant, head), count in self._read(partial(table.count_by_header, size=HEADER_BYTES)).items():
                id = f"{LOCAL_PREFIX}{head[1:5].hex()}" if head[:1] == DIRECT_VERSION else head[1:].hex()
                rows[tenant, id] = rows.get((tenant, id), 0) + count
        found = [
            DataKeyStatus(
                tenant=key.tenant,
                id=key.id,
                wrapped_by=key.by,
                created_at=key.created,
                retired_at=key.retired,
                row_count=rows.pop((key.tenant, key.id), 0),
            )
            for key in self._keys.all_keys()
        ]
        return [
            *found,
            *(
                DataKeyStatus(tenant=tenant, id=id, wrapped_by="", created_at=None, retired_at=None, row_count=count)
                for (tenant, id), count in sorted(rows.items())
            ),
        ]

    def _run(self) -> None:
        patience: float | None = None
        while True:
            self._wake.wait(patience)
            self._wake.clear()
            if self._closing:
                return
            patience = self._grace_s
            try:
                self._reencrypt_all()
                patience = self._grace_s if self._retired() else None
            except SizewiseError as error:
                log.warning("re-encryption failed, it is retried: %s", error.message)

    def _retired(self) -> set[tuple[str, str]]:
        return {(key.tenant, key.id) for key in self._keys.all_keys() if key.retired is not None}

    def _reencrypt_all(self) -> None:
        retired = self._retired()
        for table in self._tables:
            after = 0
            while not self._closing and (rows := self._read(partial(table.rows, after=after, limit=BATCH_ROWS))):
                after = rows[-1].number
                old = [row for row in rows if row.ciphertext[:1] == DIRECT_VERSION or (row.tenant, _id(row)) in retired]
                if old:
                    self._reencrypt_rows(table, old)
        if not self._closing:
            self._delete_unused_keys()
            self.in_progress = False

    def _reencrypt_rows(self, table: EncryptedTable, rows: list[EncryptedRow]) -> None:
        anew: list[tuple[EncryptedRow, bytes]] = []
        for row in rows:
            try:
                plain = self._encryption.decrypt(row.ciphertext, row.tenant, table.name, row.row_id)
            except StorageError as error:  # a damaged row must not stop the others
                log.warning("a row cannot be re-encrypted: %s", error.message)
                continue
            anew.append((row, self._encryption.encrypt(plain, row.tenant, table.name, row.row_id)))
        self._write(partial(table.replace_rows, replacements=anew))
        time.sleep(PAUSE_S)  # lets the server write

    def _delete_unused_keys(self) -> None:
        """Deletes unused data keys, once they have been retired for the grace period."""
        before = time.time_ns() // 1_000_000 - round(self._grace_s * 1_000)
        old = [key for key in self._keys.all_keys() if key.retired is not None and key.retired <= before]
        if old:
            empty = {(each.tenant, each.id) for each in self.key_statuses() if not each.row_count}
            for key in (key for key in old if (key.tenant, key.id) in empty):
                self._keys.remove(key)


def _id(row: EncryptedRow) -> str:
    return row.ciphertext[1:HEADER_BYTES].hex()
