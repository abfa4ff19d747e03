"""The support assistant: its citations hold the words they quote, what is not there is said so, by every endpoint."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.cli.terminal import sizewise
from tests.conftest import weights
from tests.examples.example_runner import ECHO_LARGE, ask, copied, records, synced
from tests.graphql.graphql_client import graphql
from tests.running_server import Served

pytestmark = pytest.mark.long


WEIGHT = "What is the permitted total weight of the Wren?"
ELSEWHERE = "What is the capital of Peru?"
NOT_THERE = "The handbook says nothing about that."
PIECES = 'query ($id: String!) { document(base: "ebikes", id: $id) { passages { id text } } }'
DRAFT = " [[say The permitted total weight is 120 kg for the Wren [1].]]"
SIZES = ("small", "large")
BOTH = '[router]\nsmall = "echo/large"\nlarge = "echo/large"\n'


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Found by the real embeddings of this machine, answered by the echo: it says the passages again."""
    vectors = weights("minilm-l6-v2")
    with copied("support", tmp_path_factory.mktemp("support"), vectors, over=ECHO_LARGE + BOTH) as served:
        taken = synced(served, "ebikes")
        assert len(taken) == 38 and all(not each["quarantined"] for each in taken)
        yield served


def passages(served: Served) -> dict[str, str]:
    """All passages of the handbook, by their ids."""
    listed = graphql(served, '{ documents(base: "ebikes") { id } }').data["documents"]
    found: dict[str, str] = {}
    for each in listed:
        for piece in graphql(served, PIECES, id=each["id"]).data["document"]["passages"]:
            found[piece["id"]] = piece["text"]
    return found


def cited(served: Served, said: Any) -> list[dict[str, Any]]:
    """The citations, each of which holds: the passage it names has the words it quotes."""
    kept = passages(served)
    citations: list[dict[str, Any]] = said["outputs"]["citations"]
    for each in citations:
        assert each["quote"] in kept[each["passage"]], each
    return citations


def test_an_answer_is_cited_to_document_page_and_passage(desk: Served) -> None:
    said = ask(desk, "support", WEIGHT + DRAFT)
    citations = cited(desk, said)
    (load,) = [each for each in citations if "120 kg for the Wren" in each["quote"]]
    assert (load["document"], load["page"]) == ("handbook/files/owners-manual.pdf", 2)
    assert load["place"] == "handbook/files/owners-manual.pdf, page 2, Load"
    assert said["text"] == said["outputs"]["answer"]


def test_what_is_not_in_the_handbook_is_said_to_be_not_there_and_costs_nothing(desk: Served) -> None:
    said = ask(desk, "support", ELSEWHERE)
    assert said["text"].startswith(NOT_THERE)
    assert said["outputs"]["citations"] == [] and said["outputs"]["covered"] == 0
    assert [
        each["requestedModel"] for each in records(desk, said["trace"]) if each["requestedModel"] in ("small", "large")
    ] == []


def test_every_endpoint_gives_the_same_answer(desk: Served) -> None:
    whole = ask(desk, "support", WEIGHT)["text"]
    words = ("flow", "run", "support", "-i", f"question={WEIGHT}")
    assert sizewise(*words, home=desk.home).out == f"{whole}\n"
    client = openai.OpenAI(base_url=f"{desk.url}/v1", api_key=desk.key, max_retries=0)
    turns: Any = [{"role": "user", "content": WEIGHT}]
    chunks = list(client.chat.completions.create(model="flow:support", messages=turns, stream=True))
    heard = [each.choices[0].delta.content for each in chunks if each.choices and each.choices[0].delta.content]
    assert "".join(heard) == whole and len(heard) > 20, "its words come one by one"
    query = "query ($q: String!) { support(question: $q) { answer citations { document quote } } }"
    typed = graphql(desk, query, q=WEIGHT)
    assert typed.errors == [] and typed.data["support"]["answer"] == whole
    quoted = [each["quote"] for each in typed.data["support"]["citations"]]
    call = {"name": "support", "arguments": {"question": WEIGHT}}
    tool: Any = desk.ask("/mcp", {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}).json
    given = tool["result"]["structuredContent"]
    assert given["answer"] == whole and [each["quote"] for each in given["citations"]] == quoted


def asked(served: Served, said: Any) -> list[tuple[str, str]]:
    """The models that were asked for words, by which name and under which."""
    return [
        (each["requestedModel"], each["model"])
        for each in records(served, said["trace"])
        if each["requestedModel"] in SIZES
    ]


def test_a_draft_that_a_passage_holds_is_the_answer_and_one_that_none_holds_goes_to_the_larger_model(
    desk: Served,
) -> None:
    kept = ask(desk, "support", WEIGHT + DRAFT)
    assert kept["text"] == "The permitted total weight is 120 kg for the Wren [1]." and cited(desk, kept)
    assert [name for name, _ in asked(desk, kept)] == ["small"]
    wrong = ask(desk, "support", WEIGHT + DRAFT.replace("120", "240"))
    assert [name for name, _ in asked(desk, wrong)] == ["small", "large"]
    assert wrong["outputs"]["unsupported"] == ["The permitted total weight is 240 kg for the Wren [1]."]


def test_a_small_model_drafts_and_is_only_trusted_where_its_draft_is_held(tmp_path: Path, smollm_gguf: Path) -> None:
    over = ECHO_LARGE + '[router]\nlarge = "echo/large"\n[local]\ncontext = 2048\nslots = 1\n'
    part = {'sources = ["handbook"]': 'sources = ["handbook/company"]'}
    vectors = weights("minilm-l6-v2")
    with copied("support", tmp_path, vectors, smollm_gguf, over=over, instead=part) as served:
        synced(served, "ebikes")
        said = ask(served, "support", "When is customer care open on Saturday?")
        first, *more = asked(served, said)
        assert first == ("small", "local/smollm2-135m") and more in ([], [("large", "echo/large")])
        assert said["outputs"]["model"] == (more or [first])[-1][1]
        cited(served, said)


@pytest.mark.large
def test_a_small_and_a_larger_model_of_this_machine_answer_from_the_handbook(
    tmp_path: Path,
    smollm_gguf: Path,
    qwen_gguf: Path,
) -> None:
    over = "[local]\ncontext = 4096\nslots = 1\n"
    with copied("support", tmp_path, weights("minilm-l6-v2"), smollm_gguf, qwen_gguf, over=over) as served:
        synced(served, "ebikes")
        said = ask(served, "support", WEIGHT)
        assert asked(served, said)[0] == ("small", "local/smollm2-135m")
        assert asked(served, said)[1:] in ([], [("large", "local/qwen2.5-coder-1.5b")])
        cited(served, said)
