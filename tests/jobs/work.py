"""Work for jobs of the tests, as worker processes import it by name."""

from __future__ import annotations

import os
import time
from pathlib import Path

from sizewise.errors import BadRequest
from sizewise.offload.job import Work


def make_sum(setup: bytes) -> Work:
    """Sums numbers; `setup` is added."""

    def add(batch: bytes) -> list[bytes | memoryview]:
        return [str(int(setup) + sum(map(int, batch.split()))).encode()]

    return add


def make_trouble(setup: bytes) -> Work:
    """`memory`, `refuse`, `die FILE` (until FILE exists), `sleep FILE` (writes its process id), or any other word."""

    def work(batch: bytes) -> list[bytes | memoryview]:
        what, _, file = batch.decode().partition(" ")
        if what == "memory":
            return [bytes(400_000_000)]
        if what == "refuse":
            raise BadRequest("it is refused", "do it otherwise")
        if what == "die" and not (file and Path(file).exists()):
            if file:
                Path(file).touch()
            os.kill(os.getpid(), 9)
        if what == "sleep":
            Path(file).write_text(str(os.getpid()))
            time.sleep(600)
        return [batch]

    return work


def make_place(setup: bytes) -> Work:
    """Waits a moment, and says which processes it is below of: its own worker, Ray's, Ray's node."""

    def work(batch: bytes) -> list[bytes | memoryview]:
        time.sleep(0.3)
        above, pid = list[str](), os.getppid()
        while pid > 1:
            above.append(str(pid))
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        return [" ".join(above).encode()]

    return work
