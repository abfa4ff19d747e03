"""`uvx` takes Sizewise from an index and starts it with a model, in an environment that has no pip."""

from __future__ import annotations

import functools
import http.server
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running_server import serving

pytestmark = pytest.mark.apart
ROOT = Path(__file__).parents[2]
UV = ROOT / ".venv" / "sdks" / "bin" / "uv"
START = """import os, sys
os.execv({uv!r}, [{uv!r}, "tool", "run", "--from", "sizewise[local]", "sizewise", *sys.argv[1:]])
"""


class Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None: ...


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment in which uv finds the wheel of this checkout on an index here, and all else on the usual one."""
    if not UV.exists():
        pytest.skip("uv is not here: make .venv/sdks/ready")
    folder = tmp_path_factory.mktemp("index")
    its = folder / "simple" / "sizewise"
    its.mkdir(parents=True)
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(its)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (wheel,) = its.glob("*.whl")
    (its / "index.html").write_text(f'<a href="{wheel.name}">{wheel.name}</a>')
    handler = functools.partial(Silent, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        environ = {"UV_INDEX": f"http://127.0.0.1:{server.server_port}/simple", "UV_CACHE_DIR": str(folder / "cache")}
        if certificates := os.environ.get("PIP_CERT"):
            environ["SSL_CERT_FILE"] = certificates
        words = [str(UV), "tool", "run", "--from", "sizewise[local]", "sizewise", "--version"]
        tried = subprocess.run(
            words, env={**os.environ, **environ}, cwd=folder, capture_output=True, text=True, timeout=300
        )
        if tried.returncode and "Failed to fetch" in tried.stderr:
            pytest.skip("no package index was reached, for what the wheel needs")
        assert tried.returncode == 0, tried.stderr
        yield environ
        server.shutdown()
        serving.join(60)
    shutil.rmtree(folder, ignore_errors=True)


def starter(folder: Path) -> str:
    file = folder / "start.py"
    file.write_text(START.format(uv=str(UV)))
    return str(file)


def test_without_pull_nothing_is_downloaded_and_the_command_is_told(index: dict[str, str], tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    quiet = "[server]\ndiscover = false\n"
    environ = {**index, "SIZEWISE_CACHE": str(cache)}
    with serving(tmp_path / "home", quiet, program=starter(tmp_path), **environ) as server:
        assert "sizewise up --pull" in "".join(server.said)
        assert server.ask("/healthz", key=None).status == 200
    assert not [each for each in cache.rglob("*") if each.is_file() and each.stat().st_size > 1_000_000]


def test_with_pull_the_model_is_downloaded_and_answers(index: dict[str, str], tmp_path: Path) -> None:
    quiet = "[server]\ndiscover = false\n"
    environ = {**index, "SIZEWISE_CACHE": str(tmp_path / "cache")}
    with serving(tmp_path / "home", quiet, "--pull", program=starter(tmp_path), **environ) as server:
        answer = server.chat("local/smollm2-135m", "Say hello", max_tokens=8)
        assert answer.status == 200, answer.body
