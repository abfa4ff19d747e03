"""Selects the test files that a change can reach, nearest first, then the least recently run: the plan of `.ci/run`.

    python -m tests.selection --seconds 300 --plan FOLDER [--since REV]

Prints a line for each suite, and writes FOLDER/SUITE with the files that `make SUITE FILES=...` runs. A file's change
is what came since the commit at which it passed last (tests/history.py). Its distance from that change is read from the
imports of `tests/`, `bench/` and `sizewise/`, and from names: most tests start the program, which imports everything,
so a test of the changed package's own folder is nearer than another one.
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

from tests.history import ROOT, FileRun, default_path, head, read_history

REACHED_SHARE = 0.6  # of the time, for what the change reaches
OVERDUE_SHARE = 0.2  # the same, where a suite that has not run for a day needs more than the rest
DAY_S = 20 * 3600.0  # of work
UNKNOWN_S = 12.0  # of a file that has not run yet
FAR = 9  # through the program alone
UNREACHED = 99
STARTS_PROGRAM = frozenset({"tests.running_server", "tests.cli.terminal", "tests.forked"})
EVERYTHING = ("pyproject.toml", "requirements/", "Makefile", ".ci/run", "tests/conftest.py")
FIXTURES = {"tests.postgres": re.compile(r"\b(postgres_url|module_postgres_url|shared_postgres)\b")}
"""Module -> the fixtures by which tests use it without an import."""


@dataclass(frozen=True)
class Suite:
    """A target of the Makefile.

    `mark`: what its test files contain, "" if it takes no `FILES`; `workers`: how many tests run at a time; `setup`:
    seconds that `ready` takes to make, where it is missing; `places`: paths that it is about, besides its files.
    """

    target: str
    mark: str = ""
    workers: int = 1
    setup: float = 0.0
    ready: str = ""
    places: tuple[str, ...] = ()

    @property
    def files(self) -> bool:
        return bool(self.mark)

    def setup_seconds(self) -> float:
        return 0.0 if self.ready and (ROOT / self.ready).exists() else self.setup


SUITES = (
    Suite("check-web", setup=60.0, places=("web/", "sizewise/studio/", "sizewise/graphql/schema")),
    Suite("check-edge", setup=90.0, places=("edge/", "sizewise/edge/", "tests/edge/")),
    Suite("test-long", r"\bmark\.long\b|\btried_with_all\b", workers=3),
    Suite("test-chaos", r"tests\.chaos\."),
    Suite("test-browser", r"\bmark\.browser\b", 3, 45.0, ".venv/browser/ready", ("web/", "sizewise/studio/")),
    Suite("test-sdks", r"\bmark\.(node|apart)\b", 3, 240.0, ".venv/ray/ready"),
    Suite("test-large", r"\bmark\.large\b", 1, 60.0, ".venv/sdks/ready"),
)
ALONE = {"tests/chaos/": "test-chaos", "tests/walls/": ""}
"""Folder -> the one suite of its files; "": `make check` runs them."""
OF_CHECK_EDGE = re.compile(r"^pytestmark = .*\bmark\.node\b", re.MULTILINE)


@dataclass(frozen=True)
class Unit:
    """A test file in a suite, or a suite without files. `seconds`: on this machine; `ran_at`, `commit`: when and at
    which commit it passed last, 0.0 and "" if that is not known."""

    suite: Suite
    file: str
    seconds: float
    ran_at: float = 0.0
    commit: str = ""
    distance: int = UNREACHED

    @property
    def key(self) -> tuple[str, str]:
        return self.suite.target, self.file


# ---- imports


@cache
def text_of(file: str) -> str:
    path = ROOT / file
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def module_of(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


@cache
def import_graph() -> Mapping[str, frozenset[str]]:
    """Module -> the modules of `sizewise`, `bench` and `tests` that it imports by itself."""
    files = [path for folder in ("sizewise", "bench", "tests") for path in sorted((ROOT / folder).rglob("*.py"))]
    known = {module_of(file): file for file in (path.relative_to(ROOT).as_posix() for path in files)}
    return {name: _imported(text_of(file)) & known.keys() for name, file in known.items()}


def _imported(text: str) -> frozenset[str]:
    found = {module for module, fixtures in FIXTURES.items() if fixtures.search(text)}
    for node in ast.walk(ast.parse(text)):
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


@cache
def changed_files(since: str) -> tuple[str, ...]:
    """Of commits after `since`, of the working tree, and those that git does not know yet. None outside git."""
    changed = _git("diff", "--name-only", "--no-renames", since, "--") if since else []
    return tuple(dict.fromkeys([*changed, *_git("ls-files", "--others", "--exclude-standard")]))


@cache
def default_base() -> str:
    """The commit that a change starts from where no history says it: where this branch left the upstream's main; else
    the last one before yesterday's work; "" outside git."""
    for found in (_git("merge-base", "HEAD", "origin/main"), _git("rev-list", "-1", "--before=24 hours ago", "HEAD^")):
        if found and found[0] != head():
            return found[0]
    return next(iter(_git("rev-list", "--max-parents=0", "HEAD")), "")


@cache
def is_ancestor(commit: str) -> bool:
    words = ["git", "merge-base", "--is-ancestor", commit, "HEAD"]
    return bool(commit) and subprocess.run(words, cwd=ROOT, capture_output=True).returncode == 0


def _git(*words: str) -> list[str]:
    command = ["git", "-c", "core.quotePath=false", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout.splitlines()


# ---- the distance of a file from a change


def distance(unit: Unit, changes: Iterable[str]) -> int:
    """0: the file itself; 1: it is about what changed, by imports or name; more: the imports between; FAR: it starts
    the program, whose code changed; UNREACHED."""
    near = distances(module_of(unit.file), import_graph()) if unit.suite.files else {}
    return min((_distance_to(unit, path, near) for path in changes), default=UNREACHED)


def _distance_to(unit: Unit, path: str, near: Mapping[str, int]) -> int:
    if path == unit.file:
        return 0
    if path.startswith(unit.suite.places or "\0"):
        return 1
    if not unit.suite.files:
        return UNREACHED
    found = [_distance_by_name(unit.file, path)]
    if path.endswith(".py"):
        found.append(near.get(module_of(path), UNREACHED))
    elif Path(path).name in text_of(unit.file):
        found.append(1)
    if path.startswith(EVERYTHING) or (path.startswith("sizewise/") and near.keys() & STARTS_PROGRAM):
        found.append(FAR)
    return min(found)


def _distance_by_name(file: str, path: str) -> int:
    """1 where folder and name share a word, or it is a fixture or data of the folder's tests; 3 where only the folder
    is that of the changed package."""
    if _room(path) != _room(file):
        return UNREACHED
    name = Path(path).name
    if path.startswith("tests/"):
        return 1 if name == "conftest.py" or not name.endswith(".py") else UNREACHED
    words = set(re.split(r"[_./-]", path.partition("/")[2]))
    return 1 if words & set(Path(file).stem.removeprefix("test_").split("_")) else 3


def _room(path: str) -> str:
    parts = path.split("/")
    return parts[1] if parts[0] in ("sizewise", "tests") and len(parts) > 2 else parts[0]


# ---- the plan


def suites_of(file: str) -> list[Suite]:
    """Those with tests of this file."""
    text = text_of(file)
    for folder, target in ALONE.items():
        if file.startswith(folder):
            return [each for each in SUITES if each.target == target]
    if file.startswith("tests/edge/") and OF_CHECK_EDGE.search(text):
        return []  # `make check-edge` runs them
    return [each for each in SUITES if each.files and re.search(each.mark, text)]


def units(history: Iterable[FileRun]) -> list[Unit]:
    found = [Unit(each, each.target, 0.0) for each in SUITES if not each.files]
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        file = path.relative_to(ROOT).as_posix()
        found += [Unit(suite, file, UNKNOWN_S / suite.workers) for suite in suites_of(file)]
    known = {each.key: each for each in found}
    for run in history:
        if (each := known.get((run.suite, run.file))) and run.is_complete:
            each = replace(each, seconds=run.seconds / each.suite.workers)
            if run.has_passed:
                each = replace(each, ran_at=run.ended_at, commit=run.commit)
            known[each.key] = each
    return list(known.values())


def with_distances(found: Iterable[Unit], since: str) -> list[Unit]:
    """`since`: the commit that all changes start from; "": for each unit the one at which it passed last."""
    measured = []
    for each in found:
        base = since or (each.commit if is_ancestor(each.commit) else default_base())
        measured.append(replace(each, distance=distance(each, changed_files(base))))
    return measured


def choose(candidates: Sequence[Unit], seconds: float, salt: str, now: float) -> list[Unit]:
    """The nearest first, until `REACHED_SHARE` of the time is spent; then the least recently run, whatever they are. Of
    equals, chance by `salt` decides: where no history is kept, each file runs at some commit."""
    lot = {each.key: hashlib.sha256(f"{salt} {each.key}".encode()).digest() for each in candidates}
    chosen: dict[tuple[str, str], Unit] = {}
    started: set[Suite] = set()
    spent = 0.0

    def cost(each: Unit) -> float:
        return each.seconds + (0.0 if each.suite in started else each.suite.setup_seconds())

    def take(each: Unit, limit: float) -> None:
        nonlocal spent
        if each.key not in chosen and spent + cost(each) <= limit:
            spent += cost(each)
            started.add(each.suite)
            chosen[each.key] = each

    oldest = sorted(candidates, key=lambda each: (each.ran_at, lot[each.key]))
    overdue = [each for each in oldest if 0.0 < each.ran_at < now - DAY_S]
    needs_more = any(cost(each) > (1.0 - REACHED_SHARE) * seconds for each in overdue)
    reached = [each for each in oldest if each.distance < UNREACHED]
    for each in sorted(reached, key=lambda each: each.distance):
        take(each, seconds * (OVERDUE_SHARE if needs_more else REACHED_SHARE))
    for each in oldest:
        take(each, seconds)
    return list(chosen.values())


def describe(chosen: Sequence[Unit], candidates: Sequence[Unit]) -> list[str]:
    lines = []
    for suite in SUITES:
        mine = [each for each in chosen if each.suite == suite]
        of = [each for each in candidates if each.suite == suite]
        near = sum(each.distance < FAR for each in mine)
        missed = sum(each.distance < FAR for each in of) - near
        left = f"; {missed} more are near: make test-all" if missed else ""
        if suite.files:
            lines.append(f"{suite.target}: {len(mine)} of {len(of)} files, {near} of them near the change{left}")
        else:
            lines.append(f"{suite.target}: {'runs' if mine else 'does not run'}{left}")
    return lines


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--since", default="", help="the commit that the change starts from")
    parser.add_argument("--seconds", type=float, required=True, help="how long the suites may take in all")
    parser.add_argument("--plan", type=Path, required=True, help="the folder to write the suites' files to")
    parser.add_argument("--history", type=Path, default=default_path())
    asked = parser.parse_args(arguments)
    candidates = with_distances(units(read_history(asked.history)), asked.since)
    chosen = choose(candidates, asked.seconds, f"{head()} {time.strftime('%F')}", time.time())
    asked.plan.mkdir(parents=True, exist_ok=True)
    files = defaultdict(list)
    for each in chosen:
        files[each.suite.target].append(each.file if each.suite.files else "")
    for suite in SUITES:
        (asked.plan / suite.target).unlink(missing_ok=True)
        if suite.target in files:
            (asked.plan / suite.target).write_text(" ".join(files[suite.target]))
    sys.stdout.write("\n".join([*describe(chosen, candidates), ""]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
