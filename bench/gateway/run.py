"""Starts the upstream and one gateway after the other, and prints one table; the figures never pass or fail a run.

`make bench-gateway`, or `python -m bench.gateway.run [--quick] [--json FILE] [--only NAME,...]`; see README.md.
Ends with 1 if a gateway answered wrongly (that is no figure), with 3 where it cannot run at all.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from dataclasses import asdict
from datetime import date
from pathlib import Path

from bench.gateway.measure import Bench, Figures, Target, Wrong
from bench.gateway.peers import GATEWAYS, Place
from bench.gateway.process import DidNotStart, Program, free_port
from bench.gateway.report_table import table

SUBJECT = "sizewise"


def measured(name: str, bench: Bench, gateway_core: int, folder: Path, starts: int) -> dict[str, Figures]:
    """The rows of one gateway, named with its version; empty if it is not installed here."""
    place = Place(folder, free_port(), bench.upstream_port)
    gateway = GATEWAYS[name](place)
    if gateway is None:
        print(f"{name}: not here, left out (bench/gateway/install_peers)", file=sys.stderr)
        return {}
    label = name if name == SUBJECT else f"{name} {gateway.version}"
    print(f"{label} ({gateway.doing}) ...", file=sys.stderr, flush=True)
    env, log = dict(os.environ) | dict(gateway.env), folder / "log"
    env.pop("PYTHONDONTWRITEBYTECODE", None)  # else no start is ever the one that finds its bytecode
    try:
        for _ in range(starts - 1):  # the first start may compile bytecode and fill the page cache
            early = Program(gateway.command, env, log, gateway_core)
            try:
                early.ready(place.port, gateway.ready)
            finally:
                early.stop()
        program = Program(gateway.command, env, log, gateway_core)
        try:
            cold_start_s, rss_idle_mb = program.ready(place.port, gateway.ready), program.rss_mb()
            rows = {}
            for suffix, model in gateway.models.items():
                row = rows[label + suffix] = bench.row(program, Target(place.port, model, gateway.headers))
                row.cold_start_s, row.rss_idle_mb, row.rss_loaded_mb = cold_start_s, rss_idle_mb, program.rss_mb()
            return rows
        finally:
            program.stop()
    except DidNotStart as why:
        return {label: Figures(errors=str(why))}


def all_measured(names: list[str], rounds: int, seconds: float, starts: int) -> dict[str, Figures]:
    """One row a gateway and model, the bare upstream first; load and upstream on one core, the gateway on another."""
    load_core, *_, gateway_core = sorted(os.sched_getaffinity(0))
    rows: dict[str, Figures] = {}
    with tempfile.TemporaryDirectory(prefix="bench-gateway-", ignore_cleanup_errors=True) as folder:
        port = free_port()
        command = (sys.executable, "-m", "bench.gateway.upstream", f"--port={port}")
        upstream = Program(command, os.environ, Path(folder) / "upstream.log", load_core)
        try:
            upstream.ready(port, "/v1/models")
            bench = Bench(upstream, port, load_core, rounds, seconds)
            rows["direct"] = bench.direct()
            for name in names:
                own = Path(folder) / name
                own.mkdir()
                rows |= measured(name, bench, gateway_core, own, starts)
        finally:
            upstream.stop()
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one round of 1 s a figure, one start: a look, no result")
    parser.add_argument("--json", metavar="FILE", help="every figure as JSON too; - for standard output, no table")
    parser.add_argument("--only", metavar="NAMES", help=f"of {','.join(GATEWAYS)}; default all that are installed")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0, help="a figure and round")
    asked = parser.parse_args()
    names = asked.only.split(",") if asked.only else list(GATEWAYS)
    if unknown := [name for name in names if name not in GATEWAYS]:
        parser.error(f"no gateway is called {unknown[0]!r}; there are {', '.join(GATEWAYS)}")
    if not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2:
        print("The bench needs Linux and two cores: one for the load, one for the gateway.", file=sys.stderr)
        return 3
    rounds, seconds, starts = (1, 1.0, 1) if asked.quick else (asked.rounds, asked.seconds, 2)
    try:
        rows = all_measured(names, rounds, seconds, starts)
    except (DidNotStart, Wrong) as why:
        print(f"The bare upstream failed, so there is nothing to compare with: {why}", file=sys.stderr)
        return 3
    about = f"{date.today()}, {os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    figures = {"about": about, "rounds": rounds, "seconds": seconds, "rows": {k: asdict(v) for k, v in rows.items()}}
    if asked.json == "-":
        print(json.dumps(figures, indent=1))
        return _exit(rows)
    if asked.json:
        Path(asked.json).write_text(json.dumps(figures, indent=1) + "\n")
    print(f"{about}; median of {rounds} x {seconds:g} s; (Nx): {SUBJECT} is N times better, from this run\n")
    print(table(rows, SUBJECT))
    return _exit(rows)


def _exit(rows: dict[str, Figures]) -> int:
    return int(any(figures.errors for name, figures in rows.items() if name.startswith(SUBJECT)))


if __name__ == "__main__":
    sys.exit(main())
