"""The openai SDK's `completions`: text completions by any model, as their users know them from OpenAI."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI
from openai.types import Completion

from tests.gateway.server_harness import beside, booked
from tests.gateway.text_completion_upstream import LOGPROBS, TextUpstream
from tests.graphql.graphql_client import graphql
from tests.running_server import Served, serving, until

PATH = "/v1/completions"
MAIL = "anna@example.org"
SETTINGS = """
[server]
embedded = false
discover = false
[guardrails]
secrets = "block"
[policies.default]
kind = "cheapest"
models = ["echo/small"]
[providers.echo]
wire = "echo"
place = "process"
models = ["small"]
[models."echo/small"]
logprobs = true
price = {{input = "1", output = "2"}}
[providers.up]
base_url = "{0}"
place = "network"
models = ["raw", "raw-cut", "well", "several", "broken", "busy", "reset-mid"]
[models."up/raw"]
completions = true
[models."up/raw-cut"]
completions = true
[providers.lenient]
base_url = "{0}"
place = "machine"
models = ["well"]
drop_params = ["suffix", "seed"]
[providers.claude]
wire = "anthropic"
base_url = "{0}"
place = "machine"
models = ["it"]
"""


@pytest.fixture(scope="module")
def upstream() -> Iterator[TextUpstream]:
    with beside(TextUpstream) as up:
        yield up


@pytest.fixture(scope="module")
def server(upstream: TextUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    config = SETTINGS.format(upstream.url)
    with serving(tmp_path_factory.mktemp("completions"), config) as served:
        yield served
        assert "Traceback" not in "".join(served.said)


@pytest.fixture
def client(server: Served) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{server.url}/v1", api_key=server.key, max_retries=0) as made:
        yield made


@pytest.fixture
def strict(server: Served) -> Iterator[OpenAI]:
    """Refuses what its types do not allow; of a stream also OpenAI's own chunks, whose `finish_reason` is null."""
    with OpenAI(
        base_url=f"{server.url}/v1", api_key=server.key, max_retries=0, _strict_response_validation=True
    ) as made:
        yield made


def texts(chunks: list[Completion]) -> dict[int, str]:
    """What a stream says, by choice."""
    said: dict[int, str] = {}
    for chunk in chunks:
        for choice in chunk.choices:
            said[choice.index] = said.get(choice.index, "") + choice.text
    return said


def frames(body: bytes) -> list[Any]:
    payloads = [line[6:] for line in body.decode().split("\n") if line.startswith("data: ")]
    return [each if each == "[DONE]" else json.loads(each) for each in payloads]


# ---- by a chat model


def test_a_completion_comes_whole_with_its_usage_and_says_which_model(strict: OpenAI) -> None:
    raw = strict.completions.with_raw_response.create(model="echo/small", prompt="one two three")
    made = raw.parse()
    (choice,) = made.choices
    assert (choice.text, choice.index, choice.finish_reason, choice.logprobs) == ("one two three", 0, "stop", None)
    assert made.usage is not None and made.usage.total_tokens == 6
    assert made.object == "text_completion" and made.id.startswith("cmpl-") and made.model == "echo/small"
    assert raw.headers["x-sizewise-model"] == "echo/small" and raw.headers["x-sizewise-cost-usd"] == "0.000009"
    assert len(raw.headers["x-request-id"]) == 32


def test_sixteen_tokens_are_the_most_unless_more_are_asked_for(client: OpenAI) -> None:
    prompt = " ".join(map(str, range(30)))
    short = client.completions.create(model="echo/small", prompt=prompt).choices[0]
    long = client.completions.create(model="echo/small", prompt=prompt, max_tokens=40).choices[0]
    assert (len(short.text.split()), short.finish_reason) == (16, "length")
    assert (len(long.text.split()), long.finish_reason) == (30, "stop")


@pytest.mark.parametrize("stream", [False, True])
def test_several_prompts_give_choices_in_their_order(client: OpenAI, stream: bool) -> None:
    prompts = [f"prompt {number}" for number in range(12)]
    answer = client.completions.create(model="echo/small", prompt=prompts, n=2, stream=stream)
    if isinstance(answer, Completion):
        assert [choice.index for choice in answer.choices] == list(range(24))
        said = texts([answer])
        assert answer.usage is not None and answer.usage.completion_tokens == 48
    else:
        said = texts(list(answer))
    assert said == {at: prompts[at // 2] for at in range(24)}


def test_a_stream_ends_with_a_reason_the_usage_and_the_cost(client: OpenAI) -> None:
    chunks = list(
        client.completions.create(
            model="echo/small", prompt=["one two", "three"], stream=True, stream_options={"include_usage": True}
        )
    )
    assert texts(chunks) == {0: "one two", 1: "three"}
    assert [c.finish_reason for chunk in chunks for c in chunk.choices if c.finish_reason] == ["stop", "stop"]
    assert chunks[-1].usage is not None and chunks[-1].usage.total_tokens == 6 and not chunks[-1].choices
    ours: Any = (chunks[-1].model_extra or {})["sizewise"]
    assert ours["cost_usd"] == "0.000009" and ours["attempts"] == 2
    assert len({chunk.id for chunk in chunks}) == 1


@pytest.mark.parametrize("stream", [False, True])
def test_echo_puts_the_prompt_in_front_of_every_choice(client: OpenAI, stream: bool) -> None:
    asked: Any = {"model": "echo/small", "prompt": "Say: [[say hi]]", "echo": True, "n": 2, "stream": stream}
    answer: Any = client.completions.create(**asked)
    assert texts(list(answer) if stream else [answer]) == dict.fromkeys(range(2), "Say: [[say hi]]hi")


@pytest.mark.parametrize("stream", [False, True])
def test_log_probabilities_come_in_the_form_of_text_completions(client: OpenAI, stream: bool) -> None:
    asked: Any = {"model": "echo/small", "prompt": "one two", "logprobs": 2, "stream": stream}
    answer: Any = client.completions.create(**asked)
    told = [c.logprobs for each in (answer if stream else [answer]) for c in each.choices if c.logprobs]
    assert [token for each in told for token in each.tokens] == ["one", " two"]
    assert [chance for each in told for chance in each.token_logprobs] == [-0.1, -0.1]
    assert [top for each in told for top in each.top_logprobs] == [{"one": -0.1}, {" two": -0.1}]
    assert [place for each in told for place in each.text_offset] == [0, 3]


def test_the_best_of_several_are_those_with_the_likeliest_tokens(strict: OpenAI, upstream: TextUpstream) -> None:
    made = strict.completions.create(model="up/several", prompt="x", n=2, best_of=3)
    assert [(choice.index, choice.text) for choice in made.choices] == [(0, "choice 1"), (1, "choice 2")]
    assert all(choice.logprobs is None for choice in made.choices), "they were not asked for"
    assert (upstream.received.bodies[-1]["n"], upstream.received.bodies[-1]["logprobs"]) == (3, True)


def test_what_means_nothing_is_dropped_and_the_rest_reaches_the_model(client: OpenAI, upstream: TextUpstream) -> None:
    wishes: Any = {"temperature": 0, "top_p": 0.5, "stop": ["END"], "seed": 7, "user": "u", "presence_penalty": 0.5}
    empty: Any = {"suffix": "", "best_of": 1, "echo": False, "logit_bias": {}, "logprobs": None, "n": 1}
    client.completions.create(model="up/well", prompt="Hi", extra_body={"top_k": 5, "tools": []}, **wishes, **empty)
    assert upstream.received.paths[-1] == "/v1/chat/completions"
    assert upstream.received.bodies[-1] == {
        **wishes,
        "top_k": 5,
        "model": "well",
        "max_tokens": 16,
        "messages": [{"role": "user", "content": "Hi"}],
    }


REFUSED: list[tuple[str, dict[str, Any], str, str]] = [
    ("a prompt in tokens by a chat model", {"prompt": [1, 2, 3]}, "prompt", "not_translatable"),
    ("several prompts in tokens by a chat model", {"prompt": [[1], [2]]}, "prompt", "not_translatable"),
    ("a suffix by a chat model", {"suffix": " end"}, "suffix", "not_translatable"),
    ("scores of the prompt by a chat model", {"echo": True, "logprobs": 1}, "echo", "not_translatable"),
    ("no token at all by a chat model", {"max_tokens": 0}, "max_tokens", "not_translatable"),
    ("no prompt", {"prompt": None}, "prompt", "bad_body"),
    ("an empty list of prompts", {"prompt": []}, "prompt", "bad_body"),
    ("texts and tokens together", {"prompt": ["a", 1]}, "prompt", "bad_body"),
    ("a prompt that is an object", {"prompt": {"text": "a"}}, "prompt", "bad_body"),
    ("a negative token", {"prompt": [-1]}, "prompt[0]", "bad_body"),
    ("more prompts than can be", {"prompt": ["a"] * 2049}, "prompt", "bad_body"),
    ("fewer made than returned", {"n": 3, "best_of": 2}, "best_of", "bad_body"),
    ("the best of a stream", {"best_of": 2, "stream": True}, "best_of", "bad_body"),
    ("messages", {"messages": [{"role": "user", "content": "Hi"}]}, "messages", "bad_body"),
    ("tools", {"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools", "bad_body"),
    ("the chat API's limit of tokens", {"max_completion_tokens": 5}, "max_completion_tokens", "bad_body"),
    ("log-probabilities that are true", {"logprobs": True}, "logprobs", "bad_body"),
    ("a thousand likely tokens", {"logprobs": 1000}, "logprobs", "bad_body"),
    ("a temperature of three", {"temperature": 3}, "temperature", "bad_body"),
    ("a billion choices", {"n": 10**9}, "n", "bad_body"),
    ("a billion of which one is best", {"best_of": 10**9}, "best_of", "bad_body"),
    ("a negative number of tokens", {"max_tokens": -1}, "max_tokens", "bad_body"),
    ("no such model", {"model": "echo/smal"}, "model", "model_not_found"),
    ("an unknown option of ours", {"sizewise": {"fast": True}}, "sizewise", "bad_body"),
]


@pytest.mark.parametrize(("body", "param", "code"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_what_cannot_be_is_refused_by_name(server: Served, body: dict[str, Any], param: str, code: str) -> None:
    answer = server.ask(PATH, {"model": "echo/small", "prompt": "Hello", **body})
    assert 400 <= answer.status < 500 and answer.headers["content-type"] == "application/json"
    assert (answer.error["param"], answer.error["code"]) == (param, code), answer.error
    assert answer.error["hint"] and len(answer.headers["x-request-id"]) == 32


@pytest.mark.parametrize(
    ("words", "status"),
    [(b"", 400), (b"nonsense", 400), (b"[]", 400), (b'{"prompt": "a", "prompt": "b", "model": "echo/small"}', 400),
     (b'{"model": "echo/small", "prompt": "a", "Prompt": "b"}', 400),
     (b'{"model": "echo/small", "prompt": "\xff"}', 400),
     (b'{"model": "echo/small", "prompt": ' + b"[" * 5000 + b"]" * 5000 + b"}", 400)],
    ids=["nothing", "no JSON", "a list", "a prompt twice", "a Prompt too", "no UTF-8", "a deep prompt"],
)  # fmt: skip
def test_a_body_that_is_none_is_refused(server: Served, words: bytes, status: int) -> None:
    answer = server.ask(PATH, words)
    assert answer.status == status and answer.error["code"] == "bad_body"


def test_a_setting_that_drops_a_field_applies_before_it_is_refused(server: Served, upstream: TextUpstream) -> None:
    answer = server.ask(PATH, {"model": "lenient/well", "prompt": "Hi", "suffix": " end", "seed": 3})
    assert answer.status == 200
    assert not upstream.received.bodies[-1].keys() & {"suffix", "seed", "prompt"}


def test_one_failed_prompt_is_the_error_of_all(client: OpenAI) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        client.completions.create(model="echo/small", prompt=["fine", "[[fail upstream]]", "fine [[slow 5]]"])
    assert caught.value.status_code >= 500 and caught.value.code == "upstream_error"


@pytest.mark.parametrize(
    ("model", "prompt"), [("up/reset-mid", "x"), ("up/raw-cut", "x"), ("echo/small", "a b [[fail after=1]]")]
)
def test_a_stream_that_breaks_off_never_looks_finished(server: Served, model: str, prompt: str) -> None:
    answer = server.ask(PATH, {"model": model, "prompt": prompt, "stream": True})
    last = frames(answer.body)[-1]
    assert answer.status == 200 and last != "[DONE]" and last["error"]["code"], answer.body
    assert not any(choice["finish_reason"] for each in frames(answer.body)[:-1] for choice in each["choices"])


@pytest.mark.parametrize("stream", [False, True])
def test_a_busy_upstream_says_when_as_it_does_to_a_chat(server: Served, stream: bool) -> None:
    answer = server.ask(PATH, {"model": "up/busy", "prompt": "x", "stream": stream})
    assert answer.status == server.chat("up/busy").status in (429, 503)
    assert answer.headers["retry-after"] == "7"


# ---- by a model with an endpoint for text completions


@pytest.mark.parametrize("stream", [False, True])
def test_a_prompt_goes_as_it_is_where_the_provider_takes_prompts(
    client: OpenAI, upstream: TextUpstream, stream: bool
) -> None:
    asked: Any = {"prompt": "def f(", "suffix": "return x", "max_tokens": 5, "n": 2, "logprobs": 1, "stop": "\n"}
    answer: Any = client.completions.create(model="up/raw", stream=stream, extra_body={"top_k": 5}, **asked)
    assert texts(list(answer) if stream else [answer]) == {0: "[def f(]", 1: "[def f(]"}
    assert upstream.received.paths[-1] == "/v1/completions"
    more = {"stream": True, "stream_options": {"include_usage": True}} if stream else {"stream": False}
    assert upstream.received.bodies[-1] == {**asked, "model": "raw", "top_k": 5, **more}


def test_log_probabilities_of_a_provider_come_as_it_gave_them(strict: OpenAI) -> None:
    (choice,) = strict.completions.create(model="up/raw", prompt="abc", logprobs=1, echo=True).choices
    assert choice.text == "abc[abc]" and choice.logprobs is not None
    assert choice.logprobs.model_dump() == LOGPROBS


@pytest.mark.parametrize("prompt", [[1, 2, 3], [[1, 2], [3]]], ids=["one", "several"])
def test_prompts_in_tokens_reach_a_provider_that_takes_them(client: OpenAI, prompt: Any) -> None:
    made = client.completions.create(model="up/raw", prompt=prompt)
    asked = [prompt] if isinstance(prompt[0], int) else prompt
    assert [choice.text for choice in made.choices] == [f"[{each}]" for each in asked]


def test_a_model_without_that_endpoint_is_not_offered_it(server: Served, upstream: TextUpstream, tmp_path: Any) -> None:
    config = SETTINGS.format(upstream.url)
    with serving(tmp_path, config + '[models."claude/it"]\ncompletions = true\n') as served:
        answer = served.ask(PATH, {"model": "claude/it", "prompt": "Hi"})
    assert answer.status >= 400 and "no text completions" in answer.error["message"]


# ---- what holds at every endpoint


@pytest.mark.parametrize("model", ["up/raw", "up/well"])
def test_personal_data_is_masked_on_its_way_out_and_restored(
    client: OpenAI, upstream: TextUpstream, model: str
) -> None:
    more: Any = {"suffix": f"or {MAIL}"} if model == "up/raw" else {}
    made = client.completions.create(model=model, prompt=f"Write to {MAIL}", **more)
    sent = json.dumps(upstream.received.bodies[-1])
    assert MAIL not in sent and "<EMAIL_1>" in sent
    if model == "up/raw":
        assert made.choices[0].text == f"[Write to {MAIL}]"


@pytest.mark.parametrize(
    "body", [{"prompt": ["fine", "{}"]}, {"prompt": "x", "suffix": "{}"}], ids=["prompt", "suffix"]
)
def test_a_secret_is_blocked_in_any_prompt(server: Served, upstream: TextUpstream, body: dict[str, Any]) -> None:
    secret = "sk-" + "proj-" + "Ab3dEf6hIj9kLm2nOp5qRs8tUv1wXy4z" * 2
    told = json.loads(json.dumps(body).replace("{}", f"my key is {secret}"))
    answer = server.ask(PATH, {"model": "up/raw", **told})
    assert (answer.status, answer.error["code"]) == (400, "guard_blocked")
    assert secret not in json.dumps(upstream.received.bodies)


def test_confidential_prompts_do_not_leave(server: Served) -> None:
    body = {"model": "up/raw", "prompt": "x", "sizewise": {"data_class": "confidential"}}
    answer = server.ask(PATH, body)
    assert (answer.status, answer.error["code"]) == (403, "forbidden")


def test_each_prompt_has_a_record_under_one_trace(server: Served) -> None:
    answer = server.ask(PATH, {"model": "echo/small", "prompt": ["one", "two three"]})
    trace = answer.headers["x-sizewise-trace"]
    until(lambda: len(booked(server.home, trace)) == 2)
    found = booked(server.home, trace)
    assert [(each["door"], each["model"], each["status"]) for each in found] == [("completions", "echo/small", 200)] * 2
    assert sorted(each["input"] for each in found) == [1, 2]


@pytest.mark.parametrize("stream", [False, True])
def test_a_repeated_idempotency_key_asks_no_model_again(server: Served, upstream: TextUpstream, stream: bool) -> None:
    body = {"model": "up/raw", "prompt": ["a", "b"], "stream": stream}
    first = server.ask(PATH, body, idempotency_key=f"same-{stream}")
    already = len(upstream.received.bodies)
    again = server.ask(PATH, body, idempotency_key=f"same-{stream}")
    other = server.ask(PATH, {**body, "prompt": ["a", "c"]}, idempotency_key=f"same-{stream}")
    assert (first.status, again.status) == (200, 200)
    assert b'"conflict"' in other.body  # of the second prompt: the first may have begun the stream by then
    assert other.status in ((200, 409) if stream else (409,))
    assert len(upstream.received.bodies) == already
    if not stream:
        shown: Any = first.json
        assert shown["choices"] == again.json["choices"]  # type: ignore[index]  # an object


@pytest.mark.parametrize(("endpoint", "status"), [("completions", 200), ("chat", 403)])
def test_a_key_can_be_made_for_this_endpoint_alone(server: Served, endpoint: str, status: int) -> None:
    made = graphql(server, 'mutation($e: [String!]) { createKey(name: "t", endpoints: $e) { secret } }', e=[endpoint])
    key = str(made.data["createKey"]["secret"])
    assert server.ask(PATH, {"model": "echo/small", "prompt": "x"}, key=key).status == status
    assert server.chat("echo/small").status == 200


def test_a_model_by_policy_and_a_role_complete_texts_too(client: OpenAI) -> None:
    for model in ("auto", "small"):
        assert client.completions.create(model=model, prompt="one two").choices[0].text
