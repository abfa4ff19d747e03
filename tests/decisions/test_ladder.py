"""A ladder answers only where it is certified to agree with the reference, and keeps that in repeated runs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from sizewise.decisions.certificate import LOOKS, TAUGHT_SHARE, is_taught, look_error
from sizewise.decisions.certification import build_ladder, calibration_error
from sizewise.decisions.head import Floats, Integers
from sizewise.decisions.label_shift import binomial_tail
from sizewise.decisions.ladder import Ladder
from sizewise.routing.guarantees.bounds import QualityGuarantee
from tests.properties import examples

GUARANTEE = QualityGuarantee(0.95, 0.95)
OPTIONS, WIDTH = 6, 24
CENTERS = np.random.default_rng(1).normal(size=(OPTIONS, WIDTH))


def stream(seed: int, count: int, *, noise: float = 0.9, mislabeled: float = 0.0) -> tuple[Floats, Integers]:
    """Inputs around one center for each option. `mislabeled`: share for which the reference answers at random."""
    draw = np.random.default_rng(seed)
    options = draw.integers(0, OPTIONS, count)
    vectors = CENTERS[options] + noise * draw.normal(size=(count, WIDTH))
    options = np.where(draw.random(count) < mislabeled, draw.integers(0, OPTIONS, count), options)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), options


def ladder(
    vectors: Floats, options: Integers, digests: list[str] | None = None, option_count: int = OPTIONS
) -> Ladder | None:
    names = digests or [f"text {number}" for number in range(len(options))]
    return build_ladder(range(len(options)), names, vectors, options, option_count, GUARANTEE)


def built(vectors: Floats, options: Integers, digests: list[str] | None = None, option_count: int = OPTIONS) -> Ladder:
    found = ladder(vectors, options, digests, option_count)
    assert found is not None
    return found


def test_it_answers_most_of_an_easy_question_from_the_first_look_on() -> None:
    whole = built(*stream(0, LOOKS[0]))
    assert whole.certificate.share > 0.8 and whole.certificate.agreement >= 0.95
    vectors, options = stream(1, 500)
    answers = [whole.answer("new", vector.tolist()) for vector in vectors]
    right = [each.option == option for each, option in zip(answers, options.tolist(), strict=True) if each is not None]
    assert len(right) > 350 and sum(right) / len(right) > 0.95


@pytest.mark.long
def test_no_more_than_one_in_twenty_certificates_is_broken() -> None:
    """Of 30 runs, in which the reference contradicts itself often enough to break a careless bound."""
    test, truth = stream(999, 2_000, mislabeled=0.05)
    broken = 0
    for seed in range(30):
        whole = built(*stream(seed, LOOKS[0], mislabeled=0.05))
        threshold = whole.certificate.threshold
        if threshold is not None:
            decided = whole.head.decide(test)
            broken += bool(((decided.trust >= threshold) & (decided.option != truth)).mean() > 0.05)
    assert broken <= 4, "above the 95 % quantile of a binomial of 30 and 1 in 20"


def test_where_nothing_can_be_learned_everything_goes_up() -> None:
    vectors, _ = stream(0, LOOKS[0])
    options = np.random.default_rng(5).integers(0, OPTIONS, LOOKS[0])
    whole = built(vectors, options)
    assert whole.certificate.share <= 0.06, "what is wrong everywhere may be answered where 5 % of all inputs are"
    assert ladder(vectors, np.zeros(LOOKS[0], np.int64)) is None, "all answers were equal"
    assert ladder(vectors[:12], options[:12]) is None


def test_an_option_that_never_came_is_never_answered() -> None:
    whole = built(*stream(0, LOOKS[0]), option_count=OPTIONS + 1)
    found = [whole.answer("new", vector.tolist()) for vector in stream(2, 100)[0]]
    assert all(each is None or each.option < OPTIONS for each in found)
    assert all(each is None or len(each.probabilities) == OPTIONS + 1 for each in found)


def test_a_text_that_was_answered_in_two_ways_is_no_exact_match() -> None:
    vectors, options = stream(0, LOOKS[0])
    digests = [f"text {number}" for number in range(LOOKS[0])]
    taught = [number for number in range(LOOKS[0]) if is_taught(number)]
    same = [number for number in taught if options[number] == options[taught[0]]]
    other = next(number for number in taught if options[number] != options[taught[0]])
    digests[same[1]] = digests[same[0]]
    digests[other] = digests[same[2]]
    whole = built(vectors, options, digests)
    found = whole.answer(digests[same[0]], None)
    assert found is not None and (found.rung, found.option) == ("exact", options[same[0]])
    assert whole.answer(digests[other], None) is None


def test_for_confidential_inputs_no_stored_answer_is_repeated() -> None:
    vectors, options = stream(0, LOOKS[1], noise=0.15)
    whole = built(vectors, options)
    known = next(number for number in range(LOOKS[1]) if is_taught(number))
    vector = vectors[known].tolist()
    near = whole.answer("new", vector)
    assert near is not None and near.rung == "near copy" and near.option == options[known]
    assert whole.answer("new", vector, confidential=True) is None
    assert whole.answer(f"text {known}", None) is not None
    assert whole.answer(f"text {known}", None, confidential=True) is None


@examples(50)
@given(some.integers(1, 400), some.floats(0.01, 0.5), some.data())
def test_the_binomial_tail_is_a_distribution(count: int, chance: float, data: some.DataObject) -> None:
    most = data.draw(some.integers(0, count))
    tail = binomial_tail(most, count, chance)
    assert -1e-9 <= tail <= 1 + 1e-9 and (most < count or tail == pytest.approx(1))
    assert most == 0 or tail > binomial_tail(most - 1, count, chance) - 1e-12


def test_all_tries_together_spend_no_more_than_the_error() -> None:
    assert sum(look_error(look, 0.05) for look in range(len(LOOKS))) <= 0.05
    assert sum(map(is_taught, range(10_000))) == pytest.approx(10_000 * TAUGHT_SHARE, abs=2)


@pytest.mark.long
def test_trust_is_calibrated_on_inputs_that_were_never_seen() -> None:
    whole = built(*stream(3, LOOKS[2], noise=1.4))
    vectors, options = stream(4, 3_000, noise=1.4)
    decided = whole.head.decide(vectors)
    assert calibration_error(decided.trust.tolist(), (decided.option == options).tolist()) <= 0.05


def test_an_input_of_another_kind_than_those_learned_goes_up_however_sure_the_head_is() -> None:
    whole = built(*stream(0, LOOKS[0], noise=0.6))
    assert whole.certificate.share > 0.9
    draw = np.random.default_rng(8)
    foreign = draw.normal(size=(200, WIDTH)).astype(np.float32)
    foreign /= np.linalg.norm(foreign, axis=1, keepdims=True)
    threshold, sure = whole.certificate.threshold, whole.head.decide(foreign).trust
    assert threshold is not None and (sure >= threshold).mean() > 0.5, "trust alone would answer them"
    assert sum(whole.answer("new", vector.tolist()) is not None for vector in foreign) <= 10
    known = stream(9, 200, noise=0.6)[0]
    assert sum(whole.answer("new", vector.tolist()) is not None for vector in known) >= 180
