"""`n` in front of a model that makes one choice per call: as many calls, each recorded and billed, and one answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI

from sizewise.testing.upstream import FakeOpenAI
from tests.fakes.fake_anthropic import FakeAnthropic
from tests.fakes.fake_responses import FakeResponses
from tests.gateway.server_harness import beside, booked, frames
from tests.running_server import Answer, Served, serving, until

CONFIG = """
[server]
embedded = false
discover = false
[providers.claude]
wire = "anthropic"
base_url = "{claude}"
place = "machine"
models = ["well", "calls", "busy", "error-mid"]
[models."claude/well"]
price = {{input = "3", output = "15"}}
[providers.reason]
wire = "responses"
base_url = "{reason}"
place = "machine"
models = ["well"]
[providers.single]
base_url = "{plain}"
place = "machine"
models = ["well"]
[models."single/well"]
single_choice = true
[providers.lenient]
wire = "anthropic"
base_url = "{claude}"
place = "machine"
models = ["well"]
drop_params = ["n"]
"""
MODELS = ("claude/well", "reason/well", "single/well")
TEXTS = {"claude/well": "Good day.", "reason/well": "Good day.", "single/well": "Hello from the upstream."}
OUTPUT_TOKENS = {"claude/well": 20, "reason/well": 20, "single/well": 5}


class Upstreams:
    def __init__(self, claude: FakeOpenAI, reason: FakeOpenAI, plain: FakeOpenAI) -> None:
        self.by_provider = {"claude": claude, "lenient": claude, "reason": reason, "single": plain}

    def bodies(self, model: str) -> list[Any]:
        return self.by_provider[model.partition("/")[0]].received.bodies


@pytest.fixture(scope="module")
def upstreams() -> Iterator[Upstreams]:
    with beside(FakeAnthropic) as claude, beside(FakeResponses) as reason, beside(FakeOpenAI) as plain:
        yield Upstreams(claude, reason, plain)


@pytest.fixture(scope="module")
def served(upstreams: Upstreams, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    urls = {"claude": "claude", "reason": "reason", "plain": "single"}
    config = CONFIG.format(**{name: upstreams.by_provider[key].url for name, key in urls.items()})
    with serving(tmp_path_factory.mktemp("choices"), config) as server:
        yield server
        assert "Traceback" not in "".join(server.said)


def texts(answer: Answer) -> dict[int, str]:
    """What each choice of an answer says, streamed or not."""
    if not answer.body.startswith(b"data: "):
        whole: Any = answer.json
        return {choice["index"]: choice["message"]["content"] for choice in whole["choices"]}
    said: dict[int, str] = {}
    for chunk in frames(answer.body)[:-1]:
        for choice in chunk["choices"]:
            said[choice["index"]] = said.get(choice["index"], "") + (choice["delta"].get("content") or "")
    return said


def calls(served: Served, answer: Answer) -> list[dict[str, Any]]:
    """The attempts in the one record of a request."""
    trace = answer.headers["x-sizewise-trace"]
    until(lambda: booked(served.home, trace))
    (record,) = booked(served.home, trace)
    tries: list[dict[str, Any]] = record["tries"]
    return tries


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", MODELS)
def test_n_choices_take_n_calls_and_each_is_recorded_and_billed(
    served: Served, upstreams: Upstreams, model: str, stream: bool
) -> None:
    before = len(upstreams.bodies(model))
    more: Any = {"stream_options": {"include_usage": True}} if stream else {}
    answer = served.chat(model, n=3, stream=stream, **more)
    assert answer.status == 200, answer.body
    assert texts(answer) == dict.fromkeys(range(3), TEXTS[model])
    sent = upstreams.bodies(model)[before:]
    assert len(sent) == 3 and not any("n" in body for body in sent)
    tries = calls(served, answer)
    assert [each["result"] for each in tries] == ["answered"] * 3
    assert [each["output"] for each in tries] == [OUTPUT_TOKENS[model]] * 3
    last: Any = frames(answer.body)[-2] if stream else answer.json
    assert last["usage"]["completion_tokens"] == 3 * OUTPUT_TOKENS[model]
    assert last["usage"]["prompt_tokens"] == sum(each["input"] for each in tries)
    if stream:
        ends = [
            c["finish_reason"] for chunk in frames(answer.body)[:-1] for c in chunk["choices"] if c["finish_reason"]
        ]
        assert ends == ["stop"] * 3


def test_each_choice_may_call_tools(served: Served) -> None:
    tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
    whole: Any = served.chat("claude/calls", n=2, tools=[tool]).json
    assert [len(choice["message"]["tool_calls"]) for choice in whole["choices"]] == [2, 2]
    assert [choice["finish_reason"] for choice in whole["choices"]] == ["tool_calls"] * 2


def test_a_seed_is_another_for_each_choice_or_they_would_be_the_same(served: Served, upstreams: Upstreams) -> None:
    before = len(upstreams.bodies("single/well"))
    assert served.chat("single/well", n=3, seed=7).status == 200
    assert sorted(body["seed"] for body in upstreams.bodies("single/well")[before:]) == [7, 8, 9]


@pytest.mark.parametrize("model", ["claude/well", "reason/well"])
def test_a_seed_promises_nothing_so_an_api_without_it_answers(served: Served, upstreams: Upstreams, model: str) -> None:
    assert served.chat(model, seed=7).status == 200
    assert "seed" not in upstreams.bodies(model)[-1]


def test_where_n_is_dropped_there_is_one_choice(served: Served, upstreams: Upstreams) -> None:
    before = len(upstreams.bodies("lenient/well"))
    assert texts(served.chat("lenient/well", n=3)) == {0: "Good day."}
    assert len(upstreams.bodies("lenient/well")) == before + 1


def test_more_choices_than_the_bound_are_refused_before_any_call(served: Served, upstreams: Upstreams) -> None:
    before = len(upstreams.bodies("claude/well"))
    answer = served.chat("claude/well", n=17)
    assert (answer.status, answer.error["param"]) == (400, "n") and "16" in answer.error["message"]
    assert served.chat("claude/well", n=16).status == 200
    assert len(upstreams.bodies("claude/well")) == before + 16


def test_a_cost_limit_counts_the_prompt_of_every_call(served: Served) -> None:
    prompt = "word " * 8_000  # about 10,000 tokens: 0.03 dollars each time it is read
    for n, status in ((1, 200), (3, 402)):
        answer = served.chat("claude/well", prompt, n=n, max_tokens=5, sizewise={"max_cost_usd": 0.05})
        assert answer.status == status, answer.body


def test_one_call_that_fails_ends_the_request_with_its_error(served: Served) -> None:
    answer = served.chat("claude/busy", n=3)
    assert answer.status == 429 and "choices" not in answer.json  # type: ignore[operator]  # an object


def test_a_stream_whose_call_breaks_off_ends_with_an_error_and_is_cut(served: Served) -> None:
    answer = served.chat("claude/error-mid", n=2, stream=True)
    assert answer.cut and "error" in frames(answer.body)[-1]


@pytest.mark.parametrize("stream", [False, True])
def test_text_completions_have_n_choices_of_each_prompt(served: Served, stream: bool) -> None:
    with OpenAI(base_url=f"{served.url}/v1", api_key=served.key, max_retries=0) as client:
        made: Any = client.completions.create(model="claude/well", prompt=["a", "b"], n=2, stream=stream)
        said: dict[int, str] = {}
        for chunk in made if stream else [made]:
            for choice in chunk.choices:
                said[choice.index] = said.get(choice.index, "") + choice.text
    assert said == dict.fromkeys(range(4), "Good day.")


@pytest.mark.parametrize("model", ["claude/well", "single/well"])
def test_best_of_needs_log_probabilities_and_is_named_where_there_are_none(served: Served, model: str) -> None:
    with OpenAI(base_url=f"{served.url}/v1", api_key=served.key, max_retries=0) as client:
        with pytest.raises(openai.BadRequestError) as caught:
            client.completions.create(model=model, prompt="a", n=1, best_of=2)
    assert caught.value.param == "best_of", caught.value.body


def test_an_answer_of_several_choices_is_strict_json_of_the_api(served: Served) -> None:
    with OpenAI(
        base_url=f"{served.url}/v1", api_key=served.key, max_retries=0, _strict_response_validation=True
    ) as client:
        made = client.chat.completions.create(
            model="reason/well", messages=[{"role": "user", "content": json.dumps({"a": 1})}], n=2
        )
    assert [choice.index for choice in made.choices] == [0, 1] and made.model == "reason/well"
