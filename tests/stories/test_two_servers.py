"""Two servers, one the upstream of the other by one row of configuration: what passes between strangers, end to end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from openai import OpenAI

from tests.gateway.server_harness import CHAT, Line, booked, frames, question, rows, words
from tests.running_server import Served, serving, until

FAR_KEY = "sk-test-9f8e7d6c5b4a39281706"

FAR = """
[server]
embedded = false
discover = false
[providers.echo]
wire = "echo"
place = "process"
models = ["tiny", "big", "vectors"]
[models."echo/vectors"]
task = "embed"
[models."echo/tiny"]
parameters = 100_000_000
logprobs = true
[models."echo/big"]
parameters = 70_000_000_000
logprobs = true
"""

NEAR = """
[server]
embedded = false
discover = false
[providers.far]
base_url = "{url}/v1"
key = "env:FAR_KEY"
place = "machine"
models = ["echo/tiny", "echo/big", "echo/vectors"]
[models."far/echo/tiny"]
parameters = 100_000_000
logprobs = true
price = {{input = "0.1", output = "0.4"}}
[models."far/echo/big"]
parameters = 70_000_000_000
price = {{input = "5", output = "15"}}
[models."far/echo/vectors"]
task = "embed"
price = {{input = "0.02", output = "0"}}
[policies.default]
kind = "cascade"
threshold = 0.5
[policies.marked]
kind = "cascade"
threshold = 0.5
when_exhausted = "show_marked"
"""


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("far"), FAR, key=FAR_KEY) as served:
        yield served


@pytest.fixture(scope="module")
def near(far: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("near"), NEAR.format(url=far.url), FAR_KEY=FAR_KEY) as served:
        yield served
        assert FAR_KEY not in "".join(served.said) and "Traceback" not in "".join(served.said)


@pytest.fixture
def client(near: Served) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{near.url}/v1", api_key=near.key, max_retries=0) as made:
        yield made


def asked(words: str) -> Any:
    return [{"role": "user", "content": words}]


def record(served: Served, trace: str) -> dict[str, Any]:
    until(lambda: booked(served.home, trace))
    (found,) = booked(served.home, trace)
    return found


def test_a_chat_goes_through_both_and_costs_what_the_nearer_one_knows(client: OpenAI, near: Served) -> None:
    raw = client.chat.completions.with_raw_response.create(model="far/echo/tiny", messages=asked("one two three"))
    assert raw.parse().choices[0].message.content == "one two three"
    assert raw.headers["x-sizewise-model"] == "far/echo/tiny"
    assert raw.headers["x-sizewise-cost-usd"] == "0.0000015"  # 3 at $0.1 and 3 at $0.4 a million
    assert record(near, raw.headers["x-sizewise-trace"])["cost"] == 3 * 100_000 + 3 * 400_000


def test_a_stream_goes_through_both_word_by_word(near: Served) -> None:
    with Line(near) as line:
        line.say(line.request(CHAT, question("[[say a b c d e]] [[pace 0.05]]", "far/echo/tiny", stream=True)))
        status, headers = line.head()
        chunks = list(iter(line.chunk, b""))
    assert status == 200 and headers["x-sizewise-model"] == "far/echo/tiny"
    assert len(chunks) >= 4, "not held back until the end"
    payloads = frames(b"".join(chunks))
    assert words(payloads) == "a b c d e" and payloads[-1] == "[DONE]"
    ours = [each["sizewise"] for each in payloads if "sizewise" in each]
    assert [each["model"] for each in ours] == ["far/echo/tiny"], "what the farther one says of itself is replaced"
    found = record(near, headers["x-sizewise-trace"])
    assert (found["input"], found["output"]) == (8, 5) and found["estimated"] == 0


def test_usage_comes_once_where_it_was_asked_for_and_else_not_at_all(client: OpenAI) -> None:
    for wanted in (True, False):
        options: Any = {"stream_options": {"include_usage": True}} if wanted else {}
        stream = client.chat.completions.create(
            model="far/echo/tiny",
            messages=asked("one two"),
            stream=True,
            **options,
        )
        used = [chunk.usage.total_tokens for chunk in stream if chunk.usage]
        assert used == ([4] if wanted else [])


def test_logprobs_tools_and_limits_pass_through_both(client: OpenAI) -> None:
    reply = client.chat.completions.create(
        model="far/echo/tiny",
        messages=asked("one two three"),
        logprobs=True,
        max_tokens=2,
    )
    (choice,) = reply.choices
    assert choice.finish_reason == "length" and choice.logprobs is not None
    assert [token.token for token in choice.logprobs.content or ()] == ["one", " two"]
    tools: Any = [{"type": "function", "function": {"name": "weather"}}]
    messages = asked('[[tool weather {"city": "Bonn"}]]')
    called = client.chat.completions.create(model="far/echo/tiny", messages=messages, tools=tools)
    (call,) = called.choices[0].message.tool_calls or []
    assert call.type == "function" and call.function.arguments == '{"city": "Bonn"}'


def test_vectors_pass_through_both(client: OpenAI) -> None:
    vectors = client.embeddings.create(model="far/echo/vectors", input=["one", "two"], encoding_format="float")
    assert [len(each.embedding) for each in vectors.data] == [8, 8]


def test_a_distrusted_reply_is_never_shown_and_both_attempts_are_booked_and_reported(near: Served, far: Served) -> None:
    unsure = "[[echo/tiny: logprob -3]] [[echo/tiny: say wrong words]] right"
    for stream in (False, True):
        answer = near.chat("auto", unsure, stream=stream)
        assert answer.status == 200, answer.body
        assert b"wrong" not in answer.body
        assert (answer.headers["x-sizewise-model"], answer.headers["x-sizewise-attempts"]) == ("far/echo/big", "2")
        assert "trusted" in answer.headers["x-sizewise-why"]
        found = record(near, answer.headers["x-sizewise-trace"])
        small, large = found["tries"]
        assert (small["model"], small["result"], large["result"]) == ("far/echo/tiny", "distrusted", "answered")
        assert small["score"] == pytest.approx(0.0498, abs=0.001)  # e^-3
        assert small["cost"] == small["input"] * 100_000 + 2 * 400_000
        assert large["cost"] == large["input"] * 5_000_000 + 1 * 15_000_000
        assert found["cost"] == small["cost"] + large["cost"] and found["attempts"] == 2
        if not stream:
            assert float(answer.headers["x-sizewise-cost-usd"]) == pytest.approx(found["cost"] / 1e12)
    assert len(rows(far.home, "SELECT 1 FROM records WHERE asked = 'echo/big'")) >= 2, "the farther one has its own"


def test_a_trusted_reply_of_the_small_one_is_kept_and_its_log_probabilities_stay_between_us(near: Served) -> None:
    for stream in (False, True):
        answer = near.chat("auto", "sure words [[logprob -0.01]]", stream=stream)
        assert answer.headers["x-sizewise-model"] == "far/echo/tiny"
        assert "x-sizewise-attempts" not in answer.headers
        assert "uncalibrated" in answer.headers["x-sizewise-why"]
        assert b'"logprob"' not in answer.body, "nobody asked for them"
        assert words(frames(answer.body)) == "sure words" if stream else b'"content":"sure words"' in answer.body


def test_when_everyone_is_distrusted_or_fails_the_policy_decides_what_is_shown(near: Served) -> None:
    bad = "[[echo/tiny: logprob -3]] [[echo/big: fail refused]] half sure"  # a refusal is no illness
    refused = near.chat("auto", bad)
    assert refused.status == 400 and b"half sure" not in refused.body
    marked = near.chat("auto:marked", bad)
    assert marked.status == 200 and marked.headers["x-sizewise-degraded"] == "1"
    assert b"half sure" in marked.body and b'"degraded"' in marked.body
    streamed = near.chat("auto:marked", bad, stream=True)
    ours = [each["sizewise"] for each in frames(streamed.body) if "sizewise" in each]
    assert words(frames(streamed.body)) == "half sure" and "trusted only at" in ours[-1]["degraded"]


def test_the_farther_one_s_refusals_are_told_in_its_words(near: Served) -> None:
    answer = near.chat("far/echo/tiny", "[[nonsense]]")
    assert answer.status == 400 and answer.error["code"] == "bad_body"
    assert "upstream_refused" in answer.error["docs"]
    assert "does not know the cue 'nonsense'" in answer.error["message"]


def test_a_client_that_leaves_the_nearer_one_stops_the_farther_one_s_model(near: Served, far: Served) -> None:
    hung = len(rows(far.home, "SELECT 1 FROM records WHERE status = 499"))
    with Line(near) as line:
        line.say(line.request(CHAT, question("a b [[hang after=1]]", "far/echo/tiny", stream=True)))
        assert line.head()[0] == 200
        line.chunk()
    until(lambda: len(rows(far.home, "SELECT 1 FROM records WHERE status = 499")) == hung + 1)


def test_a_place_is_what_was_declared_and_not_guessed_from_the_address(near: Served, far: Served) -> None:
    before = len(rows(far.home, "SELECT 1 FROM records"))
    answer = near.chat("far/echo/tiny", "x", sizewise={"online": "deny", "data_class": "confidential"})
    assert answer.status == 200, "declared to be this machine, where confidential data may go"
    until(lambda: len(rows(far.home, "SELECT 1 FROM records")) > before)


def test_a_wrong_key_at_the_farther_one_is_our_fault_and_not_the_client_s(far: Served, near: Served) -> None:
    config = NEAR.format(url=far.url)
    with serving(near.home.parent / "wrong", config, FAR_KEY="sk-wrong-key") as served:
        answer = served.chat("far/echo/tiny")
        assert (answer.status, answer.error["code"]) == (502, "upstream_error")
        assert "key" in answer.error["hint"] and b"sk-wrong-key" not in answer.body
        assert "sk-wrong-key" not in "".join(served.said)
