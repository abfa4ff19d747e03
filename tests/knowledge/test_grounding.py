"""What holds a claim and what does not, sentence by sentence; how an answer is cited, and what it withholds."""

from __future__ import annotations

import pytest

from sizewise.knowledge.grounding import MARK, MIN_ADDRESSED, Evidence, addresses, check_grounding, cite, coverage
from sizewise.knowledge.statements import read_statement, split_sentences

RETURNS = Evidence(
    "You can send back any lamp within 45 days. We refund the price within 14 days after we have it. "
    "Used bulbs cannot be returned.",
    "Returns",
    "help/returns.md",
    "help/returns.md, Returns",
)
WARRANTY = Evidence(
    "The warranty is 3 years for desk lamps and 5 years for floor lamps. "
    "Batteries are consumables and are not covered by the warranty.",
    "Warranty",
    "help/warranty.md",
)
PRICES = Evidence("An order of 60 euros or more ships free of charge; a smaller one costs 4.90 euros.", "Shipping")
TIMES = Evidence(
    "| to | parcel | bike |\n|---|---|---|\n| Belgium | 1 to 2 working days | 2 to 4 working days |\n"
    "| Norway | 4 to 6 working days | 6 to 9 working days |",
    "Delivery times",
)
PASSAGES = [RETURNS, WARRANTY, PRICES, TIMES]


def held(answer: str, question: str = "") -> list[int | None]:
    return [each.passage for each in check_grounding(answer, PASSAGES, question).claims if each.states]


@pytest.mark.parametrize(
    ("answer", "passage"),
    [
        ("You have 45 days to send a lamp back. [1]", 0),
        ("You can send a lamp back within forty-five days.", None),
        ("You can send a lamp back within 30 days [1].", None),
        ("You can send a lamp back within 45 weeks.", None),
        ("Used bulbs can be returned [1].", None),
        ("You can return used bulbs within 45 days.", None),
        ("No, used bulbs cannot be returned.", 0),
        ("The warranty of a floor lamp is 5 years.", 1),
        ("The warranty of a floor lamp is 3 years.", None),
        ("The warranty covers batteries.", None),
        ("The warranty does not cover the return of a lamp.", None),
        ("Batteries are not covered by the warranty.", 1),
        ("Orders of €60 or more ship free of charge.", 2),
        ("Orders of $60 or more ship free of charge.", None),
        ("A smaller order costs €4.90.", 2),
        ("Delivery of a bike to Norway takes 6 to 9 working days.", 3),
        ("Delivery of a bike to Norway takes 4 to 6 working days.", None),
        ("Delivery of a bike to Sweden takes 6 to 9 working days.", None),
        ("The capital of Peru is Lima. [1]", None),
    ],
)
def test_a_claim_is_held_by_the_sentence_that_says_it_and_by_no_other(answer: str, passage: int | None) -> None:
    assert held(answer) == [passage]


@pytest.mark.parametrize(
    ("question", "answer", "passage"),
    [
        ("How long may I send a lamp back?", "45 days.", 0),
        ("How long may I send a lamp back?", "30 days.", None),
        ("Are batteries covered by the warranty?", "No.", 1),
        ("Are batteries covered by the warranty?", "Yes.", None),
        ("How long is the warranty of bulbs?", "The warranty of bulbs is 3 years.", None),
        ("How long is the warranty of bulbs?", "3 years.", None),
    ],
)
def test_a_short_answer_is_read_with_its_question(question: str, answer: str, passage: int | None) -> None:
    assert held(answer, question) == [passage]


def test_what_states_nothing_is_no_claim() -> None:
    found = check_grounding("Here is what I found:\nYou can send back any lamp within 45 days.", PASSAGES)
    assert [each.states for each in found.claims] == [False, True] and found.share == 1.0
    assert check_grounding("", PASSAGES).claims == () and check_grounding("", PASSAGES).share == 1.0


def test_an_answer_is_cited_anew_and_loses_what_no_passage_holds() -> None:
    answer = "A floor lamp has a warranty of 5 years [1]. It weighs 3 kg [7]. Any lamp can be sent back within 45 days."
    text, sources = cite(check_grounding(answer, PASSAGES), PASSAGES, mark=False)
    assert text == "A floor lamp has a warranty of 5 years [1]. Any lamp can be sent back within 45 days [2]."
    assert [(each.number, each.source, each.cited) for each in sources] == [
        (1, "help/warranty.md", "Warranty"),
        (2, "help/returns.md", "help/returns.md, Returns"),
    ]
    assert sources[1].quote == "You can send back any lamp within 45 days."
    text, sources = cite(check_grounding(answer, PASSAGES), PASSAGES, mark=True)
    assert text.splitlines() == [
        f"A floor lamp has a warranty of 5 years [1]. It weighs 3 kg. {MARK} "
        "Any lamp can be sent back within 45 days [2]."
    ]
    assert [each.number for each in sources] == [1, 2]


def test_two_sentences_of_one_passage_are_both_quoted() -> None:
    answer = "Any lamp can be sent back within 45 days. Used bulbs cannot be returned. Used bulbs cannot be returned."
    text, (source,) = cite(check_grounding(answer, PASSAGES), PASSAGES, mark=False)
    assert text.count("[1]") == 3
    assert source.quote == "You can send back any lamp within 45 days. … Used bulbs cannot be returned."


def test_what_without_denies_ends_before_the_verb() -> None:
    limits = [Evidence("The limit without approval is $500. Unless it is broken, a lamp has no refund.")]
    for answer, is_held in (
        ("The limit is $500 without approval.", True),
        ("The limit is $900 without approval.", False),
        ("The limit with approval is $500.", False),
        ("The limit is not $500 without approval.", False),
    ):
        [claim] = check_grounding(answer, limits).claims
        assert (claim.passage is not None) == is_held, answer


def test_an_answer_without_a_source_is_empty() -> None:
    assert cite(check_grounding("The capital of Peru is Lima. [1]", PASSAGES), PASSAGES, mark=True) == ("", [])


def test_paragraphs_and_lists_keep_their_lines() -> None:
    answer = "- Any lamp can be sent back within 45 days.\n- Batteries are not covered by the warranty.\n"
    text, _ = cite(check_grounding(answer, PASSAGES), PASSAGES, mark=False)
    assert text == "- Any lamp can be sent back within 45 days [1].\n- Batteries are not covered by the warranty [2]."


def test_coverage_is_the_share_of_the_question_that_one_passage_speaks_of() -> None:
    assert coverage("How long is the warranty of a floor lamp?", PASSAGES) == 1.0
    assert coverage("What is the capital of Peru?", PASSAGES) == 0.0
    assert coverage("Can I pay for a lamp with PayPal?", PASSAGES) < 0.5, "a name counts twice"
    assert coverage("", PASSAGES) == 0.0 and coverage("warranty", []) == 0.0


def test_a_true_sentence_about_something_else_does_not_address_the_question() -> None:
    found = check_grounding("Any lamp can be sent back within 45 days.", PASSAGES)
    assert addresses("How many days do I have to send a lamp back?", found) == 1.0
    assert addresses("What discount do employees get?", found) == 0.0
    beside = Evidence("Batteries are not covered. The warranty begins on the day of delivery.", "Warranty")
    found = check_grounding("The warranty begins on the day of delivery.", [beside])
    assert found.claims[0].quote == "The warranty begins on the day of delivery."
    assert addresses("Are batteries covered by the warranty?", found) < MIN_ADDRESSED, "the sentence beside it answers"


def test_sentences_are_cut_behind_their_citations_and_not_in_abbreviations() -> None:
    said = (
        "It ships, e.g. to Norway, for approx. 9 euros. [1] Mails to Dr. Krause cost 3.5 euros [2, 3]. "
        "日本語です。はい。\nx"
    )
    pieces = split_sentences(said)
    assert "".join(pieces) == said
    assert [each.strip() for each in pieces] == [
        "It ships, e.g. to Norway, for approx. 9 euros. [1]",
        "Mails to Dr. Krause cost 3.5 euros [2, 3].",
        "日本語です。",
        "はい。",
        "x",
    ]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1,200 euros", "€1200"),
        ("1.200 euros", "1,200 euros"),
        ("4,50 euros", "4.5 euros"),
        ("09:00", "9:00"),
        ("two", "2"),
    ],
)
def test_equal_numbers_are_equal_however_they_are_written(one: str, other: str) -> None:
    assert [each.number for each in read_statement(one).quantities] == [
        each.number for each in read_statement(other).quantities
    ]
