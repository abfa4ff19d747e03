"""An installation without the runtime of the embedded models: it serves, fetches nothing in vain, and says the cure."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.catalog.fake_package_index import serving as package_index
from tests.catalog.gguf_file import tiny
from tests.forked import command
from tests.running_server import environment, serving

CURE = "pip install xllamacpp; with uvx: uvx --with xllamacpp sizewise up"
EMBEDDED = "[server]\nembedded = true\ndiscover = false\n"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def bare(tmp_path: Path) -> dict[str, str]:
    """The environment of a Python that finds no xllamacpp, though it may be installed."""
    (tmp_path / "python").mkdir()
    (tmp_path / "python/sitecustomize.py").write_text("import sys\nsys.modules['xllamacpp'] = None\n")
    return {"PYTHONPATH": f"{tmp_path / 'python'}:{ROOT}", "SIZEWISE_CACHE": str(tmp_path / "cache")}


@pytest.mark.long
def test_it_goes_on_without_fetching_what_it_could_not_run(tmp_path: Path, bare: dict[str, str]) -> None:
    with package_index() as index:
        with serving(tmp_path / "home", EMBEDDED, PIP_INDEX_URL=f"{index.url}/simple/", **bare) as server:
            assert server.ask("/healthz", key=None).status == 200
        assert index.asked == [] and not list((tmp_path / "cache").rglob("*.part*"))
    assert server.said[:2] == [
        "starting without embedded models: xllamacpp is not installed\n",
        f"hint: {CURE}\n",
    ]


@pytest.mark.long
def test_a_local_model_objects_with_the_cure(tmp_path: Path, bare: dict[str, str]) -> None:
    home = tmp_path / "home"
    words = command("models", "add", str(tiny(tmp_path / "mine.gguf")), "--home", str(home))
    assert subprocess.run(words, env=environment(**bare), cwd=tmp_path, timeout=60).returncode == 0
    with serving(home, EMBEDDED, **bare) as server:
        answer = server.ask("/readyz", key=None)
        assert answer.status == 503 and CURE in answer.body.decode()
        for model in ("local/mine", "auto"):
            refused = server.chat(model).error
            assert CURE in f"{refused['message']} {refused.get('hint')}"


def test_pulling_says_that_the_model_will_not_run_yet(tmp_path: Path, bare: dict[str, str]) -> None:
    wrong = tiny(tmp_path / "wrong.gguf")
    words = command("models", "pull", "smollm2-135m", "--from", str(wrong), "--home", str(tmp_path))
    done = subprocess.run(words, env=environment(**bare), cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.stderr.splitlines()[:2] == [
        "local/smollm2-135m cannot run yet: xllamacpp is not installed",
        f"hint: {CURE}",
    ]
