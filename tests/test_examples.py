"""The examples run as they are, against a real server on the echo model; a test knows only what they print."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running_server import Served, environment, serving
from tests.walls.source import ROOT

EXAMPLES = ROOT / "examples"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("home")) as running:
        yield running


def run(served: Served, name: str) -> str:
    """What an example prints. It must end well, and say nothing on stderr."""
    path = EXAMPLES / name
    words = ["bash", str(path)] if path.suffix == ".sh" else [sys.executable, str(path)]
    env = environment(SIZEWISE_URL=served.url, SIZEWISE_KEY=served.key)
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=60, cwd="/")
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.long
def test_a_chat_prints_its_answer(served: Served) -> None:
    assert run(served, "chat.py") == "Name three rivers.\n"


@pytest.mark.long
def test_a_stream_prints_its_words_and_then_its_tokens(served: Served) -> None:
    assert run(served, "stream.py") == "Name three rivers.\n3 tokens\n"


@pytest.mark.long
def test_wishes_are_heeded_and_the_headers_tell_who_answered_and_why(served: Served) -> None:
    words, *told = run(served, "why.py").splitlines()
    headers = dict(line.split(maxsplit=1) for line in told)
    assert words == "Name three rivers."
    assert headers["model"] in ("echo/small", "echo/large") and headers["why"] != "-"
    query = {
        "query": "query ($trace: String!) { records(filter: {trace: $trace}) { rows { dataClass } } }",
        "variables": {"trace": headers["trace"]},
    }
    recorded = served.ask("/graphql", query, content_type="application/json").json
    assert recorded == {"data": {"records": {"rows": [{"dataClass": "confidential"}]}}}


def test_curl_needs_no_sdk(served: Served) -> None:
    said = run(served, "curl.sh")
    assert said.startswith("HTTP/1.1 200") and "x-sizewise-why:" in said and '"content":"Name three rivers."' in said


def test_every_example_is_listed_and_tested() -> None:
    listed, tested = (EXAMPLES / "README.md").read_text(), Path(__file__).read_text()
    scripts = [path.name for path in EXAMPLES.iterdir() if path.suffix in (".py", ".sh")]
    assert [name for name in scripts if f"]({name})" not in listed or f'"{name}"' not in tested] == []
