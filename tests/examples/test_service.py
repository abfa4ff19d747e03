"""The systemd unit of examples/service: read by systemd's own tools, which run nothing."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNIT = Path(__file__).parents[2] / "examples/service/sizewise.service"
MAX_EXPOSURE = 2.0
"""Of 10, as systemd-analyze counts it; a unit without sandboxing has 9.6."""


def analyze(*arguments: str) -> str:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not here: apt install systemd")
    ran = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout + ran.stderr


def require_sandboxed(unit: Path) -> None:
    """`unit` is changed: it starts nothing that is here."""
    unit.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", unit.read_text(), flags=re.M))
    assert "Unknown key" not in analyze("verify", str(unit))
    found = re.search(r"exposure level for \S+: ([0-9.]+)", analyze("security", "--offline=true", str(unit)))
    assert found is not None and float(found.group(1)) <= MAX_EXPOSURE


def test_systemd_accepts_it_and_it_is_sandboxed(tmp_path: Path) -> None:
    require_sandboxed(Path(shutil.copy(UNIT, tmp_path / UNIT.name)))
