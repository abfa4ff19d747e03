"""Every upstream fault at every endpoint, whole and streamed, under every policy: one well-formed end, no leak."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from sizewise.testing.fault_expectations import FAULT_EXPECTATIONS
from sizewise.testing.faults import FAULTS, FaultyUpstream
from sizewise.testing.wire_samples import PIECES, TEXT
from tests.gateway.fault_matrix import BACKUP, VECTOR, Cell, Lane, Line, Seen, asked, cells
from tests.gateway.leak_checks import at_rest, held, resident
from tests.running_server import Served, until

LANES: tuple[Lane, ...] = ("fast", "plain")
WAITS = ("hang", "hang-head", "hang-word", "endless", "endless-comments", "busy-date")
"""Faults that take a deadline to end: their cells wait for it together."""
DEADLINE_S = 60.0
MARGIN = 4  # file descriptors beyond those of idle connections to the upstream
MOST = 150_000_000  # bytes that it may grow by, with a dozen lines of nine megabytes each on their way


async def run(servers: dict[Lane, Served], every: list[Cell]) -> dict[Cell, str]:
    """Asks them all; what went wrong, by cell. Those that wait all at once, the others a few at a time."""
    wrong: dict[Cell, str] = {}

    async def work(lane: Lane, queue: list[Cell]) -> None:
        line = await Line.to(servers[lane])
        while queue:
            cell = queue.pop()
            try:
                async with asyncio.timeout(DEADLINE_S):
                    seen, headers = await asked(line, cell)
                check(cell, seen, headers)
            except (AssertionError, OSError, EOFError, ValueError, KeyError, TypeError) as error:
                wrong[cell] = f"{type(error).__name__} {error}"[:500]
                line.close()
                line = await Line.to(servers[lane])
        line.close()

    for waiting, workers in ((True, 150), (False, 12)):
        async with asyncio.TaskGroup() as group:
            for lane in LANES:
                queue = [each for each in every if each.endpoint.lane == lane and (each.fault in WAITS) == waiting]
                for _ in range(min(workers, len(queue))):
                    group.create_task(work(lane, queue))
    return wrong


def check(cell: Cell, seen: Seen, headers: dict[str, str]) -> None:
    end, alone = cell.end, cell.alone
    said = (seen.status, seen.code, seen.cut)
    assert said == ((200, "stream_interrupted", True) if end.interrupted else (end.status, end.code, False)), (
        said,
        seen.error,
    )
    rescued = cell.policy != "named" and alone.code
    if end.interrupted or (rescued and alone.interrupted):
        assert seen.text.startswith(PIECES[0]), seen.text
        assert seen.text.endswith(TEXT) == (not end.interrupted), seen.text
    elif not end.code:
        assert seen.text == (TEXT if cell.endpoint.stream else VECTOR), seen.text
    if rescued and not alone.interrupted and cell.endpoint.stream:
        assert headers["x-sizewise-model"] == BACKUP
    wait = FAULT_EXPECTATIONS[cell.fault].retry_after if end.code else None
    assert headers.get("retry-after") == (None if wait is None else str(wait))


def test_every_fault_has_an_end_that_is_promised() -> None:
    assert FAULT_EXPECTATIONS.keys() == FAULTS.keys()


@pytest.mark.long
async def test_every_cell_ends_once_and_well_formed_is_on_record_and_leaves_nothing_behind(
    lanes: dict[Lane, Served],
    faulty: FaultyUpstream,
) -> None:
    every = list(cells())
    before = {lane: (held(served), resident(served)) for lane, served in lanes.items()}
    began = {lane: newest(served.home) for lane, served in lanes.items()}
    wrong = await run(lanes, every)
    assert not wrong, f"{len(wrong)} of {len(every)}:\n" + "\n".join(f"{c}: {w}" for c, w in list(wrong.items())[:60])
    for lane, served in lanes.items():
        mine = [cell for cell in every if cell.endpoint.lane == lane]
        missed = misbooked(served.home, mine, began[lane])
        assert not missed, f"{len(missed)} of {len(mine)}:\n" + "\n".join(missed[:40])
        at_rest(served, faulty)
        files, memory = before[lane]
        until(partial(_idle, served, files, faulty))
        assert resident(served) - memory < MOST


def _idle(served: Served, before: int, faulty: FaultyUpstream) -> bool:
    """Whether it holds no more file descriptors than before, but for idle connections to the upstream."""
    return held(served) - before <= faulty.received.open_connections + MARGIN


def misbooked(home: Path, every: list[Cell], after: int) -> list[str]:
    """The cells whose record, of those after that id, does not tell what happened."""
    until(lambda: {cell.trace for cell in every} <= records(home, after).keys(), every=0.2)
    found, missed = records(home, after), []
    for cell in every:
        status, error, tries = found[cell.trace]
        end = (502, "stream_interrupted") if cell.end.interrupted else (cell.end.status, cell.end.code)
        failed = [code for model, code in tries if model != BACKUP][-1]
        if (status, error) != end or failed != cell.alone.code or tries[-1][1] != cell.end.code:
            missed.append(f"{cell}: {found[cell.trace]}, promised {end} after {cell.alone.code}")
    return missed


def newest(home: Path) -> int:
    """The id of the last record: a test that is run again has records of the same traces before it."""
    with closing(_opened(home)) as connection:
        return int(connection.execute("SELECT coalesce(max(id), 0) FROM records").fetchone()[0])


def records(home: Path, after: int) -> dict[str, tuple[int, str, list[tuple[str, str]]]]:
    """Trace -> status, error, and model and error of each attempt."""
    query = """SELECT r.trace, r.status, r.error, a.model, a.error FROM records r JOIN tries a ON a.record = r.id
               WHERE r.id > ? ORDER BY r.id, a.number"""
    with closing(_opened(home)) as connection:
        found: dict[str, tuple[int, str, list[tuple[str, str]]]] = {}
        for trace, status, error, model, code in connection.execute(query, (after,)):
            found.setdefault(trace, (status, error, []))[2].append((model, code))
    return found


def _opened(home: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{home / 'sizewise.db'}?mode=ro", uri=True)
