"""Workers that begin their collection elsewhere name the same tests in the same order."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.collection import turned

ROOT = Path(__file__).parents[1]


def test_each_worker_begins_at_its_share_and_leaves_nothing_out() -> None:
    assert [turned(list("abcdef"), worker, 3) for worker in range(3)] == [[*"abcdef"], [*"cdefab"], [*"efabcd"]]
    assert [turned(["a"], worker, 3) for worker in range(3)] == [["a"]] * 3


def test_three_workers_agree_on_the_tests_of_two_folders(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        for name in ("test_b.py", "test_a.py"):
            (tmp_path / folder / name).write_text("def test_z(): pass\n\n\ndef test_y(): pass\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = -p tests.collection --import-mode=importlib\n")
    command = [sys.executable, "-m", "pytest", "-n", "3", "-q", "-c", str(tmp_path / "pytest.ini"), str(tmp_path)]
    env = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}  # of the run around this
    run = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "8 passed" in run.stdout
