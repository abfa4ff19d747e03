"""A text that is longer than a model's window: in pieces or whole, whichever is cheaper, and says what it left out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.graphql.graphql_client import graphql
from tests.running_server import Served, serving

FLOW = """
name: {name}
inputs: {{question: text}}
nodes:
  short:
    kind: summarize
    text: "{{{{ inputs.question }}}}"
    prompt: "What does it say? [[say noted]]"
    model: {model}
    max_tokens: 50
    most_pieces: {most}
outputs:
  answer: "{{{{ short.text }}}} / {{{{ short.pieces }}}} / {{{{ short.why }}}} / {{{{ short.left_out }}}}"
"""
ABUSE = """
name: {name}
inputs: {{question: text}}
nodes:
  short: {{kind: summarize, text: "{{{{ inputs.question }}}}", prompt: "{prompt}", model: {model}, {more}}}
outputs:
  answer: "{{{{ short.text }}}} / {{{{ short.pieces }}}} / {{{{ short.why }}}} / {{{{ short.left_out }}}}"
"""
CONFIG = """
[server]
embedded = false
discover = false
[providers.echo]
wire = "echo"
place = "process"
models = ["little", "great", "dear", "cheap", "narrow", "queued"]
[policies.rising]
kind = "cheapest"
models = ["echo/little", "echo/great"]
[policies.falling]
kind = "cheapest"
models = ["echo/dear", "echo/cheap"]
[models."echo/little"]
context = 2_000
parameters = 100_000_000
price = { input = "0.1", output = "0.1", source = "made up", date = "2026-11-25" }
[models."echo/great"]
context = 200_000
parameters = 70_000_000_000
price = { input = "10", output = "10", source = "made up", date = "2026-11-25" }
[models."echo/dear"]
context = 2_000
parameters = 100_000_000
price = { input = "10", output = "10", source = "made up", date = "2026-11-25" }
[models."echo/cheap"]
context = 200_000
parameters = 70_000_000_000
price = { input = "0.1", output = "0.1", source = "made up", date = "2026-11-25" }
[models."echo/narrow"]
context = 60
[models."echo/queued"]
context = 2_000
slots = 2
queue = 0
"""
LONG = "\n\n".join(f"# Part {n}\n\n" + f"Clause {n} says that the rent is paid on day {n}. " * 12 for n in range(60))
"""Some 9,000 tokens."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("long")
    (home / "flows").mkdir()
    for name, model, most in (
        ("rising", "auto:rising", 200),
        ("falling", "auto:falling", 200),
        ("little", "echo/little", 200),
        ("cut", "echo/little", 3),
    ):
        (home / "flows" / f"{name}.yaml").write_text(FLOW.format(name=name, model=model, most=most))
    for name, model, prompt, more in (
        ("too-long-once", "echo/little", "[[say noted]] [[fail toolong times=2]]", "max_tokens: 50"),
        ("too-long", "echo/little", "[[fail toolong]]", "max_tokens: 50"),
        ("narrow", "echo/narrow", "[[say noted]]", "max_tokens: 50"),
        ("busy", "echo/little", "[[say noted]] [[busy retry_after=0.01 times=3]]", "max_tokens: 50"),
        ("hanging", "echo/little", "[[hang]]", "max_tokens: 50, max_ms: 300"),
        ("queued", "echo/queued", "[[say noted]] [[slow 0.02]]", "max_tokens: 50"),
        ("wordy", "echo/little", "[[repeat 900]] word", "max_tokens: null"),
    ):
        (home / "flows" / f"{name}.yaml").write_text(ABUSE.format(name=name, model=model, prompt=prompt, more=more))
    with serving(home, CONFIG) as served:
        yield served


def asked(server: Served, flow: str, text: str = LONG) -> tuple[str, int, str, str]:
    """Words, pieces, why, and what was left out."""
    answer: Any = server.chat(f"flow:{flow}", text).json
    assert "choices" in answer, answer
    said, pieces, why, left = answer["choices"][0]["message"]["content"].split(" / ")
    return said, int(pieces), why, left.strip()


def test_pieces_are_asked_where_that_is_cheaper(server: Served) -> None:
    said, pieces, why, left = asked(server, "rising")
    assert (said, left) == ("noted", "")
    assert 6 <= pieces <= 14
    assert why.startswith(f"in {pieces} pieces: $") and "whole" in why
    models = {
        each["model"] for each in graphql(server, "{ records(last: 100) { rows { model } } }").data["records"]["rows"]
    }
    assert "echo/little" in models and "echo/great" not in models


def test_the_larger_window_is_asked_where_that_is_cheaper(server: Served) -> None:
    said, pieces, why, left = asked(server, "falling")
    assert (said, pieces, left) == ("noted", 1, "")
    assert why.startswith("whole, by echo/cheap: $")


def test_without_a_larger_window_it_is_pieces(server: Served) -> None:
    _, pieces, why, _ = asked(server, "little")
    assert pieces > 1 and "no model can read it whole" in why


def test_a_short_text_is_asked_once(server: Served) -> None:
    assert asked(server, "little", "The rent is due.")[1] == 1


def test_the_notes_count_in_the_usage_of_the_answer(server: Served) -> None:
    answer: Any = server.chat("flow:little", "7 " * 3_000).json
    assert answer["usage"]["prompt_tokens"] > 3_000  # the whole text was read; the last call alone has 100


def test_what_was_left_out_is_said(server: Served) -> None:
    _, pieces, _, left = asked(server, "cut")
    assert pieces == 3
    assert left.endswith("beyond the first 3 pieces") and "from character" in left


def test_a_text_with_more_tokens_than_its_length_suggests_is_read_in_pieces(server: Served) -> None:
    """By its bytes it has 1,500 tokens; the model counts 3,000, and its window has 2,000."""
    said, pieces, why, _ = asked(server, "little", "7 " * 3_000)
    assert said == "noted" and pieces > 1
    assert "echo/little accepts at most 2000 prompt tokens, and this prompt has 30" in why


@pytest.mark.parametrize("flow", [pytest.param("too-long-once", marks=pytest.mark.long), "busy", "queued"])
def test_a_model_that_refuses_a_piece_is_asked_for_less_or_later(server: Served, flow: str) -> None:
    """`queued` has two slots and no queue: a third call at the same time would be refused."""
    said, pieces, _, left = asked(server, flow)
    assert (said, left) == ("noted", "") and pieces > 1


@pytest.mark.parametrize(
    ("flow", "code", "next_step"),
    [
        pytest.param("too-long", "context_length_exceeded", "use a model with a larger window", marks=pytest.mark.long),
        pytest.param("narrow", "context_length_exceeded", "use a model with a larger window", marks=pytest.mark.long),
        ("hanging", "upstream_timeout", "allow more time (`max_ms`)"),
    ],
)
def test_a_summary_that_cannot_be_made_ends_with_the_next_step(
    server: Served, flow: str, code: str, next_step: str
) -> None:
    error = server.chat(f"flow:{flow}", LONG).error
    assert error["code"] == code and next_step in error["hint"]


@pytest.mark.long
def test_notes_that_are_longer_than_the_text_end_too(server: Served) -> None:
    """The model answers each piece with 900 words, as long as its window allows."""
    _, pieces, _, left = asked(server, "wordy")
    assert pieces > 1 and left == ""


@pytest.mark.long
def test_pages_are_summarized_by_a_local_model_whose_window_is_too_small_for_them(
    tmp_path: Path, smollm_gguf: Path
) -> None:
    """2,000 words, twice as many tokens as its window: they failed with context_length_exceeded."""
    (tmp_path / "flows").mkdir()
    flow = FLOW.format(name="pages", model="local/smollm2-135m", most=200).replace("max_tokens: 50", "max_tokens: 20")
    (tmp_path / "flows" / "pages.yaml").write_text(flow)
    text = "\n\n".join(f"Page {n}. " + f"Pump {n} of plant {n * 7} ran for {n * 13} hours. " * 23 for n in range(10))
    assert len(text.split()) > 2_000
    with serving(tmp_path, "[server]\ndiscover = false\n[local]\ncontext = 2_048\n") as served:
        body = {"model": "flow:pages", "messages": [{"role": "user", "content": text}]}
        answer: Any = served.ask("/v1/chat/completions", body, timeout=1_800).json
        assert "choices" in answer, answer
        said, pieces, why, left = answer["choices"][0]["message"]["content"].rsplit(" / ", 3)
    assert said.strip() and int(pieces) > 1 and left.strip() == ""
    assert "no model can read it whole" in why
