"""Engine that opens at the first run, so a server without flows starts no engine."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from sizewise.flows.engine import Engine


class OnDemandEngine:
    """Call `open` before `start` and `stop`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._opening = asyncio.Lock()
        self.is_open = False
        self.is_closing = False

    async def open(self) -> None:
        """Opens the engine; a second call does nothing. Raises StorageError, ConfigError."""
        async with self._opening:
            if not self.is_open:
                await self._engine.open()
                self.is_open = True

    async def start(self, run: str, attempt: int) -> None:
        await self._engine.start(run, attempt)

    async def ensure(self, runs: Sequence[tuple[str, int]]) -> int:
        return await self._engine.ensure(runs)

    async def forget(self, runs: Sequence[tuple[str, int]]) -> None:
        await self._engine.forget(runs)

    async def stop(self, run: str, attempt: int) -> None:
        await self._engine.stop(run, attempt)

    async def close(self) -> None:
        self.is_closing = True
        if self.is_open:
            await self._engine.close()
