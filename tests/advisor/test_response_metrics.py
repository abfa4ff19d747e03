"""What an answer holds: words, reading level by a stated formula, key facts by declared patterns."""

from __future__ import annotations

import pytest

from sizewise.advisor.response_metrics import (
    EXAMPLE_FACTS,
    LEAST_WORDS,
    KeyFact,
    contains_fact,
    count_syllables,
    measure_response,
    parse_facts,
    reading_grade,
)
from sizewise.errors import BadRequest

SIMPLE = "The cat sat on the mat with the dog. It was a day of sun. We go to the park to play with the ball. " * 2
HARD = (
    "The constancy of electromagnetic propagation necessitates abandoning absolute simultaneity, and consequently "
    "the separation of spatial from temporal measurement becomes dependent upon the observational frame of reference. "
) * 2


def test_words_are_counted_as_a_person_counts_them() -> None:
    assert measure_response("It's a well-known fact: 1,000.5 is a number.").words == 8
    assert measure_response("").words == 0
    assert measure_response("Häuser, naïve — и мир").words == 4


def test_a_harder_text_has_a_higher_grade() -> None:
    simple, hard = reading_grade(SIMPLE), reading_grade(HARD)
    assert simple is not None and hard is not None
    assert simple < 3 and hard > 16


def test_the_grade_is_the_published_formula() -> None:
    words = "the cat and the dog of it " * 5  # 35 words of one syllable, one sentence
    assert reading_grade(words) == round(0.39 * 35 + 11.8 - 15.59, 1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Too short to say.",
        "Die Relativitätstheorie von Einstein hat unser Verständnis von Raum und Zeit verändert, denn die "
        "Lichtgeschwindigkeit ist für alle Beobachter gleich, und bewegte Uhren gehen langsamer als ruhende Uhren. "
        * 2,
        "La théorie de la relativité a changé notre compréhension de l'espace et du temps, car la vitesse de la "
        "lumière est la même pour tous les observateurs et les horloges en mouvement ralentissent. " * 2,
        "De relativiteitstheorie is de theorie waarin ruimte en tijd niet meer absoluut zijn, of zoals het in boeken "
        "staat: wat voor de een gelijktijdig is, is dat voor de ander niet. " * 2,
    ],
    ids=["nothing", "short", "German", "French", "Dutch"],
)
def test_where_the_formula_does_not_apply_the_level_is_unknown(text: str) -> None:
    assert reading_grade(text) is None


def test_code_between_fences_is_not_read() -> None:
    fenced = "\n```python\nextraordinarily_complicated_identifier = characterisation\n```\n"
    assert reading_grade(SIMPLE + fenced) == reading_grade(SIMPLE)


def test_a_list_without_full_stops_is_not_one_endless_sentence() -> None:
    item = "* the light of the sun is the same for all of us"
    assert len((item * 6).split()) > LEAST_WORDS
    assert (reading_grade("\n".join([item] * 6)) or 99) < 10


@pytest.mark.parametrize(
    ("word", "count"),
    [("cat", 1), ("cake", 1), ("apple", 2), ("boxes", 2), ("hated", 2), ("loved", 1), ("theory", 2)],
)
def test_syllables_are_counted_by_rule_of_thumb(word: str, count: int) -> None:
    assert count_syllables(word) == count


def named(word: str) -> KeyFact:
    return next(fact for fact in EXAMPLE_FACTS if word in fact.name)


@pytest.mark.parametrize(
    ("fact", "said"),
    [
        ("energy, E", "the famous E=mc²"),
        ("energy, E", r"so that \(E = mc^{2}\) holds"),
        ("energy, E", "*E* = *mc*^2"),
        ("energy, E", "mass and energy are two forms of the same thing"),
        ("time dilation", "A moving clock runs more slowly."),
        ("time dilation", "Time passes slower near a mass."),
        ("speed of light", "The speed of light in vacuum is always constant."),
        ("simultaneity", "Two events that are simultaneous for one are not for the other"),
        ("spacetime", "a single fabric, **space-time**"),
        ("spacetime", "space–time"),
        ("spacetime is curved", "Mass bends the fabric of spacetime."),
        ("not a force", "gravity is not a force but geometry"),
        ("length contraction", "Moving objects appear shortened"),
        ("confirmed", "GPS must correct for it"),
    ],
)
def test_a_fact_is_found_however_it_is_set(fact: str, said: str) -> None:
    assert contains_fact(said, named(fact))


@pytest.mark.parametrize(
    "said",
    [
        "",
        "I don't know.",
        "Relativity is a theory by Einstein about space and time.",
        "It was a very long time ago. Clocks are nice. He is short.",
    ],
)
def test_an_answer_that_says_nothing_has_no_fact(said: str) -> None:
    assert measure_response(said, EXAMPLE_FACTS).facts == ()


def test_a_pattern_sees_words_and_not_their_truth() -> None:
    assert contains_fact("The speed of light is not constant.", named("speed of light"))  # said so in the docs


def test_facts_are_given_in_their_own_order() -> None:
    declared = parse_facts({"b": "beta", "a": ["alpha", r"\ba\b"], "c": "gamma"})
    assert measure_response("a and Beta", declared).facts == ("b", "a")


@pytest.mark.parametrize(
    "declared",
    [{}, {"a": 1}, {"a": []}, {"a": [""]}, {"a": ["(open"]}, {"a": {"b": "c"}}, {"a": ["x", 3]}],
)
def test_facts_that_cannot_be_looked_for_are_refused_by_name(declared: dict[str, object]) -> None:
    with pytest.raises(BadRequest) as refused:
        parse_facts(declared)
    assert refused.value.hint
    assert not declared or "'a'" in refused.value.message
