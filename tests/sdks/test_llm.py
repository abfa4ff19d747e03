"""The program `llm`, unchanged, in a virtual environment of its own: prompts, schemas and conversations."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.running_server import environment
from tests.sdks.apart import python
from tests.sdks.conftest import Able

pytestmark = pytest.mark.apart
MODELS = """
- model_id: here
  model_name: "{model}"
  api_base: "{url}/v1"
  api_key_name: here
  supports_schema: true
  supports_tools: true
"""


@pytest.fixture(scope="module")
def home(able: Able, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("llm")
    (folder / "extra-openai-models.yaml").write_text(MODELS.format(model=able.model, url=able.url))
    (folder / "keys.json").write_text(json.dumps({"here": able.key}))
    return folder


def llm(home: Path, *words: str, model: str = "here") -> str:
    program = Path(python()).with_name("llm")
    done = subprocess.run(
        [str(program), "-m", model, *words],
        env=environment(LLM_USER_PATH=str(home)),
        capture_output=True,
        text=True,
        timeout=120,
        input="",
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("how", [[], ["--no-stream"]], ids=["streamed", "whole"])
def test_it_prints_an_answer(home: Path, how: list[str]) -> None:
    assert llm(home, "one two three", *how) == "one two three"


def test_it_fills_a_schema(home: Path) -> None:
    assert json.loads(llm(home, "--schema", "name, people int", "'Ulm' has 128000 people")) == {
        "name": "Ulm",
        "people": 128_000,
    }


def test_it_runs_a_tool(home: Path) -> None:
    weather = "def weather(city: str) -> str:\n    return f'rain over {city}'\n"
    assert llm(home, "--functions", weather, "What is the weather in 'Bonn'?") == "rain over Bonn"


def test_it_goes_on_with_a_conversation(home: Path) -> None:
    llm(home, "one two three")
    assert llm(home, "--continue", "four five") == "four five"
