"""What became of each test file in each run, a line of JSON per file and run; and the tests that failed now and then.

`TEST_HISTORY=FILE make test` appends to FILE; `.ci/run` keeps one in the user's cache folder. Nothing is written
without it. `make flakes` prints the tests that failed in one of the last 200 runs and passed in another, and where.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pytest

LAST_RUNS = 200
KEPT_BYTES = 32 << 20  # of the file; what is older is cut off


@dataclass
class FileRun:
    """A test file in one run. `seconds`: the sum over its tests, with their fixtures; `failed`: IDs of tests."""

    file: str
    run: str  # the time of its end, in seconds since the epoch, and its process
    commit: str
    python: str
    seconds: float = 0.0
    passed: int = 0
    failed: list[str] = field(default_factory=list)

    @property
    def ended_at(self) -> float:
        return float(self.run.partition(":")[0])


class HistoryRecorder:
    """A pytest plugin: adds a run to `path` when it ends. In the process that prints; it sees all workers' reports."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seconds: dict[str, float] = defaultdict(float)
        self.outcomes: dict[str, dict[str, bool]] = defaultdict(dict)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        file = report.nodeid.partition("::")[0]
        self.seconds[file] += report.duration
        if report.failed or report.when == "call":
            known = self.outcomes[file].get(report.nodeid, True)
            self.outcomes[file][report.nodeid] = known and not report.failed

    def pytest_sessionfinish(self) -> None:
        run, commit, python = f"{time.time():.0f}:{os.getpid()}", head(), ".".join(map(str, sys.version_info[:3]))
        lines = []
        for file, seconds in sorted(self.seconds.items()):
            outcomes = self.outcomes[file]
            failed = sorted(test for test, has_passed in outcomes.items() if not has_passed)
            each = FileRun(file, run, commit, python, round(seconds, 2), len(outcomes) - len(failed), failed)
            lines.append(json.dumps(asdict(each)) + "\n")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as file_object:
            file_object.write("".join(lines))
        if self.path.stat().st_size > KEPT_BYTES:
            kept = self.path.read_bytes()[-KEPT_BYTES // 2 :].partition(b"\n")[2]
            self.path.write_bytes(kept)


def record_history(config: pytest.Config) -> None:
    """Registers the recorder where `TEST_HISTORY` names a file."""
    if (path := os.environ.get("TEST_HISTORY")) and not hasattr(config, "workerinput"):
        config.pluginmanager.register(HistoryRecorder(Path(path)))


def head() -> str:
    """The commit of this checkout; "" outside git."""
    found = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, cwd=Path(__file__).parent)
    return found.stdout.strip()


def read_history(path: Path) -> Iterator[FileRun]:
    """Oldest first. A line that a crash cut short is passed over."""
    if not path.is_file():
        return
    for line in path.read_text().splitlines():
        try:
            yield FileRun(**json.loads(line))
        except (ValueError, TypeError):
            continue


def flaky_tests(history: Sequence[FileRun]) -> list[tuple[str, int, int]]:
    """(test, runs in which it failed, runs of its file), most failures first: what failed in one of the last
    200 runs and not in another."""
    recent = set(sorted({each.run for each in history}, key=lambda run: float(run.partition(":")[0]))[-LAST_RUNS:])
    runs: dict[str, int] = defaultdict(int)
    failures: dict[str, int] = defaultdict(int)
    for each in history:
        if each.run in recent:
            runs[each.file] += 1
            for test in each.failed:
                failures[test] += 1
    found = [(test, count, runs[test.partition("::")[0]]) for test, count in failures.items()]
    return sorted((each for each in found if each[1] < each[2]), key=lambda each: (-each[1], each[0]))


def main(arguments: Sequence[str]) -> int:
    path = Path(arguments[0] if arguments else default_path())
    history = list(read_history(path))
    found = flaky_tests(history)
    lines = [f"{failures:4} of {runs:4} runs  {test}" for test, failures, runs in found]
    count = min(LAST_RUNS, len({each.run for each in history}))
    lines.append(f"{len(found)} tests failed in some and passed in others of {count} runs in {path}")
    sys.stdout.write("\n".join([*lines, ""]))
    return 0


def default_path() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("TEST_HISTORY") or cache / "sizewise-tests" / "history.jsonl")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
