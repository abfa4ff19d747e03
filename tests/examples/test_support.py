"""The support assistant: its citations hold the words they quote, what is not there is said so, by every endpoint."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.cli.terminal import sizewise
from tests.conftest import weights
from tests.examples.example_runner import ask, copied, records, synced
from tests.graphql.graphql_client import graphql
from tests.running_server import Served

pytestmark = pytest.mark.long


WEIGHT = "What is the permitted total weight of the Wren?"
HELD = "The permitted total weight is 140 kg for Heron and Plover and 120 kg for the Wren."
ELSEWHERE = "What is the capital of Peru?"
NOT_THERE = "The handbook says nothing about that."
PIECES = 'query ($id: String!) { document(base: "ebikes", id: $id) { passages { id text } } }'
SIZES = ("small", "large")
SAYS = """
[providers.tiny]
wire = "echo"
place = "process"
models = ["draft"]
headers = {{cues = "[[say {small}]]"}}
[providers.echo]
wire = "echo"
place = "process"
models = ["large"]
headers = {{cues = "[[say {large}]]"}}
[router]
small = "tiny/draft"
large = "echo/large"
"""


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Found by the real embeddings of this machine, answered by echo models: the small one invents."""
    vectors = weights("minilm-l6-v2")
    says = SAYS.format(small="The permitted total weight is 240 kg for the Wren [1].", large=HELD)
    with copied("support", tmp_path_factory.mktemp("support"), vectors, over=says) as served:
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
    """The sources, each of which holds: the passage it names has the words it quotes."""
    kept = passages(served)
    sources: list[dict[str, Any]] = said["outputs"]["sources"]
    for each in sources:
        assert " ".join(each["quote"].split()) in " ".join(kept[each["passage"]].split()), each
    return sources


def asked(served: Served, said: Any) -> list[str]:
    """The models that were asked for words, by the name under which."""
    return [each["requestedModel"] for each in records(served, said["trace"]) if each["requestedModel"] in SIZES]


def test_an_answer_is_cited_to_document_page_and_passage_after_an_invented_draft(desk: Served) -> None:
    said = ask(desk, "support", WEIGHT)
    assert asked(desk, said) == ["small", "large"]
    (load,) = cited(desk, said)
    assert (load["source"], load["page"]) == ("handbook/files/owners-manual.pdf", 2)
    assert load["cited"] == "handbook/files/owners-manual.pdf, page 2, Load"
    assert said["text"] == said["outputs"]["answer"] == HELD.replace("Wren.", "Wren [1].")


def test_what_is_not_in_the_handbook_is_said_to_be_not_there_and_costs_nothing(desk: Served) -> None:
    said = ask(desk, "support", ELSEWHERE)
    assert said["text"].startswith(NOT_THERE)
    assert said["outputs"]["sources"] == [] and said["outputs"]["covered"] == 0
    assert asked(desk, said) == []


def test_every_endpoint_gives_the_same_answer(desk: Served) -> None:
    whole = ask(desk, "support", WEIGHT)["text"]
    words = ("flow", "run", "support", "-i", f"question={WEIGHT}")
    assert sizewise(*words, home=desk.home).out == f"{whole}\n"
    client = openai.OpenAI(base_url=f"{desk.url}/v1", api_key=desk.key, max_retries=0)
    turns: Any = [{"role": "user", "content": WEIGHT}]
    chunks = list(client.chat.completions.create(model="flow:support", messages=turns, stream=True))
    heard = [each.choices[0].delta.content for each in chunks if each.choices and each.choices[0].delta.content]
    assert "".join(heard) == whole
    query = "query ($q: String!) { support(question: $q) { answer sources { source quote } } }"
    typed = graphql(desk, query, q=WEIGHT)
    assert typed.errors == [] and typed.data["support"]["answer"] == whole
    quoted = [each["quote"] for each in typed.data["support"]["sources"]]
    call = {"name": "support", "arguments": {"question": WEIGHT}}
    tool: Any = desk.ask("/mcp", {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}).json
    given = tool["result"]["structuredContent"]
    assert given["answer"] == whole and [each["quote"] for each in given["sources"]] == quoted


def test_a_draft_that_a_passage_holds_is_the_answer(tmp_path: Path) -> None:
    says = SAYS.format(small=HELD, large="no word")
    with copied("support", tmp_path, weights("minilm-l6-v2"), over=says) as served:
        synced(served, "ebikes")
        kept = ask(served, "support", WEIGHT)
        assert kept["text"] == HELD.replace("Wren.", "Wren [1].") and cited(served, kept)
        assert asked(served, kept) == ["small"] and kept["outputs"]["model"] == "tiny/draft"


def test_what_neither_model_finds_in_a_passage_is_withheld(tmp_path: Path) -> None:
    says = SAYS.format(small="It is 240 kg.", large="The Wren may weigh 250 kg [3].")
    with copied("support", tmp_path, weights("minilm-l6-v2"), over=says) as served:
        synced(served, "ebikes")
        said = ask(served, "support", WEIGHT)
        assert said["text"].startswith(NOT_THERE) and said["outputs"]["sources"] == []
        assert said["outputs"]["unsupported"] == ["The Wren may weigh 250 kg."]


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
        assert asked(served, said) in (["small"], ["small", "large"])
        assert cited(served, said) or said["text"].startswith(NOT_THERE)
        assert "<<" not in said["text"]
