"""A real workerd that runs the Worker of a folder, in front of a double of a provider; always stopped."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running_server import KEY, Served, environment

ROOT = Path(__file__).parents[2]
WORKERD = ROOT / "edge/node_modules/@cloudflare/workerd-linux-64/bin/workerd"
DEADLINE_S = 60


def needs_workerd() -> None:
    if not WORKERD.is_file():
        pytest.skip("workerd is not here; get it with: make check-edge")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + DEADLINE_S
    while time.monotonic() < until:
        assert process.poll() is None, f"ended with {process.returncode}"
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise AssertionError(f"nothing listens on {port}")


@contextlib.contextmanager
def upstream() -> Iterator[str]:
    """The base URL of a double of OpenAI's API: the name of a model chooses the fault."""
    port = free_port()
    argv = [sys.executable, "-m", "sizewise.testing.upstream", str(port)]
    with _running(argv, ROOT, port, environment()):
        yield f"http://127.0.0.1:{port}/v1"


@contextlib.contextmanager
def worker(folder: Path, config: str, *words: str, **secrets: str) -> Iterator[Served]:
    """`sizewise edge dev` of a folder with these settings."""
    needs_workerd()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sizewise.toml").write_text(config)
    port = free_port()
    argv = [sys.executable, "-m", "sizewise.cli.main", "edge", "dev", "--port", str(port)]
    argv += ["--home", str(folder / "home"), "--workerd", str(WORKERD), *words]
    env = environment(SIZEWISE_KEY=KEY, PYTHONPATH=str(ROOT), **secrets)
    with _running(argv, folder, port, env) as process:
        yield Served(f"http://127.0.0.1:{port}", folder / "home", process)  # type: ignore[arg-type]  # has a pid too


@contextlib.contextmanager
def _running(argv: list[str], folder: Path, port: int, env: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(argv, cwd=folder, env={**os.environ, **env})
    try:
        wait_for(port, process)
        yield process
    finally:
        process.terminate()
        process.wait(DEADLINE_S)
