"""Worker registry: heartbeats of the servers that share one store; moves no run."""

from __future__ import annotations

from sizewise.flows.engines import tables
from sizewise.storage.database import TransactionRunner


class WorkerRegistry:
    """Call it on a thread: each method is one blocking transaction. All raise StorageError."""

    def __init__(self, read: TransactionRunner, write: TransactionRunner) -> None:
        self._read = read
        self._write = write

    def heartbeat(self, worker: str) -> None:
        self._write(lambda c: tables.upsert_heartbeat(c, worker))

    def claim_expired(self, timeout_ms: int) -> list[str]:
        """Workers without a heartbeat for `timeout_ms`; no other server claims them for as long again."""
        return self._write(lambda c: tables.claim_expired_workers(c, timeout_ms))

    def list_ids(self) -> set[str]:
        """Workers that were not removed."""
        return self._read(tables.list_workers)

    def remove(self, worker: str) -> None:
        self._write(lambda c: tables.delete_worker(c, worker))
