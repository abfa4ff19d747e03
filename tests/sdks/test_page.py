"""The page about these SDKs runs as it is printed, but for the address and the models' names."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.running_server import Served, environment
from tests.sdks.conftest import Able
from tests.sdks.test_instructor import python
from tests.sdks.test_node import HERE, node
from tests.walls.source import ROOT

PAGE = ROOT / "docs" / "how-to" / "with-other-sdks.md"
BLOCKS: Mapping[str, str] = dict(
    re.findall(r"^## ([^\n]+)\n+```\w+\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
)
NAMES: Mapping[str, str] = {'"auto"': '"able/model"', "openai/text-embedding-3-small": "able/vectors"}
"""`auto` might choose the echo that calls no tools."""


def run(title: str, back: Served, *words: str, cwd: Path = HERE) -> str:
    code = BLOCKS[title].replace("http://127.0.0.1:8080", back.url)
    for said, ours in NAMES.items():
        code = code.replace(said, ours)
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


@pytest.mark.node
@pytest.mark.parametrize("title", ["Node", "Vercel's AI SDK"])
def test_what_the_page_shows_in_javascript_runs(title: str, back: Served) -> None:
    run(title, back, node(), "--input-type=module", "-")


def test_every_block_of_the_page_is_run() -> None:
    assert set(BLOCKS) == {"LangChain", "Pydantic AI", "Instructor", "Node", "Vercel's AI SDK"}
    assert PAGE.read_text().count("```") == 2 * len(BLOCKS)
