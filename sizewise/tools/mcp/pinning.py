"""How tools of MCP servers were when first seen, kept for good: a change is noticed after a restart too."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Mapping
from typing import Protocol, TypeVar

from sizewise.auth.permissions import FIRST
from sizewise.storage.database import Work
from sizewise.tools import tables

T = TypeVar("T")


class Reading(Protocol):
    def __call__(self, work: Work[T]) -> T: ...


class Writing(Protocol):
    def __call__(self, work: Work[T]) -> Awaitable[T]: ...


class Unkept:
    """In memory, for a house without a keeper's pins."""

    def __init__(self) -> None:
        self._marks: dict[str, dict[str, str]] = {}

    async def known(self, server: str) -> Mapping[str, str]:
        return self._marks.get(server, {})

    async def pin(self, server: str, marks: Mapping[str, str]) -> None:
        self._marks[server] = {**marks, **self._marks.get(server, {})}


class Pins:
    """Of this server's settings, and so of its first organisation."""

    def __init__(self, read: Reading, write: Writing) -> None:
        self._read = read
        self._write = write

    async def known(self, server: str) -> Mapping[str, str]:
        """Name -> mark. Raises StoreFailed."""
        return await asyncio.to_thread(self._read, lambda c: tables.known(c, FIRST, server))

    async def pin(self, server: str, marks: Mapping[str, str]) -> None:
        """Those that are not there yet. Raises StoreFailed."""
        await self._write(lambda c: tables.add(c, FIRST, server, marks, time.time_ns() // 1_000_000))
