"""LlamaIndex, unchanged, in a virtual environment of its own: its script runs once, each test looks at one case."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sdks.apart import run_cases
from tests.sdks.conftest import Able

pytestmark = pytest.mark.apart


@pytest.fixture(scope="module")
def cases(able: Able, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    downloads = str(tmp_path_factory.mktemp("nltk"))
    return run_cases("llama_index_cases.py", "llama-index", **able.environ, NLTK_DATA=downloads)


@pytest.mark.parametrize("kind", ["chat", "completion", "response"])
def test_it_gets_an_answer_whole_and_streamed(cases: dict[str, Any], kind: str) -> None:
    assert cases[kind] == "one two three"
    assert cases[f"{kind} streamed"] == ["one", " two", " three"]


def test_its_agents_run_tools(cases: dict[str, Any]) -> None:
    assert cases["agent"] == "rain over Bonn"


def test_it_gets_an_answer_of_a_given_shape(cases: dict[str, Any]) -> None:
    assert cases["structured"] == {"name": "Ulm", "people": 128_000}


def test_it_gets_vectors(cases: dict[str, Any]) -> None:
    assert cases["vectors"] == [3, True]
