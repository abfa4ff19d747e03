"""The examples run as they are, against a real server on the echo model; a test knows only what they print."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.gateway.vector_store_client import key_of
from tests.running_server import ECHO, Served, environment, serving, until
from tests.walls.source import ROOT

EXAMPLES = ROOT / "examples"

CONFIG: Any = {"type": "custom", "item_schema": {"type": "object"}, "include_sample_schema": True}
NAMES_IT: Any = {
    "type": "string_check",
    "name": "names it",
    "input": "{{ sample.output_text }}",
    "operation": "ilike",
    "reference": "{{ item.capital }}",
}
TEMPLATE = [{"role": "user", "content": "Capital of {{ item.country }}? {{ item.capital }}"}]
SOURCE: Any = {
    "type": "completions",
    "model": "echo/small",
    "input_messages": {"type": "template", "template": TEMPLATE},
    "source": {
        "type": "file_content",
        "content": [
            {"item": {"country": "Italy", "capital": "Rome"}},
            {"item": {"country": "France", "capital": "Paris"}},
        ],
    },
}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("home")) as running:
        yield running


def run(served: Served, name: str, cwd: str = "/", **environ: str) -> str:
    """What an example prints. It must end well, and say nothing on stderr."""
    path = EXAMPLES / name
    words = ["bash", str(path)] if path.suffix == ".sh" else [sys.executable, str(path)]
    env = environment(**{"SIZEWISE_URL": served.url, "SIZEWISE_KEY": served.key, **environ})
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=60, cwd=cwd)
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


@pytest.mark.long
def test_evals_of_the_api_are_copied_once_with_the_items_of_their_last_run(tmp_path: Path) -> None:
    with serving(tmp_path / "home", f"{ECHO}[projects.old]\n[projects.new]\n") as served:
        old, new = (key_of(served, ["ask"], project=name) for name in ("old", "new"))
        there, here = (openai.OpenAI(base_url=f"{served.url}/v1", api_key=key) for key in (old, new))
        made = there.evals.create(name="capitals", data_source_config=CONFIG, testing_criteria=[NAMES_IT])
        run_id = there.evals.runs.create(made.id, data_source=SOURCE).id
        until(lambda: there.evals.runs.retrieve(run_id, eval_id=made.id).status == "completed")
        environ = {"OPENAI_API_KEY": old, "OPENAI_BASE_URL": f"{served.url}/v1", "SIZEWISE_KEY": new}
        said = run(served, "move_evals.py", str(tmp_path), **environ)
        (copied,) = here.evals.list()
        assert f"capitals: {copied.id}\n  2 items" in said
        assert "known" in run(served, "move_evals.py", str(tmp_path), **environ)
        assert (copied.name, copied.data_source_config) == (made.name, made.data_source_config)
        rows = [json.loads(line) for line in (tmp_path / f"{copied.id}.jsonl").read_text().splitlines()]
        assert rows == SOURCE["source"]["content"]
        again = here.evals.runs.create(copied.id, data_source=SOURCE)
        until(lambda: here.evals.runs.retrieve(again.id, eval_id=copied.id).status == "completed")
        assert here.evals.runs.retrieve(again.id, eval_id=copied.id).result_counts.passed == 2


def test_every_example_is_listed_and_tested() -> None:
    listed, tested = (EXAMPLES / "README.md").read_text(), Path(__file__).read_text()
    scripts = [path.name for path in EXAMPLES.iterdir() if path.suffix in (".py", ".sh")]
    assert [name for name in scripts if f"]({name})" not in listed or f'"{name}"' not in tested] == []
