"""The rung of a small model: asked only where it adds something, joined with the head, certified with it as one."""

from __future__ import annotations

import numpy as np
import pytest

from sizewise.decisions.certificate import LOOKS, Rung, is_taught
from sizewise.decisions.certification import SmallModel, build_ladder, with_model
from sizewise.decisions.head import Doubles, Floats, Integers
from sizewise.decisions.ladder import FAR_TRUST, Ladder
from sizewise.decisions.model_rung import Joined, answerable
from tests.decisions.test_ladder import GUARANTEE, OPTIONS, stream

COUNT = LOOKS[1]
HARD = 2.2
"""Noise of the vectors with which a head alone is often wrong."""


def shares(seed: int, options: Integers, right: float) -> Doubles:
    """Of a model that gives the reference's option most of the probability in the share `right` of all inputs."""
    draw = np.random.default_rng(seed)
    said = np.where(draw.random(len(options)) < right, options, draw.integers(0, OPTIONS, len(options)))
    sure = np.where(said == options, draw.uniform(0.5, 0.95, len(options)), draw.uniform(0.2, 0.6, len(options)))
    found = np.full((len(options), OPTIONS), 0.0) + ((1.0 - sure) / (OPTIONS - 1))[:, None]
    found[np.arange(len(options)), said] = sure
    return found


def built(seed: int, right: float) -> tuple[Ladder, Ladder]:
    """With and without the model."""
    vectors, options = stream(seed, COUNT, noise=HARD)
    small = SmallModel("next token", "local/small", shares(seed, options, right), np.zeros(COUNT, bool))
    names = [f"text {at}" for at in range(COUNT)]
    found = [
        build_ladder(range(COUNT), names, vectors, options, OPTIONS, GUARANTEE, 1, model) for model in (small, None)
    ]
    assert found[0] is not None and found[1] is not None
    return found[0], found[1]


def test_a_good_model_answers_where_the_head_is_not_trusted() -> None:
    whole, alone = built(0, 0.95)
    assert whole.asks == whole.certificate.model == "local/small"
    assert whole.certificate.share > alone.certificate.share + 0.1
    assert whole.certificate.rungs["next token"] > 0 and whole.certificate.agreement >= 0.95
    vectors, options = stream(77, 400, noise=HARD)
    said = shares(77, options, 0.95)
    found = [whole.answer_with(vector.tolist(), row.tolist()) for vector, row in zip(vectors, said, strict=True)]
    right = [each.option == option for each, option in zip(found, options.tolist(), strict=True) if each is not None]
    assert len(right) > 100 and sum(right) / len(right) > 0.9
    kept = next(each for each in found if each is not None)
    assert kept.rung == "next token" and sum(kept.probabilities) == pytest.approx(1.0)


@pytest.mark.long
def test_what_is_far_from_all_that_was_learned_is_not_certified_by_the_model() -> None:
    rung = built(0, 0.95)[0].model_rung
    assert rung is not None
    said = Joined(np.zeros(2, np.int64), np.ones(2), np.full((2, OPTIONS), 1 / OPTIONS))
    chosen = with_model([("head", 1, FAR_TRUST), ("head", 1, 0.1)], (rung, said), 0.5)
    assert chosen == [("head", 1, FAR_TRUST), ("next token", 0, 1.0)], "it goes up when it comes, too"


def test_a_model_that_knows_nothing_is_not_asked() -> None:
    whole, _ = built(1, 0.0)
    assert whole.asks == "" and whole.certificate.model == ""
    assert whole.answer_with(stream(3, 1)[0][0].tolist(), [1 / OPTIONS] * OPTIONS) is None


def test_probabilities_of_other_options_answer_nothing() -> None:
    whole, _ = built(0, 0.95)
    assert whole.answer_with(stream(3, 1)[0][0].tolist(), [0.5, 0.5]) is None


@pytest.mark.long
def test_no_more_than_one_in_twenty_certificates_with_a_model_is_broken() -> None:
    test, truth = stream(999, 2_000, noise=HARD)
    said = shares(999, truth, 0.9)
    broken = sum(_disagreement(built(seed, 0.9)[0], test, truth, said) > 0.05 for seed in range(30))
    assert broken <= 4, "above the 95 % quantile of a binomial of 30 and 1 in 20"


def _disagreement(whole: Ladder, test: Floats, truth: Integers, said: Doubles) -> float:
    threshold, rung = whole.certificate.threshold, whole.model_rung
    if threshold is None:
        return 0.0
    decided = whole.head.decide(test)
    heads: list[tuple[Rung, int, float]] = [
        ("head", int(option), float(trust)) for option, trust in zip(decided.option, decided.trust, strict=True)
    ]
    joined = None if rung is None else (rung, rung.join(decided, said))
    chosen = with_model(heads, joined, threshold)
    wrong = [trust >= threshold and said != right for (_, said, trust), right in zip(chosen, truth, strict=True)]
    return float(np.mean(wrong))


def test_the_share_that_can_be_answered_counts_the_most_trusted_first() -> None:
    right = np.array([True] * 96 + [False] * 4)
    assert answerable(np.linspace(1.0, 0.0, 100), right) == 0.99
    assert answerable(np.linspace(0.0, 1.0, 100), right) == 0.03


def test_what_a_model_was_trained_on_does_not_speak_for_it() -> None:
    """It is right on what it learned, and guesses elsewhere."""
    many = LOOKS[2]
    vectors, options = stream(5, many, noise=HARD)
    seen = np.array([is_taught(number) and number % 5 != 0 for number in range(many)])
    guessed = np.random.default_rng(5).dirichlet(np.ones(OPTIONS), many)
    said = np.where(seen[:, None], shares(5, options, 1.0), guessed)
    names = [f"text {at}" for at in range(many)]
    masked, trusting = (
        build_ladder(range(many), names, vectors, options, OPTIONS, GUARANTEE, 1, SmallModel("tuned", "m", said, each))
        for each in (seen, np.zeros(many, bool))
    )
    assert masked is not None and masked.asks == ""
    assert trusting is not None and trusting.asks == "m"
