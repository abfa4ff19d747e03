"""Replies that come to the same agree, whatever they say on the way; where words do not tell, nobody says they do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from sizewise.messages import Choice, FunctionCall, Reply, ToolCall, Usage
from sizewise.routing.answer_agreement import answers_agree, replies_agree, self_consistency
from sizewise.routing.text.final_answer import final_answer

TIDES = (
    "The tide rises because the moon pulls at the water that is nearer to it a little more strongly than at the "
    "earth itself. On the far side of the planet the water is left behind, so there is a second bulge, and most "
    "coasts see two high tides in a day. When the sun and the moon stand in one line, both pulls add up and the "
    "tide is a spring tide; when they stand at a right angle, it is a neap tide. The shape of a bay can make the "
    "range of tides larger."
)
TOLD_ANEW = (
    "The tide rises because the moon pulls more strongly at the water nearer to it than at the earth itself. On "
    "the far side of the planet water is left behind, which makes a second bulge, so most coasts see two high "
    "tides a day. When sun and moon stand in one line both pulls add up to a spring tide; when they stand at a "
    "right angle there is a neap tide. The shape of a bay can also make the range of the tides much larger than "
    "it is elsewhere on the coast."
)
BREAD = (
    "Mix the flour with warm water and yeast, then knead the dough until it is smooth. Let it rest under a cloth "
    "for an hour, fold it twice, and shape a loaf. Heat the oven as far as it goes, with a pot inside. Bake the "
    "loaf in the covered pot for half an hour, take off the lid, and bake on until the crust is dark. Let it cool "
    "before you cut it; the crumb is still setting while the loaf is hot, and would be gummy under the knife. "
    "Keep what is left in linen."
)


def reply(text: str = "", *calls: tuple[str, str], finish: str = "stop") -> Reply:
    made = tuple(ToolCall(FunctionCall(*call), str(at)) for at, call in enumerate(calls))
    return Reply((Choice(0, text, finish, made),), Usage(1, 1))


# ---- what is final


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("  Paris ", "Paris"),
        ("First we add.\nThe answer is **42**.", "42"),
        ("The final answer is 3.14", "3.14"),
        ("Answer: B) liver", "B) liver"),
        ("The answer is 42. Let me know if I can help.", "42"),
        ("Die Antwort lautet 5.", "5"),
        ("La réponse est : 24", "24"),
        ("It leaves 17 screws.\n#### 17", "17"),
        (r"so $x = \boxed{\frac{1}{2}}$ is left", r"\frac{1}{2}"),
        (r"\boxed{\text{B}}", "B"),
        (r"\boxed{1} would be wrong, so \boxed{2}.", "2"),
        (r"Answer: $\boxed{7}$", "7"),
        ("The answer is 1? No.\n\n#### 2", "2"),
        ("We count the letters.\n\n**strawberry**", "strawberry"),
        ("We count the letters.\n\n3", "3"),
        ("Dear Ann,\nthank you.\n\nBest regards,\n\nJ", "Dear Ann,\nthank you.\n\nBest regards,\n\nJ"),
        ("Dear Ann\n\n[Your Name]", "Dear Ann\n\n[Your Name]"),
        ('```json\n{"a": 1}\n```', '{"a": 1}'),
        ("The answer is not easy.", "The answer is not easy."),
        ("", ""),
    ],
)
def test_the_final_answer_is_the_one_that_is_marked(text: str, answer: str) -> None:
    assert final_answer(text) == answer


MARKS = some.sampled_from(
    [
        "answer is ",
        "Answer: ",
        "#### ",
        "\\boxed{",
        "}",
        "\n\n",
        "4",
        "**",
        "B",
        ". ",
        "The ",
        "x" * 50,
        "{",
        "$",
        "\n",
    ],
)


@given(some.one_of(some.text(max_size=80), some.lists(MARKS, max_size=12).map("".join)))
def test_what_is_final_stays_final(text: str) -> None:
    assert final_answer(final_answer(text)) == final_answer(text)


# ---- words


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Paris", "The capital of France is Paris."),
        ("63", "12 + 51 = 63"),
        ("1,000", "Altogether that makes 1000."),
        ("Paris", "It's Paris."),
        ("北京", "中国的首都是北京。"),
        ("A", "A) liver"),
        ('{"a": 1, "b": [2]}', '```json\n{\n  "b": [2.0],\n  "a": 1\n}\n```'),
        ("(B)", "B"),
        ("We add 3 and 4. The answer is 7.", "3 + 4 first.\n\n**7**"),
        ("The moon pulls at the water.", "The moon pulls at water"),
        (TIDES, TOLD_ANEW),
    ],
)
def test_these_come_to_the_same(one: str, other: str) -> None:
    assert answers_agree(one, other) is True and answers_agree(other, one) is True


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Paris", "The capital of France is Lyon."),
        ("York", "New York"),
        ("Minister", "Prime Minister"),
        ("上海", "中国的首都是北京。"),
        ("64", "12 + 51 = 63"),
        ("C", "A) liver"),
        ('{"a": 1, "b": 2}', '```json\n{"a": 2, "b": 1}\n```'),
        ("Our largest planet in the solar system is Jupiter.", "Our largest planet in the solar system is Saturn."),
        ("It is safe to mix bleach and ammonia.", "It is not safe to mix bleach and ammonia."),
        ("You can mix bleach and ammonia.", "You can't mix bleach and ammonia."),
        ("Yes, you can mix bleach and ammonia.", "No, you can mix bleach and ammonia."),
        ("It takes 5 hours to go there", "About 3 hours by car there"),
        (TIDES, TOLD_ANEW.replace("can also make", "can never make")),
        (TIDES + " There are 29 days in between.", TOLD_ANEW + " There are 15 days in between."),
        (TIDES, BREAD),
    ],
)
def test_these_do_not(one: str, other: str) -> None:
    assert answers_agree(one, other) is False and answers_agree(other, one) is False


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("", "Paris"),
        ("Paris", "Paris is where France is ruled from."),
        ("Paris", "The capital is not Paris"),
        ("The sky is blue because of scattering in air.", "Light scatters the more the shorter its waves are."),
        ("Plants make food by what is called respiration.", "Plants make food by what is called photosynthesis."),
        (
            "月が海の水を引くからです。月が海の水を引くからです。",
            "月が海の水を押すからです。月が海の水を引くからです。",
        ),
        ("北京", "中国的首都不是北京。"),
        (TIDES, "The moon"),
        ("```python\ndef add(a, b):\n    return a + b\n```", "```python\ndef add(a, b):\n    return a - b\n```"),
        ("It adds both numbers: a + b gives it", "It adds both numbers: a - b gives it"),
        (f"{TIDES}\n```\na + b\n```", f"{TIDES}\n```\na - b\n```"),
    ],
)
def test_of_these_words_do_not_tell(one: str, other: str) -> None:
    assert answers_agree(one, other) is None and answers_agree(other, one) is None


SAID = some.sampled_from(
    ["The ", "moon ", "is ", "not ", "Paris ", "4 ", "B ", "answer is ", "\n\n", ", ", "Yes, ", "no "],
)
TEXTS = some.one_of(some.text(max_size=60), some.lists(SAID, max_size=40).map("".join))


@given(TEXTS, TEXTS)
def test_it_is_the_same_both_ways_round(one: str, other: str) -> None:
    assert answers_agree(one, other) == answers_agree(other, one)
    assert answers_agree(one, one) in (True, None)


@pytest.mark.parametrize("unit", ["answer ", "\\boxed{", "\n", "1 ", "A ", "not ", "- \n", " ", ". ", "####\n"])
def test_long_and_odd_replies_are_compared_all_the_same(unit: str) -> None:
    answers_agree(unit * 20_000, unit * 20_000 + "x")


# ---- calls, cuts, choices


def test_calls_agree_by_what_they_would_do() -> None:
    one = reply("", ("look", '{"place": "Oslo", "days": 2}'), ("now", ""))
    assert replies_agree(one, reply("", ("now", "{}"), ("look", '{ "days": 2.0, "place": "Oslo" }'))) is True
    assert replies_agree(one, reply("", ("look", '{"place": "Oslo", "days": 3}'), ("now", ""))) is False
    assert replies_agree(one, reply("", ("look", '{"place": "Oslo", "days": 2}'))) is False
    assert replies_agree(one, reply("Oslo")) is False
    assert replies_agree(reply("", ("f", '{"a": true}')), reply("", ("f", '{"a": 1}'))) is False
    assert replies_agree(reply("", ("f", "{")), reply("", ("f", "{"))) is True
    custom = Reply((Choice(0, "", "tool_calls", (ToolCall(None, "1", "custom"),)),), Usage())
    assert replies_agree(custom, custom) is None


def test_a_reply_that_was_cut_before_its_answer_tells_nothing() -> None:
    assert replies_agree(reply("First we add", finish="length"), reply("7")) is None
    assert replies_agree(reply("First we add.\n#### 7", finish="length"), reply("7")) is True
    assert replies_agree(reply("7", finish="length"), reply("7")) is True
    assert replies_agree(Reply((), Usage()), reply("7")) is None


def test_consistency_is_the_share_of_the_most_common_answer() -> None:
    assert self_consistency([reply("7"), reply("The answer is 7."), reply("8"), reply("9")]) == 0.5
    assert self_consistency([reply("7"), reply("7"), reply("7")]) == 1
    assert self_consistency([reply("7"), reply("8")]) == 0.5
    several = Reply((Choice(0, "7"), Choice(1, "7"), Choice(2, "8"), Choice(3, "  ")), Usage())
    assert self_consistency([several]) == pytest.approx(2 / 3)
    calls = [reply("", ("f", "{}")), reply("", ("f", "")), reply("7")]
    assert self_consistency(calls) == pytest.approx(2 / 3)


def test_without_two_that_can_be_compared_there_is_no_consistency() -> None:
    assert self_consistency([]) is None
    assert self_consistency([reply("7"), reply("")]) is None
    assert (
        self_consistency([reply("Light scatters in the air above us."), reply("Waves of one kind are bent more.")])
        is None
    )


@given(some.lists(some.sampled_from(["7", "8", "x", "", "The answer is 7."]), max_size=6))
def test_consistency_does_not_depend_on_the_order(texts: list[str]) -> None:
    replies = [reply(text) for text in texts]
    share = self_consistency(replies)
    assert share == self_consistency(replies[::-1])
    assert share is None or 0 < share <= 1
