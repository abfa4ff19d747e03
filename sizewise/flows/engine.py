"""What runs a flow's steps durably, in two words: Steps and Engine; knows no flow, no node and no database.

A run's runner is called anew after a crash, from its beginning: what was done is not done again, its result comes back
at once. So a runner decides from inputs and results alone; clock, chance and network belong into steps.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol


class Steps(Protocol):
    """The steps of one run. A key names one of them (`find`, `each[3].answer`); it is unique in the run and the same
    each time. Steps may begin in any order and side by side."""

    async def step(self, key: str, work: Callable[[], Awaitable[bytes]]) -> bytes:
        """What `work` gave, now or before the crash. At least once: a process that dies within `work` does it again.

        What `work` raises is not remembered, so that a resumed run tries it again. Raises Fenced where another worker
        has taken the run over; then nothing more is written, and the runner ends.
        """
        ...

    def note(self, key: str, *, model: str = "", cost: int = 0) -> None:
        """What the step took, to be kept with it: called within its `work`. `cost` in pico-dollars, added up."""
        ...

    async def sleep(self, key: str, seconds: float) -> None:
        """Until then, counted from the first time; a restart does not lengthen it."""
        ...

    async def wait(self, key: str, timeout_s: float | None = None) -> bytes | None:
        """What was told to `key` of this run (Engine.tell), however long that takes; None when the time is over."""
        ...


Runner = Callable[[str, Steps], Awaitable[None]]
"""All of a run, by its id. What it raises has no reader but a log: the runner itself writes what came of the run."""


class Engine(Protocol):
    """Outlives Houses. Every method raises StoreFailed where its store is ill; one run runs in one place at a time."""

    def aim(self, runner: Runner) -> None:
        """Runs go by this one from now on; comes before `open`."""
        ...

    async def open(self) -> None:
        """Begins to work: goes on with what this worker left when it died, and takes over what dead ones left."""
        ...

    async def begin(self, run: str) -> None:
        """Durable when this returns; a second time does nothing."""
        ...

    async def tell(self, run: str, key: str, told: bytes) -> None:
        """Wakes the step `key` that waits, now or later; the first word counts."""
        ...

    async def cancel(self, run: str) -> None:
        """Its runner is cancelled, in whatever worker it runs. Nothing where it has ended."""
        ...

    async def resume(self, run: str) -> None:
        """Runs it anew after it failed or was cancelled; what was done stays done."""
        ...

    async def close(self) -> None:
        """Stops here; what runs goes on at the next start."""
        ...
