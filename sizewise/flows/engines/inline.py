"""In-process execution engine and in-memory steps; a run ends with its process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from sizewise.errors import BadRequest
from sizewise.flows.engine import Runner


class InlineEngine:
    """Each run is a task of the event loop."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._tasks: dict[tuple[str, int], asyncio.Task[None]] = {}

    async def open(self) -> None:
        pass

    async def start(self, run: str, attempt: int) -> None:
        if (run, attempt) in self._tasks:
            return
        task = asyncio.ensure_future(self._runner(run))
        self._tasks[run, attempt] = task
        task.add_done_callback(lambda _: self._tasks.pop((run, attempt), None))

    async def ensure(self, runs: Sequence[tuple[str, int]]) -> int:
        left = [each for each in runs if each not in self._tasks]
        for run, attempt in left:
            await self.start(run, attempt)
        return len(left)

    async def forget(self, runs: Sequence[tuple[str, int]]) -> None:
        pass

    async def stop(self, run: str, attempt: int) -> None:
        task = self._tasks.get((run, attempt))
        if task is not None:
            task.cancel()

    async def close(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class InMemorySteps:
    """Steps of a run that is never resumed: a flow as a model, and `sizewise flow run` without a server."""

    def __init__(self, decide: Callable[[str, bytes], Awaitable[bytes]] | None = None) -> None:
        """`decide` answers a waiting step, by its key and question; None: waiting steps raise BadRequest."""
        self._decide = decide
        self.results: dict[str, bytes] = {}
        self.annotations: dict[str, tuple[str, int]] = {}

    async def step(self, key: str, work: Callable[[], Awaitable[bytes]]) -> bytes:
        if key not in self.results:
            self.results[key] = await work()
        return self.results[key]

    def annotate(self, key: str, *, model: str = "", cost: int = 0) -> None:
        before = self.annotations.get(key, ("", 0))
        self.annotations[key] = (model or before[0], before[1] + cost)

    async def sleep(self, key: str, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def wait(self, key: str, question: bytes = b"", timeout_s: float | None = None) -> bytes | None:
        if self._decide is None:
            hint = "run it durably: sizewise flow run NAME --durable"
            raise BadRequest(f"the step {key!r} waits for approval, which only a durable run can do", hint)
        try:
            return await asyncio.wait_for(self._decide(key, question), timeout_s)
        except TimeoutError:
            return None
