"""What was accepted survives: `kill -9`, a full disk, a second server on the same home."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from sizewise.app.services import open_services
from sizewise.errors import ExternalFailure

FLUSH_S = 0.05

WORK = """
import asyncio, sys, time
from pathlib import Path
from msgspec import Raw
from sizewise.handler import AttemptFinished, ModelSelected, Request, discard_events
from sizewise.principal import Principal
from sizewise.messages import ChatRequest, Choice, Message, Reply, Usage
from sizewise.app.services import open_services
from sizewise.telemetry.metrics import Metrics
from sizewise.telemetry.record_queries import RecordFilter
from sizewise.telemetry.recorder import RecordingMiddleware

async def handler(request, send):
    await send(ModelSelected("here/small", "cheapest that fits", 1))
    await send(AttemptFinished("here/small", "machine", "answered", "cheapest that fits", 0, 0.1, 0.2, Usage(10, 5), 0))
    return Reply((Choice(0, "hi"),), Usage(10, 5))

services = open_services(Path(sys.argv[1]))
records = services.records
recorded = RecordingMiddleware(
    handler, write=records.enqueue, metrics=Metrics(records.queue_counts), record_ids=records.ids
)
chat = ChatRequest("auto", [Message("user", "x")], {"messages": Raw(b"[]")})

async def request(number):
    await recorded(Request(chat, Principal(), f"{number:032x}", time.perf_counter()), discard_events)
"""

ENDLESS = (
    WORK
    + """
import threading
late = [0.0]

def measure_delay():  # how late this machine wakes a thread that wants the processor and the disk, as the writer does
    with open(sys.argv[1] + "/delay", "wb") as file:
        while True:
            began = time.monotonic()
            time.sleep(0.005)
            file.write(b"x" * 4096)
            file.flush()
            late[0] = max(late[0], time.monotonic() - began - 0.005)

threading.Thread(target=measure_delay, daemon=True).start()

async def main():
    number = int(sys.argv[2])
    while True:
        for number in range(number + 1, number + 21):
            await request(number)
        print(number, time.monotonic(), late[0], flush=True)
        await asyncio.sleep(0.001)
asyncio.run(main())
"""
)

FULL = (
    WORK
    + """
import json, resource

async def main():
    for number in range(100):
        await request(number)
    await records.flush()
    size = max(path.stat().st_size for path in Path(sys.argv[1]).iterdir())
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 8192, resource.RLIM_INFINITY))
    number = 99
    while not services.problem:
        number += 1
        await request(number)
        await asyncio.sleep(0)
    for number in range(number + 1, number + 51):
        await request(number)
    problem = services.problem
    seen = len((await records.page(RecordFilter(), 5)).rows)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await records.flush()
    print(json.dumps([number + 1, problem, seen, services.problem, records.queue_counts()]))
asyncio.run(main())
services.close()
"""
)


@contextmanager
def working(script: str, *arguments: Path | int) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def stored_numbers(home: Path) -> set[int]:
    """Numbers of the whole records; fails on a damaged file and on a record without its attempt."""
    connection = sqlite3.connect(home / "sizewise.db")
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    whole = "SELECT records.trace, tries.trace FROM records LEFT JOIN tries ON tries.record = records.id"
    rows = connection.execute(whole).fetchall()
    connection.close()
    assert all(mine == other for mine, other in rows)
    return {int(trace, 16) for trace, _ in rows}


@pytest.mark.long
def test_kill_9_never_damages_the_file_and_loses_no_more_than_the_last_50_ms(tmp_path: Path) -> None:
    number = 0
    for _ in range(5):
        accepted: list[tuple[int, float]] = []  # how many so far, and when
        late = 0.0
        with working(ENDLESS, tmp_path, number) as process:
            assert process.stdout is not None
            for line in process.stdout:  # to its end: also what it still said before it died
                count, at, late = (float(word) for word in line.split())
                accepted.append((int(count), at))
                if at - accepted[0][1] > 0.3:
                    process.kill()
        number, died = accepted[-1]
        stall = max(later - earlier for (_, earlier), (_, later) in pairwise(accepted))
        safe = [count for count, at in accepted if at < died - FLUSH_S - stall - late]
        found = stored_numbers(tmp_path)
        assert set(range(1, safe[-1] + 1)) <= found, "more than the last 50 ms (and the stalls of this machine) is lost"
        assert found <= set(range(number + 21))
        number = max(found)


@pytest.mark.long
def test_on_a_full_disk_the_server_lives_says_so_and_writes_everything_when_there_is_room_again(tmp_path: Path) -> None:
    with working(FULL, tmp_path) as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    total, problem, seen, after, waiting = json.loads(out)
    assert problem.startswith("cannot write records: ")
    assert (seen, after, waiting) == (5, "", [0, 0])
    assert stored_numbers(tmp_path) == set(range(total))
    assert "Traceback" not in err


@pytest.mark.long
def test_a_second_one_on_the_same_home_is_refused_with_the_process_that_holds_it(tmp_path: Path) -> None:
    with working(ENDLESS, tmp_path, 0) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(ExternalFailure, match=f"process {process.pid}, uses the home folder") as refused:
            open_services(tmp_path)
        assert f"kill {process.pid}" in refused.value.hint
        process.kill()
        process.wait()
        open_services(tmp_path).close()
