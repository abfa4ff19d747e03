"""500 requests a second for an hour on two workers, while things break; prints what grew, and which records are lost.

`make bench-soak-faults`, or `python -m bench.soak.faults [--minutes N] [--rate N] [--json]`. One request in 20 meets an
upstream that fails, one stream in ten is left by its client; in turns a worker is killed, stopped for two seconds, the
settings are loaded anew and the upstream is started again; the store is killed once. Each request brings a trace id of
its own, so a record is looked for by name: one is lost if a right answer has none. Memory is that of the processes that
nobody kills, as a whole and without pages of files (anonymous). Ends with 1 if an answer was wrong with no fault near
it, or more was lost than a kill may cost.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sqlite3
import sys
import tempfile
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import cycle
from pathlib import Path
from time import perf_counter

import uvloop

from bench.gateway.connection import Connection, Heard
from bench.gateway.exchange import ROUTE, question
from bench.gateway.peers import KEY, UPSTREAM_KEY
from bench.gateway.process import Program, free_port
from bench.soak.growth import Growth, growth_of
from bench.soak.run import SETTLED, _percentile_ms

FAULTY = ("broken", "reset", "html", "reset-mid", "busy")
NEAR_S = 5.0
"""What goes wrong so soon after a fault counts as caused by it."""
WINDOW_S = 0.05
"""What a kill may cost of records that are not yet written (docs/explanation/processes.md)."""
LOOK_S = 10.0
CONFIG = """[server]
workers = 2
embedded = false
discover = false

[providers.static]
base_url = "http://127.0.0.1:{upstream}/v1"
key = "env:BENCH_UPSTREAM_KEY"
place = "machine"
models = ["tiny"]

[providers.faulty]
base_url = "http://127.0.0.1:{faulty}/v1"
key = "env:BENCH_UPSTREAM_KEY"
place = "machine"
models = {models}
"""


@dataclass(slots=True)
class Counts:
    """`right`: trace ids of right answers. `wrong`: of requests to the healthy model, with no fault near."""

    asked: int = 0
    right: array[int] = field(default_factory=lambda: array("Q"))
    plain_s: array[float] = field(default_factory=lambda: array("f"))
    failed_as_told: int = 0
    left: int = 0
    near_fault: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)


class Rate:
    """So many requests a second, each when it is due, whether others were answered or not."""

    def __init__(self, port: int, rate: int, counts: Counts) -> None:
        self._port, self._rate, self._counts = port, rate, counts
        self._idle = list[Connection]()
        self._asked = dict[Connection, tuple[int, str]]()
        self._heads = {
            (kind, model): _head(port, kind, model)
            for kind, model in [("plain", "static/tiny"), ("dripped", "static/tiny")]
            + [("plain", f"faulty/{name}") for name in FAULTY]
        }
        self.fault, self.fault_until = "", 0.0

    async def run(self, seconds: float) -> None:
        began, faults = perf_counter(), cycle(FAULTY)
        while (now := perf_counter() - began) < seconds:
            for _ in range(int(now * self._rate) - self._counts.asked):
                self._counts.asked += 1
                number = self._counts.asked
                if number % 20 == 0:
                    asyncio.ensure_future(self._ask(number, "plain", f"faulty/{next(faults)}"))
                else:
                    asyncio.ensure_future(self._ask(number, "dripped" if number % 10 == 1 else "plain", "static/tiny"))
            await asyncio.sleep(0.004)
        await asyncio.sleep(5.0)

    async def _ask(self, number: int, kind: str, model: str) -> None:
        connection = None
        while self._idle and (connection is None or not connection.open):
            connection = self._idle.pop()
        if connection is None or not connection.open:
            loop = asyncio.get_running_loop()
            try:
                _, connection = await loop.create_connection(lambda: Connection(self._told), "127.0.0.1", self._port)
            except OSError as error:
                self._fail(model, f"no connection: {error.strerror}")
                return
        start, end, marks = self._heads[kind, model]
        self._asked[connection] = number, model
        connection.ask(start + b"%032x" % number + end, marks, kind == "dripped", perf_counter())
        if kind == "dripped" and number % 100 == 1:
            await asyncio.sleep(0.02)
            if self._asked.pop(connection, None) is not None:
                self._counts.left += 1
                connection.close()

    def _told(self, connection: Connection, heard: Heard) -> None:
        number, model = self._asked.pop(connection, (0, ""))
        if number and heard.wrong:
            self._fail(model, heard.wrong)
        elif number:
            self._counts.right.append(number)
            self._counts.plain_s.append(heard.last_s)
        if connection.open:
            self._idle.append(connection)

    def _fail(self, model: str, why: str) -> None:
        if model.startswith("faulty/"):
            self._counts.failed_as_told += 1
        elif perf_counter() < self.fault_until:
            self._counts.near_fault[f"{self.fault}: {why}"] += 1
        else:
            self._counts.wrong[why] += 1


def _head(port: int, kind: str, model: str) -> tuple[bytes, bytes, int]:
    asked = question("dripped" if kind == "dripped" else "plain", model)
    lines = [f"POST {ROUTE} HTTP/1.1", f"host: 127.0.0.1:{port}", f"authorization: Bearer {KEY}"]
    lines += ["content-type: application/json", f"content-length: {len(asked.body)}", "x-sizewise-trace: "]
    return "\r\n".join(lines).encode(), b"\r\n\r\n" + asked.body, asked.marks


@dataclass
class Faults:
    """What breaks, in turns. `done`: how often, by name. `reloads`: when, by the clock."""

    gateway: Program
    upstream: Callable[[], Program]
    running: Program
    done: Counter[str] = field(default_factory=Counter)
    reloads: list[float] = field(default_factory=list)

    async def run(self, rate: Rate, every_s: float) -> None:
        turns = cycle([self.kill_worker, self.pause_worker, self.reload, self.restart_upstream])
        await asyncio.sleep(every_s / 2)
        while True:
            fault = self.kill_store if not self.done["store killed"] else next(turns)
            rate.fault, rate.fault_until = fault.__name__, float("inf")
            await fault()
            rate.fault_until = perf_counter() + NEAR_S
            await asyncio.sleep(every_s)

    async def kill_store(self) -> None:
        self.done["store killed"] += 1
        os.kill(named(self.gateway)["store"], signal.SIGKILL)
        await asyncio.sleep(2.0)

    async def kill_worker(self) -> None:
        self.done["worker killed"] += 1
        os.kill(named(self.gateway)["gw-2"], signal.SIGKILL)
        await asyncio.sleep(2.0)

    async def pause_worker(self) -> None:
        self.done["worker stopped for 2 s"] += 1
        pid = named(self.gateway)["gw-2"]
        os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(2.0)
        os.kill(pid, signal.SIGCONT)

    async def reload(self) -> None:
        self.done["settings loaded anew"] += 1
        self.reloads.append(perf_counter())
        os.kill(self.gateway.popen.pid, signal.SIGHUP)
        await asyncio.sleep(1.0)

    async def restart_upstream(self) -> None:
        self.done["upstream started again"] += 1
        await asyncio.to_thread(self.running.stop)
        await asyncio.sleep(1.0)
        self.running = await asyncio.to_thread(self.upstream)


def named(gateway: Program) -> dict[str, int]:
    """`store`, `gw-1`, ... and the supervisor as `up`, with their process ids."""
    found = {"up": gateway.popen.pid}
    for pid in gateway.tree()[1:]:
        try:
            name = Path(f"/proc/{pid}/comm").read_text().strip()
        except OSError:
            continue
        if name.startswith("sizewise-"):
            found[name.removeprefix("sizewise-")] = pid
    return found


@dataclass
class Memory:
    """Private and anonymous megabytes of each process, with the seconds since `began` at which they were read."""

    began: float = field(default_factory=perf_counter)
    at_s: list[float] = field(default_factory=list)
    mb: dict[str, list[float]] = field(default_factory=lambda: {"up": [], "store": [], "gw-1": []})
    anonymous_mb: dict[str, list[float]] = field(default_factory=lambda: {"up": [], "store": [], "gw-1": []})

    async def watch(self, gateway: Program) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            pids = named(gateway)
            if all(name in pids for name in self.mb):
                self.at_s.append(perf_counter() - self.began)
                for name, sizes in self.mb.items():
                    private, anonymous = _memory_mb(pids[name])
                    sizes.append(private)
                    self.anonymous_mb[name].append(anonymous)


def _memory_mb(pid: int) -> tuple[float, float]:
    """Private, and anonymous."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0, 0.0
    found = [(line.split()[0], int(line.split()[1]) / 1e3) for line in lines[1:]]
    private = sum(mb for name, mb in found if name.startswith("Private_"))
    return private, sum(mb for name, mb in found if name == "Anonymous:")


@dataclass(frozen=True)
class Figures:
    minutes: float
    asked: int
    right: int
    failed_as_told: int
    left: int
    near_fault: dict[str, int]
    wrong: dict[str, int]
    faults: dict[str, int]
    lost: int
    may_be_lost: int
    p50_ms: float
    p99_ms: float
    quarters_mb: dict[str, list[float]]
    anonymous_growth: dict[str, Growth]
    looks: Memory
    reloads_s: list[float]


async def soaked(rate: Rate, faults: Faults, memory: Memory, seconds: float, every_s: float) -> None:
    beside = [asyncio.ensure_future(faults.run(rate, every_s)), asyncio.ensure_future(memory.watch(faults.gateway))]
    await rate.run(seconds)
    for each in beside:
        each.cancel()
    failed = [each for each in await asyncio.gather(*beside, return_exceptions=True) if isinstance(each, Exception)]
    assert not failed, failed


def measured(minutes: float, per_second: int, every_s: float) -> Figures:
    with tempfile.TemporaryDirectory(prefix="bench-soak-", ignore_cleanup_errors=True) as name:
        folder, ports = Path(name), [free_port() for _ in range(3)]
        port, healthy, faulty = ports
        config, home = folder / "sizewise.toml", folder / "home"
        config.write_text(CONFIG.format(upstream=healthy, faulty=faulty, models=json.dumps(FAULTY)))
        env = dict(os.environ) | {"SIZEWISE_KEY": KEY, "BENCH_UPSTREAM_KEY": UPSTREAM_KEY}
        start = partial(_started, env, folder)
        upstream = partial(start, healthy, "/v1/models", "bench.gateway.upstream", f"--port={healthy}")
        faults_of = Program(
            (sys.executable, "-m", "sizewise.testing.upstream", str(faulty)),
            env,
            folder / "faulty.log",
            *os.sched_getaffinity(0),
        )
        up = ("sizewise.cli.main", "up", "--port", str(port), "--home", str(home), "--config", str(config))
        gateway = start(port, "/readyz", *up)
        counts, memory = Counts(), Memory()
        faults = Faults(gateway, upstream, upstream())
        try:
            uvloop.run(soaked(Rate(port, per_second, counts), faults, memory, minutes * 60, every_s))
        finally:
            gateway.stop()
            faults.running.stop()
            faults_of.stop()
        lost = _lost(home / "sizewise.db", counts)
    kills = faults.done["worker killed"] + faults.done["store killed"]
    reloads = [at - memory.began for at in faults.reloads]
    settled = [at for at in reloads if at >= SETTLED * minutes * 60]
    return Figures(
        minutes=minutes,
        asked=counts.asked,
        right=len(counts.right),
        failed_as_told=counts.failed_as_told,
        left=counts.left,
        near_fault=dict(counts.near_fault),
        wrong=dict(counts.wrong),
        faults=dict(faults.done),
        lost=lost,
        may_be_lost=round(kills * WINDOW_S * per_second),
        p50_ms=_percentile_ms(list(counts.plain_s), 0.50),
        p99_ms=_percentile_ms(list(counts.plain_s), 0.99),
        quarters_mb={name: list(_quarters(sizes)) for name, sizes in memory.mb.items()},
        anonymous_growth={name: growth_of(memory.at_s, each, settled) for name, each in memory.anonymous_mb.items()},
        looks=memory,
        reloads_s=reloads,
    )


def _started(env: dict[str, str], folder: Path, port: int, ready: str, module: str, *arguments: str) -> Program:
    command = (sys.executable, "-m", module, *arguments)
    program = Program(command, env, folder / f"{module}.log", *os.sched_getaffinity(0))
    program.ready(port, ready)
    return program


def _quarters(sizes: list[float]) -> Iterator[float]:
    """After each quarter of the run."""
    for part in (1, 2, 3, 4):
        if sizes:
            yield round(sizes[max(0, len(sizes) * part // 4 - 1)], 1)


def _lost(database: Path, counts: Counts) -> int:
    """Right answers without a record."""
    there = bytearray(counts.asked + 1)
    with closing(sqlite3.connect(database)) as connection:
        for (trace,) in connection.execute("select trace from records"):
            if trace.startswith("0" * 16):
                there[int(trace, 16)] = 1
    return sum(not there[number] for number in counts.right)


def page(f: Figures) -> str:
    def listed(counted: dict[str, int]) -> str:
        return ", ".join(f"{count:,} {name}" for name, count in counted.items()) or "0"

    rows = [
        ("requests in minutes", f"{f.asked:,} in {f.minutes:g}"),
        ("right", f"{f.right:,}"),
        ("failed as their upstream did", f"{f.failed_as_told:,}"),
        ("streams that their client left", f"{f.left:,}"),
        ("faults", listed(f.faults)),
        (f"failed within {NEAR_S:g} s of a fault", listed(f.near_fault)),
        ("wrong with no fault near", listed(f.wrong)),
        ("records lost / what the kills may cost", f"{f.lost} / {f.may_be_lost}"),
        ("p50 / p99", f"{f.p50_ms:.1f} / {f.p99_ms:.1f} ms"),
    ]
    for name, quarters in f.quarters_mb.items():
        sizes = " / ".join(f"{each:.1f}" for each in quarters)
        rows.append((f"private memory of `{name}` after each quarter", f"{sizes} MB"))
        (between, error), (step, step_error) = f.anonymous_growth[name].between, f.anonymous_growth[name].at_reload
        grown = f"{between:+.2f} +- {error:.2f} MB/h between reloads, {step:+.2f} +- {step_error:.2f} MB at one"
        rows.append((f"anonymous memory of `{name}`", grown))
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--rate", type=int, default=500)
    parser.add_argument("--every", type=float, default=60.0, help="seconds between two faults")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    found = measured(asked.minutes, asked.rate, asked.every)
    print(json.dumps(asdict(found), indent=1) if asked.json else page(found))
    return int(bool(found.wrong or found.lost > found.may_be_lost))


if __name__ == "__main__":
    sys.exit(main())
