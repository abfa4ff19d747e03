"""Prompts near a context window: counted by the tokenizer of the model, or estimated with a margin without one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cli.terminal import sizewise
from tests.graphql.graphql_client import graphql
from tests.running_server import ECHO, Served, serving

SETTINGS = f"""{ECHO}
[providers.rack]
base_url = "http://127.0.0.1:9/v1"
place = "machine"
models = ["estimated"]
[models."echo/small"]
context = 2_000
[models."echo/large"]
context = 200_000
[models."rack/estimated"]
context = 2_000
price = {{ input = "0", output = "0" }}
[policies.default]
kind = "cheapest"
models = ["echo/small", "echo/large"]
[policies.estimating]
kind = "cheapest"
models = ["rack/estimated", "echo/large"]
"""
DENSE = "7 " * 2_500
"""2,500 tokens of the echo model, 1,250 by its bytes."""
SPARSE = "internationalization " * 800
"""800 tokens of the echo model, 4,200 by its bytes."""
EXPLAIN = "query($p: String!, $m: String!) { explain(prompt: $p, model: $m) { candidates { model countedTokens } } }"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("window"), SETTINGS) as served:
        yield served


@pytest.mark.parametrize(("text", "model"), [(DENSE, "echo/large"), (SPARSE, "echo/small")], ids=["dense", "sparse"])
def test_near_a_window_the_tokenizer_decides_and_not_the_length(server: Served, text: str, model: str) -> None:
    assert server.chat("auto", text, max_tokens=5).headers["x-sizewise-model"] == model


def test_explain_says_by_what_the_tokens_were_counted(server: Served) -> None:
    run = sizewise("route", "explain", "--model", "auto", "--", DENSE.strip(), home=server.home)
    assert "this request needs 2500; its tokenizer counts 2500 prompt tokens, and its window has 2000" in run.out
    near = sizewise("route", "explain", "--model", "auto:estimating", "--", "word " * 1_300, home=server.home).out
    assert "this request needs about 16" in near and "perhaps 2" in near
    assert "the tokens are estimated, as its tokenizer is not here" in near
    candidates = graphql(server, EXPLAIN, p=DENSE, m="auto").data["explain"]["candidates"]
    assert {each["model"]: each["countedTokens"] for each in candidates} == {"echo/small": 2500, "echo/large": None}


def test_far_from_the_window_nothing_is_counted(server: Served) -> None:
    candidates = graphql(server, EXPLAIN, p="Hello there", m="auto").data["explain"]["candidates"]
    assert [each["countedTokens"] for each in candidates] == [None, None]


def test_explain_refuses_a_named_model_as_the_model_itself_would(server: Served) -> None:
    query = 'query($p: String!) { explain(prompt: $p, model: "echo/small") { error reasons } }'
    decision = graphql(server, query, p=DENSE).data["explain"]
    assert decision["error"] == "context_length_exceeded"
    assert "accepts at most 2000 prompt tokens, and this prompt has 2500" in " ".join(decision["reasons"])
