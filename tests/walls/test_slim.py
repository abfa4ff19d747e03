"""What is taken away after an installation never runs: a library that was cut still loads, the rest is as it was."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from docs.lock_file import read
from tests.walls.source import ROOT

BEHIND = b"for debuggers" * 10_000


@pytest.fixture(scope="module")
def install() -> ModuleType:
    spec = importlib.util.spec_from_file_location("install", ROOT / "requirements/install.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(sys.platform != "linux", reason="libraries of other systems are left as they are")
def test_a_library_loads_without_what_stands_behind_its_segments(install: ModuleType, tmp_path: Path) -> None:
    found = importlib.util.find_spec("msgspec._core")
    assert found is not None and found.origin is not None
    whole = Path(found.origin).read_bytes()
    library = tmp_path / Path(found.origin).name
    library.write_bytes(whole + BEHIND)
    library.chmod(0o755)
    install.slim(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [library.name], "nothing is left over"
    assert library.stat().st_size <= len(whole) and library.stat().st_mode & 0o777 == 0o755
    load = f"import importlib.util as u; s = u.spec_from_file_location('msgspec._core', {str(library)!r}); "
    load += "u.module_from_spec(s)"
    subprocess.run([sys.executable, "-c", f"import msgspec, sys; del sys.modules['msgspec._core']; {load}"], check=True)
    short = library.read_bytes()
    install.slim(tmp_path)
    assert library.read_bytes() == short, "a second time changes nothing"


@pytest.mark.parametrize(
    "head", [b"", b"\x7fELF", b"\x7fELF\x01\x01" + bytes(60), b"MZ" + bytes(100), b"INPUT(libz.so)"]
)
def test_what_is_no_library_of_this_kind_is_left_as_it_is(install: ModuleType, tmp_path: Path, head: bytes) -> None:
    path = tmp_path / "other.so"
    path.write_bytes(head + BEHIND)
    install.slim(tmp_path)
    assert path.read_bytes() == head + BEHIND


def test_what_is_unused_goes_and_its_neighbours_stay(install: ModuleType, tmp_path: Path) -> None:
    for name in ("numpy/_core/tests/data/a.csv", "numpy/_core/tests/tests/b.py", "numpy/tests.py", "ours/tests/c.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    install.slim(tmp_path)
    assert {path.name for path in tmp_path.rglob("*.*")} == {"tests.py", "c.py"}


def test_each_line_of_what_is_unused_names_a_locked_package_and_says_why(install: ModuleType) -> None:
    lines = [line for line in install.UNUSED.read_text().splitlines() if not line.startswith("#")]
    assert lines == sorted(lines) and all(" # " in line for line in lines)
    locked = {each.name for each in read(ROOT / "requirements/up.lock")}
    assert {line.partition("/")[0] for line in lines} <= locked
