"""Fields that a wire lacks: dropped where they mean nothing, done by the gateway where it can, else refused by name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from sizewise.testing.upstream import FakeOpenAI
from tests.fakes.fake_anthropic import FakeAnthropic
from tests.fakes.fake_responses import FakeResponses
from tests.gateway.server_harness import beside, booked, frames, words
from tests.running_server import Answer, Served, serving, until

TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
NOTHING: dict[str, Any] = {
    "n": 1,
    "best_of": None,
    "stop": [],
    "seed": None,
    "logprobs": False,
    "top_logprobs": None,
    "presence_penalty": 0,
    "frequency_penalty": 0.0,
    "logit_bias": {},
    "metadata": {},
    "store": False,
    "tools": [],
    "functions": None,
    "response_format": {"type": "text"},
    "user": None,
    "audio": None,
    "prediction": None,
    "service_tier": "auto",
    "parallel_tool_calls": True,
    "reasoning_effort": None,
    "stream_options": None,
    "modalities": ["text"],
    "verbosity": None,
    "web_search_options": None,
    "safety_identifier": None,
    "prompt_cache_key": None,
}
"""Values that mean the same as leaving the field out."""
SEMANTIC: dict[str, Any] = {
    "presence_penalty": 0.5,
    "frequency_penalty": 0.5,
    "logit_bias": {"1": 5},
    "prediction": {"type": "content", "content": "x"},
    "audio": {"voice": "alloy", "format": "wav"},
    "modalities": ["text", "audio"],
    "web_search_options": {},
    "store": True,
    "guided_regex": "a+",
}
"""Values that a model without the field cannot obey."""


@pytest.fixture(scope="module")
def upstreams() -> Iterator[dict[str, FakeOpenAI]]:
    with beside(FakeAnthropic) as claude, beside(FakeResponses) as reason:
        yield {"anthropic": claude, "responses": reason}


@pytest.fixture(scope="module")
def served(upstreams: dict[str, FakeOpenAI], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    rows = "".join(
        f'[providers.{name}]\nwire = "{wire}"\nbase_url = "{up.url}"\nplace = "machine"\n'
        f'models = ["well", "comments", "calls"]\n{drop}\n[models."{name}/well"]\nlogprobs = false\ntools = false\n'
        for wire, up in upstreams.items()
        for name, drop in ((wire, ""), (f"lenient-{wire}", f"drop_params = {[*SEMANTIC, 'logprobs', 'tools', 'stop']}"))
    )
    config = f"[server]\nembedded = false\ndiscover = false\n{rows}"
    with serving(tmp_path_factory.mktemp("fields"), config) as server:
        yield server
        assert "Traceback" not in "".join(server.said)


WIRES = ("anthropic", "responses")


@pytest.mark.parametrize("field", NOTHING)
@pytest.mark.parametrize("wire", WIRES)
def test_a_value_that_means_nothing_is_dropped(served: Served, wire: str, field: str) -> None:
    answer = served.chat(f"{wire}/well", **{field: NOTHING[field]})
    assert answer.status == 200, answer.body


@pytest.mark.parametrize("field", SEMANTIC)
@pytest.mark.parametrize("wire", WIRES)
def test_what_changes_the_answer_is_refused_by_name_unless_the_settings_drop_it(
    served: Served, upstreams: dict[str, FakeOpenAI], wire: str, field: str
) -> None:
    more: Any = {field: SEMANTIC[field]}
    refused = served.chat(f"{wire}/well", **more)
    assert (refused.status, refused.error["code"], refused.error["param"]) == (400, "not_translatable", field)
    assert served.chat(f"lenient-{wire}/well", **more).status == 200
    assert field not in upstreams[wire].received.bodies[-1] or field == "store"


@pytest.mark.parametrize(("field", "value"), [("logprobs", True), ("tools", [TOOL])])
@pytest.mark.parametrize("wire", WIRES)
def test_a_setting_drops_what_the_model_is_known_to_lack_before_it_is_refused(
    served: Served, wire: str, field: str, value: object
) -> None:
    more: Any = {field: value}
    assert served.chat(f"{wire}/well", **more).error["param"] == field
    assert served.chat(f"lenient-{wire}/well", **more).status == 200


# ---- stop sequences of an API that has none -------------------------------------------------------------------------


def said(answer: Answer) -> str:
    if answer.body.startswith(b"data: "):
        return words(frames(answer.body)[:-1])
    whole: Any = answer.json
    return str(whole["choices"][0]["message"]["content"])


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("stop", "text"),
    [
        ("day", "Good "),
        (["never", " d"], "Good"),
        (["Go"], ""),
        ("day?", "Good day."),
        (".", "Good day"),
        ([], "Good day."),
        ("", "Good day."),
    ],
)
def test_a_model_whose_api_has_no_stop_sequences_stops_all_the_same(
    served: Served, upstreams: dict[str, FakeOpenAI], stop: Any, text: str, stream: bool
) -> None:
    answer = served.chat("responses/well", stop=stop, stream=stream)
    assert (answer.status, said(answer)) == (200, text), answer.body
    assert "stop" not in upstreams["responses"].received.bodies[-1]
    ends = (
        [c["finish_reason"] for chunk in frames(answer.body)[:-1] for c in chunk["choices"] if c["finish_reason"]]
        if stream
        else [answer.json["choices"][0]["finish_reason"]]  # type: ignore[index]  # an object
    )
    assert ends == ["stop"] and not answer.cut


def test_tool_calls_after_a_stop_sequence_are_not_made(served: Served) -> None:
    whole: Any = served.chat("responses/calls", stop="Wait", tools=[TOOL]).json
    message = whole["choices"][0]["message"]
    assert message["content"] == "" and not message.get("tool_calls")


def test_what_a_stopped_stream_cost_is_estimated(served: Served) -> None:
    answer = served.chat("responses/well", stop="day", stream=True)
    trace = answer.headers["x-sizewise-trace"]
    until(lambda: booked(served.home, trace))
    (record,) = booked(served.home, trace)
    assert record["status"] == 200 and 0 < record["tries"][0]["output"] < 20


def test_a_messages_client_stops_there_too(served: Served) -> None:
    body = {"model": "responses/well", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]}
    whole = json.loads(served.ask("/v1/messages", {**body, "stop_sequences": ["day"]}).body)
    assert whole["content"] == [{"type": "text", "text": "Good ", "citations": []}]


def test_a_setting_that_drops_stop_sequences_lets_the_model_go_on(served: Served) -> None:
    assert said(served.chat("lenient-responses/well", stop="day")) == "Good day."
