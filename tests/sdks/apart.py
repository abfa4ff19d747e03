"""Scripts in the virtual environments of SDKs that are kept apart: each runs once, its results are read as JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.running_server import environment

HERE = Path(__file__).parent
CALLED_HOME = """
import sys
from ipaddress import ip_address

def watch(event, arguments):
    address = arguments[1] if event == "socket.connect" else None
    if isinstance(address, tuple) and not ip_address(address[0]).is_loopback:
        raise SystemExit(f"an SDK called {address[0]}")

sys.addaudithook(watch)
"""
"""Ends a script that connects to any other machine."""


def python(environment_name: str = "sdks") -> str:
    """The Python of that environment."""
    found = Path(sys.prefix, environment_name, "bin", "python")
    if not found.is_file():
        pytest.skip("the virtual environment of this SDK is not here; get it with: make test-sdks")
    return str(found)


def run_cases(
    script: str, environment_name: str = "sdks", timeout_s: float = 600.0, /, **environ: str
) -> dict[str, Any]:
    """What the script of this folder prints."""
    start = f"{CALLED_HOME}\nimport runpy\nrunpy.run_path({str(HERE / script)!r}, run_name='__main__')"
    words = [python(environment_name), "-c", start]
    done = subprocess.run(words, env=environment(**environ), capture_output=True, text=True, timeout=timeout_s)
    assert done.returncode == 0, done.stderr[-4000:]
    shown: dict[str, Any] = json.loads(done.stdout)
    return shown
