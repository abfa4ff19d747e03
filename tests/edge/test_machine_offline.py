"""`sizewise edge pack --wheels`: the machine installs, starts and answers from its archive, with nobody to reach."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from importlib.metadata import Distribution, distribution
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from sizewise import __version__
from tests.capture.network_capture import APART, missing
from tests.cli.terminal import sizewise
from tests.edge.test_machine_pack import unpacked
from tests.releases.test_environments import project, run
from tests.running_server import ECHO

ROOT = Path(__file__).parents[2]
EXTRAS: tuple[str, ...] = ("local", "flows", "learn")
BUDGET = 360_000_000
"""Bytes with the 135M loaded."""


def needed() -> dict[str, Distribution]:
    """What the machine needs, as it is installed here, by name."""
    found, wanted = dict[str, Distribution](), [("sizewise", EXTRAS)]
    while wanted:
        name, extras = wanted.pop()
        each = distribution(name)
        found[each.metadata["Name"]] = each
        for text in each.requires or ():
            its = Requirement(text)
            if its.marker is None or any(its.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
                wanted += [] if its.name in found else [(its.name, tuple(its.extras))]
    return found


def write_wheel(folder: Path, each: Distribution) -> None:
    """The wheel of an installed package: what it has beside its programs, less what requirements/unused.txt took."""
    info = next(str(file.parent) for file in each.files or () if file.name == "WHEEL")
    tag = re.findall(r"^Tag: (\S+)", each.read_text("WHEEL") or "", re.M)[-1]
    with zipfile.ZipFile(folder / f"{info.removesuffix('.dist-info')}-{tag}.whl", "w") as wheel:
        for file in each.files or ():
            if ".." in file.parts or "__pycache__" in file.parts or file.name in ("RECORD", "INSTALLER"):
                continue
            if Path(str(file.locate())).exists():
                wheel.write(str(file.locate()), str(file))
        wheel.writestr(f"{info}/RECORD", "")


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheels")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=120)
    for name, each in needed().items():
        if name != "sizewise":
            write_wheel(folder, each)
    return folder


@pytest.mark.long
@pytest.mark.skipif(bool(missing()), reason=missing())
def test_it_installs_starts_and_answers_within_its_memory_and_reaches_for_nobody(tmp_path: Path, wheels: Path) -> None:
    home = project(tmp_path / "project", "")
    packed = run(home, "edge", "pack", "--model", "smollm2-135m", "--wheels", str(wheels), "--out", "till.tar.gz")
    assert f"wheels/sizewise-{__version__}-py3-none-any.whl" in packed["files"]
    folder = unpacked(home / "till.tar.gz", tmp_path).parent
    command = [*APART, sys.executable, "-m", "tests.edge.offline_machine", str(folder)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=540)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    seen: Any = json.loads(ran.stdout.splitlines()[-1])
    assert len(seen["answer"]) > 3  # whichever words: it is a model of 135M
    assert seen["memory"]["pss"] <= BUDGET, seen["memory"]
    assert (seen["opened"], seen["datagrams"], seen["lost"]) == (["127.0.0.1"], [], 0)


def test_wheels_of_another_version_are_not_packed(tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    home = project(tmp_path / "project", ECHO)
    refused = sizewise("edge", "pack", "--wheels", str(tmp_path / "wheels"), home=home)
    assert refused.code == 2 and f"no wheel of sizewise {__version__}" in refused.err
