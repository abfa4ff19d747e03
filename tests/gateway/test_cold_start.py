"""`auto` before any calibration: a small reply is kept where the shipped prior can tell, or the better one answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cli.terminal import sizewise
from tests.running_server import Answer, Served, serving

CONFIG = """
[server]
embedded = false
discover = false
[providers.echo]
wire = "echo"
place = "process"
models = ["tiny", "small", "large"]
[models."echo/tiny"]
price = {input = "0.1", output = "0.4"}
parameters = 135_000_000
logprobs = true
tools = true
[models."echo/small"]
price = {input = "0.1", output = "0.4"}
parameters = 2_000_000_000
logprobs = true
tools = true
[models."echo/large"]
price = {input = "5", output = "15"}
parameters = 70_000_000_000
logprobs = true
tools = true
[policies.default]
models = ["echo/small", "echo/large"]
[policies.tiny]
models = ["echo/tiny", "echo/large"]
[policies.mine]
models = ["echo/small", "echo/large"]
threshold = 0.5
[policies.marked]
models = ["echo/tiny", "echo/large"]
when_exhausted = "show_marked"
[policies.voting]
models = ["echo/small", "echo/large"]
votes = 3
"""
QUESTION = "What is the capital of France?"
SURE, UNSURE = f"{QUESTION} [[say Paris]] [[logprob -0.01]]", f"{QUESTION} [[say Paris]] [[logprob -1.5]]"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("cold"), CONFIG) as served:
        yield served


def shown(answer: Answer) -> tuple[str, str]:
    assert answer.status == 200, answer.body
    return answer.headers["x-sizewise-model"], answer.headers["x-sizewise-why"]


def trust_and_needed(server: Served, answer: Answer) -> list[tuple[str, str]]:
    """The columns TRUST and NEEDED of each attempt, as `sizewise records TRACE` shows them."""
    told = sizewise("records", answer.headers["x-sizewise-trace"], home=server.home).out
    _, table = told.split("TRUST", 1)
    rows = [line.split() for line in table.splitlines() if "echo/" in line]
    return [(row[4], row[5]) for row in rows]


def test_a_reply_that_the_prior_finds_right_is_kept_and_says_prior(server: Served) -> None:
    answer = server.chat("auto", SURE)
    model, why = shown(answer)
    assert model == "echo/small" and why.startswith("prior: this answer is right with a chance of 0.9")
    record = sizewise("records", "--json", answer.headers["x-sizewise-trace"], home=server.home)
    assert "prior: this answer is right" in record.out, record.err
    score, needed = trust_and_needed(server, answer)[0]
    assert f"a chance of {score}, and {needed} is enough" in why and float(score) >= float(needed)


def test_a_reply_that_it_doubts_is_never_shown(server: Served) -> None:
    answer = server.chat("auto", UNSURE + " [[echo/small: say London]]")
    model, why = shown(answer)
    assert model == "echo/large" and why.startswith("no smaller model was trusted: the answer of echo/small is right ")
    assert answer.headers["x-sizewise-attempts"] == "2" and b"London" not in answer.body
    (score, needed), unjudged = trust_and_needed(server, answer)
    assert f"a chance of {score} only, and {needed} is needed" in why and float(score) < float(needed)
    assert unjudged == ("-", "-"), "nothing judges the better model"


def test_a_threshold_of_ones_own_stands_beside_the_score(server: Served) -> None:
    ((score, needed),) = trust_and_needed(server, server.chat("auto:mine", SURE))
    assert (float(score), needed) == (0.99, "0.50")


WITHOUT_A_BASIS: dict[str, dict[str, Any]] = {
    "another language": {"words": f"Was ist die Hauptstadt von Frankreich und wie heißt sie? {SURE}"},
    "a language that nobody can tell": {"words": "[[logprob -0.01]] 17*3"},
    "tools": {"words": SURE, "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]},
    "a schema": {"words": f"{QUESTION} [[logprob -0.01]]", "response_format": {"type": "json_object"}},
    "a conversation": {
        "messages": [
            {"role": "user", "content": "Hello there"},
            {"role": "assistant", "content": "Hi."},
            {"role": "user", "content": SURE},
        ]
    },
    "several choices": {"words": SURE, "n": 2},
    "a higher quality": {"words": SURE, "sizewise": {"min-quality": 0.99}},
}


@pytest.mark.parametrize("body", WITHOUT_A_BASIS.values(), ids=WITHOUT_A_BASIS)
def test_without_a_basis_the_better_model_answers_at_once(server: Served, body: dict[str, Any]) -> None:
    answer = server.chat("auto", **body)
    model, why = shown(answer)
    assert model == "echo/large" and why.startswith("prior: no basis to judge a smaller model's answer: ")
    assert "x-sizewise-attempts" not in answer.headers


def test_a_model_whose_signals_do_not_tell_is_not_asked(server: Served) -> None:
    answer = server.chat("auto:tiny", SURE)
    model, why = shown(answer)
    assert model == "echo/large" and "x-sizewise-attempts" not in answer.headers
    assert why == "prior: no basis to tell when a model this small is right; the best model answers"


def test_a_model_that_no_prior_judges_is_the_reason_in_any_language(server: Served) -> None:
    answer = server.chat("auto:tiny", "Wie heißt die Hauptstadt von Frankreich und wo ist sie?")
    assert shown(answer)[1] == "prior: no basis to tell when a model this small is right; the best model answers"


def test_an_answer_that_is_longer_than_any_learned_one_is_not_kept(server: Served) -> None:
    answer = server.chat("auto", f"{QUESTION} [[say yes]] [[repeat 200]] [[logprob -0.0001]]")
    assert shown(answer)[0] == "echo/large"


def test_an_answer_that_was_cut_off_is_not_kept(server: Served) -> None:
    assert shown(server.chat("auto", f"{SURE} [[echo/small: finish length]]"))[0] == "echo/large"


def test_a_quality_within_the_stated_loss_is_best_effort(server: Served) -> None:
    model, why = shown(server.chat("auto", SURE, sizewise={"min-quality": 0.9}))
    assert model == "echo/small" and why.startswith("best effort: prior: ")


def test_when_the_better_model_fails_a_marked_small_reply_is_better_than_none(server: Served) -> None:
    words = f"{QUESTION} [[say Paris]] [[echo/large: fail refused]]"
    answer = server.chat("auto:marked", words)
    assert shown(answer)[0] == "echo/tiny" and answer.headers["x-sizewise-degraded"] == "1"
    assert "not judged, and echo/large failed" in answer.headers["x-sizewise-why"]
    assert server.chat("auto:tiny", words).status >= 400


def test_a_threshold_in_the_settings_is_the_users_own_choice(server: Served) -> None:
    model, why = shown(server.chat("auto:mine", f"{QUESTION} [[say Paris]] [[logprob -0.5]]"))
    assert model == "echo/small" and "uncalibrated" in why


def test_votes_alone_do_not_make_a_coin(server: Served) -> None:
    assert shown(server.chat("auto:voting", SURE))[0] == "echo/small"
    assert shown(server.chat("auto:voting", UNSURE))[0] == "echo/large"


def test_log_probabilities_that_nobody_asked_for_stay_between_us(server: Served) -> None:
    body = json.loads(server.chat("auto", SURE).body)
    assert not body["choices"][0].get("logprobs")


def test_the_explanation_says_prior(server: Served) -> None:
    told = sizewise("route", "explain", "--json", QUESTION, home=server.home).json
    assert told["steps"][0]["models"] == ["echo/small"] and told["steps"][0]["why"].startswith("prior: ")
    german = sizewise("route", "explain", "Wie heißt die Hauptstadt von Frankreich und wo ist sie?", home=server.home)
    assert "echo/large" in german.out.split("prior: no basis")[0]
