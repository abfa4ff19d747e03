"""Protocols of durable execution: `Steps` stores step results, `Engine` starts and resumes runs.

A run's runner is called anew after a crash, from its beginning: what was done is not done again, its result comes back
at once. So a runner decides from inputs and results alone; clock, chance and network belong into steps. The two are
apart so that the engine holds ids and nothing that anybody said.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol


class Steps(Protocol):
    """The steps of one run. A key names one of them (`find`, `each[3].answer`); it is unique in the run, the same each
    time, and begins with no colon. Steps may begin in any order and side by side.

    Where another worker took the run over, or it was cancelled, the runner's task is cancelled at its next step and
    nothing more is written.
    """

    async def step(self, key: str, work: Callable[[], Awaitable[bytes]]) -> bytes:
        """What `work` gave, now or before the crash. At least once: a process that dies within `work` does it again.

        What `work` raises is written down too, and tried again when the run is resumed.
        """
        ...

    def annotate(self, key: str, *, model: str = "", cost: int = 0) -> None:
        """What the step takes, to be kept with it: called within its `work`. `cost` in pico-dollars, added up."""
        ...

    async def sleep(self, key: str, seconds: float) -> None:
        """Until then, counted from the first time: a restart does not lengthen it."""
        ...

    async def wait(self, key: str, question: bytes = b"", timeout_s: float | None = None) -> bytes | None:
        """The decision on `question` (RunApproval.decide), however long that takes; None after `timeout_s`."""
        ...


Runner = Callable[[str], Awaitable[None]]
"""All of a run, by its id. It writes itself what came of the run, and raises nothing but CancelledError."""


class Engine(Protocol):
    """Calls the runner that it is built with, on the event loop that opened it; one run in one place at a time.
    Outlives the application.
    """

    async def open(self) -> None:
        """Begins to work: goes on with what this worker left when it died, and takes over what dead ones left.
        Raises StorageError.
        """
        ...

    async def start(self, run: str, attempt: int) -> None:
        """Durable when this returns; a second time does nothing. Raises StorageError."""
        ...

    async def stop(self, run: str, attempt: int) -> None:
        """Its runner is cancelled if it runs here, and is not called again. Raises StorageError."""
        ...

    async def close(self) -> None:
        """Cancels what runs here; a durable engine goes on with it at the next start."""
        ...
