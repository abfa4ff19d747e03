"""Runs gateways side by side and asks them in turns, so that a ratio is of one moment: the median over all rounds.

`python -m bench.gateway.pairs [--of nginx,vllm-router,smg] [--rounds 9]`. All stand on the gateway's core at once; who
is not asked idles. A ratio is of one round; printed are its median and its range. Figures never pass or fail.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.gateway.measure import CONNECTIONS, LATENCY_RATE, Bench, Target, check
from bench.gateway.peers import GATEWAYS, Place
from bench.gateway.process import Program, free_port

SUBJECT = "sizewise"


@dataclass(frozen=True, slots=True)
class Round:
    """One gateway in one round."""

    requests_s: float
    cpu_us: float
    long_requests_s: float
    long_cpu_us: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Running:
    """A started gateway and how to ask it."""

    program: Program
    target: Target


def started(name: str, bench: Bench, core: int, folder: Path, stack: ExitStack) -> Running | None:
    """The gateway, answering rightly; None where it is not installed."""
    folder.mkdir()
    place = Place(folder, free_port(), bench.upstream_port)
    gateway = GATEWAYS[name](place)
    if gateway is None:
        print(f"{name}: not here, left out (bench/gateway/install_peers)", file=sys.stderr)
        return None
    program = Program(gateway.command, dict(os.environ) | dict(gateway.env), folder / "log", core)
    stack.callback(program.stop)
    program.ready(place.port, gateway.ready)
    running = Running(program, Target(place.port, gateway.models[""], gateway.headers))
    check(running.target)
    return running


def measured(bench: Bench, running: Running) -> Round:
    """Plain questions, long ones, and the latency of a calm open loop."""
    plain = bench.load(running.target, running.program, "plain", f"--connections={CONNECTIONS}")
    long = bench.load(running.target, running.program, "long", f"--connections={CONNECTIONS}")
    calm = bench.load(running.target, running.program, "plain", f"--rate={LATENCY_RATE}")
    return Round(plain.per_second, plain.cpu_us, long.per_second, long.cpu_us, calm.p99_ms)


def lines(rounds: dict[str, list[Round]]) -> list[str]:
    """Each gateway's medians, then how many times the subject's figure stands to it."""
    said = [f"{'':14}requests/s  CPU us  40 KB/s  40 KB CPU us  p99 ms"]
    for name, own in rounds.items():
        middle = [median(getattr(one, field) for one in own) for field in Round.__slots__]
        said.append(
            f"{name:14}{middle[0]:10,.0f}{middle[1]:8.0f}{middle[2]:9,.0f}{middle[3]:14.0f}{middle[4]:8.2f}".rstrip()
        )
    for name in (name for name in rounds if name != SUBJECT):
        said.append(f"\n{SUBJECT} against {name}: median (least to most) of {len(rounds[name])} rounds")
        for field, what in (
            ("requests_s", "requests/s"),
            ("cpu_us", "requests a second of CPU"),
            ("long_requests_s", "40 KB requests/s"),
            ("long_cpu_us", "40 KB requests a second of CPU"),
            ("p99_ms", "p99, 100 requests/s"),
        ):
            pairs = [(getattr(a, field), getattr(b, field)) for a, b in zip(rounds[SUBJECT], rounds[name], strict=True)]
            ratios = [theirs / ours if field.endswith("cpu_us") else ours / theirs for ours, theirs in pairs]
            said.append(f"  {what:32}{median(ratios):6.2f}   ({min(ratios):.2f} to {max(ratios):.2f})")
    return said


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--of", default="nginx,vllm-router,smg", help=f"peers, of {','.join(GATEWAYS)}")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=2.0, help="a figure and round")
    asked = parser.parse_args()
    names = [*asked.of.split(","), SUBJECT]
    if unknown := [name for name in names if name not in GATEWAYS]:
        parser.error(f"no gateway is called {unknown[0]!r}; there are {', '.join(GATEWAYS)}")
    load_core, *_, gateway_core = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="bench-pairs-", ignore_cleanup_errors=True) as folder, ExitStack() as stack:
        port = free_port()
        command = (sys.executable, "-m", "bench.gateway.upstream", f"--port={port}")
        upstream = Program(command, os.environ, Path(folder) / "upstream.log", load_core)
        stack.callback(upstream.stop)
        upstream.ready(port, "/v1/models")
        bench = Bench(upstream, port, load_core, asked.rounds, asked.seconds)
        found = {name: started(name, bench, gateway_core, Path(folder) / name, stack) for name in names}
        running = {name: one for name, one in found.items() if one is not None}
        rounds: dict[str, list[Round]] = {name: [] for name in running}
        order = list(running)
        for number in range(asked.rounds):
            print(f"round {number + 1} of {asked.rounds}", file=sys.stderr, flush=True)
            for name in order:
                rounds[name].append(measured(bench, running[name]))
            order.append(order.pop(0))  # who comes first differs from round to round
    print("\n".join(lines(rounds)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
