"""The history of test runs: what each test file came to in each suite; and the tests that failed in some runs alone.

`TEST_HISTORY=FILE make test` appends a line of JSON for each test file to FILE; `.ci/run` keeps one in the user's cache
folder. Nothing is written without it. `make flakes` prints the tests that failed in one of the last 200 runs of their
suite and passed in another.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pytest

LAST_RUNS = 200
KEPT_BYTES = 32 << 20  # of the file; what is older is cut off
ROOT = Path(__file__).parents[1]


@dataclass
class FileRun:
    """A test file in one run of a suite, or a suite without test files. `seconds`: the sum over its tests, with their
    fixtures; `failed`: IDs of tests, or of the file, if it could not be imported."""

    suite: str
    file: str
    run: str  # the time of its end, in seconds since the epoch, and its process
    commit: str
    python: str
    seconds: float = 0.0
    passed: int = 0
    failed: list[str] = field(default_factory=list)
    is_complete: bool = True  # not interrupted, by Ctrl-C or by a time limit

    @property
    def ended_at(self) -> float:
        return float(self.run.partition(":")[0])

    @property
    def has_passed(self) -> bool:
        return self.is_complete and not self.failed


class HistoryRecorder:
    """A pytest plugin: adds a run to `path` when it ends. In the process that prints; it sees all workers' reports."""

    def __init__(self, path: Path, suite: str) -> None:
        self.path, self.suite = path, suite
        self.seconds: dict[str, float] = defaultdict(float)
        self.outcomes: dict[str, dict[str, bool]] = defaultdict(dict)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        file = report.nodeid.partition("::")[0]
        self.seconds[file] += report.duration
        if report.failed or report.when == "call":
            known = self.outcomes[file].get(report.nodeid, True)
            self.outcomes[file][report.nodeid] = known and not report.failed

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            file = report.nodeid.partition("::")[0]
            self.seconds[file] += 0.0
            self.outcomes[file][report.nodeid] = False

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        rows = []
        for file, seconds in sorted(self.seconds.items()):
            outcomes = self.outcomes[file]
            failed = sorted(test for test, has_passed in outcomes.items() if not has_passed)
            row = new_row(self.suite, file, round(seconds, 2), len(outcomes) - len(failed), failed)
            row.is_complete = exitstatus != pytest.ExitCode.INTERRUPTED
            rows.append(row)
        append(self.path, rows)


def record_history(config: pytest.Config) -> None:
    """Registers the recorder where `TEST_HISTORY` names a file and `TEST_SUITE` the target of the Makefile."""
    path, suite = os.environ.get("TEST_HISTORY"), os.environ.get("TEST_SUITE")
    if path and suite and not hasattr(config, "workerinput"):
        config.pluginmanager.register(HistoryRecorder(Path(path), suite))


def new_row(suite: str, file: str, seconds: float, passed: int, failed: list[str]) -> FileRun:
    run, python = f"{time.time():.0f}:{os.getpid()}", ".".join(map(str, sys.version_info[:3]))
    return FileRun(suite, file, run, head(), python, seconds, passed, failed)


def append(path: Path, rows: Sequence[FileRun]) -> None:
    """A file that cannot be written is a warning: it fails no run."""
    text = "".join(json.dumps(asdict(each)) + "\n" for each in rows)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            file.write(text)
        if path.stat().st_size > KEPT_BYTES:
            path.write_bytes(path.read_bytes()[-KEPT_BYTES // 2 :].partition(b"\n")[2])
    except OSError as error:
        warnings.warn(f"no history of this run is kept: {error}", stacklevel=2)


def head() -> str:
    """The commit of this checkout; "" outside git."""
    found = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, cwd=ROOT)
    return found.stdout.strip()


def read_history(path: Path) -> Iterator[FileRun]:
    """Oldest first. Skips a line that a crash cut short, and those of an older format."""
    if not path.is_file():
        return
    for line in path.read_text().splitlines():
        try:
            yield FileRun(**json.loads(line))
        except (ValueError, TypeError):
            continue


def flaky_tests(history: Sequence[FileRun]) -> list[tuple[str, int, int]]:
    """(test, runs in which it failed, runs of its file in that suite on that Python), most failures first: what failed
    in one of the last 200 runs and passed in another."""
    runs: dict[tuple[str, str, str], list[FileRun]] = defaultdict(list)
    for each in history:
        if each.is_complete:
            runs[each.suite, each.file, each.python].append(each)
    found = []
    for those in runs.values():
        recent = those[-LAST_RUNS:]
        for test in {test for each in recent for test in each.failed}:
            failures = sum(test in each.failed for each in recent)
            if failures < len(recent):
                found.append((test, failures, len(recent)))
    return sorted(found, key=lambda each: (-each[1], each[0]))


def default_path() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("TEST_HISTORY") or cache / "sizewise-tests" / "history.jsonl")


def main(arguments: Sequence[str]) -> int:
    """Without arguments prints the flaky tests; `passed SUITE` records a suite that has no test files."""
    path = default_path()
    if arguments[:1] == ["passed"]:
        append(path, [new_row(arguments[1], arguments[1], 0.0, 1, [])])
        return 0
    history = list(read_history(path))
    found = flaky_tests(history)
    lines = [f"{failures:4} of {runs:4} runs  {test}" for test, failures, runs in found]
    lines.append(
        f"{len(found)} tests failed in some and passed in others of {len({each.run for each in history})} runs"
    )
    sys.stdout.write("\n".join([*lines, f"(the last {LAST_RUNS} of each file, in {path})", ""]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
