"""Several workers on one Postgres: what a dead one ran goes on elsewhere, and a paused one can write nothing after."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.flows.worker_process import STEPS, asked, done, working
from tests.postgres import dedicated_postgres
from tests.running_server import until

pytestmark = pytest.mark.long


def test_the_runs_of_a_dead_and_of_a_paused_worker_end_elsewhere_within_30_s_and_the_paused_one_writes_nothing(
    postgres_url: str,
    tmp_path: Path,
) -> None:
    folders = [tmp_path / name for name in ("dead", "paused", "alive")]
    for each in folders:
        each.mkdir()
    dead, paused, alive = folders
    (alive / "gate").touch()
    with (
        working(alive / "home", alive, postgres_url) as survivor,
        working(dead / "home", dead, postgres_url) as killed,
        working(paused / "home", paused, postgres_url) as stopped,
    ):
        survivor.do("publish")
        until(lambda: killed.do("look") and stopped.do("look"))
        lost = [killed.do("start", hold=4) for _ in range(3)]
        held = [stopped.do("start", hold=6) for _ in range(3)]
        until(lambda: all(asked(dead)[id, 4] for id in lost) and all(asked(paused)[id, 6] for id in held))
        stopped.signal(signal.SIGSTOP)
        killed.kill()
        done(survivor, [*lost, *held], 60)
        mine = survivor.process.pid
        before = {id: survivor.do("value", run=id)["gave"] for id in held}
        for id in lost:
            gave = survivor.do("value", run=id)["gave"]
            assert gave == [killed.process.pid] * 4 + [mine] * 6
            assert [asked(dead)[id, n] + asked(alive)[id, n] for n in range(STEPS)] == [1, 1, 1, 1, 2, 1, 1, 1, 1, 1]
        assert all(gave == [stopped.process.pid] * 6 + [mine] * 4 for gave in before.values())

        (paused / "gate").touch()
        stopped.signal(signal.SIGCONT)  # its steps end now, and are written nowhere
        until(lambda: not stopped.do("going"))
        assert {id: survivor.do("value", run=id)["gave"] for id in held} == before
        assert all(asked(paused)[id, number] == (number <= 6) for id in held for number in range(STEPS))
        assert all(survivor.do("steps", run=id) == before[id] for id in held)
        late = stopped.do("start")  # and it is a worker again
        done(stopped, [late])


def test_a_postgres_that_is_started_anew_in_the_middle_delays_runs_and_fails_none(tmp_path: Path) -> None:
    with dedicated_postgres() as server, working(tmp_path / "home", tmp_path, server.url()) as worker:
        worker.do("publish")
        ids = [worker.do("start", hold=number) for number in range(STEPS)]
        until(lambda: all(asked(tmp_path)[id, at] for at, id in enumerate(ids)))
        server.stop("fast")
        server.start()
        (tmp_path / "gate").touch()
        done(worker, ids, 60)
        assert all(asked(tmp_path)[id, number] == 1 for id in ids for number in range(STEPS))
