"""Measures a server of one process and one of several, in turns; the figures never pass or fail a run.

`make bench-scale`, or `python -m bench.scale.run [--pairs N] [--seconds S] [--workers N] [--json FILE]`. Both run on
all cores, with the load and the upstream beside them: so the CPU time a request counts, and requests/s only where cores
are idle.
Ends with 1 if an answer was wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from bench.gateway.peers import Gateway, Place, sizewise
from bench.gateway.process import Program, free_port

CONNECTIONS = 64
BAR = 1.11
"""CPU time a request with several workers, divided by that of one process."""


@dataclass(frozen=True, slots=True)
class Round:
    cpu_us: float  # a request, of the whole server
    requests_s: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Subject:
    """A running server."""

    workers: int
    port: int
    gateway: Gateway
    program: Program
    cold_start_s: float
    idle_mb: float

    def measure(self, seconds: float) -> Round:
        """Raises AssertionError for a wrong answer."""
        before = self.program.cpu_s()
        command = [sys.executable, "-m", "bench.gateway.load", f"--port={self.port}", "--model=static/tiny"]
        command += [f"--connections={CONNECTIONS}", f"--seconds={seconds}"]
        command += [f"--header={line}" for line in self.gateway.headers]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 120, check=True)
        sums = json.loads(ran.stdout)
        assert not sums["errors"], f"{sums['errors']} wrong: {sums['error']}"
        return Round(
            1e6 * (self.program.cpu_s() - before) / sums["answered"], sums["per_second"], sums["p99_ms"] or 0.0
        )

    def memory_mb(self) -> float:
        """Proportional set size: a page that two processes share counts once."""
        return sum(map(_pss_kb, self.program.tree())) / 1e3


@contextmanager
def running(workers: int, folder: Path, upstream_port: int) -> Iterator[Subject]:
    folder.mkdir()
    place = Place(folder, free_port(), upstream_port)
    gateway = sizewise(place)
    assert gateway is not None
    config = folder / "sizewise.toml"
    config.write_text(config.read_text().replace("[server]", f"[server]\nworkers = {workers}", 1))
    env = {**os.environ, **gateway.env}
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    program = Program(gateway.command, env, folder / "log", *os.sched_getaffinity(0))
    try:
        cold = program.ready(place.port, gateway.ready)
        subject = Subject(workers, place.port, gateway, program, cold, 0.0)
        yield Subject(workers, place.port, gateway, program, cold, subject.memory_mb())
    finally:
        program.stop()


def compare(pairs: int, seconds: float, workers: int) -> dict[str, object]:
    with tempfile.TemporaryDirectory(prefix="bench-scale-", ignore_cleanup_errors=True) as name, ExitStack() as opened:
        folder, port = Path(name), free_port()
        command = (sys.executable, "-m", "bench.gateway.upstream", f"--port={port}")
        upstream = Program(command, os.environ, folder / "upstream.log", *os.sched_getaffinity(0))
        opened.callback(upstream.stop)
        upstream.ready(port, "/v1/models")
        one, several = (opened.enter_context(running(n, folder / str(n), port)) for n in (1, workers))
        for each in (one, several):
            each.measure(min(2.0, seconds))
        rounds = []
        for number in range(pairs):
            print(f"pair {number + 1} of {pairs}", file=sys.stderr, flush=True)
            first, second = (one, several) if number % 2 else (several, one)
            met = {each.workers: each.measure(seconds) for each in (first, second)}
            rounds.append((met[one.workers], met[several.workers]))
        return {
            "workers": workers,
            "cpu_us": [median(pair[at].cpu_us for pair in rounds) for at in (0, 1)],
            "cpu_ratio": median(pair[1].cpu_us / pair[0].cpu_us for pair in rounds),
            "requests_s": [median(pair[at].requests_s for pair in rounds) for at in (0, 1)],
            "throughput_ratio": median(pair[1].requests_s / pair[0].requests_s for pair in rounds),
            "p99_ms": [median(pair[at].p99_ms for pair in rounds) for at in (0, 1)],
            "cold_start_s": [one.cold_start_s, several.cold_start_s],
            "idle_mb": [one.idle_mb, several.idle_mb],
            "loaded_mb": [one.memory_mb(), several.memory_mb()],
        }


def table(found: Mapping[str, Any]) -> str:
    names = {
        "cpu_us": "CPU a request, us",
        "requests_s": "requests/s",
        "p99_ms": "p99, ms",
        "cold_start_s": "cold start, s",
        "idle_mb": "memory idle, MB (PSS)",
        "loaded_mb": "memory after the load, MB (PSS)",
    }
    lines = [f"| | 1 process | {found['workers']} workers |", "|---|---|---|"]
    for key, words in names.items():
        one, several = found[key]
        lines.append(f"| {words} | {one:.1f} | {several:.1f} |")
    lines.append(f"\nCPU a request: {found['cpu_ratio']:.3f} times that of one process (bar {BAR}).")
    lines.append(f"Requests/s: {found['throughput_ratio']:.2f} times, on {len(os.sched_getaffinity(0))} cores.")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args(arguments)
    try:
        found = compare(asked.pairs, asked.seconds, asked.workers)
    except AssertionError as wrong:
        print(wrong, file=sys.stderr)
        return 1
    print(table(found))
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=2))
    return 0


def _pss_kb(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


if __name__ == "__main__":
    sys.exit(main())
