"""A large `sizewise route calibrate` runs in worker processes: stopped at any moment, it leaves none and continues."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest

from tests.cli.terminal import sizewise
from tests.cli.test_calibrate import ASK, written
from tests.forked import PYTHONPATH, command
from tests.running_server import environment, until

JOBS = "\n[jobs]\nworkers = {}\n"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("large"), 5_000)


@pytest.fixture(scope="module")
def whole(home: Path) -> dict[str, object]:
    """Of a calibration that nobody stopped, in one process."""
    return certified(home, 1)


def certified(home: Path, workers: int) -> dict[str, object]:
    settings = home / "sizewise.toml"
    settings.write_text(settings.read_text().partition("\n[jobs]")[0] + JOBS.format(workers))
    done = sizewise("route", "calibrate", str(home), *ASK, "--json", home=home)
    assert done.code == 0, done.err
    found: dict[str, object] = json.loads(done.out)
    return {name: value for name, value in found.items() if name != "diff"}  # of the settings


def children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs Linux's /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_stopped_calibration_leaves_no_process_and_the_next_continues(
    home: Path, whole: dict[str, object], number: signal.Signals
) -> None:
    words = ("route", "calibrate", str(home), *ASK, "--json")
    env = {**environment(SIZEWISE_HOME=str(home)), "PYTHONPATH": PYTHONPATH}
    with subprocess.Popen(command(*words), env=env, cwd=home, stdout=subprocess.DEVNULL) as process:
        until(lambda: any(file.stat().st_size for file in (home / "jobs").glob("*.results")))
        workers = children(process.pid)
        process.send_signal(number)
        assert process.wait() != 0 and workers
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
    (stored,) = (home / "jobs").glob("*.results")
    assert stored.stat().st_mode & 0o77 == 0 and b"question" not in stored.read_bytes()
    assert certified(home, 2) == whole
    assert not list((home / "jobs").iterdir()), "what is done is deleted"
