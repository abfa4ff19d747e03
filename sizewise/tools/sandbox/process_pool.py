"""A pool of confined processes that run untrusted Python or JavaScript; knows no flow and no model.

A process serves one organization and keeps nothing between runs. Code that loops forever, uses too much memory or
crashes its interpreter ends with its process, and the run fails. seccomp.py confines the processes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import msgspec
from msgspec import Raw, Struct

from sizewise.errors import Busy, CodeFailed, ExternalFailure, Forbidden
from sizewise.process import ChildProcess, IdleProcesses, ReusableProcess, start_module
from sizewise.settings.tools import SandboxSettings
from sizewise.tools.sandbox.protocol import (
    FRAME_HEADER,
    MAX_CODE_BYTES,
    MAX_FRAME_BYTES,
    MAX_INPUT_BYTES,
    MAX_OUTPUT_BYTES,
    CodeLimits,
    CodeOutcome,
    CodeRequest,
    Language,
    SandboxConfig,
    SandboxReady,
    encode_frame,
)

KILL_GRACE_S = 1.0
"""Extra time before a process is killed, so that the interpreter's own timeout comes first."""
START_TIMEOUT_S = 20.0
IDLE_TIMEOUT_S = 30.0
MAX_RUNS_PER_PROCESS = 500
MAX_QUEUED = 1_000

_encode = msgspec.json.Encoder().encode


class CodeResult(Struct, frozen=True):
    """The value of the code, as JSON, and what it printed."""

    value: Raw
    stdout: str = ""

    @property
    def data(self) -> object:
        return msgspec.json.decode(self.value)


class _SandboxProcess(ReusableProcess):
    """One process, for one organization and language (`owner`)."""

    def __init__(self, child: ChildProcess, whose: tuple[str, Language]) -> None:
        super().__init__(child)
        self.owner = whose

    async def receive(self) -> bytes:
        """The next message. Raises ExternalFailure if it is too long, IncompleteReadError if the process has ended."""
        (length,) = FRAME_HEADER.unpack(await self.child.reader.readexactly(FRAME_HEADER.size))
        if length > MAX_FRAME_BYTES:
            raise ExternalFailure("a sandbox process sent too much output")
        return await self.child.reader.readexactly(length)


class Sandbox:
    """The process pool; outlives reloads of the settings. Limits the number of processes and of waiting runs."""

    def __init__(self, settings: SandboxSettings | None = None, queue_timeout_s: float = 30.0) -> None:
        """`queue_timeout_s`: how long a run waits for a free process."""
        self._settings = settings or SandboxSettings()
        self._wait_s = queue_timeout_s
        self._idle = IdleProcesses[_SandboxProcess](IDLE_TIMEOUT_S, MAX_RUNS_PER_PROCESS)
        self._room = asyncio.Semaphore(self._settings.max_concurrent)
        self._waiting = 0
        self._busy = 0

    async def run(
        self,
        language: Language,
        code: str,
        inputs: Mapping[str, object],
        tenant: str,
        *,
        time_s: float | None = None,
    ) -> CodeResult:
        """Runs `code`, with `inputs` as its variables, and returns its `output`, or else its last value.

        `time_s` can only shorten the configured timeout. Raises CodeFailed (with the code's own error), Forbidden (no
        sandbox here), Busy (too many runs).
        """
        wanted = self._settings
        if not wanted.enabled:
            raise Forbidden(
                "running code is disabled", "an administrator can set enabled = true in [sandbox] of sizewise.toml"
            )
        order = _order(code, inputs)
        if self._waiting >= MAX_QUEUED:
            raise Busy("too many code runs are queued", "run less code at once", retry_after=1)
        self._waiting += 1
        try:
            async with asyncio.timeout(self._wait_s):
                await self._room.acquire()
        except TimeoutError as why:
            raise Busy("the code run waited too long in the queue", "run less code at once", retry_after=5) from why
        finally:
            self._waiting -= 1
        self._busy += 1
        try:
            limit = min(time_s or wanted.timeout_s, wanted.timeout_s)
            return _result_or_error(await self._run((tenant, language), order, limit), limit, wanted.max_memory_bytes)
        finally:
            self._busy -= 1
            self._room.release()

    def idle_processes(self) -> list[tuple[str, int]]:
        """Idle processes as (organization, process id)."""
        return [(worker.owner[0], worker.child.pid) for worker in self._idle.processes]

    async def _run(self, whose: tuple[str, Language], order: bytes, limit: float) -> CodeOutcome:
        worker = await self._worker(whose)
        kept = False
        try:
            async with asyncio.timeout(limit + KILL_GRACE_S):
                worker.child.writer.write(order)
                await worker.child.writer.drain()
                outcome = msgspec.json.decode(await worker.receive(), type=CodeOutcome)
            kept = outcome.reason not in ("time", "memory")
        except TimeoutError:
            return CodeOutcome("time")
        except (asyncio.IncompleteReadError, OSError):
            return CodeOutcome("memory", error="its process ended")
        except (msgspec.DecodeError, ExternalFailure):
            return CodeOutcome("failed", error="its process sent an invalid message")
        finally:
            if kept:
                self._idle.put(worker)
            else:
                await asyncio.shield(worker.end())
        return outcome

    async def _worker(self, whose: tuple[str, Language]) -> _SandboxProcess:
        idle = self._idle.processes
        for worker in reversed(idle):
            if worker.owner == whose:
                idle.remove(worker)
                return worker
        while idle and len(idle) + self._busy > self._settings.max_concurrent:  # room for a new process
            await idle.pop(0).end()
        child = await start_module("sizewise.tools.sandbox.worker", clean_env=True)
        worker = _SandboxProcess(child, whose)
        try:
            bounds = CodeLimits(
                self._settings.timeout_s,
                self._settings.max_memory_bytes,
                self._settings.require_isolation,
            )
            async with asyncio.timeout(START_TIMEOUT_S):
                child.writer.write(encode_frame(SandboxConfig(whose[1], bounds)))
                await child.writer.drain()
                ready = msgspec.json.decode(await worker.receive(), type=SandboxReady)
            trouble = ready.error
        except (TimeoutError, asyncio.IncompleteReadError, OSError, msgspec.DecodeError):
            trouble = "its process does not start"
        except BaseException:
            await asyncio.shield(worker.end())
            raise
        if trouble:
            await worker.end()
            raise Forbidden(
                f"{whose[1]} cannot be run in a sandbox here: {trouble}",
                "install the extra: pip install 'sizewise[flows]'; the sandbox needs Linux 5.13, or"
                " `require_isolation = false` in [sandbox]",
            )
        return worker

    async def close(self) -> None:
        await self._idle.close()


def _order(code: str, inputs: Mapping[str, object]) -> bytes:
    if len(code.encode("utf-8", "replace")) > MAX_CODE_BYTES:
        raise CodeFailed(
            f"the code is longer than {MAX_CODE_BYTES} bytes", "shorten it, or write a tool in your own program"
        )
    for name in inputs:
        if not name.isidentifier() or name.startswith("__"):
            raise CodeFailed(f"{name[:100]!r} is not a valid name of an input", "use letters, digits and _")
    body = encode_frame(CodeRequest(code, {name: Raw(_encode(value)) for name, value in inputs.items()}))
    if len(body) > MAX_INPUT_BYTES:
        raise CodeFailed(f"the inputs of the code are larger than {MAX_INPUT_BYTES} bytes", "pass less data")
    return body


def _result_or_error(outcome: CodeOutcome, time_s: float, memory: int) -> CodeResult:
    """Raises CodeFailed."""
    if outcome.reason == "done":
        return CodeResult(outcome.value, outcome.stdout)
    if outcome.reason == "time":
        raise CodeFailed(f"the code took longer than {time_s:g} s and was stopped", "do less in one run")
    if outcome.reason == "memory":
        why = f" ({outcome.error})" if outcome.error else ""
        raise CodeFailed(
            f"the code used more than {memory // 1_000_000} MB of memory and was stopped{why}",
            "do less in one run",
        )
    if outcome.reason == "large":
        raise CodeFailed(f"the code's output is larger than {MAX_OUTPUT_BYTES} bytes", "return less")
    raise CodeFailed(f"the code failed: {outcome.error}", "fix the code or its inputs")
