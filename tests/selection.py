"""Which test files a change can reach, nearest first, and which others have not run for longest: the plan of `.ci/run`.

    python -m tests.selection --since REV --seconds 300 --plan FOLDER

Prints a line for each suite, and writes FOLDER/SUITE with the files that `make SUITE FILES=...` is to run. How near a
file is to a change is read from the imports of `tests/` and `sizewise/`, and from names: most tests start the program
itself, which imports everything, so that a test of the changed package's own folder is nearer than another one.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import re
import subprocess
import sys
import time
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from tests.history import FileRun, default_path, head, read_history

ROOT = Path(__file__).parents[1]
REACHED_SHARE = 0.6  # of the time for what the change reaches, before the others have their turn
UNKNOWN_S = 12.0  # of a file that has not run yet
FAR = 9  # through the program alone
UNREACHED = 99
STARTS_PROGRAM = frozenset({"tests.running_server", "tests.cli.terminal", "tests.forked"})
EVERYTHING = ("pyproject.toml", "requirements/", "Makefile", ".ci/run", "tests/conftest.py")


@dataclass(frozen=True)
class Suite:
    """A target of the Makefile. `files`: it has `FILES`; `setup`: seconds before its first test in an empty clone;
    `workers`: how many tests run at a time; `places`: what it is about, beside its files."""

    target: str
    setup: float = 0.0
    workers: int = 1
    files: bool = True
    places: tuple[str, ...] = ()


SUITES = (
    Suite("check-web", 60.0, files=False, places=("web/", "sizewise/studio/", "sizewise/graphql/schema")),
    Suite("check-edge", 60.0, files=False, places=("edge/", "sizewise/edge/")),
    Suite("test-long", workers=3),
    Suite("test-chaos", workers=1),
    Suite("test-browser", 45.0, workers=3, places=("web/", "sizewise/studio/")),
    Suite("test-sdks", 240.0, workers=3),
    Suite("test-large", 60.0),
)
MARKS = {
    "test-long": r"\bmark\.long\b|\btried_with_all\b",
    "test-browser": r"\bmark\.browser\b",
    "test-sdks": r"\bmark\.(node|apart)\b",
    "test-large": r"\bmark\.large\b",
}
"""Suite -> what stands in its test files."""


@dataclass(frozen=True)
class Unit:
    """A test file of a suite, or a suite as a whole. `seconds`: of this machine; `ran_at`: when it last passed."""

    suite: Suite
    file: str
    seconds: float
    distance: int = UNREACHED
    ran_at: float = 0.0


# ---- imports


def module_of(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


@cache
def import_graph() -> Mapping[str, frozenset[str]]:
    """Module -> the modules of `sizewise` and `tests` that it imports by itself."""
    files = [path for folder in ("sizewise", "tests") for path in sorted((ROOT / folder).rglob("*.py"))]
    known = {module_of(path.relative_to(ROOT).as_posix()): path for path in files}
    return {name: _imported(path) & known.keys() for name, path in known.items()}


def _imported(path: Path) -> frozenset[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(found)


def distances(start: str, graph: Mapping[str, frozenset[str]]) -> dict[str, int]:
    """Module -> the number of imports from `start` to it, along the shortest way."""
    found, waiting = {start: 0}, deque([start])
    while waiting:
        each = waiting.popleft()
        for following in graph.get(each, ()):
            if following not in found:
                found[following] = found[each] + 1
                waiting.append(following)
    return found


# ---- a change


def changed_files(since: str) -> list[str]:
    """Of commits after `since` and of the working tree."""
    words = ["git", "diff", "--name-only", "--no-renames", since, "--"]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")[:-1]


def base_commit(passed: Path) -> str:
    """What a change is counted from where nobody says it: the commit that passed the gate last on this machine, by the
    file `passed`; else where it left the upstream's main; else the last one of yesterday."""
    gate = passed.read_text().strip() if passed.is_file() else ""
    for commit in (gate, _git("merge-base", "HEAD", "origin/main")):
        if commit and commit != head() and _is_ancestor(commit):
            return commit
    return _git("rev-list", "-1", "--before=24 hours ago", "HEAD") or _git("rev-list", "--max-parents=0", "HEAD")


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True).stdout.split("\n")[0]


def _is_ancestor(commit: str) -> bool:
    words = ["git", "merge-base", "--is-ancestor", commit, "HEAD"]
    return subprocess.run(words, cwd=ROOT, capture_output=True).returncode == 0


def distance(unit: Unit, changes: Iterable[str]) -> int:
    """0: the file itself; 1: it is about what changed, by imports or name; more: the imports between; FAR: it starts
    the program, whose code changed; UNREACHED."""
    graph = import_graph()
    near = distances(module_of(unit.file), graph) if unit.suite.files else {}
    starts = bool(near.keys() & STARTS_PROGRAM)
    return min((_distance_to(unit, path, near, starts) for path in changes), default=UNREACHED)


def _distance_to(unit: Unit, path: str, near: Mapping[str, int], starts: bool) -> int:
    if path == unit.file:
        return 0
    if any(path.startswith(place) for place in unit.suite.places):
        return 1
    if not unit.suite.files:
        return UNREACHED
    if path.startswith(EVERYTHING):
        return FAR
    by_import = near.get(module_of(path), UNREACHED) if path.endswith(".py") else UNREACHED
    return min(
        by_import, _distance_by_name(unit.file, path), FAR if starts and path.startswith("sizewise/") else UNREACHED
    )


def _distance_by_name(file: str, path: str) -> int:
    """1 where folder and name share a word, 3 where only the folder is that of the changed package."""
    if not path.startswith("sizewise/") or path.split("/")[1] != file.split("/")[1]:
        return UNREACHED
    words = [set(re.split(r"[_.]", Path(each).stem.removeprefix("test_"))) for each in (file, path)]
    return 1 if words[0] & words[1] else 3


# ---- the plan


def files_of_suites() -> dict[str, set[str]]:
    """Suite -> its test files, by the marks that stand in them."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        file, text = path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")
        if file.startswith("tests/chaos/"):
            found["test-chaos"].add(file)
        elif file.startswith("tests/edge/") and "mark.node" in text:
            continue  # make check-edge has them
        else:
            for target, mark in MARKS.items():
                if re.search(mark, text):
                    found[target].add(file)
    return found


def units(history: Iterable[FileRun]) -> list[Unit]:
    seconds: dict[str, float] = {}
    ran_at: dict[str, float] = {}
    for each in history:
        seconds[each.file] = each.seconds
        if not each.failed:
            ran_at[each.file] = each.ended_at
    files, found = files_of_suites(), []
    for suite in SUITES:
        for file in sorted(files[suite.target]) if suite.files else [suite.target]:
            takes = seconds.get(file, UNKNOWN_S if suite.files else 0.0) / suite.workers
            found.append(Unit(suite, file, takes, ran_at=ran_at.get(file, 0.0)))
    return found


def choose(candidates: Sequence[Unit], seconds: float, salt: str) -> list[Unit]:
    """The nearest first, until `REACHED_SHARE` of the time is spent; then those that have not run for longest, whatever
    they are. Of equals, chance by the commit decides: where no history is kept, each has its turn in some run."""
    turn = {each.file: hashlib.sha256(f"{salt} {each.file}".encode()).digest() for each in candidates}
    chosen: dict[str, Unit] = {}
    spent, started = 0.0, set[Suite]()

    def take(each: Unit, limit: float) -> None:
        nonlocal spent
        cost = each.seconds + (0.0 if each.suite in started else each.suite.setup)
        if each.file not in chosen and spent + cost <= limit:
            spent += cost
            started.add(each.suite)
            chosen[each.file] = each

    reached = [each for each in candidates if each.distance < UNREACHED]
    for each in sorted(reached, key=lambda each: (each.distance, each.ran_at, turn[each.file])):
        take(each, seconds * REACHED_SHARE)
    for each in sorted(candidates, key=lambda each: (each.ran_at, turn[each.file])):
        take(each, seconds)
    return list(chosen.values())


def describe(chosen: Sequence[Unit], candidates: Sequence[Unit], since: str) -> list[str]:
    lines = []
    for suite in SUITES:
        mine = [each for each in chosen if each.suite == suite]
        of = [each for each in candidates if each.suite == suite]
        near = sum(each.distance < FAR for each in mine)
        missed = sum(each.distance < FAR for each in of) - near
        if suite.files:
            more = f"; {missed} more are near, make test-all runs them" if missed else ""
            lines.append(f"{suite.target}: {len(mine)} of {len(of)} files, {near} near the change{more}")
        else:
            lines.append(f"{suite.target}: {'runs' if mine else 'not its turn, and not reached'}")
    return [f"since {since[:12]}:", *lines]


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--since", default="", help="the commit that the change is counted from")
    parser.add_argument("--seconds", type=float, required=True, help="how long the suites may take in all")
    parser.add_argument("--plan", type=Path, required=True, help="the folder to write the suites' files to")
    parser.add_argument("--history", type=Path, default=default_path())
    asked = parser.parse_args(arguments)
    history = list(read_history(asked.history))
    since = asked.since or base_commit(asked.history.with_name("passed"))
    changes = changed_files(since)
    candidates = [replace(each, distance=distance(each, changes)) for each in units(history)]
    chosen = choose(candidates, asked.seconds, f"{head()} {time.strftime('%F')}")
    asked.plan.mkdir(parents=True, exist_ok=True)
    for suite in SUITES:
        (asked.plan / suite.target).unlink(missing_ok=True)
        if mine := [each.file for each in chosen if each.suite == suite]:
            (asked.plan / suite.target).write_text(" ".join(mine if suite.files else []))
    sys.stdout.write("\n".join([*describe(chosen, candidates, since), ""]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
