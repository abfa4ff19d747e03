"""The page about these SDKs runs as it is printed, but for the address and the models' names."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.running_server import Served, environment
from tests.sdks.apart import python
from tests.sdks.conftest import Able
from tests.sdks.test_llm import llm
from tests.sdks.test_node import HERE, node
from tests.walls.source import ROOT

PAGE = ROOT / "docs" / "how-to" / "with-other-sdks.md"
BLOCKS: Mapping[str, str] = dict(
    re.findall(r"^## ([^\n]+)\n+(?:<!--[^\n]*-->\n)?```\w+\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
)
NAMES: Mapping[str, str] = {
    '"auto"': '"able/model"',
    '"openai/auto"': '"openai/able/model"',
    "model_name: auto": "model_name: able/model",
    "openai/text-embedding-3-small": "able/vectors",
}
"""`auto` might choose the echo that calls no tools."""


def block(title: str, back: Served) -> str:
    code = BLOCKS[title].replace("http://127.0.0.1:8080", back.url)
    for said, ours in NAMES.items():
        code = code.replace(said, ours)
    return code


def run(title: str, back: Served, *words: str, cwd: Path = HERE) -> str:
    code = block(title, back)
    env = environment(**Able(back.url, back.key).environ)
    done = subprocess.run(words, input=code, env=env, cwd=cwd, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.long
@pytest.mark.parametrize("title", ["LangChain", "Pydantic AI"])
def test_what_the_page_shows_in_python_runs(title: str, back: Served) -> None:
    assert run(title, back, sys.executable, "-") == "Name three rivers."


@pytest.mark.apart
def test_what_the_page_shows_of_instructor_runs(back: Served) -> None:
    assert run("Instructor", back, python(), "-") == "name='Ulm has 128000 people.' people=128000"


@pytest.mark.apart
@pytest.mark.parametrize(("title", "environment_name"), [("LlamaIndex", "llama-index"), ("DSPy", "sdks")])
def test_what_the_page_shows_of_sdks_kept_apart_runs(back: Served, title: str, environment_name: str) -> None:
    assert run(title, back, python(environment_name), "-") == "Name three rivers."


@pytest.mark.apart
def test_what_the_page_shows_of_llm_runs(back: Served, tmp_path: Path) -> None:
    (tmp_path / "extra-openai-models.yaml").write_text(block("`llm`", back))
    (tmp_path / "keys.json").write_text(json.dumps({"sizewise": back.key}))
    assert llm(tmp_path, "Name three rivers.", model="auto") == "Name three rivers."


@pytest.mark.node
@pytest.mark.parametrize("title", ["Node", "Vercel's AI SDK"])
def test_what_the_page_shows_in_javascript_runs(title: str, back: Served) -> None:
    run(title, back, node(), "--input-type=module", "-")


def test_every_block_of_the_page_is_run() -> None:
    named = {"LangChain", "Pydantic AI", "Instructor", "LlamaIndex", "DSPy", "`llm`", "Node", "Vercel's AI SDK"}
    assert set(BLOCKS) == named
    assert PAGE.read_text().count("```") == 2 * len(BLOCKS)
