"""Soaks one gateway worker: 200,000 requests beside 1,000 open streams; prints what grew, what got lost, and p99.

`make bench-soak`, or `python -m bench.soak.run [--requests N] [--streams N] [--json]`. Ends with 1 when a record is
missing, an answer was wrong, or something is still in flight at the end: these are no figures.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import os
import sqlite3
import sys
import tempfile
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from time import perf_counter

import uvloop

from bench.gateway.peers import KEY, UPSTREAM_KEY
from bench.gateway.process import Program, core, free_port
from bench.soak.load import Soak, Sums

CONNECTIONS = 64
SETTLED = 0.25
"""Share of the run after which memory is looked at: pools and caches are full by then."""

CONFIG = """[server]
embedded = false
discover = false

[providers.static]
base_url = "http://127.0.0.1:{upstream}/v1"
key = "env:BENCH_UPSTREAM_KEY"
place = "machine"
models = ["tiny"]
max_connections = 4096
"""


@dataclass(slots=True)
class Seen:
    """What the gateway's process looked like, once a second: seconds since the start, answers, MB, descriptors."""

    at_s: list[float]
    answers: list[int]
    rss_mb: list[float]
    files: list[int]


@dataclass(frozen=True, slots=True)
class Figures:
    requests: int
    streams: int
    streams_open_most: int
    streams_left: int
    wrong: int
    wrong_most: str
    seconds: float
    requests_s: float
    plain_p50_ms: float
    plain_p99_ms: float
    first_p50_ms: float
    first_p99_ms: float
    rss_start_mb: float
    rss_most_mb: float
    rss_end_mb: float
    rss_quarters_mb: tuple[float, ...]  # after each quarter of the run; a slope through steps does not say if they end
    rss_slope_mb_per_min: float
    rss_slope_error: float  # two standard errors
    rss_slope_bytes_per_request: float
    rss_slope_bytes_error: float
    files_most: int
    files_end: int
    in_flight_end: float
    records: int
    records_lost: int


async def soaked(soak: Soak, gateway: Program) -> Seen:
    """Runs the load and looks at the gateway once a second, and once more when all is quiet."""
    seen = Seen([], [], [], [])
    began = perf_counter()

    def look() -> None:
        seen.at_s.append(perf_counter() - began)
        seen.answers.append(len(soak.sums.plain_s))
        seen.rss_mb.append(gateway.rss_mb())
        seen.files.append(len(os.listdir(f"/proc/{gateway.popen.pid}/fd")))

    async def watch() -> None:
        while True:
            look()
            await asyncio.sleep(1.0)

    watching = asyncio.create_task(watch())
    try:
        await soak.run()
    finally:
        watching.cancel()
    await asyncio.sleep(1.0)
    look()
    return seen


def measured(requests: int, streams: int) -> Figures:
    load_core, *_, gateway_core = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="bench-soak-", ignore_cleanup_errors=True) as name:
        folder, port, upstream_port = Path(name), free_port(), free_port()
        config, home = folder / "sizewise.toml", folder / "home"
        config.write_text(CONFIG.format(upstream=upstream_port))
        env = dict(os.environ) | {"SIZEWISE_KEY": KEY, "BENCH_UPSTREAM_KEY": UPSTREAM_KEY}
        command = (sys.executable, "-m", "bench.gateway.upstream", f"--port={upstream_port}")
        upstream = Program(command, env, folder / "upstream.log", load_core)
        up = (sys.executable, "-m", "sizewise.cli.main", "up", "--port", str(port), "--home", str(home))
        gateway = Program((*up, "--config", str(config)), env, folder / "gateway.log", gateway_core)
        try:
            upstream.ready(upstream_port, "/v1/models")
            gateway.ready(port, "/readyz")
            soak = Soak(port, "static/tiny", [f"authorization: Bearer {KEY}"], requests, streams, CONNECTIONS)
            began = perf_counter()
            with core(load_core):
                seen = uvloop.run(soaked(soak, gateway))
            seconds = perf_counter() - began - 1.0
            in_flight = _in_flight(port)
        finally:
            gateway.stop()
            upstream.stop()
        with closing(sqlite3.connect(home / "sizewise.db")) as database:
            records = int(database.execute("select count(*) from records").fetchone()[0])
    return _figures(soak.sums, seen, seconds, in_flight, records)


def _figures(sums: Sums, seen: Seen, seconds: float, in_flight: float, records: int) -> Figures:
    settled = [number for number, at in enumerate(seen.at_s[:-1]) if at >= SETTLED * seconds]
    sizes = [seen.rss_mb[i] for i in settled]
    slope, error = slope_of([seen.at_s[i] / 60 for i in settled], sizes)
    each, each_error = slope_of([seen.answers[i] / 1e6 for i in settled], sizes)
    return Figures(
        len(sums.plain_s),
        sums.streams,
        sums.open_most,
        sums.left,
        len(sums.wrong),
        max(set(sums.wrong), key=sums.wrong.count, default=""),
        seconds,
        len(sums.plain_s) / seconds,
        _percentile_ms(sums.plain_s, 0.50),
        _percentile_ms(sums.plain_s, 0.99),
        _percentile_ms(sums.first_s, 0.50),
        _percentile_ms(sums.first_s, 0.99),
        seen.rss_mb[0],
        max(seen.rss_mb),
        seen.rss_mb[-1],
        tuple(seen.rss_mb[len(seen.rss_mb) * part // 4 - 1] for part in (1, 2, 3, 4)),
        slope,
        2 * error,
        each,
        2 * each_error,
        max(seen.files),
        seen.files[-1],
        in_flight,
        records,
        sums.asked - records,
    )


def slope_of(x: list[float], y: list[float]) -> tuple[float, float]:
    """Least squares: the slope and its standard error; nothing of fewer than three points.

    Memory moves by steps, so a look tells little that the look before it did not: the error is that of as many
    independent points as the correlation of each residual with the next leaves.
    """
    n = len(x)
    if n < 3:
        return 0.0, float("inf")
    mean_x, mean_y = sum(x) / n, sum(y) / n
    spread = sum((each - mean_x) ** 2 for each in x) or float("inf")
    slope = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / spread
    residuals = [b - mean_y - slope * (a - mean_x) for a, b in zip(x, y, strict=True)]
    rest = sum(each * each for each in residuals)
    with_next = sum(a * b for a, b in pairwise(residuals)) / rest if rest else 0.0
    more = (1 + with_next) / (1 - with_next) if with_next > 0 else 1.0
    return slope, (rest / (n - 2) / spread * more) ** 0.5


def _percentile_ms(seconds: list[float], share: float) -> float:
    """Nearest rank; 0 of nothing."""
    ordered = sorted(seconds)
    return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def _in_flight(port: int) -> float:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/metrics", headers={"authorization": f"Bearer {KEY}"})
        lines = connection.getresponse().read().decode().splitlines()
    finally:
        connection.close()
    return sum(float(line.rpartition(" ")[2]) for line in lines if "in_flight" in line and not line.startswith("#"))


def page(figures: Figures) -> str:
    f = figures
    rows = [
        ("plain requests, answered right", f"{f.requests:,} in {f.seconds:.0f} s ({f.requests_s:,.0f}/s)"),
        (
            "streams, whole / left in the middle",
            f"{f.streams:,} / {f.streams_left:,}; at once {f.streams_open_most:,}",
        ),
        ("wrong", f"{f.wrong}{f' ({f.wrong_most})' if f.wrong else ''}"),
        ("plain p50 / p99", f"{f.plain_p50_ms:.1f} / {f.plain_p99_ms:.1f} ms"),
        ("first word p50 / p99 (the upstream waits 500)", f"{f.first_p50_ms:.0f} / {f.first_p99_ms:.0f} ms"),
        ("memory start / most / end", f"{f.rss_start_mb:.0f} / {f.rss_most_mb:.0f} / {f.rss_end_mb:.0f} MB"),
        ("after each quarter", " / ".join(f"{each:.1f}" for each in f.rss_quarters_mb) + " MB"),
        ("its slope, from a quarter on", f"{f.rss_slope_mb_per_min:+.2f} +- {f.rss_slope_error:.2f} MB a minute"),
        ("", f"{f.rss_slope_bytes_per_request:+.2f} +- {f.rss_slope_bytes_error:.2f} bytes a plain request"),
        ("descriptors most / end", f"{f.files_most:,} / {f.files_end:,}"),
        ("in flight at the end", f"{f.in_flight_end:.0f}"),
        ("records / lost", f"{f.records:,} / {f.records_lost}"),
    ]
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=200_000)
    parser.add_argument("--streams", type=int, default=1_000)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    if not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2:
        print("The soak needs Linux and two cores: one for the load, one for the gateway.", file=sys.stderr)
        return 3
    figures = measured(asked.requests, asked.streams)
    print(json.dumps(asdict(figures), indent=1) if asked.json else page(figures))
    return int(bool(figures.wrong or figures.records_lost or figures.in_flight_end))


if __name__ == "__main__":
    sys.exit(main())
