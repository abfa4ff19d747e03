"""Kill -9 at every step: each run ends after a restart, and no step that was done is asked again."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.flows.worker_process import STEPS, asked, done, working
from tests.running_server import until


@pytest.mark.long
def test_runs_killed_at_each_of_their_ten_steps_all_end_and_no_step_that_was_done_is_asked_again(
    tmp_path: Path,
) -> None:
    home = tmp_path / "home"
    with working(home, tmp_path) as worker:
        worker.do("publish")
        ids = [worker.do("start", hold=number) for number in range(STEPS)]
        until(lambda: all(asked(tmp_path)[id, at] for at, id in enumerate(ids)))
        worker.kill()
    (tmp_path / "gate").touch()
    with working(home, tmp_path) as worker:
        done(worker, ids)
        assert all(len(worker.do("value", run=id)["gave"]) == STEPS for id in ids)
    for at, id in enumerate(ids):
        expected = {number: 2 if number == at else 1 for number in range(STEPS)}
        assert {number: asked(tmp_path)[id, number] for number in range(STEPS)} == expected
