"""The advisor: the second call knows what was said in the first; a model without the window refuses in words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import weights
from tests.examples.example_runner import ECHO_LARGE, ask, copied, records, synced
from tests.running_server import Served

SAVED = "I have saved 40000 euro for my daughter's studies and need it in four years."
COST = "What does the Nordic Bond Fund cost a year?"
WIDE = ECHO_LARGE.replace("[models", '[models."echo/large"]\ncontext = 32768\n[models')
DISCLAIMER = "This is information about the funds on our list, not advice to buy or to sell."


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory, smollm_gguf: Path) -> Iterator[Served]:
    """The 135M sorts, and has no window for more; the echo has, and says again what it was asked."""
    folder = tmp_path_factory.mktemp("advisor")
    with copied("advisor", folder, weights("minilm-l6-v2"), smollm_gguf, over=WIDE) as served:
        assert len(synced(served, "funds")) == 7
        yield served


@pytest.mark.long
def test_the_second_call_knows_what_was_said_in_the_first(bank: Served) -> None:
    first = ask(bank, "advisor", SAVED, client="ann")
    assert first["outputs"]["remembered"] == []
    second = ask(bank, "advisor", COST, client="ann")
    assert second["outputs"]["remembered"] == [SAVED]
    assert f"earlier conversations:\n{SAVED}" in second["text"], "the prompt had it"
    assert "0.35 percent" in second["text"] and "funds/nordic-bond.md" in second["outputs"]["sources"]


@pytest.mark.long
def test_nobody_is_told_what_another_client_said(bank: Served) -> None:
    ask(bank, "advisor", SAVED, client="cleo")
    assert ask(bank, "advisor", COST, client="bob")["outputs"]["remembered"] == []


@pytest.mark.long
def test_a_small_model_sorts_and_one_with_the_window_answers_with_its_disclaimer(bank: Served) -> None:
    said = ask(bank, "advisor", COST, client="dan")
    asked = [each for each in records(bank, said["trace"]) if not each["model"].endswith("minilm-l6-v2")]
    assert [each["model"] for each in asked] == ["local/smollm2-135m", "echo/large"]
    assert said["outputs"]["topic"] in ("fund", "plan", "other") and said["outputs"]["model"] == "echo/large"
    assert said["text"].endswith(DISCLAIMER)


@pytest.mark.long
def test_without_a_model_that_has_the_window_it_refuses_and_says_who_lacks_what(
    tmp_path: Path,
    smollm_gguf: Path,
) -> None:
    with copied("advisor", tmp_path, weights("minilm-l6-v2"), smollm_gguf, over=ECHO_LARGE) as served:
        synced(served, "funds")
        body = {
            "model": "flow:advisor",
            "messages": [{"role": "user", "content": COST}],
            "metadata": {"client": "ann"},
        }
        answer: Any = served.ask("/v1/chat/completions", body, timeout=120)
        assert answer.status == 422 and answer.error["code"] == "no_model_fits"
        said = answer.error["message"]
        assert said.startswith("advice: ")
        assert "local/smollm2-135m has a context window of 8192 tokens, and the request requires 32768" in said
        assert "echo/large has an unknown context window, and the request requires 32768 tokens" in said


@pytest.mark.large
def test_the_larger_model_of_this_machine_has_the_window(tmp_path: Path, smollm_gguf: Path, qwen_gguf: Path) -> None:
    with copied("advisor", tmp_path, weights("minilm-l6-v2"), smollm_gguf, qwen_gguf) as served:
        synced(served, "funds")
        ask(served, "advisor", SAVED, client="ann")
        second = ask(served, "advisor", COST, client="ann")
        assert second["outputs"]["remembered"] == [SAVED]
        assert {each["model"] for each in records(served, second["trace"])} >= {
            "local/smollm2-135m",
            "local/qwen2.5-coder-1.5b",
        }
        assert second["text"].endswith(DISCLAIMER)
