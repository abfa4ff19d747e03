"""`count_tokens` in front of any wire: exact where something counts, else an estimate that says so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.fakes.agent_upstream import MODEL, AgentUpstream, answering, settings
from tests.running_server import Answer, Served, serving

COUNT = "/v1/messages/count_tokens"
WORDS = "The quick brown fox jumps over the lazy dog. " * 40
ECHO = '[providers.echo]\nwire = "echo"\nplace = "process"\nmodels = ["small", "vectors"]\n'
ECHO += '[models."echo/vectors"]\ntask = "embed"\n[models."echo/small"]\ninput_modalities = []\n'
FAR = '[providers.far]\nwire = "openai"\nbase_url = "http://127.0.0.1:9/v1"\nmodels = ["x"]\n'


@pytest.fixture(scope="module")
def upstream() -> Iterator[AgentUpstream]:
    with answering(AgentUpstream()) as upstream:
        yield upstream


@pytest.fixture(scope="module")
def served(upstream: AgentUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    config = settings(upstream.url) + ECHO + FAR
    with serving(tmp_path_factory.mktemp("count"), config) as served:
        yield served


@pytest.fixture(autouse=True)
def counting(upstream: AgentUpstream) -> None:
    upstream.requests, upstream.counts = [], 200


def count(served: Served, model: str, text: str = WORDS, **more: Any) -> Answer:
    return served.ask(COUNT, {"model": model, "messages": [{"role": "user", "content": text}], **more})


def counted(answer: Answer) -> tuple[Any, str]:
    assert answer.status == 200, answer.body
    return answer.json, answer.headers["x-sizewise-count"]


@pytest.mark.parametrize("wire", ["anthropic", "responses"])
def test_an_upstream_that_counts_is_asked_and_its_number_is_exact(
    served: Served, upstream: AgentUpstream, wire: str
) -> None:
    assert counted(count(served, f"{wire}/{MODEL}", system="Be brief.")) == ({"input_tokens": 123}, "exact")
    [(path, body)] = upstream.requests
    assert path == {"anthropic": COUNT, "responses": "/v1/responses/input_tokens"}[wire]
    assert not body.keys() & {"max_tokens", "max_output_tokens", "store", "stream", "include"}, body


@pytest.mark.parametrize("wire", ["anthropic", "responses"])
@pytest.mark.parametrize("status", [404, 405, 501])
def test_an_upstream_of_the_wire_without_a_count_leaves_an_estimate(
    served: Served, upstream: AgentUpstream, wire: str, status: int
) -> None:
    upstream.counts = status
    shown, kind = counted(count(served, f"{wire}/{MODEL}"))
    assert shown["estimated"] is True and kind == "estimated"


@pytest.mark.parametrize("wire", ["anthropic", "responses"])
def test_a_count_that_fails_is_an_error_and_no_estimate(served: Served, upstream: AgentUpstream, wire: str) -> None:
    upstream.counts = 400
    assert count(served, f"{wire}/{MODEL}").status == 400


@pytest.mark.parametrize("model", [f"openai/{MODEL}", "auto"])
def test_without_a_tokenizer_the_count_is_an_estimate_and_nothing_is_sent(
    served: Served, upstream: AgentUpstream, model: str
) -> None:
    shown, kind = counted(count(served, model))
    assert shown["estimated"] is True and kind == "estimated"
    assert 300 < shown["input_tokens"] < 600, "400 tokens of English"
    assert upstream.requests == []


def test_a_longer_prompt_and_more_tools_count_more(served: Served) -> None:
    tool = {"name": "weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}
    model = f"openai/{MODEL}"
    short, long = counted(count(served, model, "hi"))[0], counted(count(served, model))[0]
    tooled = counted(count(served, model, "hi", tools=[tool]))[0]
    assert short["input_tokens"] < tooled["input_tokens"] < long["input_tokens"]


def test_a_model_in_the_server_counts_by_itself(served: Served) -> None:
    assert counted(count(served, "echo/small", "one two three")) == ({"input_tokens": 3}, "exact")


def test_an_estimate_does_not_need_the_model_to_be_up(served: Served) -> None:
    assert counted(count(served, "far/x"))[1] == "estimated"


def test_what_the_model_must_not_see_is_not_counted_for_it_either(served: Served) -> None:
    body = {"model": "far/x", "messages": [{"role": "user", "content": "hi"}]}
    answer = served.ask(COUNT, body, x_sizewise_online="deny")
    assert (answer.status, answer.error["type"]) == (403, "permission_error")


@pytest.mark.parametrize(
    ("model", "status"), [("nobody/knows", 404), ("echo/vectors", 400)], ids=["unknown", "embeds only"]
)
def test_a_model_that_cannot_answer_is_not_counted_for(served: Served, model: str, status: int) -> None:
    assert count(served, model).status == status


def test_an_image_for_a_model_that_sees_none_is_refused(served: Served) -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
    body = {"model": "echo/small", "messages": [{"role": "user", "content": [image]}]}
    assert served.ask(COUNT, body).status == 400
