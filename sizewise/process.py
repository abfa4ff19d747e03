"""Starts and supervises child processes; knows nothing of what they do.

A child ends when its parent does, is always waited for, and never writes to the user's terminal.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import socket
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, NoReturn, TypeVar

from sizewise.errors import ExternalFailure

TAIL_LINES = 40  # lines of a child's output that are kept
MAX_LINE_CHARS = 500  # characters kept of each line
MAX_OPEN_FILES = 65_536  # as many as 4,096 streams of each of several providers need, with their clients


class ChildProcess:
    """A running child. `reader` and `writer` are its socket, `tail` its last lines of output."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.pid = process.pid
        self.reader = reader
        self.writer = writer
        self._process = process
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._reader_task = asyncio.create_task(self._listen())

    @property
    def tail(self) -> tuple[str, ...]:
        return tuple(self._tail)

    @property
    def resident_bytes(self) -> int | None:
        """None if the platform does not report it (Linux does) or the child is gone."""
        try:
            pages = int(Path(f"/proc/{self.pid}/statm").read_text("ascii").split()[1])
        except (OSError, IndexError, ValueError):
            return None
        return pages * os.sysconf("SC_PAGE_SIZE")

    async def wait(self) -> str:
        """Waits for the exit and returns its cause: "ended with code 1", "was killed by SIGKILL"."""
        code = await self._process.wait()
        await self._reader_task
        self.writer.close()
        with suppress(OSError):
            await self.writer.wait_closed()
        if code < 0:
            return f"was killed by {signal.Signals(-code).name}"
        return f"ended with code {code}"

    def kill(self) -> None:
        """Kills the child and its descendants and closes the socket; does nothing if the child is gone."""
        self.writer.transport.abort()
        if self._process.returncode is None:
            with suppress(ProcessLookupError):  # asyncio's kill() may reap the child and lose its exit code
                os.killpg(self.pid, signal.SIGKILL)  # the child leads its own session

    async def _listen(self) -> None:
        try:
            await self._read_tail()
        except asyncio.CancelledError:  # the event loop ends, and nobody has waited for the child
            self.kill()
            await _kill_and_drain(self._process)
            raise

    async def _read_tail(self) -> None:
        output = self._process.stdout
        assert output is not None  # set in `start_module`
        rest = ""
        while block := await output.read(8192):
            *lines, rest = (rest + block.decode("utf-8", "replace")).split("\n")
            self._tail.extend(line[:MAX_LINE_CHARS] for line in lines)
            rest = rest[:MAX_LINE_CHARS]
        if rest:
            self._tail.append(rest)


async def start_module(module: str, *args: str, clean_env: bool = False) -> ChildProcess:
    """Starts `python -m module FD ARGS...`; FD is the child's end of a socket pair. `clean_env`: no environment.

    The child leads its own session, so that Ctrl-C at the terminal reaches only the parent.
    """
    ours, theirs = socket.socketpair()
    with theirs:
        reader, writer = await asyncio.open_unix_connection(sock=ours)
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",  # modules from the installation, never from the current directory
                "-m",
                module,
                str(theirs.fileno()),
                *args,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
                env={} if clean_env else None,
            )
        except BaseException:
            writer.close()
            raise
    return ChildProcess(process, reader, writer)


class ReusableProcess:
    """A child that does one job after another."""

    def __init__(self, child: ChildProcess) -> None:
        self.child = child
        self.jobs = 0
        self.idle_since = 0.0  # event loop time

    async def end(self) -> None:
        self.child.kill()
        await self.child.wait()


ProcessT = TypeVar("ProcessT", bound=ReusableProcess)


class IdleProcesses(Generic[ProcessT]):
    """Children between two jobs: those in `processes` may be taken out. One that has no job for `timeout_s` is ended,
    and one that has done `max_jobs`, which gives its memory back.
    """

    def __init__(self, timeout_s: float, max_jobs: int) -> None:
        self.processes: list[ProcessT] = []
        self._timeout_s = timeout_s
        self._max_jobs = max_jobs
        self._timeout_task: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[str]] = set()
        self._closed = False

    def put(self, process: ProcessT) -> None:
        """After a job."""
        process.jobs += 1
        process.idle_since = asyncio.get_running_loop().time()
        if self._closed or process.jobs >= self._max_jobs:
            self.end(process)
            return
        self.processes.append(process)
        if self._timeout_task is None or self._timeout_task.done():
            self._timeout_task = asyncio.ensure_future(self._end_idle())

    def end(self, process: ProcessT) -> None:
        """Ends a process that has been taken out, without waiting for it; `close` does."""
        process.child.kill()
        task = asyncio.ensure_future(process.child.wait())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _end_idle(self) -> None:
        """Returns when no process is left."""
        while self.processes:
            await asyncio.sleep(self._timeout_s / 3)
            now = asyncio.get_running_loop().time()
            for process in [each for each in self.processes if now - each.idle_since > self._timeout_s]:
                self.processes.remove(process)
                self.end(process)

    async def close(self) -> None:
        """Ends those that are idle now, and from now on each that is put."""
        self._closed = True
        if self._timeout_task is not None:
            self._timeout_task.cancel()
            with suppress(asyncio.CancelledError):
                await self._timeout_task
        while self.processes:
            await self.processes.pop().end()
        await asyncio.gather(*self._ending)


class StdioProcess:
    """A running third-party program: `writer` is its stdin, `reader` its stdout; stderr is dropped."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None and process.stdout is not None  # set in `start_program`
        self.pid = process.pid
        self.writer = process.stdin
        self.reader = process.stdout
        self._process = process

    async def terminate(self) -> None:
        """Kills its descendants too."""
        self.writer.close()
        await _kill_and_drain(self._process)


async def start_program(
    argv: Sequence[str], env: Mapping[str, str], max_line_bytes: int, log: Path | None = None
) -> StdioProcess:
    """Starts a program that is read and written line by line, with `env` as its whole environment. `log`: gets its
    stderr.

    Reading a line of more than `max_line_bytes` raises ValueError. Raises ExternalFailure if the program cannot start.
    """
    pipe = asyncio.subprocess.PIPE
    try:
        with (log or Path(os.devnull)).open("wb") as errors:
            process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=pipe,
                stdout=pipe,
                stderr=errors,
                env=dict(env),
                start_new_session=True,
                limit=max_line_bytes,
            )
    except OSError as why:
        raise ExternalFailure(
            f"{argv[0]!r} cannot be started: {why.strerror}",
            "check the path, and that the file is executable",
        ) from why
    return StdioProcess(process)


@dataclass(frozen=True, slots=True)
class CompletedProcess:
    """A command that has ended. `exit_code` is below 0 if a signal ended it."""

    exit_code: int
    stdout: str
    stderr: str


async def run(
    argv: Sequence[str],
    timeout_s: float,
    env: Mapping[str, str] | None = None,
    max_output_bytes: int = 64 * 1024 * 1024,
) -> CompletedProcess:
    """Runs a command without input and returns its output. `env`: its whole environment; None: it inherits ours.

    Raises ExternalFailure if it cannot start, writes more, or takes longer than `timeout_s` seconds; it never outlives
    the call.
    """
    pipe = asyncio.subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=pipe,
            stderr=pipe,
            start_new_session=True,
            env=None if env is None else dict(env),
        )
    except OSError as why:
        raise ExternalFailure(f"{argv[0]!r} cannot be started: {why.strerror}", "Check that it is installed.") from why
    assert process.stdout is not None and process.stderr is not None
    try:
        async with asyncio.timeout(timeout_s):
            both = (_read_at_most(each, max_output_bytes) for each in (process.stdout, process.stderr))
            out, err = await asyncio.gather(*both)
            if out is None or err is None:
                raise ExternalFailure(f"{argv[0]!r} wrote more than {max_output_bytes} bytes", "Check what it says.")
            await process.wait()
    except TimeoutError as why:
        raise ExternalFailure(
            f"{' '.join(argv)!r} took longer than {timeout_s:g} s",
            "Try again; check the network.",
        ) from why
    finally:
        await _kill_and_drain(process)
    return CompletedProcess(process.returncode or 0, out.decode("utf-8", "replace"), err.decode("utf-8", "replace"))


async def _read_at_most(reader: asyncio.StreamReader, limit: int) -> bytes | None:
    """All of it; None as soon as it is more."""
    read = bytearray()
    while block := await reader.read(65_536):
        read += block
        if len(read) > limit:
            return None
    return bytes(read)


async def _kill_and_drain(process: asyncio.subprocess.Process) -> None:
    """Kills the process if it still runs, and drains its pipes.

    asyncio's `wait` waits for the pipes too, and nothing else reads a full one. Draining stops after a second, because
    a grandchild may hold a pipe open.
    """
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    with suppress(TimeoutError):
        async with asyncio.timeout(1.0):
            for pipe in filter(None, (process.stdout, process.stderr)):
                while await pipe.read(65_536):
                    pass
            await process.wait()


async def run_with_input(
    argv: Sequence[str],
    stdin_data: bytes,
    timeout_s: float,
    max_output_bytes: int,
) -> CompletedProcess:
    """Runs a program with `stdin_data` on its stdin and returns its stdout, at most `max_output_bytes` bytes. It
    inherits the environment.

    Raises ExternalFailure if it cannot start, writes more, or takes longer than `timeout_s` seconds; it never outlives
    the call. No error contains its input or output.
    """
    pipe = asyncio.subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=pipe,
            stdout=pipe,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as why:
        raise ExternalFailure(
            f"{argv[0]!r} cannot be started: {why.strerror}",
            "check the path, and that the file is executable",
        ) from why
    assert process.stdin is not None and process.stdout is not None
    out = bytearray()
    try:
        async with asyncio.timeout(timeout_s):
            with suppress(BrokenPipeError, ConnectionResetError):  # the program need not read its input
                process.stdin.write(stdin_data)
                await process.stdin.drain()
            process.stdin.close()
            while len(out) <= max_output_bytes and (block := await process.stdout.read(8192)):
                out += block
            if len(out) > max_output_bytes:
                raise ExternalFailure(
                    f"{argv[0]!r} wrote more than {max_output_bytes} bytes",
                    "write one line",
                )
            code = await process.wait()
    except TimeoutError as why:
        raise ExternalFailure(f"{argv[0]!r} took longer than {timeout_s:g} s", "check what it waits for") from why
    finally:
        await _kill_and_drain(process)
    return CompletedProcess(code, out.decode("utf-8", "replace"), "")


def become(argv: Sequence[str]) -> NoReturn:
    """Replaces this process by a program, with its environment, terminal and signals. Raises ExternalFailure."""
    try:
        os.execv(argv[0], list(argv))
    except OSError as why:
        raise ExternalFailure(
            f"{argv[0]!r} cannot be started: {why.strerror}",
            "check the path, and that the file is executable",
        ) from why


def raise_open_files_limit() -> None:
    """Raises this process's limit of open files towards its hard limit. Each connection is a file, and the usual
    soft limit of 1,024 is there for programs that use select(), which we do not.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max_open_files()
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):  # a sandbox may refuse; the old limit holds
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def max_open_files() -> int:
    """What `raise_open_files_limit` can reach here, at most MAX_OPEN_FILES."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_OPEN_FILES)


def process_identity(pid: int) -> str:
    """Boot, process namespace and start time: what no other process with this number shares. Empty where the system
    does not say (Linux does), or the process has ended.
    """
    state, *fields = _first_line(f"/proc/{pid}/stat").rpartition(")")[2].split() or ("Z",)
    if state in "ZX" or len(fields) < 19:  # killed, and its parent has not looked yet
        return ""
    boot, namespace = _first_line("/proc/sys/kernel/random/boot_id") or "-", "-"
    with suppress(OSError):  # some sandboxes have no namespaces
        namespace = os.readlink("/proc/self/ns/pid")
    return f"{boot} {namespace} {fields[18]}"


def is_same_process(pid: int, identity: str) -> bool:
    """Whether the process runs on that `process_identity` describes. Without an identity: whether any process has
    this number.
    """
    if identity:
        return process_identity(pid) == identity
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # a process of another user
    return True


def physical_cores() -> int:
    """Physical cores that this process may use, at least 1; respects CPU affinity and the cgroup's CPU quota."""
    if sys.platform != "linux":
        return max(1, (os.cpu_count() or 2) // 2) if sys.platform != "darwin" else os.cpu_count() or 1
    may = os.sched_getaffinity(0)
    topology = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
    siblings = {_first_line(topology.format(cpu)) or str(cpu) for cpu in may}
    quota, _, period = _first_line("/sys/fs/cgroup/cpu.max").partition(" ")
    if quota.isdigit() and period.isdigit():
        return max(1, min(len(siblings), round(int(quota) / int(period))))
    return max(1, len(siblings))


def _first_line(path: str) -> str:
    try:
        return Path(path).read_text("ascii", "replace").strip()
    except OSError:
        return ""
