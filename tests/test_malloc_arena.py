"""Where threads of a process allocate, as the kernel's list of its memory shows."""

from __future__ import annotations

import subprocess
import sys

import pytest

THREADS = """
import threading, sys
from pathlib import Path
from sizewise.malloc_arena import share_arena
if sys.argv[1] == "shared":
    share_arena()
all_have, may_end = threading.Barrier(5), threading.Event()
def work():
    held = [bytes(5_000 + n) for n in range(50)]  # from malloc: Python's own arenas are for less than 512 bytes
    all_have.wait()
    may_end.wait()
for _ in range(4):
    threading.Thread(target=work).start()
all_have.wait()
ranges = [line.split()[0].split("-") for line in Path("/proc/self/maps").read_text().splitlines()]
spans = [(int(start, 16), int(end, 16)) for start, end in ranges]
may_end.set()
HEAP = 64 << 20  # glibc reserves so much for an arena, and uses its beginning
print(sum(start % HEAP == 0 and end == after and last == start + HEAP
          for (start, end), (after, last) in zip(spans, spans[1:])))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_threads_share_an_arena_once_they_are_told() -> None:
    def arenas(how: str) -> int:
        words = [sys.executable, "-c", THREADS, how]
        return int(subprocess.run(words, capture_output=True, text=True, check=True, timeout=120).stdout)

    assert arenas("shared") == 0
    if arenas("alone") == 0:
        pytest.skip("this C library has no arenas of threads")
