"""Measures what records take on disk, at the cap too, and an export of all; the figures never pass or fail a run.

`make bench-storage`, or `python -m bench.storage.run [--records N] [--more N] [--home DIR] [--json]`. A server answers
ten requests; their rows are copied, with ids and traces of their own over 20 days, through the batch writer and
database that servers have. Then `--more` records come while the cap is reached, and all that are left are exported.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from time import perf_counter, sleep, time
from typing import Any

from sqlalchemy import select

from sizewise.app.services import Services, open_services
from sizewise.settings.load import load_settings
from sizewise.storage.rows import RowGroup
from sizewise.telemetry.record_ids import PROCESS_BITS
from sizewise.telemetry.tables import ATTEMPTS, CHUNK, RECORDS
from tests.running_server import ECHO, serving

DAYS = 20
FLUSHED = 20_000
"""Records between two waits for the writer, which drops what it cannot hold."""
STEPS = 10
SETTLED_S = 4.0
"""After a burst, in which the log is emptied."""
RETENTION = ("retention of records", "usage roll-ups", "size of records")
Row = list[Any]


@dataclass
class Template:
    """One record and its attempts, as they lay."""

    record: Row
    attempts: list[Row]


@dataclass
class Figures:
    """Bytes of the database's file with its log. `just_after`: the last record; `bytes`: SETTLED_S later."""

    records: int
    seconds: float = 0.0
    just_after: int = 0
    bytes: int = 0
    at_cap: list[int] = field(default_factory=list)
    kept: list[int] = field(default_factory=list)
    retention_s: float = 0.0
    exports: list[dict[str, Any]] = field(default_factory=list)


def ask(home: Path, config: str) -> None:
    """Ten requests: seven plain ones, two with labels, and one that two models answered."""
    with serving(home, config) as server:
        for number in range(10):
            model = "auto" if number == 9 else "echo/small"
            body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": "Hello"}]}
            if number in (7, 8):
                body |= {
                    "user": "ann@example.com",
                    "sizewise": {"session": "conversation-4711", "tags": ["team=search"]},
                }
            assert server.ask("/v1/chat/completions", body).status == 200


def templates(services: Services) -> list[Template]:
    with services.storage.database.read() as connection:
        records = [list(row) for row in connection.execute(select(RECORDS).order_by(RECORDS.c.id))]
        attempts = [list(row) for row in connection.execute(select(ATTEMPTS))]
    return [Template(each, [row for row in attempts if row[0] == each[0]]) for each in records]


class Copies:
    """Rows of records, each of the next template, `step_us` after the one before."""

    def __init__(self, made: list[Template], since: float, step_us: int) -> None:
        names = [column.name for column in RECORDS.columns]
        self._places = [names.index(each) for each in ("id", "trace", "at", "chunk")]
        self._trace = [column.name for column in ATTEMPTS.columns].index("trace")
        self._made = made
        self._us = int(since * 1e6)
        self._step_us = step_us
        self._chance = Random(1)
        self._count = 0
        self._chunk = 0

    def __iter__(self) -> Iterator[RowGroup]:
        return self

    def __next__(self) -> RowGroup:
        template = self._made[self._count % len(self._made)]
        self._us += self._step_us
        id = self._us << PROCESS_BITS
        if self._count % CHUNK == 0:
            self._chunk = id
        self._count += 1
        trace = (self._us // 1_000_000 << 96 | self._chance.getrandbits(96)).to_bytes(16, "big").hex()
        row = template.record.copy()
        for place, value in zip(self._places, (id, trace, self._us // 1_000, self._chunk), strict=True):
            row[place] = value
        if not template.attempts:
            return (("records", (tuple(row),)),)
        tries = []
        for each in template.attempts:
            attempt = each.copy()
            attempt[0], attempt[self._trace] = id, trace
            tries.append(tuple(attempt))
        return (("records", (tuple(row),)), ("attempts", tries))


async def write(services: Services, copies: Copies, count: int) -> None:
    writer = services.storage.writer
    for number in range(count):
        writer.enqueue(next(copies))
        if number % FLUSHED == FLUSHED - 1:
            await writer.flush()
    await writer.flush()


async def maintain(services: Services) -> None:
    """What the leading server does each few minutes."""
    tasks = [*services.retention.periodic_tasks(), *services.usage_rollups.periodic_tasks()]
    tasks += services.size_limit.periodic_tasks()
    for task in tasks:
        if task.name in RETENTION:
            await task.run()


def file_bytes(home: Path) -> int:
    return sum(each.stat().st_size for each in home.glob("sizewise.db*"))


def count_records(services: Services) -> int:
    with services.storage.database.read() as connection:
        return int(connection.exec_driver_sql("SELECT count(*) FROM records").scalar_one())


def fill(home: Path, file: Path, records: int, more: int, say: Callable[[str], None]) -> Figures:
    found, now = Figures(records), time()
    with open_services(home, load_settings(file, home, {})) as services:
        made = templates(services)
        copies = Copies(made, now - DAYS * 86_400, DAYS * 86_400 * 1_000_000 // (records + more + 1))
        begun = perf_counter()
        asyncio.run(write(services, copies, records))
        found.seconds, found.just_after = perf_counter() - begun, file_bytes(home)
        sleep(SETTLED_S)
        found.bytes = file_bytes(home)
        say(f"{records:,} records: {found.just_after / 1e9:.3f} GB, {records / found.seconds:,.0f} records/s")
        say(f"{SETTLED_S:.0f} s later: {found.bytes / 1e9:.3f} GB")
        for _ in range(STEPS if more else 0):
            asyncio.run(write(services, copies, more // STEPS))
            begun = perf_counter()
            asyncio.run(maintain(services))
            found.retention_s += perf_counter() - begun
            services.storage.database.checkpoint(truncate=True)
            found.at_cap.append(file_bytes(home))
            found.kept.append(count_records(services))
            say(f"at the cap: {found.at_cap[-1] / 1e9:.3f} GB, {found.kept[-1]:,} records")
    return found


def resident_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def export(home: Path, config: str, form: str, since: str, file: Path) -> dict[str, Any]:
    """Peak memory of the command and of the server, in MB."""
    words = [sys.executable, "-m", "sizewise", "records", "export", "--format", form, "--since", since]
    with serving(home, config) as server:
        words += ["-o", str(file), "--json", "--home", str(home), "--config", str(home / "sizewise.toml")]
        before, begun = resident_mb(server.process.pid), perf_counter()
        process = subprocess.Popen(words, stdout=subprocess.PIPE)
        said = process.stdout.read() if process.stdout is not None else b""
        _, status, used = os.wait4(process.pid, 0)
        took, after = perf_counter() - begun, resident_mb(server.process.pid)
        if status:
            return {"format": form, "since": since, "failed": True}
    return {
        "format": form,
        "since": since,
        "records": json.loads(said)["records"],
        "seconds": round(took, 1),
        "bytes": file.stat().st_size,
        "command_mb": round(used.ru_maxrss / 1024, 1),
        "server_mb": [round(before, 1), round(after, 1)],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--more", type=int, default=0, help="records that come at the cap of --records")
    parser.add_argument("--home", type=Path, default=None)
    parser.add_argument("--no-export", action="store_true")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    config = f"{ECHO}\n[records]\nmax_rows = {given.records if given.more else 100_000_000}\nmax_bytes = 0\n"

    def say(words: str) -> None:
        print(words, file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory() as folder:
        home = given.home or Path(folder)
        ask(home, config)
        found = fill(home, home / "sizewise.toml", given.records, given.more, say)
        for form in () if given.no_export else ("jsonl", "parquet"):
            for since in (f"{DAYS // 10}d", f"{DAYS + 1}d"):
                found.exports.append(export(home, config, form, since, Path(folder) / f"records.{form}"))
                say(json.dumps(found.exports[-1]))
    if given.json:
        print(json.dumps(found.__dict__))


if __name__ == "__main__":
    main()
