"""What a bound certifies is true as often as it says; a broken promise is rarely certified, by the methods that may."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as some

from sizewise.errors import BadRequest
from sizewise.routing.guarantees.bounds import (
    RISK_TESTS,
    PairScores,
    QualityGuarantee,
    betting_test,
    certify,
    samples_needed,
)

GRID = [step / 20 for step in range(21)]


def drawn(chance: Random, count: int, harm: float) -> list[PairScores]:
    """Where the trust is t, the small side fails with chance harm (1 - t) and the large one never."""
    pairs = []
    for _ in range(count):
        trust = chance.random()
        pairs.append(PairScores(trust, float(chance.random() >= harm * (1.0 - trust)), 1.0))
    return pairs


def truth(threshold: float, harm: float) -> float:
    """Quality lost at a threshold: the integral of harm (1 - t) from it to 1."""
    return harm * (1.0 - threshold) ** 2 / 2.0


def test_betting_breaks_its_promise_no_more_often_than_it_says() -> None:
    chance, promise, broken = Random(7), QualityGuarantee(0.95, 0.9), 0
    for _ in range(300):
        best = certify("p", drawn(chance, 400, 0.4), GRID, promise).best_step
        broken += best is not None and truth(best.threshold, 0.4) > 0.05
    assert broken <= 42  # a chance of 0.1 has 42 or fewer of 300 in 98 of 100


def test_betting_certifies_with_few_hundred_pairs_what_is_true() -> None:
    best = certify("p", drawn(Random(1), 500, 0.4), GRID, QualityGuarantee(0.95)).best_step
    assert best is not None and best.small_share >= 0.2


def test_bernstein_is_surer_than_it_need_be() -> None:
    pairs = drawn(Random(1), 500, 0.4)
    found = {
        name: certify("p", pairs, GRID, QualityGuarantee(0.95), risk_test=judged).best_step
        for name, judged in RISK_TESTS.items()
    }
    served = {name: 0.0 if best is None else best.small_share for name, best in found.items()}
    assert served["bernstein"] <= served["betting"] <= served["conformal"]


def test_nothing_is_promised_where_the_small_side_is_no_good() -> None:
    pairs = [PairScores(0.9, 0.0, 1.0)] * 300
    certified = certify("p", pairs, GRID, QualityGuarantee(0.95))
    assert certified.steps == () and certified.best_step is None
    assert samples_needed(certified, 0.05) is None


def test_it_says_how_many_more_are_needed() -> None:
    few = drawn(Random(3), 60, 0.02)
    certified = certify("p", few, GRID, QualityGuarantee(0.95))
    needed = samples_needed(certified, 0.05)
    assert certified.failed_step is not None and needed is not None and 60 < needed < 400


def test_even_a_perfect_small_side_takes_some_pairs() -> None:
    perfect = [PairScores(0.9, 1.0, 1.0)] * 300
    assert certify("p", perfect, GRID, QualityGuarantee(0.95)).best_step is not None
    assert certify("p", perfect[:40], GRID, QualityGuarantee(0.95)).best_step is None


@given(some.lists(some.tuples(some.floats(0, 1), some.floats(0, 1), some.floats(0, 1)), min_size=1, max_size=40))
def test_the_steps_say_whom_they_serve_and_at_what_quality(rows: list[tuple[float, float, float]]) -> None:
    pairs = [PairScores(*row) for row in rows]
    for step in certify("p", pairs, GRID, QualityGuarantee(0.9), risk_test=RISK_TESTS["conformal"]).steps:
        served = [pair for pair in pairs if pair.trust >= step.threshold]
        assert step.small_share == len(served) / len(pairs)
        large = sum(pair.large for pair in pairs)
        if large > 1e-6:
            lost = sum(pair.large - pair.small for pair in served)
            assert step.quality == pytest.approx((large - lost) / large)


@given(some.lists(some.floats(-1, 0.95), max_size=40), some.floats(0.001, 0.5))
def test_what_loses_nothing_is_certified_and_what_wins_nothing_is_not(losses: list[float], error: float) -> None:
    assert not betting_test([min(abs(loss), 0.95) for loss in losses], 0.95, error)
    assert betting_test([*losses, *[-1.0] * (10 * len(losses) + 40)], 0.95, error)


@pytest.mark.parametrize(("seen", "chance"), [((-0.05, 0.95), 0.05), ((-1.0, 0.95), 1.0 / 1.95), ((-0.5, 0.25), 2 / 3)])
def test_a_mean_of_zero_passes_as_rarely_as_the_error_says(seen: tuple[float, float], chance: float) -> None:
    """Losses of two values whose mean is 0, the worst case that is still broken: rare and large, even, and often."""
    lot = Random(11)
    for error in (0.05, 0.2):
        passed = sum(betting_test([seen[lot.random() < chance] for _ in range(200)], 0.95, error) for _ in range(1_000))
        assert passed <= 1_000 * error + 2.4 * (1_000 * error * (1 - error)) ** 0.5  # 99 of 100 runs


def test_without_any_pair_nothing_is_certain() -> None:
    assert not any(judged([], 0.95, 0.05) for name, judged in RISK_TESTS.items())
    assert not betting_test([-0.05] * 20, 0.95, 0.05)


@pytest.mark.parametrize("wrong", [0.0, 1.0, 1.5, -0.1])
def test_a_promise_is_a_share(wrong: float) -> None:
    with pytest.raises(BadRequest, match="target"):
        QualityGuarantee(wrong)
