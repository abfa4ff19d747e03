"""Intervals of eval scores: known values, and how often they are wrong where the truth is known."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from sizewise.evals.runs.paired_statistics import (
    ConfidenceInterval,
    ItemValue,
    difference_interval,
    holm,
    mean_interval,
    p_value,
    unbounded_interval,
)


def paired(better: int, worse: int, same: int) -> list[ItemValue]:
    values = [1.0] * better + [-1.0] * worse + [0.0] * same
    return [ItemValue(str(place), value) for place, value in enumerate(values)]


def test_paired_proportions_as_published() -> None:
    """Agresti and Min 2005, table 1: approval of a prime minister in two surveys, 150 and 86 of 1,600 changed."""
    found = difference_interval(paired(150, 86, 1_364), 0.025)
    assert found.method == "Tango"
    assert [found.low, found.estimate, found.high] == pytest.approx([0.0214, 0.04, 0.0590], abs=1e-4)


def test_a_proportion_of_one_is_not_certain() -> None:
    found = mean_interval([ItemValue(str(place), 1.0) for place in range(20)], 0.05)
    assert (found.method, found.high) == ("Wilson", 1.0) and 0.8 < found.low < 0.9


def test_clusters_widen_the_interval() -> None:
    """Forty clusters of five copies are forty items."""
    alone = [ItemValue(str(place), float(place % 4 > 0) / 2) for place in range(200)]
    copies = [ItemValue(str(place // 5), float(place // 5 % 4 > 0) / 2) for place in range(200)]
    one, other = mean_interval(alone, 0.05), mean_interval(copies, 0.05)
    assert one.method == other.method == "clustered t" and (one.clusters, other.clusters) == (200, 40)
    assert (other.high - other.low) / (one.high - one.low) == pytest.approx(5**0.5, rel=0.05)


def test_a_score_that_never_differs_but_for_rounding_is_bet_on() -> None:
    """2/3 - 1/3 is not 1 - 2/3, and the mean of 40 times 2/3 is not 2/3."""
    mean = mean_interval([ItemValue(str(place), 2 / 3) for place in range(40)], 0.05)
    fell = [ItemValue(str(place), (1 / 3 - 2 / 3, 2 / 3 - 1)[place % 2]) for place in range(40)]
    difference = difference_interval(fell, 0.05)
    assert mean.method == difference.method == "betting"
    assert mean.high - mean.low > 0.05 and difference.high - difference.low > 0.05


def test_a_large_cluster_counts_as_its_items() -> None:
    """One cluster of 500 wrong items and 20 right ones of one item say little, and nothing of a mean above .8."""
    values = [ItemValue("large", 0.0)] * 500 + [ItemValue(str(place), 1.0) for place in range(20)]
    found = mean_interval(values, 0.05)
    assert found.method == "betting" and found.low < 0.01 and found.estimate == pytest.approx(20 / 520)


def test_clusters_that_hold_most_items_are_few() -> None:
    values = [ItemValue(str(place), place % 4 / 3, 50.0 if place == 0 else 1.0) for place in range(40)]
    assert mean_interval(values, 0.05).method == "betting"
    assert mean_interval([ItemValue(each.cluster, each.value) for each in values], 0.05).method == "clustered t"


def test_few_clusters_are_bet_on() -> None:
    values = [ItemValue(str(place // 5), 0.5 + (place % 3) / 10) for place in range(50)]
    found = mean_interval(values, 0.05)
    assert found.method == "betting" and found.low < found.estimate < found.high


def test_weights_count_an_item_as_often_as_it_stands_for() -> None:
    heavy = [ItemValue("a", 1.0, 3.0), ItemValue("b", 0.0)]
    assert unbounded_interval(heavy, 0.05).estimate == 0.75


def test_one_cluster_says_nothing_of_an_amount() -> None:
    found = unbounded_interval([ItemValue("a", 2.0), ItemValue("a", 3.0)], 0.05)
    assert (found.low, found.high) == (float("-inf"), float("inf"))


def test_more_items_are_needed_for_a_smaller_margin() -> None:
    found = difference_interval(paired(10, 10, 80), 0.05)
    needed = [found.items_needed(margin) for margin in (0.10, 0.05)]
    assert needed[0] is not None and needed[1] == pytest.approx(4 * needed[0], rel=0.02)
    assert difference_interval(paired(0, 0, 100), 0.05).items_needed(0.1) is None


def test_p_values_are_corrected_for_their_number() -> None:
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == {"a": pytest.approx(0.03), "c": 0.06, "b": 0.06}
    assert p_value(difference_interval(paired(30, 5, 65), 0.05)) < 0.001
    assert p_value(difference_interval(paired(0, 0, 9), 0.05)) == 1.0


def test_the_p_value_of_a_fall_of_every_item() -> None:
    """By signs: all of 10 moved alike."""
    assert p_value(difference_interval(paired(0, 10, 0), 0.025)) == 2 / 2**10
    assert p_value(difference_interval(paired(0, 1, 0), 0.025)) == 1.0


@pytest.mark.parametrize(
    ("clusters", "t"), [(2, 12.706), (3, 4.303), (4, 3.182), (10, 2.262), (11, 2.228), (1_001, 1.9623)]
)
def test_the_p_value_is_that_of_students_t(clusters: int, t: float) -> None:
    """With few clusters the normal distribution found a difference in 15 % of draws without one, of 5 %."""
    found = ConfidenceInterval(t, 0.0, 0.0, "clustered t", clusters, clusters, 0.025, spread=clusters**0.5)
    assert p_value(found) == pytest.approx(0.05, rel=1e-3)


def test_the_p_value_of_weighted_items_fits_their_interval() -> None:
    """Sixty items, six of which weigh a hundred times as much."""
    values = [ItemValue(str(n), (-1) ** n / 2 + 0.15, 10.0 if n < 6 else 0.1) for n in range(60)]
    found = unbounded_interval(values, 0.025)
    assert found.low < 0 < found.high and p_value(found) > 0.05


@pytest.mark.long
def test_few_clusters_of_very_different_size_are_rarely_overstated() -> None:
    """A fifth of them have 20 items, half of which are right; the others one, which nearly always is."""
    chance, truth = random.Random(3), (0.8 * 0.95 + 0.2 * 20 * 0.5) / (0.8 + 0.2 * 20)

    def draw() -> list[ItemValue]:
        sizes = [20 if chance.random() < 0.2 else 1 for _ in range(25)]
        return [
            ItemValue(str(c), float(chance.random() < (0.5 if size > 1 else 0.95)))
            for c, size in enumerate(sizes)
            for _ in range(size)
        ]

    assert wrong(draw, mean_interval, truth) <= 0.072


def wrong(
    draw: Callable[[], list[ItemValue]], interval: Callable[[list[ItemValue], float], ConfidenceInterval], truth: float
) -> float:
    """How often the lower end lies above the truth."""
    return sum(interval(draw(), 0.05).low > truth for _ in range(1_000)) / 1_000


@pytest.mark.long
@pytest.mark.parametrize("clusters", [12, 60])
def test_clustered_scores_are_rarely_overstated(clusters: int) -> None:
    chance = random.Random(clusters)

    def draw() -> list[ItemValue]:
        shares = [chance.betavariate(4, 2) for _ in range(clusters)]
        return [ItemValue(str(c), float(chance.random() < share)) for c, share in enumerate(shares) for _ in range(5)]

    assert wrong(draw, mean_interval, 4 / 6) <= 0.072  # 0.05 and three standard errors of 1,000 draws


@pytest.mark.long
@pytest.mark.parametrize(("items", "better", "worse"), [(30, 0.05, 0.10), (100, 0.10, 0.15), (300, 0.02, 0.07)])
def test_a_margin_that_is_just_missed_is_rarely_passed(items: int, better: float, worse: float) -> None:
    chance = random.Random(items)

    def draw() -> list[ItemValue]:
        drawn = chance.choices((1.0, -1.0, 0.0), (better, worse, 1 - better - worse), k=items)
        return [ItemValue(str(place), value) for place, value in enumerate(drawn)]

    assert wrong(draw, difference_interval, better - worse) <= 0.072


@pytest.mark.long
@pytest.mark.parametrize(("clusters", "size", "worse", "better"), [(100, 4, 0.07, 0.04), (50, 8, 0.04, 0.01)])
def test_a_margin_that_is_just_missed_in_clusters_is_rarely_passed(
    clusters: int, size: int, worse: float, better: float
) -> None:
    """Newly wrong answers outnumber newly right ones, and half of a cluster's items share their luck. Where 5 % change,
    perhaps no cluster that changed as a whole was drawn.
    """
    chance = random.Random(clusters)

    def draw() -> list[ItemValue]:
        values = []
        for cluster in range(clusters):
            shared = chance.random()
            for _ in range(size):
                luck = shared if chance.random() < 0.5 else chance.random()
                values.append(ItemValue(str(cluster), -1.0 if luck < worse else 1.0 if luck > 1 - better else 0.0))
        return values

    assert difference_interval(draw(), 0.05).method == "clustered Tango"
    assert wrong(draw, difference_interval, -0.03) <= 0.072


def test_single_changes_in_large_clusters_do_not_rule_out_clusters_that_change_as_a_whole() -> None:
    """As where 3 % are newly wrong and half of the luck is shared, and none of the clusters that fail was drawn."""
    values = [ItemValue(str(n // 16), -1.0 if n % 16 == 0 and n < 24 * 16 else 0.0) for n in range(1_600)]
    found = difference_interval(values, 0.05)
    assert found.method == "clustered Tango" and found.low < -0.03 < found.estimate == -0.015
    means = [ItemValue(each.cluster, 1 + each.value if n < 16 * 16 else 1.0) for n, each in enumerate(values)]
    assert mean_interval(means, 0.05).low < 0.98 < mean_interval(means, 0.05).estimate == 0.99


@pytest.mark.long
def test_a_margin_that_is_just_missed_by_items_asked_three_times_is_rarely_passed() -> None:
    chance = random.Random(3)

    def draw() -> list[ItemValue]:
        values = []
        for item in range(100):
            shared = chance.random()
            lucks = [shared if chance.random() < 0.7 else chance.random() for _ in range(3)]
            repeats = tuple(-1.0 if luck < 0.04 else 1.0 if luck > 0.99 else 0.0 for luck in lucks)
            values.append(ItemValue(str(item), sum(repeats) / 3, repeats=repeats))
        return values

    found = difference_interval(draw(), 0.05)
    assert (found.method, found.items, found.clusters) == ("clustered Tango", 100, 100)
    assert wrong(draw, difference_interval, -0.03) <= 0.072


@pytest.mark.long
@pytest.mark.parametrize(("clusters", "size", "changed"), [(100, 1, 0.05), (100, 4, 0.05), (50, 8, 0.1)])
def test_a_margin_that_is_just_missed_on_a_scale_is_rarely_passed(clusters: int, size: int, changed: float) -> None:
    """Few items have another score, nearly all of them a lower one; plain Student's t passes 7 to 13 %."""
    chance, steps = random.Random(size), (0.25, 0.5, 0.75, 1.0)
    worse = min(changed, (changed + 0.03 / 0.625) / 2)

    def draw() -> list[ItemValue]:
        values = []
        for cluster in range(clusters):
            shared = chance.random()
            for _ in range(size):
                luck = shared if chance.random() < 0.5 else chance.random()
                moved = chance.choice(steps)
                value = -moved if luck < worse else moved if luck > 1 - changed + worse else 0.0
                values.append(ItemValue(str(cluster), value))
        return values

    assert wrong(draw, difference_interval, -0.625 * (2 * worse - changed)) <= 0.072


def test_a_scale_on_which_two_items_moved_is_bet_on() -> None:
    values = [ItemValue(str(place), 0.5 * (place < 2)) for place in range(100)]
    moved = [*values, ItemValue("100", 0.25)]
    assert (difference_interval(values, 0.05).method, difference_interval(moved, 0.05).method) == (
        "betting",
        "clustered t",
    )


def test_items_asked_unequally_often_are_no_counts() -> None:
    values = [ItemValue(str(n), (1 + n % 2) / 2, repeats=(float(n % 2), 1.0)) for n in range(40)]
    assert mean_interval(values, 0.05).method == "clustered Wilson"
    assert mean_interval([*values, ItemValue("x", 1.0)], 0.05).method == "clustered t"


def test_clusters_whose_items_agree_count_as_one_item_each() -> None:
    """Forty clusters of five equal items are forty items, but for Student's t instead of the normal distribution."""
    changed = [1.0] * 4 + [-1.0] * 8 + [0.0] * 28
    alone = difference_interval([ItemValue(str(place), value) for place, value in enumerate(changed)], 0.05)
    copies = [ItemValue(str(place), value) for place, value in enumerate(changed) for _ in range(5)]
    together = difference_interval(copies, 0.05)
    assert (alone.method, together.method) == ("Tango", "clustered Tango")
    assert together.low < alone.low < alone.estimate < alone.high < together.high
    assert together.high - together.low == pytest.approx(alone.high - alone.low, rel=0.08)
