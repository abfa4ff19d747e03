"""DSPy, unchanged, in a virtual environment of its own: its script runs once, each test looks at one case."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sdks.apart import run_cases
from tests.sdks.conftest import Able

pytestmark = pytest.mark.apart


@pytest.fixture(scope="module")
def cases(able: Able, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    caches = str(tmp_path_factory.mktemp("dspy"))
    return run_cases("dspy_cases.py", **able.environ, DSPY_CACHEDIR=caches)


@pytest.mark.parametrize(("kind", "prompt_end"), [("chat", ""), ("text", "\n\nBEGIN RESPONSE:"), ("responses", "")])
def test_it_gets_an_answer_by_every_kind_of_model(cases: dict[str, Any], kind: str, prompt_end: str) -> None:
    """`prompt_end`: what it writes behind a prompt itself."""
    assert cases[kind] == f"one two three{prompt_end}"


def test_it_fills_a_signature_and_counts_tokens(cases: dict[str, Any]) -> None:
    assert cases["signature"] == {"name": "Ulm", "people": 128_000}
    assert cases["tokens"] == 6


def test_it_gets_vectors(cases: dict[str, Any]) -> None:
    assert cases["vectors"] == [3, True, False]
