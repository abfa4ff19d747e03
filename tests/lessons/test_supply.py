"""What is installed: LiteLLM 1.82.7 and .8 stole credentials by a `.pth` file, which Python runs at each start.

Hashes, wheels, licenses and the bill of materials: tests/walls/test_supply.py.
"""

from __future__ import annotations

import site
import subprocess
import sys
import zipfile
from pathlib import Path

OURS = "_editable_impl_sizewise.pth"
"""Where the project lies, for a Python that runs it from its folder."""
KNOWN = ("distutils-precedence.pth",)  # of setuptools, which Python 3.11 puts into each new environment


def test_08_python_runs_nothing_at_its_start_that_a_package_brought() -> None:
    folders = {Path(each) for each in (*site.getsitepackages(), *sys.path) if "site-packages" in each}
    found = [file for folder in folders for file in folder.glob("*.pth") if file.name not in KNOWN]
    assert [file.name for file in found if file.name != OURS] == []
    assert [line for file in found for line in file.read_text().splitlines() if line.startswith("import")] == []
    assert not [each for folder in folders for each in folder.glob("*customize.py")]


def test_08_nor_anything_that_we_bring(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(words, cwd=Path(__file__).parents[2], check=True, capture_output=True)
    [wheel] = tmp_path.glob("*.whl")
    inside = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0] for name in inside} == {"sizewise", wheel.name.partition("-py3")[0] + ".dist-info"}
    assert [name for name in inside if name.endswith(".pth")] == []
