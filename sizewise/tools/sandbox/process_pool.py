"""Runs code that came as data, Python or JavaScript, in processes of ours that have nothing; knows no flow, no model.

A process serves one organisation and keeps nothing between two runs. Code that loops for ever, eats memory or brings
its interpreter down is killed with its process, and that is said. How little such a process may do: confine.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress

import msgspec
from msgspec import Raw, Struct

from sizewise.errors import Busy, CodeFailed, Forbidden, Outside
from sizewise.process import Child, start
from sizewise.settings.tools import Sandbox as Wanted
from sizewise.tools.sandbox.protocol import (
    CODE,
    HEAD,
    INPUTS,
    MOST,
    OUTPUT,
    Bounds,
    Given,
    Language,
    Order,
    Outcome,
    Ready,
    framed,
)

GRACE_S = 1.0
"""An interpreter's own clock goes before ours."""
START_S = 20.0
IDLE_S = 30.0
RUNS = 500
"""Runs after which a process ends."""
WAITING = 1_000

_encode = msgspec.json.Encoder().encode


class Ran(Struct, frozen=True):
    """What code gave, as JSON, and what it printed."""

    value: Raw
    printed: str = ""

    @property
    def data(self) -> object:
        return msgspec.json.decode(self.value)


class _Worker:
    """One process, and the organisation and language that it is for."""

    def __init__(self, child: Child, whose: tuple[str, Language]) -> None:
        self.child = child
        self.whose = whose
        self.runs = 0
        self.since = 0.0

    async def hear(self) -> bytes:
        """Raises Outside where it says too much, IncompleteReadError where it has ended."""
        (length,) = HEAD.unpack(await self.child.reader.readexactly(HEAD.size))
        if length > MOST:
            raise Outside("a sandbox said more than it may")
        return await self.child.reader.readexactly(length)

    async def end(self) -> None:
        self.child.kill()
        await self.child.ended()


class Sandbox:
    """Outlives Houses. Bounded: so many processes, so many runs that wait."""

    def __init__(self, wanted: Wanted | None = None, wait_s: float = 30.0) -> None:
        """`wait_s`: how long a run waits for its turn."""
        self._wanted = wanted or Wanted()
        self._wait_s = wait_s
        self._idle: list[_Worker] = []
        self._room = asyncio.Semaphore(self._wanted.max_concurrent)
        self._waiting = 0
        self._busy = 0
        self._tending: asyncio.Task[None] | None = None
        self._closed = False

    async def run(
        self, language: Language, code: str, inputs: Mapping[str, object], tenant: str, *, time_s: float | None = None
    ) -> Ran:
        """What `code` makes of `inputs`, which it sees by their names: its `output`, or else its last value. `time_s`
        can only shorten.

        Raises CodeFailed (with the code's own words), Forbidden (no sandbox here), Busy (too many at once).
        """
        wanted = self._wanted
        if not wanted.enabled:
            raise Forbidden("code is not run here", "an administrator turns it on: [sandbox] in sizewise.toml")
        order = _order(code, inputs)
        if self._waiting >= WAITING:
            raise Busy("too much code waits to be run", "run less of it at once", retry_after=1)
        self._waiting += 1
        try:
            async with asyncio.timeout(self._wait_s):
                await self._room.acquire()
        except TimeoutError as why:
            raise Busy("code has waited too long to be run", "run less of it at once", retry_after=5) from why
        finally:
            self._waiting -= 1
        self._busy += 1
        try:
            limit = min(time_s or wanted.timeout_s, wanted.timeout_s)
            return _told(await self._ran((tenant, language), order, limit), limit, wanted.max_memory_bytes)
        finally:
            self._busy -= 1
            self._room.release()

    def processes(self) -> list[tuple[str, int]]:
        """Those that wait for work: for which organisation, and their ids."""
        return [(worker.whose[0], worker.child.pid) for worker in self._idle]

    async def _ran(self, whose: tuple[str, Language], order: bytes, limit: float) -> Outcome:
        worker = await self._worker(whose)
        kept = False
        try:
            async with asyncio.timeout(limit + GRACE_S):
                worker.child.writer.write(order)
                await worker.child.writer.drain()
                outcome = msgspec.json.decode(await worker.hear(), type=Outcome)
            kept = outcome.ended not in ("time", "memory")
        except TimeoutError:
            return Outcome("time")
        except (asyncio.IncompleteReadError, OSError):
            return Outcome("memory", words="its process has ended")
        except (msgspec.DecodeError, Outside):
            return Outcome("failed", words="its process said what it may not")
        finally:
            if kept:
                self._keep(worker)
            else:
                await asyncio.shield(worker.end())
        return outcome

    async def _worker(self, whose: tuple[str, Language]) -> _Worker:
        for worker in reversed(self._idle):
            if worker.whose == whose:
                self._idle.remove(worker)
                return worker
        while self._idle and len(self._idle) + self._busy > self._wanted.max_concurrent:  # room for one of our own
            await self._idle.pop(0).end()
        child = await start("sizewise.tools.sandbox.worker", bare=True)
        worker = _Worker(child, whose)
        try:
            bounds = Bounds(self._wanted.timeout_s, self._wanted.max_memory_bytes, self._wanted.require_isolation)
            async with asyncio.timeout(START_S):
                child.writer.write(framed(Given(whose[1], bounds)))
                await child.writer.drain()
                ready = msgspec.json.decode(await worker.hear(), type=Ready)
            trouble = ready.trouble
        except (TimeoutError, asyncio.IncompleteReadError, OSError, msgspec.DecodeError):
            trouble = "its process does not start"
        except BaseException:
            await asyncio.shield(worker.end())
            raise
        if trouble:
            await worker.end()
            raise Forbidden(
                f"{whose[1]} cannot be run in a sandbox here: {trouble}",
                "install the extra: pip install 'sizewise[flows]'; the sandbox needs Linux 5.13 or `confined = false`",
            )
        return worker

    def _keep(self, worker: _Worker) -> None:
        worker.runs += 1
        worker.since = asyncio.get_running_loop().time()
        if self._closed or worker.runs >= RUNS:
            worker.child.kill()
            task = asyncio.ensure_future(worker.child.ended())
            task.add_done_callback(lambda done: done.exception())
            return
        self._idle.append(worker)
        if self._tending is None or self._tending.done():
            self._tending = asyncio.ensure_future(self._tend())

    async def _tend(self) -> None:
        """Ends what nobody has used for a while, and then itself."""
        while self._idle:
            await asyncio.sleep(IDLE_S / 3)
            now = asyncio.get_running_loop().time()
            for worker in [each for each in self._idle if now - each.since > IDLE_S]:
                self._idle.remove(worker)
                await worker.end()

    async def close(self) -> None:
        self._closed = True
        if self._tending is not None:
            self._tending.cancel()
            with suppress(asyncio.CancelledError):
                await self._tending
        while self._idle:
            await self._idle.pop().end()


def _order(code: str, inputs: Mapping[str, object]) -> bytes:
    if len(code.encode("utf-8", "replace")) > CODE:
        raise CodeFailed(f"the code is longer than {CODE} bytes", "make it shorter, or a tool of your own")
    for name in inputs:
        if not name.isidentifier() or name.startswith("__"):
            raise CodeFailed(f"code cannot see an input named {name[:100]!r}", "name it by letters, digits and _")
    body = framed(Order(code, {name: Raw(_encode(value)) for name, value in inputs.items()}))
    if len(body) > INPUTS:
        raise CodeFailed(f"what the code is given is larger than {INPUTS} bytes", "give it less")
    return body


def _told(outcome: Outcome, time_s: float, memory: int) -> Ran:
    """Raises CodeFailed."""
    if outcome.ended == "done":
        return Ran(outcome.value, outcome.printed)
    if outcome.ended == "time":
        raise CodeFailed(f"the code took longer than {time_s:g} s and was stopped", "make it do less")
    if outcome.ended == "memory":
        why = f" ({outcome.words})" if outcome.words else ""
        raise CodeFailed(
            f"the code took more than its {memory // 1_000_000} MB and was stopped{why}", "make it do less"
        )
    if outcome.ended == "large":
        raise CodeFailed(f"the code gave more than {OUTPUT} bytes", "give less")
    raise CodeFailed(f"the code failed: {outcome.words}", "mend the code, or what it is given")
