"""What a change can reach runs first, nearest first; what it cannot reach has its turn, longest waiting first."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.history import FileRun, flaky_tests, read_history
from tests.selection import FAR, SUITES, UNREACHED, Suite, Unit, choose, distance, files_of_suites, units
from tests.walls.source import ROOT

LONG = next(each for each in SUITES if each.target == "test-long")


def of(file: str) -> Unit:
    return Unit(LONG, file, 1.0)


def test_a_file_is_nearest_to_itself_then_to_what_it_imports_and_what_has_its_name() -> None:
    crash = of("tests/storage/test_leader_lease.py")
    assert distance(crash, ["tests/storage/test_leader_lease.py"]) == 0
    assert distance(crash, ["sizewise/storage/leader_lease.py", "docs/index.md"]) == 1
    assert distance(of("tests/flows/test_boundaries.py"), ["sizewise/flows/nodes/ask.py"]) in (2, 3)


def test_what_starts_the_program_is_far_from_all_of_it_and_what_does_not_is_unreached() -> None:
    assert distance(of("tests/gateway/test_batches.py"), ["sizewise/tuning/poison.py"]) == FAR
    assert distance(of("tests/routing/test_bounds.py"), ["sizewise/gateway/batches/api.py"]) == UNREACHED
    assert distance(of("tests/routing/test_bounds.py"), ["docs/index.md", "README.md"]) == UNREACHED
    assert distance(of("tests/routing/test_bounds.py"), ["pyproject.toml"]) == FAR


def test_the_studio_and_the_edge_are_reached_by_their_sources() -> None:
    web, edge = (Unit(each, each.target, 0.0) for each in SUITES if not each.files)
    assert distance(web, ["web/src/App.svelte"]) == 1 and distance(edge, ["web/src/App.svelte"]) == UNREACHED
    assert distance(edge, ["edge/src/worker.ts"]) == 1


def test_the_nearest_come_first_and_the_others_by_turns_within_the_time() -> None:
    near = [Unit(LONG, f"near{number}", 10.0, distance=number, ran_at=50.0) for number in range(10)]
    far = [Unit(LONG, f"far{number}", 10.0, ran_at=100.0 - number) for number in range(10)]
    chosen = [each.file for each in choose([*far, *near], 100.0, "")]
    assert chosen[:6] == [f"near{number}" for number in range(6)]
    assert set(chosen[6:]) == {f"near{number}" for number in range(6, 10)}, "they have waited longest"
    near = [Unit(LONG, each.file, 10.0, each.distance, ran_at=200.0) for each in near]
    assert [each.file for each in choose([*far, *near], 100.0, "")][6:] == ["far9", "far8", "far7", "far6"]


def test_a_suite_that_takes_minutes_to_install_has_no_turn_in_a_short_time() -> None:
    slow = Suite("slow", setup=240.0)
    assert choose([Unit(slow, "a", 1.0, distance=0), Unit(LONG, "b", 1.0)], 100.0, "") == [Unit(LONG, "b", 1.0)]
    assert len(choose([Unit(slow, "a", 1.0, distance=0), Unit(slow, "b", 1.0, distance=0)], 500.0, "")) == 2


def test_without_a_history_each_file_has_its_turn_in_some_run() -> None:
    files = [Unit(LONG, f"test{number}", 10.0) for number in range(20)]
    seen = {each.file for run in range(40) for each in choose(files, 50.0, str(run))}
    assert len(seen) == 20


def test_every_test_file_with_a_mark_is_in_a_suite_that_the_makefile_has() -> None:
    makefile = (ROOT / "Makefile").read_text()
    rest = makefile.partition("\ntest-all: test ")[2].partition("\n")[0].split()
    assert sorted(rest) == sorted(each.target for each in SUITES)
    found = files_of_suites()
    assert all(found[each.target] for each in SUITES if each.files)
    marked = {path for path in (ROOT / "tests").rglob("test_*.py") if "mark.long" in path.read_text()}
    chosen = {ROOT / file for files in found.values() for file in files}
    assert {path for path in marked if "/edge/" not in str(path)} <= chosen


def test_a_run_is_recorded_by_file_and_what_failed_in_some_runs_alone_is_flaky(tmp_path: Path) -> None:
    tests = "import os\ndef test_whole(): pass\ndef test_now_and_then(): assert os.environ['N'] != '2'\n"
    (tmp_path / "test_it.py").write_text(tests)
    (tmp_path / "conftest.py").write_text(
        "from tests.history import record_history\ndef pytest_configure(config): record_history(config)\n"
    )
    history = tmp_path / "kept" / "history.jsonl"
    env = {"PYTHONPATH": str(ROOT), "TEST_HISTORY": str(history), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    for number in range(3):
        words = [sys.executable, "-m", "pytest", "-q", "-p", "xdist", "-n", "1", "--rootdir", str(tmp_path), "."]
        subprocess.run(words, cwd=tmp_path, env=env | {"N": str(number)}, capture_output=True, timeout=60)
    runs = list(read_history(history))
    assert [(each.file, each.passed) for each in runs] == [("test_it.py", 2), ("test_it.py", 2), ("test_it.py", 1)]
    assert flaky_tests(runs) == [("test_it.py::test_now_and_then", 1, 3)]
    with history.open("a") as file:
        file.write('{"file": "test_it')
    assert len(list(read_history(history))) == 3, "a line that was cut short is passed over"


def test_the_time_of_a_unit_is_that_of_its_last_run_shared_by_its_workers() -> None:
    run = FileRun("tests/flows/test_workers.py", "100:1", "c", "3.11.2", 30.0, 4, [])
    found = {each.file: each for each in units([run])}
    assert found[run.file].seconds == 10.0 and found[run.file].ran_at == 100.0
    assert json.loads(json.dumps(run.run)) == "100:1"
