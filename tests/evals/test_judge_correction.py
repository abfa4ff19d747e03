"""PPI++ on simulated judges: the interval holds what people would say, where the judge's own does not."""

from __future__ import annotations

import random

import pytest

from sizewise.evals.runs.judge_correction import JudgedValue, corrected_mean, labels_objection
from sizewise.evals.runs.paired_statistics import ItemValue, mean_interval


def draw(
    chance: random.Random, labels: int, truth: float, right: float, wrong: float, *, size: int = 1, whole: int = 1_000
) -> list[JudgedValue]:
    """A judge that accepts right answers with `right` and wrong ones with `wrong`; clusters of `size` share a fate."""
    found = []
    for cluster in range(whole // size):
        shared = chance.random()
        for place in range(size):
            is_right = (shared if chance.random() < 0.5 and size > 1 else chance.random()) < truth
            accepted = float(chance.random() < (right if is_right else wrong))
            known = cluster * size + place < labels
            found.append(JudgedValue(str(cluster), accepted, float(is_right) if known else None))
    return found


def test_a_judge_that_accepts_too_much_is_corrected_by_few_labels() -> None:
    values = draw(random.Random(3), 200, 0.6, 0.95, 0.6)
    found = corrected_mean(values, 0.025)
    naive = mean_interval([ItemValue(each.cluster, each.judged) for each in values], 0.025)
    assert found.low <= 0.6 <= found.high and not naive.low <= 0.6 <= naive.high
    assert found.method == "PPI++" and found.items == 1_000
    labeled = [ItemValue(each.cluster, each.label) for each in values if each.label is not None]
    alone = mean_interval(labeled, 0.025)
    good = corrected_mean(draw(random.Random(3), 200, 0.6, 0.98, 0.02), 0.025)
    assert good.high - good.low < 0.8 * (alone.high - alone.low), "a good judge is worth labels"


@pytest.mark.long
@pytest.mark.parametrize(
    ("labels", "truth", "right", "wrong", "size"),
    [
        (100, 0.85, 0.92, 0.25, 1),
        (200, 0.85, 0.92, 0.25, 1),
        (400, 0.85, 0.92, 0.25, 1),
        (200, 0.85, 0.6, 0.6, 1),
        (200, 0.95, 0.92, 0.25, 1),
        (200, 0.7, 0.9, 0.3, 4),
    ],
)
def test_the_corrected_interval_holds_the_truth_in_93_of_100_draws(
    labels: int, truth: float, right: float, wrong: float, size: int
) -> None:
    chance, draws = random.Random(20_261_128), 600
    held = naive_held = 0
    for _ in range(draws):
        values = draw(chance, labels, truth, right, wrong, size=size)
        found = corrected_mean(values, 0.025)
        naive = mean_interval([ItemValue(each.cluster, each.judged) for each in values], 0.025)
        held += found.low <= truth <= found.high
        naive_held += naive.low <= truth <= naive.high
    assert held / draws >= 0.93, f"{held / draws:.3f}; the judge alone {naive_held / draws:.3f}"
    if size == 1:
        assert naive_held / draws < 0.6, "what the judge says is not what people say"


@pytest.mark.long
def test_a_difference_at_the_margin_passes_in_5_of_100_draws_at_most() -> None:
    chance, draws, passed = random.Random(5), 600, 0
    for _ in range(draws):
        base, head = (draw(chance, 200, truth, 0.92, 0.25) for truth in (0.85, 0.82))
        values = [
            JudgedValue(
                one.cluster,
                other.judged - one.judged,
                None if one.label is None or other.label is None else other.label - one.label,
            )
            for one, other in zip(base, head, strict=True)
        ]
        passed += corrected_mean(values, 0.05, -1.0).low > -0.03
    assert passed / draws <= 0.065


def test_labels_that_are_too_few_do_not_gate() -> None:
    assert "100 are needed" in labels_objection(99, 0.5)
    assert labels_objection(100, 0.5) == labels_objection(200, 0.97) == labels_objection(100, None) == ""
    assert "200 are needed so near an end" in labels_objection(150, 0.95)
    with pytest.raises(ValueError, match="two clusters"):
        corrected_mean([JudgedValue("a", 1.0, 1.0), JudgedValue("a", 1.0, 1.0), JudgedValue("b", 0.0)], 0.025)


def test_where_people_and_judge_always_agree_the_interval_has_a_width() -> None:
    values = [JudgedValue(str(n), 1.0, 1.0 if n < 200 else None) for n in range(1_000)]
    found = corrected_mean(values, 0.025)
    assert found.estimate == found.high == 1.0 and 0.97 < found.low < 0.995
