"""Starts `sizewise` by forking a process that has imported it already: the same program, for a fifth of the CPU time.

The forked process has its own arguments, environment, folder, streams and process ID, and ends as any other does. What
Python reads only when it starts (`PYTHON*`, the locale, `LD_*`) cannot be given to it: with such an environment, and
where a system cannot hand file descriptors over, a Python is started anew.
"""

from __future__ import annotations

import array
import atexit
import contextlib
import gc
import importlib
import io
import json
import os
import pkgutil
import select
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import IO, NamedTuple

ROOT = Path(__file__).parents[1]
PROGRAM = "sizewise.cli.main"
MAX_REQUEST = 1 << 17
"""Bytes: arguments and environment of one process."""
NOT_IMPORTED = ("sizewise.testing", "sizewise.lamatic", "sizewise.advisor")
"""Packages that most commands never load."""
HEAVY = ("numpy", "onnxruntime", "xllamacpp", "qdrant_edge", "dbos", "spacy", "weaviate", "psycopg", "pypdf", "torch")
"""A module that loads one of these is not imported beforehand: they start threads, which a fork loses."""
AT_START = ("PYTHON", "LD_", "LC_", "LANG", "MALLOC_", "COVERAGE_")


PYTHONPATH = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
"""For a Python started in another folder: our own code first, then what measures it."""


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", PROGRAM, *words]


class Forked:
    """A running process with the part of `subprocess.Popen` that tests use. `stdout`, `stderr`: text, if piped."""

    def __init__(self, status: int, stdout: IO[str] | None, stderr: IO[str] | None) -> None:
        self.stdout, self.stderr = stdout, stderr
        self.stdin = None
        self.returncode: int | None = None
        self._status = os.fdopen(status, "rb", 0)
        self.pid = int(self._status.readline())

    def poll(self) -> int | None:
        if self.returncode is None and select.select([self._status], [], [], 0)[0]:
            self._end()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Raises subprocess.TimeoutExpired."""
        if self.returncode is None:
            if not select.select([self._status], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(PROGRAM, timeout or 0)
            self._end()
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> Forked:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for stream in (self.stdout, self.stderr):
            if stream:
                stream.close()
        if error is not None:
            self.kill()
        self.wait()

    def _end(self) -> None:
        self.returncode = int(self._status.readline() or -signal.SIGKILL)
        self._status.close()


Process = Forked | subprocess.Popen[str]


def start(words: Sequence[str], *, env: Mapping[str, str], cwd: str | Path | None = None) -> Process:
    """Starts `command(...)` with its stdout and stderr piped, and nothing to read."""
    if not _can_fork(words, env):
        return subprocess.Popen(
            words, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
    (out, out_theirs), (err, err_theirs) = os.pipe(), os.pipe()
    nothing = os.open(os.devnull, os.O_RDONLY)
    try:
        return _fork(words, env, cwd, (nothing, out_theirs, err_theirs), os.fdopen(out), os.fdopen(err))
    finally:
        for each in (nothing, out_theirs, err_theirs):
            os.close(each)


def run(
    words: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: str | Path | None = None,
    stdin: str = "",
    timeout: float = 60,
) -> subprocess.CompletedProcess[str]:
    """Runs `command(...)` to its end. Raises subprocess.TimeoutExpired."""
    if not _can_fork(words, env):
        return subprocess.run(words, env=env, cwd=cwd, input=stdin, capture_output=True, text=True, timeout=timeout)
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        given.write(stdin.encode())
        given.seek(0)
        process = _fork(words, env, cwd, (given.fileno(), out.fileno(), err.fileno()), None, None)
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        return subprocess.CompletedProcess(list(words), code, _text(out), _text(err))


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace").replace("\r\n", "\n")


def _can_fork(words: Sequence[str], env: Mapping[str, str]) -> bool:
    is_ours = list(words[:3]) == command() and hasattr(socket, "send_fds") and sys.platform == "linux"
    return is_ours and _at_start(env) == _at_start(os.environ)


def _at_start(env: Mapping[str, str]) -> dict[str, str]:
    """Without what is the same for a forked process: our own code first, and streams without a buffer."""
    ours = {
        "PYTHONUNBUFFERED": (env.get("PYTHONUNBUFFERED"),),
        "PYTHONPATH": (PYTHONPATH, os.environ.get("PYTHONPATH")),
    }
    return {name: value for name, value in env.items() if name.startswith(AT_START) and value not in ours.get(name, ())}


def _fork(
    words: Sequence[str],
    env: Mapping[str, str],
    cwd: str | Path | None,
    streams: tuple[int, int, int],
    stdout: IO[str] | None,
    stderr: IO[str] | None,
) -> Forked:
    wanted = json.dumps({"arguments": words[3:], "env": dict(env), "cwd": str(cwd or os.getcwd())}).encode()
    assert len(wanted) < MAX_REQUEST
    status, status_theirs = os.pipe()
    try:
        socket.send_fds(_template(), [wanted], [*streams, status_theirs])
    finally:
        os.close(status_theirs)
    return Forked(status, stdout, stderr)


@cache
def _template() -> socket.socket:
    """To the process to fork, which is started on first use and ends with this one."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        words = [sys.executable, "-m", "tests.forked", str(theirs.fileno())]
        process = subprocess.Popen(words, cwd=ROOT, pass_fds=[theirs.fileno()])

    def end() -> None:
        ours.close()
        process.wait(60)

    atexit.register(end)
    return ours


# ---- the process that is forked


class _Request(NamedTuple):
    arguments: list[str]
    env: dict[str, str]
    cwd: str
    streams: tuple[int, int, int]


def _import_all() -> None:
    """Imports the modules of most commands, and stops at those that need a heavy library."""
    importlib.import_module(PROGRAM)
    for module in pkgutil.walk_packages([str(ROOT / "sizewise")], "sizewise."):
        if not module.ispkg and not module.name.startswith(NOT_IMPORTED) and not _is_heavy(module.name):
            importlib.import_module(module.name)


def _is_heavy(module: str) -> bool:
    text = (ROOT / f"{module.replace('.', '/')}.py").read_text()
    return any(f"import {name}" in text or f"from {name}" in text for name in HEAVY)


def _serve(control: socket.socket) -> _Request:
    """Forks once for each message, and returns in the child alone. Writes its process ID, then its exit code."""
    running = selectors.DefaultSelector()
    running.register(control, selectors.EVENT_READ)
    while True:
        for key, _ in running.select():
            if key.fileobj is not control:
                pid, status = key.data
                running.unregister(key.fileobj)
                os.close(key.fd)
                code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                with contextlib.suppress(BrokenPipeError):
                    os.write(status, f"{code}\n".encode())
                os.close(status)
                continue
            wanted, descriptors = _receive(control)
            if not wanted:
                os._exit(0)
            *streams, status = descriptors
            pid = os.fork()
            if not pid:
                control.close()
                for other in running.get_map().values():
                    if other.fileobj is not control:
                        os.close(other.fd)
                        os.close(other.data[1])
                running.close()
                os.close(status)
                return _Request(**json.loads(wanted), streams=(streams[0], streams[1], streams[2]))
            for each in streams:
                os.close(each)
            os.write(status, f"{pid}\n".encode())
            running.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, status))


def _receive(control: socket.socket) -> tuple[bytes, list[int]]:
    found = array.array("i")
    wanted, ancillary, _, _ = control.recvmsg(MAX_REQUEST, socket.CMSG_SPACE(4 * found.itemsize))
    for _, _, data in ancillary:
        found.frombytes(data)
    return wanted, list(found)


def _become(request: _Request) -> None:
    """What Python does when it starts, in a terminal: a shell's background jobs are born with SIGINT ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, descriptor in enumerate(request.streams):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(request.cwd)
    os.environ.clear()
    os.environ.update(request.env)
    time.tzset()
    sys.argv = [importlib.import_module(PROGRAM).__file__ or "", *request.arguments]
    unbuffered = bool(request.env.get("PYTHONUNBUFFERED"))
    sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, closefd=False)), encoding="utf-8")
    sys.stdout = _output(1, "strict", unbuffered)
    sys.stderr = _output(2, "backslashreplace", unbuffered)


def _output(number: int, errors: str, unbuffered: bool) -> io.TextIOWrapper:
    raw = io.FileIO(number, "w", closefd=False)
    buffer = raw if unbuffered else io.BufferedWriter(raw)
    return io.TextIOWrapper(
        buffer,
        encoding="utf-8",
        errors=errors,
        write_through=unbuffered,
        line_buffering=number == 2 or raw.isatty(),
    )


if __name__ == "__main__":
    _import_all()
    gc.collect()
    gc.freeze()
    _become(_serve(socket.socket(fileno=int(sys.argv[1]))))
    importlib.import_module(PROGRAM).main()
