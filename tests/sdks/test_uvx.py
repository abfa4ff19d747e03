"""Sizewise from an index by one name: `uvx` installs it, a start downloads nothing, and --pull the small model."""

from __future__ import annotations

import functools
import http.server
import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.running_server import environment
from tests.sdks.apart import python

ROOT = Path(__file__).parents[2]
EXTRA = "local"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a simple index with our wheel and all that it needs, at the locked versions."""
    folder = tmp_path_factory.mktemp("index")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    wheels = folder / "wheels"
    done(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(wheels))
    (ours,) = wheels.glob("sizewise-*.whl")
    locked = ROOT / "requirements" / "up.lock"
    bounds = folder / "bounds.txt"
    bounds.write_text("\n".join(re.findall(r"^[\w.-]+==[^ \\]+", locked.read_text(), re.MULTILINE)))
    try:
        done(*pip, "download", "--only-binary", ":all:", "-d", str(wheels), "-c", str(bounds), f"{ours}[{EXTRA}]")
    except subprocess.CalledProcessError as failed:
        pytest.skip(f"no package index to download from: {failed.stderr.strip().splitlines()[-1][:80]}")
    for wheel in wheels.glob("*.whl"):
        place = folder / "simple" / re.sub(r"[-_.]+", "-", wheel.name.partition("-")[0]).lower()
        place.mkdir(parents=True, exist_ok=True)
        wheel.rename(place / wheel.name)
    with served(folder) as url:
        yield f"{url}/simple/"


@contextmanager
def served(folder: Path) -> Iterator[str]:
    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def done(*words: str) -> str:
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True, timeout=600).stdout


@pytest.mark.apart
def test_one_name_from_an_index_gives_a_server_that_answers(index: str, tmp_path: Path) -> None:
    """In a cache and a home of its own; what `--pull` brings comes from where pip is told to look."""
    uv = Path(python()).with_name("uv")
    own = {"UV_CACHE_DIR": str(tmp_path / "uv"), "UV_PYTHON": sys.executable, "SIZEWISE_CACHE": str(tmp_path / "cache")}
    start = [str(uv), "tool", "run", "--default-index", index, "--from", f"sizewise[{EXTRA}]", "sizewise"]
    up = [*start, "up", "--json", "--port", "0", "--home", str(tmp_path / "home")]
    key = ""
    for pull in (False, True):
        words = [*up, "--pull"] if pull else up
        process = subprocess.Popen(
            words, cwd=tmp_path, env=environment(**own), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        try:
            assert process.stdout is not None and process.stderr is not None
            told = json.loads(process.stdout.readline() or "{}")
            key = told["key"] or key  # shown once
            if pull:
                answered = subprocess.run(
                    [*start, "ask", "--home", str(tmp_path / "home"), "--url", told["url"], "What is two and two?"],
                    env=environment(**own, SIZEWISE_KEY=key),
                    capture_output=True,
                    text=True,
                    timeout=300,
                )
                assert answered.returncode == 0 and answered.stdout.strip(), answered.stderr
        finally:
            process.terminate()
            _, said = process.communicate(timeout=60)
        assert ("sizewise up --pull" in said) is not pull, said
        assert bool(list((tmp_path / "cache").rglob("*.gguf"))) is pull
