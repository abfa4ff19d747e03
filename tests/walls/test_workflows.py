"""Workflows of the forge: every action is pinned, and what they run is there. `make check` lints them too."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
USES = re.compile(r"uses: (\S+)@(\S+)( # v\d+\.\d+\.\d+)?$", re.MULTILINE)
MAKE = re.compile(r"\bmake ([a-z][a-z-]*)")


def test_an_action_is_pinned_to_a_commit_with_its_version_and_everywhere_to_the_same() -> None:
    pins: dict[str, set[tuple[str, str]]] = {}
    for file in (*WORKFLOWS, ROOT / "action.yml"):
        for action, commit, version in USES.findall(file.read_text()):
            assert re.fullmatch("[0-9a-f]{40}", commit) and version, f"{file.name}: {action}@{commit}{version}"
            pins.setdefault(action, set()).add((commit, version))
    assert len(pins) >= 7
    assert {action: found for action, found in pins.items() if len(found) > 1} == {}


def test_a_workflow_runs_what_the_makefile_has_and_may_do_nothing_that_a_job_does_not_name() -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for file in WORKFLOWS:
        text = file.read_text()
        assert yaml.safe_load(text)["permissions"] == {}
        assert set(MAKE.findall("\n".join(line for line in text.splitlines() if "run:" in line))) <= targets, file.name


def test_tests_must_pass_on_each_python_that_the_package_names() -> None:
    runs = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]["platform"]
    needed = {each["python"] for each in runs["strategy"]["matrix"]["include"] if not each.get("untried")}
    named = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["classifiers"]
    assert needed == {each.rsplit(" ", 1)[1] for each in named if " :: Python :: 3." in each}
