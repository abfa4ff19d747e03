"""Progress on request: a stream says who is asked before anyone answers; without the option not a byte is different."""

from __future__ import annotations

from pathlib import Path

import openai
import pytest

from tests.gateway.server_harness import frames, question, refused, words
from tests.graphql.subscription_client import streamed
from tests.running_server import ECHO, Served, serving

VERIFIED = """
[policies.default]
kind = "cascade"
threshold = 0.5
models = ["echo/small", "echo/large"]
verifier = "echo/large"
[models."echo/small"]
parameters = 100_000_000
logprobs = true
[models."echo/large"]
parameters = 70_000_000_000
"""
QUESTION = """subscription($p: String!, $progress: Boolean!) { ask(prompt: $p, progress: $progress) {
  text attempt { stage model why held step } answer { model } } }"""


def test_a_stream_says_who_is_asked_why_and_whether_the_answer_is_held(fast: Served) -> None:
    answer = fast.chat("auto", "Hello [[logprob -5]]", stream=True, sizewise={"progress": True})
    first, second, *rest, last, _ = frames(answer.body)
    held, shown = first["sizewise"]["progress"], second["sizewise"]["progress"]
    assert first["choices"] == second["choices"] == [] and first["object"] == "chat.completion.chunk"
    assert (held["stage"], held["model"], held["held"], held["step"]) == ("attempt", "echo/small", True, "")
    assert (shown["model"], shown["held"]) == ("echo/large", False)
    assert "no smaller model was trusted" in shown["reason"]
    assert words(rest).startswith("Hello") and last["sizewise"]["model"] == "echo/large"


@pytest.mark.long
def test_without_the_option_the_stream_is_as_it_was(server: Served) -> None:
    plain = server.chat("echo/small", "one two", stream=True)
    off = server.chat("echo/small", "one two", stream=True, sizewise={"progress": False})
    assert [list(each) for each in frames(plain.body)] == [list(each) for each in frames(off.body)]
    assert "progress" not in plain.body.decode()


@pytest.mark.long
def test_a_refusal_keeps_its_status_and_what_fails_later_is_an_event(server: Served) -> None:
    assert server.chat("echo/nobody", stream=True, sizewise={"progress": True}).status == 404
    refused(server.ask("/v1/chat/completions", question(stream=True), x_sizewise_progress="maybe"), 400, "bad_body")
    failed = server.chat("echo/small", "[[fail]]", stream=True, sizewise={"progress": True})
    assert (failed.status, failed.cut) == (200, True)
    *_, last = frames(failed.body)
    assert last["error"]["code"] == "upstream_unreachable"


@pytest.mark.long
def test_the_openai_sdk_reads_such_a_stream(server: Served) -> None:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=server.key) as client:
        chunks = list(
            client.chat.completions.create(
                model="echo/small",
                messages=[{"role": "user", "content": "one two"}],
                stream=True,
                extra_headers={"x-sizewise-progress": "true"},
            )
        )
    assert chunks[0].choices == [] and chunks[0].model_extra is not None
    assert chunks[0].model_extra["sizewise"]["progress"]["model"] == "echo/small"
    assert "".join(each.choices[0].delta.content or "" for each in chunks if each.choices) == "one two"


@pytest.mark.long
def test_a_model_that_judges_is_not_taken_for_one_that_answers(tmp_path: Path) -> None:
    with serving(tmp_path, ECHO + VERIFIED) as server:
        answer = server.chat("auto", "Hello", stream=True, sizewise={"progress": True})
    shown = [each["sizewise"] for each in frames(answer.body)[:-1] if "sizewise" in each]
    begun = [each["progress"] for each in shown if "progress" in each]
    assert [(each["stage"], each["model"]) for each in begun][:2] == [
        ("attempt", "echo/small"),
        ("verification", "echo/large"),
    ]


def test_a_subscription_has_the_same_in_chunks_without_text(echo: Served) -> None:
    first, *rest = (each["ask"] for each in streamed(echo, QUESTION, p="one two", progress=True))
    assert first["text"] == "" and first["attempt"]["stage"] == "attempt" and not first["attempt"]["held"]
    assert [each["attempt"] for each in rest] == [None] * len(rest)
    assert "".join(each["text"] for each in rest) == "one two"


@pytest.mark.long
def test_a_subscription_without_the_option_has_none(echo: Served) -> None:
    pieces = [each["ask"] for each in streamed(echo, QUESTION, p="one two", progress=False)]
    assert [each["text"] for each in pieces] == ["one", " two", ""]
