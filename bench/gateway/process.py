"""Starts a program on one core and reads what its whole process tree costs from /proc (Linux); knows no gateway."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
STOP_S = 10.0


class DidNotStart(Exception):
    """The program ended, or was not ready in time; the message ends with the last lines it wrote."""


@contextmanager
def core(*numbers: int) -> Iterator[None]:
    """What is started inside runs on these cores only: a child inherits the affinity of the thread that starts it."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, numbers)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Program:
    """A started program and its children; output goes to `log`."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str], log: Path, *cores: int) -> None:
        self.log = log
        self.began = time.perf_counter()
        with log.open("wb") as output, core(*cores):
            self.popen = subprocess.Popen(
                command,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def ready(self, port: int, path: str, patience_s: float = 90.0) -> float:
        """Seconds from its start to its first 200 on `path`; raises DidNotStart."""
        while time.perf_counter() - self.began < patience_s:
            if self.popen.poll() is not None:
                break
            if _says_200(port, path):
                return time.perf_counter() - self.began
            time.sleep(0.005)
        last = self.log.read_text(errors="replace")[-600:].strip() or "it wrote nothing"
        raise DidNotStart(f"not ready on port {port}: {last}")

    def cpu_s(self) -> float:
        """Processor seconds of the tree so far, threads and reaped children included; counted in ticks of 10 ms."""
        return sum(sum(int(field) for field in _stat(pid)[11:15]) for pid in self.tree()) / TICKS

    def rss_mb(self) -> float:
        """Resident memory of the tree; pages shared by two processes count twice."""
        return sum(max(0, int(_stat(pid)[21])) for pid in self.tree()) * PAGE / 1e6

    def tree(self) -> list[int]:
        parents = {int(name): int(_stat(int(name))[1]) for name in os.listdir("/proc") if name.isdigit()}
        tree = [self.popen.pid]
        for pid in tree:
            tree += [child for child, parent in parents.items() if parent == pid]
        return tree

    def stop(self) -> None:
        """SIGTERM, and SIGKILL to its whole session for what is left after STOP_S."""
        self.popen.terminate()
        try:
            self.popen.wait(STOP_S)
        except subprocess.TimeoutExpired:
            pass
        try:
            os.killpg(self.popen.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.popen.wait(STOP_S)


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name (so [1] is the parent); zeros for a process that is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ["0"] * 50


def _says_200(port: int, path: str) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2.0) as one:
            one.sendall(f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\n\r\n".encode())
            return one.recv(64).startswith((b"HTTP/1.1 200", b"HTTP/1.0 200"))
    except OSError:
        return False
