"""Protocols of durable execution: `Steps` stores step results, `Engine` starts and resumes runs.

After a crash the runner executes again from the beginning, and finished steps return their stored results at once. So a
runner depends on inputs and step results only; clock, randomness and network belong in steps. The protocols are
separate so that an engine stores run ids and no content.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol


class Steps(Protocol):
    """The steps of one run. Steps may run concurrently and in any order.

    A key names a step (`find`, `each[3].answer`): unique in the run, the same in each execution, without a leading
    colon. If another worker took over the run, or it was cancelled, the next step cancels the runner's task and writes
    nothing.
    """

    async def step(self, key: str, work: Callable[[], Awaitable[bytes]]) -> bytes:
        """The result of `work`, now or stored. At least once: a crash during `work` runs it again.

        An error of `work` is stored too; resuming the run tries the step again.
        """
        ...

    def annotate(self, key: str, *, model: str = "", cost: int = 0) -> None:
        """Called within `work`: stores model and cost with the step. `cost` in pico-dollars; several calls add up."""
        ...

    async def sleep(self, key: str, seconds: float) -> None:
        """Sleeps `seconds` from the first call; a restart does not extend it."""
        ...

    async def wait(self, key: str, question: bytes = b"", timeout_s: float | None = None) -> bytes | None:
        """Waits for the decision on `question` (RunApproval.decide); None after `timeout_s`."""
        ...


Runner = Callable[[str], Awaitable[None]]
"""Executes the run with this id and stores its result; raises nothing but CancelledError."""


class Engine(Protocol):
    """Calls its runner on the event loop that opened it, each run in one place at a time. Outlives the application."""

    async def open(self) -> None:
        """Starts working: resumes the runs that this worker and dead workers left. Raises StorageError."""
        ...

    async def start(self, run: str, attempt: int) -> None:
        """Durable when this returns; a second call does nothing. Raises StorageError."""
        ...

    async def ensure(self, runs: Sequence[tuple[str, int]]) -> int:
        """Starts those of `runs` (id, attempt) that it does not hold, or holds as ended, and returns their number.

        For runs that their store says are active: after a restore the engine's own database may be missing, older or
        newer. Only for an engine that no other server shares. Raises StorageError.
        """
        ...

    async def forget(self, runs: Sequence[tuple[str, int]]) -> None:
        """Deletes all that it stores of runs that have ended, by id and last attempt. Raises StorageError."""
        ...

    async def stop(self, run: str, attempt: int) -> None:
        """Cancels the runner if it runs here, and does not call it again. Raises StorageError."""
        ...

    async def close(self) -> None:
        """Cancels the runs of this process; a durable engine resumes them at the next start."""
        ...
