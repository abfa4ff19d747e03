"""Selection of test files: nearest to the change first, then the least recently run; and the history it reads."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.history import FileRun, flaky_tests, read_history
from tests.selection import (
    DAY_S,
    FAR,
    OF_CHECK_EDGE,
    SUITES,
    UNREACHED,
    Suite,
    Unit,
    choose,
    distance,
    suites_of,
    units,
    with_distances,
)
from tests.walls.source import ROOT

LONG = next(each for each in SUITES if each.target == "test-long")
NOW = 1_000_000.0


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


def test_the_nearest_come_first_then_the_least_recently_run_within_the_time() -> None:
    near = [Unit(LONG, f"near{number}", 10.0, distance=number, ran_at=50.0) for number in range(10)]
    far = [Unit(LONG, f"far{number}", 10.0, ran_at=100.0 - number) for number in range(10)]
    chosen = [each.file for each in choose([*far, *near], 100.0, "", NOW)]
    assert chosen[:6] == [f"near{number}" for number in range(6)]
    assert set(chosen[6:]) == {f"near{number}" for number in range(6, 10)}, "they have waited longest"
    near = [Unit(LONG, each.file, 10.0, ran_at=200.0, distance=each.distance) for each in near]
    assert [each.file for each in choose([*far, *near], 100.0, "", NOW)][6:] == ["far9", "far8", "far7", "far6"]


def test_a_suite_that_takes_minutes_to_install_runs_where_there_is_time_and_when_it_is_overdue() -> None:
    slow = Suite("slow", "mark", setup=240.0)
    near = [Unit(LONG, f"near{number}", 10.0, NOW, distance=0) for number in range(40)]
    apart = Unit(slow, "a", 1.0, distance=0)
    assert apart not in choose([apart, *near], 300.0, "", NOW)
    assert apart in choose([apart, *near], 500.0, "", NOW)
    assert apart not in choose([replace(apart, ran_at=NOW - 0.9 * DAY_S), *near], 300.0, "", NOW)
    overdue = replace(apart, ran_at=NOW - 1.1 * DAY_S, distance=UNREACHED)
    assert overdue in choose([overdue, *near], 350.0, "", NOW)


def test_a_file_of_two_suites_runs_in_both() -> None:
    both = [Unit(LONG, "a", 1.0), Unit(Suite("other", "mark"), "a", 1.0)]
    assert {each.key for each in choose(both, 10.0, "", NOW)} == {("test-long", "a"), ("other", "a")}
    assert len(suites_of("tests/sdks/test_page.py")) == 2


def test_without_a_history_each_file_runs_at_some_commit() -> None:
    files = [Unit(LONG, f"test{number}", 10.0) for number in range(20)]
    seen = {each.file for run in range(40) for each in choose(files, 50.0, str(run), NOW)}
    assert len(seen) == 20


@pytest.mark.parametrize(
    ("file", "path"),
    [
        ("tests/gateway/test_batches.py", "tests/gateway/conftest.py"),
        ("tests/limits/test_postgres.py", "tests/postgres.py"),
        ("tests/examples/test_support.py", "examples/support/sizewise.toml"),
        ("tests/sdks/test_node.py", "tests/sdks/node/package.json"),
        ("tests/sdks/test_page.py", "docs/how-to/with-other-sdks.md"),
        ("tests/bench/test_flows.py", "bench/flows/run.py"),
    ],
)
def test_fixtures_data_examples_pages_and_benches_are_near_their_tests(file: str, path: str) -> None:
    assert distance(of(file), [path]) <= 2


def test_every_test_file_is_in_a_suite_that_the_makefile_has() -> None:
    makefile = (ROOT / "Makefile").read_text()
    rest = makefile.partition("\ntest-all: test ")[2].partition("\n")[0].split()
    assert sorted(rest) == sorted(each.target for each in SUITES)
    found = {each.key for each in units([])}
    assert {target for target, _ in found} == set(rest)
    marked = [path for path in (ROOT / "tests").rglob("test_*.py") if "mark.long" in path.read_text()]
    elsewhere = [
        path for path in marked if path.parent.name in ("walls", "chaos") or OF_CHECK_EDGE.search(path.read_text())
    ]
    files = {path.relative_to(ROOT).as_posix() for path in marked if path not in elsewhere}
    assert len(files) > 100 and {("test-long", file) for file in files} <= found


def test_a_change_starts_where_a_file_passed_last() -> None:
    old = subprocess.run(["git", "rev-parse", "HEAD~1"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    if not old:
        pytest.skip("this checkout has no history: git fetch --unshallow")
    changed = subprocess.run(["git", "diff", "--name-only", old], cwd=ROOT, capture_output=True, text=True).stdout
    mine = of("tests/routing/test_bounds.py")
    known, unknown = with_distances([replace(mine, commit=old), mine], "")
    assert known.distance == distance(mine, changed.splitlines()) or known.distance <= unknown.distance


def test_a_run_is_recorded_by_file_and_what_failed_in_some_runs_alone_is_flaky(tmp_path: Path) -> None:
    tests = "import os\ndef test_whole(): pass\ndef test_now_and_then(): assert os.environ['N'] != '2'\n"
    stopped = (
        "import os\ndef test_first(): pass\ndef test_second():\n  if os.environ['N'] == '3': raise KeyboardInterrupt\n"
    )
    (tmp_path / "test_it.py").write_text(tests)
    (tmp_path / "test_stopped.py").write_text(stopped)
    (tmp_path / "test_torn.py").write_text("import nothing_of_this_name\n")
    (tmp_path / "conftest.py").write_text(
        "from tests.history import record_history\ndef pytest_configure(config): record_history(config)\n"
    )
    history = tmp_path / "kept" / "history.jsonl"
    env = {"PYTHONPATH": str(ROOT), "TEST_HISTORY": str(history), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    words = [sys.executable, "-m", "pytest", "-q", "--continue-on-collection-errors", "--rootdir", str(tmp_path)]
    for number, suite in enumerate(["one", "one", "one", "one", "", "other"]):
        here = env | {"N": str(number), "TEST_SUITE": suite}
        subprocess.run([*words, "."], cwd=tmp_path, env=here, capture_output=True, timeout=60)
    runs = list(read_history(history))
    assert [each.passed for each in runs if (each.suite, each.file) == ("one", "test_it.py")] == [2, 2, 1, 2]
    assert [each.has_passed for each in runs if each.file == "test_stopped.py"] == [True, True, True, False, True]
    assert all(each.failed == ["test_torn.py"] for each in runs if each.file == "test_torn.py")
    assert flaky_tests(runs) == [("test_it.py::test_now_and_then", 1, 3)], "an interrupted run says nothing"
    with history.open("a") as file:
        file.write('{"file": "test_it')
    assert list(read_history(history)) == runs, "a line that was cut short is skipped"


def test_the_time_of_a_unit_is_that_of_its_last_run_in_that_suite_shared_by_its_workers() -> None:
    file = "tests/flows/test_workers.py"
    run = FileRun("test-long", file, "100:1", "c", "3.11.2", 30.0, 4, [])
    later = FileRun("test", file, "200:1", "d", "3.11.2", 3.0, 4, [])
    failed = FileRun("test-long", file, "300:1", "e", "3.11.2", 60.0, 3, ["it"])
    found = {each.key: each for each in units([run, later, failed])}[("test-long", file)]
    assert (found.seconds, found.ran_at, found.commit) == (20.0, 100.0, "c")
