"""The files of a release: one commit gives the same bytes, and a tag that is not the version gives none."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from sizewise import __version__

ROOT = Path(__file__).parents[1]
DIST = ROOT / ".ci" / "dist"


@pytest.mark.long
def test_the_files_of_a_release_are_whole_and_the_same_when_made_again(tmp_path: Path) -> None:
    for name in ("one", "two"):
        made = subprocess.run([DIST, f"v{__version__}", tmp_path / name], capture_output=True, text=True, timeout=300)
        assert made.returncode == 0, made.stderr
    one, two = ({each.name: each.read_bytes() for each in (tmp_path / name).iterdir()} for name in ("one", "two"))
    assert one == two
    wheel, source = f"sizewise-{__version__}-py3-none-any.whl", f"sizewise-{__version__}.tar.gz"
    assert set(one) == {wheel, source, "SHA256SUMS", "notes.md", "sbom.json"}
    sums = {line[66:]: line[:64] for line in one["SHA256SUMS"].decode().splitlines()}
    assert sums == {name: hashlib.sha256(one[name]).hexdigest() for name in (wheel, source, "sbom.json")}
    assert one["notes.md"].strip() and b"## [" not in one["notes.md"]
    assert json.loads(one["sbom.json"])["metadata"]["component"]["version"] == __version__
    with zipfile.ZipFile(tmp_path / "one" / wheel) as archive:
        inside = set(archive.namelist())
    assert {"sizewise/studio/built/index.html", "sizewise/catalog/prices.toml"} <= inside
    assert not [name for name in inside if name.startswith(("tests/", "bench/", "docs/"))]


def test_a_tag_that_is_not_the_version_makes_nothing(tmp_path: Path) -> None:
    made = subprocess.run([DIST, "v9.9.9", tmp_path / "out"], capture_output=True, text=True, timeout=60)
    assert made.returncode == 1 and f"the tag is v9.9.9, and sizewise/__init__.py says {__version__}" in made.stderr
    assert not (tmp_path / "out").exists()


def test_windows_gets_one_sentence_and_the_way_on() -> None:
    words = "import sys; from sizewise.cli.main import main; sys.platform = 'win32'; main(['up'])"
    told = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, timeout=60)
    assert told.returncode == 2
    assert told.stderr.startswith("sizewise: Sizewise does not run on Windows itself\nhint: run it in WSL")
