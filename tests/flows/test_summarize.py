"""A text that is longer than a model's window: in pieces or whole, whichever is cheaper, and says what it left out."""

from __future__ import annotations

from collections.abc import Iterator
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
CONFIG = """
[server]
embedded = false
discover = false
[providers.echo]
wire = "echo"
place = "process"
models = ["little", "great", "dear", "cheap"]
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
    models = {each["model"] for each in graphql(server, "{ records(last: 100) { model } }").data["records"]}
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


def test_what_was_left_out_is_said(server: Served) -> None:
    _, pieces, _, left = asked(server, "cut")
    assert pieces == 3
    assert left.endswith("beyond the first 3 pieces") and "from character" in left
