"""Edge store: takes the reports of edges, each record once; decides no access."""

from __future__ import annotations

import time
from collections.abc import Iterator

from sizewise.principal import Principal
from sizewise.storage.database import AsyncTransactionRunner
from sizewise.telemetry.edges import tables
from sizewise.telemetry.edges.report import EdgeReport


class EdgeStore:
    """`ids`: of records, in the order of their arrival here."""

    def __init__(self, write: AsyncTransactionRunner, ids: Iterator[int]) -> None:
        self._write = write
        self._ids = ids

    async def store(self, sender: Principal, report: EdgeReport) -> int:
        """The number of new records; all are durable then. Raises StorageError."""
        now = time.time_ns() // 1_000_000
        return await self._write(lambda c: tables.store_report(c, sender, report, self._ids, now))
