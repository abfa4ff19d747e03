"""The answer prior: a chance where it has a basis, a threshold that keeps the stated loss, and labels that pull it."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from msgspec.structs import replace

from sizewise.errors import BadRequest
from sizewise.routing.quality.answer_prior import AnswerPrior, PriorModel, check_prior
from sizewise.routing.quality.answer_signals import AnswerSignals
from sizewise.routing.quality.shipped_prior import SHIPPED_PRIOR
from sizewise.routing.training.answer_prior import (
    measure_auroc,
    pull_prior_model,
    train_prior_model,
    upper_bound,
    with_threshold,
)

pytestmark = pytest.mark.long


MAX_LOSS = 0.05


def drawn(count: int, seed: int = 1, *, reverse: bool = False) -> tuple[list[AnswerSignals], list[float]]:
    """Answers of 4 tokens, half of them sure; a sure one is nearly always right (or wrong, if `reverse`)."""
    dice, signals, right = Random(seed), list[AnswerSignals](), list[float]()
    for _ in range(count):
        sure = dice.random() < 0.5
        mean = -dice.uniform(0.001, 0.1) if sure else -dice.uniform(0.5, 3.0)
        signals.append(AnswerSignals(mean_logprob=mean, min_logprob=3 * mean, first_logprob=mean, tokens=4))
        right.append(float((dice.random() < (0.99 if sure else 0.3)) != reverse))
    return signals, right


def learned(count: int = 400) -> PriorModel:
    signals, right = drawn(count)
    return train_prior_model("m", 10**9, signals, right, [str(at % 6) for at in range(count)], MAX_LOSS)


def sure(**more: object) -> AnswerSignals:
    return replace(AnswerSignals(mean_logprob=-0.01, min_logprob=-0.03, first_logprob=-0.01, tokens=4), **more)


def test_what_is_sure_has_a_chance_above_the_threshold_and_what_is_not_has_none() -> None:
    its = learned()
    assert its.threshold is not None and 0.4 < its.kept < 0.6
    assert its.loss <= MAX_LOSS and its.loss_bound <= MAX_LOSS
    low = its.chance(sure(mean_logprob=-2.0))
    high = its.chance(sure())
    assert low is not None and high is not None and low < its.threshold < high


@pytest.mark.parametrize(
    "signals",
    [sure(mean_logprob=None), sure(is_truncated=True), sure(tokens=5)],
    ids=["no log-probabilities", "cut off", "longer than any that was learned"],
)
def test_without_a_basis_there_is_no_chance(signals: AnswerSignals) -> None:
    assert learned().chance(signals) is None


def test_signals_that_do_not_tell_have_no_threshold() -> None:
    signals, right = drawn(300)
    Random(3).shuffle(right)
    its = train_prior_model("m", 10**9, signals, right, [str(at % 6) for at in range(300)], MAX_LOSS)
    assert its.threshold is None and its.kept == 0.0


def test_a_few_lucky_answers_prove_nothing() -> None:
    chances, right = np.linspace(1.0, 0.0, 200), np.zeros(200)
    right[:15] = 1.0
    assert measure_auroc(chances, right).low > 0.9
    assert with_threshold(learned(), chances, right, MAX_LOSS).threshold is None


def test_a_task_that_is_not_among_the_learned_ones_decides_the_threshold() -> None:
    """On one of two tasks being sure means being wrong: each is judged by the other, so nothing can be kept."""
    first, right = drawn(200)
    second, wrong = drawn(200, 2, reverse=True)
    groups = ["a"] * 200 + ["b"] * 200
    its = train_prior_model("m", 10**9, [*first, *second], [*right, *wrong], groups, MAX_LOSS)
    assert its.threshold is None


@pytest.mark.parametrize(
    ("count", "total", "bound"), [(0, 60, 0.0487), (5, 240, 0.0432), (3, 3, 1.0), (0.5, 60, 0.0766)]
)
def test_the_bound_of_a_share_is_exact(count: float, total: int, bound: float) -> None:
    assert upper_bound(count, total) == pytest.approx(bound, abs=2e-4)


def test_a_model_is_judged_by_the_largest_learned_one_that_is_not_larger() -> None:
    its = learned()
    tiny, mid, big = (
        replace(its, name="tiny", parameters=10**8, threshold=None),
        replace(its, name="mid", parameters=10**9),
        replace(its, name="big", parameters=10**10),
    )
    prior = AnswerPrior((tiny, mid, big), frozenset({"en"}), MAX_LOSS, "", "2026-01-01")
    names = [None if (found := prior.model_for(size)) is None else found.name for size in
             (None, 10**7, 10**8, 5 * 10**8, 10**9, 7 * 10**9, 10**12)]  # fmt: skip
    assert names == [None, None, None, None, "mid", "mid", "big"]


# ---- own labels


def test_few_own_labels_that_agree_change_little() -> None:
    shipped = learned()
    pulled = pull_prior_model(shipped, *drawn(25, 9), MAX_LOSS)
    assert pulled.own_labels == 25 and pulled.threshold == shipped.threshold
    assert pulled.prior_weight >= 1.0
    assert np.abs(np.subtract(pulled.weights, shipped.weights)).max() < 1.5
    assert (pulled.chance(sure()) or 0) > (pulled.chance(sure(mean_logprob=-2.0)) or 0)


def test_own_labels_that_disagree_weigh_the_prior_down_and_take_its_threshold() -> None:
    shipped = learned()
    signals, right = drawn(200, 9, reverse=True)
    pulled = pull_prior_model(shipped, signals, right, MAX_LOSS)
    assert pulled.prior_weight < pull_prior_model(shipped, *drawn(200, 9), MAX_LOSS).prior_weight
    assert (pulled.chance(sure()) or 0) < 0.5
    model = pull_prior_model(shipped, [sure()] * 200, [0.0, 1.0] * 100, MAX_LOSS)
    assert model.threshold is None


def test_own_labels_can_give_a_basis_where_none_was_shipped() -> None:
    shipped = replace(learned(), threshold=None)
    assert pull_prior_model(shipped, *drawn(20, 9), MAX_LOSS).threshold is None
    assert pull_prior_model(shipped, *drawn(400, 9), MAX_LOSS).threshold is not None


def test_too_few_labels_and_answers_without_log_probabilities_are_refused() -> None:
    signals, right = drawn(9)
    with pytest.raises(BadRequest, match="9 labels are too few") as refused:
        pull_prior_model(learned(), signals, right, MAX_LOSS)
    assert refused.value.hint == "label 1 more answers"
    with pytest.raises(BadRequest, match="2 answers have no log-probabilities"):
        pull_prior_model(learned(), [*signals, AnswerSignals(), AnswerSignals()], [*right, 1.0, 0.0], MAX_LOSS)


# ---- the shipped one


def test_the_shipped_prior_keeps_its_stated_loss_on_what_it_was_not_fitted_to() -> None:
    prior = check_prior(SHIPPED_PRIOR)
    assert prior.max_loss == 0.05 and prior.languages == {"en"}
    tiny, small = prior.models
    assert tiny.threshold is None, "even the surest replies of the 135M are wrong in three of ten"
    assert small.threshold is not None and small.auroc["together, held out"].low > 0.5
    assert small.loss <= prior.max_loss and small.loss_bound <= prior.max_loss


def test_a_prior_that_was_cut_short_is_refused() -> None:
    its = learned()
    for broken in (
        replace(its, weights=its.weights[:-1]),
        replace(its, scale=(0.0, 1.0)),
    ):
        with pytest.raises(BadRequest, match="incomplete"):
            check_prior(replace(SHIPPED_PRIOR, models=(broken,)))
