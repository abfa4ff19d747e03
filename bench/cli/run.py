"""Milliseconds and CPU time until a command shows its first line, beside a Python that does nothing.

    python -m bench.cli.run [--runs 20]

No server runs: the first line comes before one is looked for. The CPU time is that of the process up to the line; on a
machine that has other work to do it is the figure to compare.
"""

from __future__ import annotations

import argparse
import os
import pty
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from statistics import median

SIZEWISE = (sys.executable, "-m", "sizewise")
COMPLETING = {"_SIZEWISE_COMPLETE": "bash_complete", "COMP_WORDS": "sizewise ", "COMP_CWORD": "1"}
CASES: Mapping[str, tuple[tuple[str, ...], Mapping[str, str]]] = {
    "python -c 'print()'": ((sys.executable, "-c", "print()"), {}),
    "sizewise --version": ((*SIZEWISE, "--version"), {}),
    "sizewise --help": ((*SIZEWISE, "--help"), {}),
    "sizewise <TAB>": (SIZEWISE, COMPLETING),
    "sizewise ask hi": ((*SIZEWISE, "ask", "hi"), {}),
    "sizewise flow run support": ((*SIZEWISE, "flow", "run", "support"), {}),
}


def first_line(words: tuple[str, ...], environ: Mapping[str, str]) -> tuple[float, float]:
    """Milliseconds until anything is on the terminal, and milliseconds of CPU time until then."""
    ours, theirs = pty.openpty()
    began = time.perf_counter()
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, env=environ)
    os.close(theirs)
    os.read(ours, 4_096)
    took = time.perf_counter() - began
    os.kill(process.pid, signal.SIGKILL)
    _, _, used = os.wait4(process.pid, 0)
    process.returncode = 0  # waited for already
    os.close(ours)
    return took * 1_000, (used.ru_utime + used.ru_stime) * 1_000


def rows(runs: int) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as home:
        for name, (words, more) in CASES.items():
            environ = {**os.environ, "SIZEWISE_HOME": home, "TERM": "xterm", **more}
            first_line(words, environ)  # what is compiled is not measured
            taken = [first_line(words, environ) for _ in range(runs)]
            took, used = (median(each) for each in zip(*taken, strict=True))
            yield f"| `{name}` | {took:.0f} | {used:.0f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20)
    options = parser.parse_args()
    print("| command | ms to the first line (p50) | ms of CPU time (p50) |\n|---|---:|---:|")
    for row in rows(options.runs):
        print(row)


if __name__ == "__main__":
    main()
