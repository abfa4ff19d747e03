"""/v1/rerank: documents in the order of their relevance, by vectors, by a chat model, or by a reranker upstream."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from sizewise.testing.upstream import FakeOpenAI, FaultResponder, answer_normally
from tests.gateway.server_harness import beside
from tests.graphql.graphql_client import graphql
from tests.running_server import Answer, Served, serving, until

JANE = "jane.o'hara@example.com"
CONFIG = """
[server]
embedded = false
discover = false
[providers.echo]
wire = "echo"
place = "process"
models = ["small", "vectors", "short", "ranks"]
[models."echo/vectors"]
task = "embed"
price = {{input = "1", output = "0"}}
[models."echo/short"]
task = "embed"
context = 40
[models."echo/ranks"]
task = "rerank"
[providers.up]
base_url = "{url}"
place = "anyone"
models = ["cohere", "jina", "few", "twice", "beyond", "word", "none", "chat"]
[providers.claude]
base_url = "{url}"
wire = "anthropic"
place = "machine"
models = ["ranks"]
[models."claude/ranks"]
task = "rerank"
"""
RERANKERS = ("cohere", "jina", "few", "twice", "beyond", "word", "none")
DOCUMENTS = ["a red house", "the blue sea at night", "blue sea"]


class Reranker(FakeOpenAI):
    """Scores by the length of a document; the model's name says in whose shape, or what is wrong with it."""

    def fault(self, model: str) -> FaultResponder:
        return answer_normally if model == "chat" else rank


async def rank(body: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    lengths = [len(text) for text in body["documents"]]
    order = sorted(range(len(lengths)), key=lambda at: -lengths[at])
    results: list[dict[str, Any]] = [{"index": at, "relevance_score": lengths[at] / 1000} for at in order]
    match body["model"]:
        case "few":
            results.pop()
        case "twice":
            results[0]["index"] = results[1]["index"]
        case "beyond":
            results[0]["index"] = 99
        case "word":
            results[0]["relevance_score"] = "high"
        case "none":
            results = []
    usage = {"meta": {"billed_units": {"search_units": 1}, "tokens": {"input_tokens": 21}}}
    told = usage if body["model"] == "cohere" else {"usage": {"total_tokens": 21}}
    shown = {"id": "up-1", "results": results} | told
    text = json.dumps(shown).encode()
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(text) + text)
    return True


@pytest.fixture(scope="module")
def upstream() -> Iterator[Reranker]:
    with beside(Reranker) as up:
        yield up


@pytest.fixture(scope="module")
def server(upstream: Reranker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    config = CONFIG.format(url=upstream.url)
    config += "".join(f'[models."up/{name}"]\ntask = "rerank"\n' for name in RERANKERS)
    with serving(tmp_path_factory.mktemp("rerank"), config) as served:
        yield served


def ranked(server: Served, model: str = "echo/vectors", *, path: str = "/v1/rerank", **more: object) -> Any:
    answer = server.ask(path, {"model": model, "query": "blue sea", "documents": DOCUMENTS, **more})
    assert answer.status == 200, answer.body
    return answer.json


def order(shown: Any) -> list[int]:
    return [each["index"] for each in shown["results"]]


@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank"])
def test_documents_come_in_the_order_of_their_vectors_with_scores_from_0_to_1(server: Served, path: str) -> None:
    shown = ranked(server, path=path)
    scores = [each["relevance_score"] for each in shown["results"]]
    assert sorted(order(shown)) == [0, 1, 2] and order(shown)[0] == 2  # the query itself
    assert scores == sorted(scores, reverse=True) and scores[0] == pytest.approx(1) and 0 <= scores[-1] < 1
    assert all("document" not in each for each in shown["results"])
    assert (shown["model"], shown["scoring"], shown["object"]) == ("echo/vectors", "cosine", "list")
    assert shown["usage"] == {"prompt_tokens": 12, "total_tokens": 12} and shown["id"]
    assert shown["meta"]["tokens"]["input_tokens"] == 12


def test_the_score_of_vectors_is_one_half_of_one_plus_their_cosine(server: Served) -> None:
    asked = {"model": "echo/vectors", "input": ["blue sea", DOCUMENTS[0]], "encoding_format": "float"}
    made: Any = server.ask("/v1/embeddings", asked).json
    query, document = (each["embedding"] for each in made["data"])

    def dot(one: list[float], other: list[float]) -> float:
        return sum(a * b for a, b in zip(one, other, strict=True))

    cosine = dot(query, document) / (dot(query, query) * dot(document, document)) ** 0.5
    (found,) = [each for each in ranked(server)["results"] if each["index"] == 0]
    assert found["relevance_score"] == pytest.approx((1 + cosine) / 2)


def test_the_best_ones_come_with_their_documents_as_they_were_sent(server: Served) -> None:
    sent = ["a red house", {"text": "blue sea", "id": 7}]
    shown = ranked(server, documents=sent, top_n=1, return_documents=True)
    assert shown["results"] == [
        {"index": 1, "relevance_score": pytest.approx(1), "document": {"text": "blue sea", "id": 7}}
    ]
    shown = ranked(server, documents=sent, top_n=99, return_documents=True)
    assert shown["results"][1]["document"] == {"text": "a red house"}


def test_a_chat_model_scores_each_document(server: Served) -> None:
    scores = {"document_1": 5, "document_2": 90, "document_3": 250}
    shown = ranked(server, "echo/small", query=f"blue sea [[say {json.dumps(scores)}]]")
    assert order(shown) == [2, 1, 0] and shown["scoring"] == "chat"
    assert [each["relevance_score"] for each in shown["results"]] == [1.0, 0.9, 0.05]
    assert shown["usage"]["total_tokens"] > shown["usage"]["prompt_tokens"]


def test_a_chat_model_that_scores_no_document_is_an_error_and_no_order(server: Served) -> None:
    answer = server.ask("/v1/rerank", {"model": "up/chat", "query": "blue", "documents": DOCUMENTS})
    assert answer.status == 502, answer.body
    assert "results" not in str(answer.json) and answer.error["hint"]


@pytest.mark.parametrize("model", ["cohere", "jina"])
def test_a_reranker_upstream_gets_the_question_and_its_scores_come_back(
    server: Served, upstream: Reranker, model: str
) -> None:
    shown = ranked(server, f"up/{model}", top_n=2, return_documents=True, truncation=True, user="me")
    assert upstream.received.paths[-1] == "/v1/rerank"
    sent = {"model": model, "query": "blue sea", "documents": DOCUMENTS, "truncation": True}
    assert upstream.received.bodies[-1] == sent
    assert shown["results"] == [
        {"index": 1, "relevance_score": 0.021, "document": {"text": DOCUMENTS[1]}},
        {"index": 0, "relevance_score": 0.011, "document": {"text": DOCUMENTS[0]}},
    ]
    assert shown["usage"]["prompt_tokens"] == 21 and shown["scoring"] == "reranker"
    assert ("billed_units" in shown["meta"]) is (model == "cohere")


@pytest.mark.parametrize("model", ["few", "twice", "beyond", "word", "none"])
def test_a_reranker_that_does_not_score_each_document_once_is_an_error(server: Served, model: str) -> None:
    answer = server.ask("/v1/rerank", {"model": f"up/{model}", "query": "blue", "documents": DOCUMENTS})
    assert (answer.status, answer.error["code"]) == (502, "upstream_garbled"), answer.body


BAD: dict[str, tuple[dict[str, object], str]] = {
    "no query": ({"query": " "}, "query"),
    "query of another kind": ({"query": 5}, "query"),
    "no documents": ({"documents": []}, "documents"),
    "documents of another kind": ({"documents": "blue"}, "documents"),
    "too many documents": ({"documents": ["blue"] * 1001}, "documents"),
    "an empty document": ({"documents": ["blue", ""]}, "documents[1]"),
    "a document without a text": ({"documents": [{"title": "blue"}]}, "documents[0]"),
    "a picture": ({"documents": [{"text": "a", "image": "https://example.com/a.png"}]}, "documents[0]"),
    "no results wanted": ({"top_n": 0}, "top_n"),
    "fewer than none": ({"top_n": -1}, "top_n"),
    "other fields to rank by": ({"rank_fields": ["title"]}, "rank_fields"),
    "chunks": ({"max_chunks_per_doc": 3}, "max_chunks_per_doc"),
    "no tokens": ({"max_tokens_per_doc": 0}, "max_tokens_per_doc"),
    "inputs of another endpoint": ({"input": ["a"]}, "input"),
    "a field that only a reranker knows": ({"truncation": True}, "truncation"),
    "a flow": ({"model": "flow:greet"}, "model"),
    "no such model": ({"model": "echo/nothing"}, "model"),
    "a chat model and too many documents": ({"model": "echo/small", "documents": ["a"] * 101}, "documents"),
    "a wire without a reranker": ({"model": "claude/ranks"}, "model"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_by_name(server: Served, case: str) -> None:
    said, param = BAD[case]
    body = {"model": "echo/vectors", "query": "blue", "documents": ["sea"], **said}
    answer = server.ask("/v1/rerank", body)
    assert 400 <= answer.status < 500, answer.body
    assert answer.error["param"] == param and answer.error["message"] and answer.error["hint"]


def test_fields_that_mean_nothing_are_left_out(server: Served) -> None:
    ranked(server, rank_fields=["text"], max_chunks_per_doc=None, user="me", priority=0, return_embeddings=False)


@pytest.mark.long
def test_without_a_model_the_only_reranker_or_else_the_embedder_ranks(server: Served, tmp_path: Any) -> None:
    answer = server.ask("/v1/rerank", {"query": "blue", "documents": ["sea"]})
    assert answer.status == 404 and "echo/ranks" in answer.error["hint"]  # there are several
    only = '[server]\nembedded = false\ndiscover = false\n[providers.echo]\nwire = "echo"\nplace = "process"\n'
    only += 'models = ["small", "vectors"]\n[models."echo/vectors"]\ntask = "embed"\n'
    with serving(tmp_path / "only", only) as other:
        for model in ({}, {"model": "auto"}):
            shown: Any = other.ask("/v1/rerank", {"query": "blue", "documents": ["sea"], **model}).json
            assert (shown["model"], shown["scoring"]) == ("echo/vectors", "cosine")


def test_long_documents_are_cut_to_the_window_and_to_the_limit_that_was_asked_for(server: Served) -> None:
    long = "blue sea " * 5_000
    for model, limit, at_most in (("echo/short", None, 33), ("echo/vectors", 6, 6)):
        shown = ranked(server, model, documents=[long], max_tokens_per_doc=limit)
        assert 2 < shown["usage"]["prompt_tokens"] - 2 <= at_most


def test_a_rerank_is_recorded_paid_and_named_like_any_request(server: Served) -> None:
    answer = server.ask("/v1/rerank", {"model": "echo/vectors", "query": "one two", "documents": ["three"]})
    assert answer.headers["x-sizewise-model"] == "echo/vectors" and answer.headers["x-sizewise-cost-usd"] == "0.000003"
    trace = answer.headers["x-sizewise-trace"]
    query = """query ($trace: String!) {
        records(filter: {trace: $trace}) { rows { endpoint model costUsd requestedModel } } }"""
    until(lambda: graphql(server, query, trace=trace).data["records"]["rows"])
    assert graphql(server, query, trace=trace).data["records"]["rows"] == [
        {"endpoint": "rerank", "model": "echo/vectors", "costUsd": "0.000003", "requestedModel": "echo/vectors"}
    ]


def test_a_key_for_embeddings_alone_cannot_rerank(server: Served) -> None:
    made = graphql(
        server,
        'mutation { createKey(name: "vectors", permissions: [ask], endpoints: ["embeddings"]) { secret } }',
    )
    assert made.errors == []
    key = made.data["createKey"]["secret"]
    body = {"model": "echo/vectors", "query": "blue", "documents": ["sea"]}
    answer: Answer = server.ask("/v1/rerank", body, key=key)
    assert answer.status == 403 and "rerank" in answer.error["message"]


def test_an_upstream_gets_no_address_and_the_client_its_own_words(server: Served, upstream: Reranker) -> None:
    shown = ranked(server, "up/cohere", query=f"Who is {JANE}?", documents=[f"{JANE} is here"], return_documents=True)
    assert JANE not in json.dumps(upstream.received.bodies[-1])
    assert shown["results"][0]["document"] == {"text": f"{JANE} is here"}


def test_confidential_documents_stay_where_they_may_be(server: Served, upstream: Reranker) -> None:
    before = len(upstream.received.bodies)
    body = {"model": "up/cohere", "query": "blue", "documents": ["sea"], "sizewise": {"data_class": "confidential"}}
    answer = server.ask("/v1/rerank", body)
    assert answer.status == 403 and len(upstream.received.bodies) == before
    assert server.ask("/v1/rerank", {**body, "model": "echo/ranks"}).status == 200
