"""A certificate also holds where one answer comes more often than it was learned, or it is refused."""

from __future__ import annotations

import numpy as np
import pytest

from sizewise.decisions.label_shift import mix_chance, shift_test
from tests.decisions.test_ladder import CENTERS, OPTIONS, WIDTH, built, stream

COUNT, ALLOWED, ERROR = 250, 0.05, 0.045


def passes(rare: int, rare_wrong: int, others_wrong: int) -> bool:
    """Whether the test passes with five common answers and a rare one."""
    answers = np.array([5] * rare + [at % 5 for at in range(COUNT - rare)])
    wrong = [True] * rare_wrong + [False] * (rare - rare_wrong)
    wrong += [at < others_wrong for at in range(COUNT - rare)]
    return shift_test(answers, 6)([each - ALLOWED for each in wrong], 1.0 - ALLOWED, ERROR)


def test_a_rare_answer_counts_as_if_it_came_more_often() -> None:
    assert passes(0, 0, 2) and passes(5, 0, 1)
    assert not passes(5, 1, 0), "one of five: where it is a tenth of the inputs, nothing holds"
    assert passes(3, 0, 0) and passes(4, 0, 0), "what came three times may become a fourteenth: nearly all of it wrong"
    assert not passes(3, 1, 0) and not passes(4, 0, 4), "and the less is known of it, the less others may be wrong"
    assert passes(40, 2, 2), "what comes often enough already may come as often as it did"


@pytest.mark.parametrize("mine", [0.05, 0.2, 0.35, 0.5])
@pytest.mark.parametrize("seen", [2, 3, 5, 12])
def test_a_mix_that_is_wrong_too_often_passes_no_more_often_than_allowed(seen: int, mine: float) -> None:
    share = min(0.1, 5 * (seen + 0.5) / (COUNT + 0.5))
    others = max(0.0, (ALLOWED - share * mine) / (1.0 - share))
    draw = np.random.default_rng(seen)
    drawn = zip(draw.binomial(seen, mine, 4_000), draw.binomial(COUNT - seen, others, 4_000), strict=True)
    cases: dict[tuple[int, int], int] = {}
    for had, lost in drawn:
        cases[had, lost] = cases.get((had, lost), 0) + 1
    passed = sum(
        times
        for (had, lost), times in cases.items()
        if mix_chance(seen, int(had), COUNT, int(had + lost), ALLOWED) <= ERROR
    )
    assert passed / 4_000 <= ERROR + 0.01


@pytest.mark.long
def test_a_rare_answer_that_looks_like_the_others_may_become_a_tenth() -> None:
    """Near every common answer, one in fifty when learned and one in ten afterwards."""
    broken = 0
    for seed in range(20):
        vectors, options = stream(seed, COUNT, noise=0.5)
        rare = np.arange(COUNT) % 50 == 7
        vectors[rare], options[rare] = _between(seed, int(rare.sum())), OPTIONS
        whole = built(vectors, options, option_count=OPTIONS + 1)
        least = whole.certificate.threshold
        if least is not None:
            common, truth = stream(seed + 500, 900, noise=0.5)
            decided = whole.head.decide(np.concatenate([common, _between(seed + 500, 100)]))
            told = decided.option != np.concatenate([truth, np.full(100, OPTIONS)])
            broken += bool(((decided.trust >= least) & told).mean() > ALLOWED)
    assert broken <= 3, "above the 95 % quantile of a binomial of 20 and 1 in 20"


def _between(seed: int, count: int) -> np.ndarray:
    draw = np.random.default_rng(seed + 9)
    found = CENTERS[draw.integers(0, OPTIONS, count)] + 1.2 * draw.normal(size=(count, WIDTH))
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), np.float32)
