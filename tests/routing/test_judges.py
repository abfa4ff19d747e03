"""What the judges say of replies, good and bad."""

from __future__ import annotations

import json
import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from sizewise.messages import Choice, FunctionCall, Reply, ToolCall, Usage
from sizewise.routing.judges.chain import JudgeChain
from sizewise.routing.judges.confidence import confidence
from sizewise.routing.judges.rules import rules
from sizewise.routing.policy import Judge, RequestFeatures, Verdict

PLAIN = RequestFeatures(10)


def reply(
    text: str = "",
    finish: str = "stop",
    logprobs: list[float] | None = None,
    calls: tuple[ToolCall, ...] = (),
) -> Reply:
    raw = (
        None if logprobs is None else Raw(msgspec.json.encode({"content": [{"logprob": value} for value in logprobs]}))
    )
    return Reply((Choice(0, text, finish, calls, logprobs=raw),), Usage(1, 1))


PROSE = (
    "The tide rises because the moon pulls at the water that is nearer to it a little more than at the earth itself. "
    "On the far side the water is left behind, so there is a second bulge, and most coasts see two high tides a day."
)
CODE = "def add(a, b):\n    return a + b\n\n\ndef mul(a, b):\n    return a * b\n\n\nprint(add(1, 2), mul(3, 4))\n" * 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("  \n", "empty"),
        ("I'm sorry, but I can't help with that.", "refusal"),
        ("I’m sorry, but I cannot answer this.", "refusal"),
        ("As an AI language model, I do not have opinions.", "refusal"),
        ("I am unable to browse the web.", "refusal"),
        ("I don't know the answer to this.", "does not know"),
        ("I'm not sure what you mean.", "does not know"),
        ("I do not have access to that information.", "does not know"),
        ("the cat sat on the mat and " * 20, "repeats itself"),
        ("a" * 500, "repeats itself"),
    ],
)
def test_rules_object_in_words(text: str, words: str) -> None:
    verdict = rules(PLAIN, (reply(text),))
    assert verdict.score == 0 and words in verdict.why


@pytest.mark.parametrize(
    "text",
    [
        "Paris.",
        "4",
        PROSE,
        CODE,
        "I'm sorry to hear that. Rest and drink a lot.",
        "He said he didn't know.",
        "\n".join(f"{n}. item number {n} costs {n * 3} euros" for n in range(1, 30)),
        "| a | b |\n|---|---|\n" + "\n".join(f"| {n} | {n * n} |" for n in range(40)),
        "是的，北京是中国的首都。",
    ],
)
def test_rules_leave_ordinary_answers_alone(text: str) -> None:
    assert rules(PLAIN, (reply(text),)) == Verdict(None, "no rule rejects the reply")


def test_an_answer_cut_by_the_model_s_own_limit_is_distrusted_and_one_cut_by_the_asker_is_not() -> None:
    assert "cut off" in rules(PLAIN, (reply("and then", "length"),)).why
    assert rules(RequestFeatures(10, max_tokens=2), (reply("and then", "length"),)).score is None


@pytest.mark.parametrize(
    ("text", "good"),
    [('{"a": 1}', True), ("[1]", True), ('```json\n{"a": 1}\n```', False), ("{", False)],
)
def test_json_that_was_asked_for_must_be_json(text: str, good: bool) -> None:
    assert (rules(RequestFeatures(10, schema=True), (reply(text),)).score is None) == good


@pytest.mark.parametrize(
    ("name", "arguments", "good"),
    [
        ("look", '{"a": 1}', True),
        ("look", "", True),
        ("", "{}", False),
        ("look", "[1]", False),
        ("look", '{"a": ', False),
    ],
)
def test_a_tool_call_must_be_one_that_can_be_made(name: str, arguments: str, good: bool) -> None:
    call = ToolCall(FunctionCall(name, arguments), "1")
    assert (rules(RequestFeatures(10, tools=True), (reply("", "tool_calls", calls=(call,)),)).score is None) == good


def test_a_tool_call_written_as_words_is_not_one() -> None:
    text = '{"name": "look", "arguments": {"x": 1}}'
    assert "plain text" in rules(RequestFeatures(10, tools=True), (reply(text),)).why
    assert rules(PLAIN, (reply(text),)).score is None


def test_any_bad_choice_is_an_objection() -> None:
    both = Reply((Choice(0, "Paris", "stop"), Choice(1, "", "stop")), Usage())
    assert rules(PLAIN, (both,)).score == 0
    assert rules(PLAIN, (reply("Paris"), Reply((), Usage()))).score == 0


def test_confidence_of_a_short_reply_is_its_geometric_mean_probability() -> None:
    verdict = confidence(PLAIN, (reply("yes", logprobs=[math.log(0.9), math.log(0.4)]),))
    assert verdict.score == pytest.approx(0.6)


def test_one_guessed_word_in_a_long_reply_shows() -> None:
    sure = [-0.01] * 40
    guess = [*sure[:20], *[-3.0] * 4, *sure[24:]]
    high, low = (confidence(PLAIN, (reply("x", logprobs=values),)).score for values in (sure, guess))
    assert high is not None and low is not None
    assert high > 0.98 and low < 0.45


def test_without_log_probabilities_nobody_can_say() -> None:
    assert confidence(PLAIN, (reply("yes"),)).score is None
    assert confidence(PLAIN, (reply("yes", logprobs=[]),)).score is None
    assert confidence(PLAIN, (reply("yes", logprobs=[-0.1]), reply("no"))).score is None
    for raw in (b'{"content": null}', b'{"content": [{"token": "x"}]}', b'"what"'):
        assert confidence(PLAIN, (Reply((Choice(logprobs=Raw(raw)),), Usage()),)).score is None


def test_the_least_sure_of_several_counts() -> None:
    verdict = confidence(PLAIN, (reply("a", logprobs=[-0.1]), reply("b", logprobs=[-2.0])))
    assert verdict.score == pytest.approx(math.exp(-2))


@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=60))
def test_confidence_is_a_number_from_0_to_1_whatever_an_upstream_sends(values: list[float]) -> None:
    raw = Raw(
        json.dumps(
            {"content": [{"logprob": value} for value in values if math.isfinite(value)] or [{"logprob": 0}]},
        ).encode(),
    )
    score = confidence(PLAIN, (Reply((Choice(logprobs=raw),), Usage()),)).score
    assert score is not None and 0 <= score <= 1


def says(score: float | None, why: str) -> Judge:
    return lambda question, replies: Verdict(score, why)


def test_judges_together_are_as_doubtful_as_the_most_doubtful() -> None:
    assert JudgeChain((says(0.9, "a"), says(0.3, "b"), says(None, "c")))(PLAIN, ()) == Verdict(0.3, "b")
    assert JudgeChain((says(None, "no objection"), says(0.7, "sure")))(PLAIN, ()) == Verdict(0.7, "sure")
    assert JudgeChain((says(None, "no objection"), says(None, "cannot say")))(PLAIN, ()).score is None
    assert JudgeChain(())(PLAIN, ()).score is None


def test_after_a_veto_nobody_is_asked() -> None:
    asked: list[str] = []

    def second(features: RequestFeatures, replies: tuple[Reply, ...]) -> Verdict:
        asked.append("second")
        return Verdict(1.0, "fine")

    assert JudgeChain((says(0.0, "empty"), second))(PLAIN, ()) == Verdict(0.0, "empty") and asked == []
