"""CI fails on a skip that is not listed, and says what each suite came to; each skip that is listed says why."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.conftest import SKIPS, listed
from tests.walls.source import ROOT

TESTS = """
import pytest

def test_it_passes(): pass

@pytest.mark.skip(reason="CHOSEN")
def test_it_is_skipped(): pass

@pytest.mark.xfail
def test_it_is_known_to_fail(): assert False
"""


def ended(home: Path, reason: str, *arguments: str) -> tuple[int, str]:
    """pytest's exit code and words, with our conftest.py and a list of one line."""
    (home / "tests").mkdir()
    (home / "tests" / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text())
    (home / "tests" / "skips.txt").write_text("# all\ntests/test_some.py no such th* # none is here\n")
    (home / "tests" / "test_some.py").write_text(TESTS.replace("CHOSEN", reason))
    words = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(home),
        "tests",
        *arguments,
    ]
    env = {"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(words, cwd=home, env=env, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout


def test_a_skip_that_is_not_listed_fails_where_that_was_asked_for(tmp_path: Path) -> None:
    code, said = ended(tmp_path, "something else", "--only-listed-skips", "-p", "xdist", "-n", "1")
    assert code == 1 and "tests/test_some.py: something else\n" in said
    assert said.splitlines()[-1].startswith("1 passed, 1 skipped, 1 xfailed in "), "the closing line is pytest's own"


def test_a_listed_skip_fails_nothing(tmp_path: Path) -> None:
    code, said = ended(tmp_path, "no such thing", "--only-listed-skips")
    assert code == 0 and "not listed" not in said, said


def test_the_list_names_tests_that_are_there_and_says_why_each_may_be_skipped() -> None:
    lines = [line for line in SKIPS.read_text().splitlines() if not line.startswith("#")]
    assert lines == sorted(set(lines)) and all(" # " in line for line in lines)
    assert [file for file, reason in listed() if not (ROOT / file).is_file() or not reason] == []


MAKEFILE = """
check: ; @true
test: ; @$(TEST)
whole other: ; @echo "5 passed in 2.00s"
broken: ; @echo "1 failed, 2 passed in 3.10s"; false
slow: ; @sleep 60
slow-and-broken: ; @echo "FAILED tests/it.py"; sleep 60
test-all: test """
PYTHON = """#!/bin/sh
case "$2" in
  tests.selection) mkdir -p "$6" && cd "$6" && touch SUITES && echo "since it: all" ;;
  *) echo 3.13 ;;
esac
"""
"""A double of the environment's Python: its version, and a plan of all suites but the one that is not reached."""


def ci(folder: Path, suites: str, test: str = 'echo "9 passed in 1.00s"') -> tuple[int, list[str]]:
    """The exit code and last lines of `.ci/run`, with such suites, some seconds, and all that Debian must bring."""
    script = (ROOT / ".ci" / "run").read_text()
    for each in (".ci", "bin", ".venv/bin"):
        (folder / each).mkdir(parents=True)
    shutil.copy(ROOT / ".ci" / "run", folder / ".ci")
    (folder / "Makefile").write_text(f"TEST = {test}\n{MAKEFILE}{suites} unreached")
    (folder / "pyproject.toml").write_text('requires-python = ">=2.0"\n')
    python = folder / ".venv/bin/python"
    python.write_text(PYTHON.replace("SUITES", suites))
    python.chmod(0o755)
    for line in script.partition("done <<'END'\n")[2].partition("END\n")[0].splitlines():
        (folder / "bin" / line.split()[0]).symlink_to("/bin/true")
    env = {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "ALL_S": "6", "TEST_S": "3"}
    env["TEST_HISTORY"] = str(folder / "history.jsonl")
    done = subprocess.run([folder / ".ci" / "run"], env=env, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout.rpartition("\n\n")[2].splitlines()


def test_ci_ends_with_what_each_suite_came_to(tmp_path: Path) -> None:
    code, said = ci(tmp_path, "whole slow other")
    assert code == 0, said
    assert said[0].startswith("make test: passed, ") and said[0].endswith(" s, 9 passed in 1.00s")
    assert said[1].startswith("make test on Python 2.0: not run, ")
    assert said[2].startswith("make whole: passed, ") and said[2].endswith(" s, 5 passed in 2.00s")
    assert said[3].startswith("make slow: cut off, ")
    assert said[4:7] == ["make other: not run, the time is over", "of the other suites:", "since it: all"]
    assert said[7].startswith("in all: ") and len(said) == 8


@pytest.mark.parametrize(
    ("suites", "test", "why"),
    [
        ("broken whole", "true", "make broken: failed (2), "),
        ("whole slow-and-broken", "true", "make slow-and-broken: cut off, and failed, "),
        ("whole", "sleep 60", "make test: cut off, "),  # it is never left out
        ("whole", "false", "make test: failed (2), "),
    ],
)
def test_ci_fails_where_a_suite_did_and_where_make_test_was_cut_off(
    tmp_path: Path, suites: str, test: str, why: str
) -> None:
    code, said = ci(tmp_path, suites, test)
    assert code == 1, said
    assert any(line.startswith(why) for line in said), said


def test_ci_knows_a_debian_package_for_each_program_and_both_pythons() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    rows = script.partition("done <<'END'\n")[2].partition("END\n")[0].splitlines()
    assert dict(row.split() for row in rows)["promtool"] == "prometheus", "Debian 12 and 13 have no package promtool"
    assert "--reruns" not in script


def test_ci_runs_the_oldest_python_and_the_one_of_make_and_these_are_promised() -> None:
    """`.ci/run` reads the oldest from pyproject.toml, and the Makefile takes the first of its list that is there."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    oldest = project["project"]["requires-python"].removeprefix(">=")
    makefile = (ROOT / "Makefile").read_text()
    usual = makefile.partition("for p in python")[2].split()[0]
    promised = [each.rpartition(" ")[2] for each in project["project"]["classifiers"] if ":: Python ::" in each]
    assert promised == [oldest, usual]
    assert project["tool"]["mypy"]["python_version"] == oldest
    locks = [line for line in makefile.splitlines() if "pip compile" in line]
    assert locks and all(f"--python-version {oldest} " in line for line in locks)
    script = (ROOT / ".ci" / "run").read_text()
    assert """sed -n 's/^requires-python = ">=\\(.*\\)"$/\\1/p' pyproject.toml""" in script
    assert 'others=("$oldest")' in script and 'make -C "$scratch/clone" PYTHON="$other" test' in script
    assert f"Python {oldest} " in (ROOT / "README.md").read_text()
