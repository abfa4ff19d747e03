"""Stores the fingerprints of MCP tools as first seen, so that a change is also noticed after a restart."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from sizewise.auth.permissions import DEFAULT_TENANT
from sizewise.storage.database import AsyncTransactionRunner, TransactionRunner
from sizewise.tools import tables


class MemoryPinStore:
    """Pins in memory, for an application without a database."""

    def __init__(self) -> None:
        self._fingerprints: dict[str, dict[str, str]] = {}

    async def pinned(self, server: str) -> Mapping[str, str]:
        return self._fingerprints.get(server, {})

    async def pin(self, server: str, fingerprints: Mapping[str, str]) -> None:
        self._fingerprints[server] = {**fingerprints, **self._fingerprints.get(server, {})}


class DatabasePinStore:
    """Pins in the database. They belong to the settings, so they are stored under the default organization."""

    def __init__(self, read: TransactionRunner, write: AsyncTransactionRunner) -> None:
        self._read = read
        self._write = write

    async def pinned(self, server: str) -> Mapping[str, str]:
        """Name -> fingerprint. Raises StorageError."""
        return await asyncio.to_thread(self._read, lambda c: tables.pinned(c, DEFAULT_TENANT, server))

    async def pin(self, server: str, fingerprints: Mapping[str, str]) -> None:
        """Stores the names that are not pinned yet. Raises StorageError."""
        await self._write(lambda c: tables.add(c, DEFAULT_TENANT, server, fingerprints, time.time_ns() // 1_000_000))
