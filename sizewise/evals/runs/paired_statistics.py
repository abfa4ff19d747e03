"""Intervals of a mean score and of a paired difference, with clusters, and the items that a verdict needs. Pure.

clustered t  E. Miller 2024 (arXiv:2411.00640): items of one cluster are not independent, so clusters are what
             varies. Not for few clusters (arXiv:2503.01747), nor where few scores differ. PRIOR_CLUSTERS are added.
Tango        T. Tango 1998 (Statistics in Medicine 17): score interval of paired proportions, for scores of 0 and 1.
Wilson       E. B. Wilson 1927: score interval of one proportion.
clustered .. Both of counts divided by their design effect (J. N. K. Rao and A. J. Scott 1992, Biometrics 48), at each
             end by the residuals from that end, as a score is (D. Boos 1992, The American Statistician 46), and by
             Student's t instead of the normal distribution (E. Korn and B. Graubard 1998, Survey Methodology 24).
             Few clusters with a change show too small an effect, so half a cluster with nothing but changes is added,
             as H. Jeffreys adds half a success and half a failure to a proportion (L. Brown, T. Cai and A. DasGupta
             2001, Statistical Science 16). The clustered t of such scores is too narrow where newly wrong answers
             outnumber newly right ones.
betting      Waudby-Smith and Ramdas 2024 (arXiv:2010.09686): exact for any number of clusters of one weight, and wider.
             A bet on a cluster is in proportion to its weight, so that its mean is that of the items.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from math import atan, ceil, cos, inf, log, log1p, pi, sin, sqrt
from statistics import NormalDist
from typing import Literal

from msgspec import Struct

from sizewise.routing.guarantees.bounds import t_quantile

MIN_CLUSTERS = 30
"""Clusters of one weight from which Student's t is used. Simulated, 40 of which one weighs 50 times as much as another
overstate the mean in 46 % instead of 5 %.
"""
UNSEEN_CLUSTERS = 0.5
"""Clusters whose items all changed, which the design effect of scores of 0 and 1 has beside those that were seen.
Simulated, none of them pass a head at the margin in 7 to 12 % where few answers change, a half in 5.5 % at most. A
whole one costs up to 13 points of power more.
"""
PRIOR_CLUSTERS = 2
"""Clusters of which half of the items moved as far as any did, which the standard error of other scores has beside."""
MIN_CHANGED = 3
"""Clusters with another score than the usual one, below which Student's t is not used."""
MAX_BET = 0.75
"""Largest share of the wealth in one bet."""
POWER = 0.8
"""With which `items_needed` would decide."""
BISECTIONS = 40
ROUNDING = 1e-12
"""A standard error below this share of the largest value is none: 2/3 - 1/3 is not 1 - 2/3."""

Method = Literal["clustered t", "Tango", "clustered Tango", "Wilson", "clustered Wilson", "betting", "PPI++"]


class ItemValue(Struct, frozen=True):
    """One item's value, the mean over its `repeats` (empty: it was asked once); `weight`: above 0."""

    cluster: str
    value: float
    weight: float = 1.0
    repeats: tuple[float, ...] = ()

    @property
    def parts(self) -> tuple[float, ...]:
        return self.repeats or (self.value,)


class ConfidenceInterval(Struct, frozen=True):
    """`low` and `high`: each is wrong with probability `error` at most, so both are a level of 1 - 2 x `error`."""

    estimate: float
    low: float
    high: float
    method: Method
    items: int
    clusters: int
    error: float
    spread: float = 0.0  # standard deviation of an item that the interval's width amounts to

    def items_needed(self, margin: float) -> int | None:
        """Items from which a true difference of 0 is within `margin`; None if nothing differed yet."""
        if not self.spread or margin <= 0:
            return None
        reach = NormalDist().inv_cdf(1 - self.error) + NormalDist().inv_cdf(POWER)
        return ceil((reach * self.spread / margin) ** 2)


def mean_interval(values: Sequence[ItemValue], error: float) -> ConfidenceInterval:
    """Of values in 0..1, such as scores. Raises ValueError if there are none."""
    return _interval(values, error, 0.0, 1.0, _WILSON)


def difference_interval(values: Sequence[ItemValue], error: float) -> ConfidenceInterval:
    """Of differences in -1..1 between two scores of the same item. Raises ValueError if there are none."""
    return _interval(values, error, -1.0, 1.0, _TANGO)


def unbounded_interval(values: Sequence[ItemValue], error: float) -> ConfidenceInterval:
    """Of values without bounds, such as differences of costs: Student's t whatever the number of clusters. Its ends are
    infinite for a single cluster. Raises ValueError if there are no values.
    """
    return _clustered_t(values, error)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """P-values corrected for their number (S. Holm 1979)."""
    corrected, highest = dict[str, float](), 0.0
    for place, (name, p) in enumerate(sorted(p_values.items(), key=lambda each: each[1])):
        highest = max(highest, min(1.0, p * (len(p_values) - place)))
        corrected[name] = highest
    return corrected


def p_value(interval: ConfidenceInterval) -> float:
    """Two-sided, of no difference; by Student's t over clusters, or by signs if every cluster moved alike."""
    if not interval.spread:
        return min(1.0, 2 * 0.5**interval.clusters) if interval.estimate else 1.0
    return _t_tails(interval.estimate / (interval.spread / sqrt(interval.items)), interval.clusters - 1)


def _interval(
    values: Sequence[ItemValue], error: float, lowest: float, highest: float, of_proportions: _Proportions
) -> ConfidenceInterval:
    found = _clustered_t(values, error)
    means, weights = _cluster_means(values)
    is_counted = len({len(each.parts) for each in values}) == 1 and all(
        part in (-1.0, 0.0, 1.0) and each.weight == 1.0 for each in values for part in each.parts
    )
    method: Method
    if is_counted and found.clusters == found.items and len(values[0].parts) == 1:
        low, high = _score_interval(
            _by_cluster(values), NormalDist().inv_cdf(1 - error), lowest, highest, of_proportions
        )
        method = of_proportions.method
    elif is_counted and _even_clusters(weights) >= MIN_CLUSTERS and found.spread:
        reach = t_quantile(1 - error, _even_clusters(weights) - 1)
        low, high = _score_interval(_by_cluster(values), reach, lowest, highest, of_proportions)
        method = of_proportions.clustered
    elif _even_clusters(weights) >= MIN_CLUSTERS and found.spread and _changed_clusters(values) >= MIN_CHANGED:
        reach = t_quantile(1 - error, found.clusters - 1) * _cautious_error(values, found, _even_clusters(weights))
        low, high, method = found.estimate - reach, found.estimate + reach, "clustered t"
    else:
        low = _betting_low(means, weights, error, lowest, highest)
        high = -_betting_low([-each for each in means], weights, error, -highest, -lowest)
        method = "betting"
    return ConfidenceInterval(
        estimate=found.estimate,
        low=max(lowest, min(low, found.estimate)),
        high=min(highest, max(high, found.estimate)),
        method=method,
        items=found.items,
        clusters=found.clusters,
        error=error,
        spread=found.spread,
    )


def _clustered_t(values: Sequence[ItemValue], error: float) -> ConfidenceInterval:
    if not values:
        raise ValueError("there are no values")
    total = sum(each.weight for each in values)
    mean = sum(each.weight * each.value for each in values) / total
    residuals = defaultdict[str, float](float)
    for each in values:
        residuals[each.cluster] += each.weight * (each.value - mean)
    count = len(residuals)
    squares = sum(each * each for each in residuals.values()) / total**2
    standard_error = sqrt(squares * count / (count - 1)) if count > 1 else inf
    if standard_error < ROUNDING * max(abs(each.value) for each in values):
        standard_error = 0.0
    reach = t_quantile(1 - error, count - 1) * standard_error if count > 1 else inf
    return ConfidenceInterval(
        estimate=mean,
        low=mean - reach,
        high=mean + reach,
        method="clustered t",
        items=len(values),
        clusters=count,
        error=error,
        spread=standard_error * sqrt(len(values)) if count > 1 else 0.0,
    )


def _changed_clusters(values: Sequence[ItemValue]) -> int:
    """Those with a value that is not the most common one."""
    usual, _ = Counter(each.value for each in values).most_common(1)[0]
    return len({each.cluster for each in values if each.value != usual})


def _cautious_error(values: Sequence[ItemValue], found: ConfidenceInterval, even_clusters: float) -> float:
    """The standard error with PRIOR_CLUSTERS of this size, where half of the items are as far from the mean as any."""
    furthest = max(abs(each.value - found.estimate) for each in values)
    moved = (found.items / even_clusters + 1) / 2 * furthest / found.items
    return sqrt(found.spread**2 / found.items + PRIOR_CLUSTERS * moved**2)


def _cluster_means(values: Sequence[ItemValue]) -> tuple[list[float], list[float]]:
    """Mean and weight of each cluster."""
    sums = defaultdict[str, list[float]](lambda: [0.0, 0.0])
    for each in values:
        entry = sums[each.cluster]
        entry[0] += each.weight * each.value
        entry[1] += each.weight
    return [whole / weight for whole, weight in sums.values()], [weight for _, weight in sums.values()]


def _t_tails(t: float, degrees_of_freedom: int) -> float:
    """Probability of a Student's t further from 0 (Abramowitz and Stegun 26.7.3 and 26.7.4)."""
    angle, is_odd = atan(abs(t) / sqrt(degrees_of_freedom)), degrees_of_freedom % 2 == 1
    term, series = cos(angle) if is_odd else 1.0, 0.0
    for number in range(1 + is_odd, degrees_of_freedom, 2):
        series += term
        term *= cos(angle) ** 2 * number / (number + 1)
    middle = 2 / pi * (angle + sin(angle) * series) if is_odd else sin(angle) * series
    return max(0.0, 1.0 - middle)


def _even_clusters(weights: Sequence[float]) -> float:
    """Clusters of one weight that vary as these do (L. Kish 1965)."""
    return sum(weights) ** 2 / sum(each * each for each in weights)


def _by_cluster(values: Sequence[ItemValue]) -> list[list[float]]:
    found = defaultdict[str, list[float]](list)
    for each in values:
        found[each.cluster].extend(each.parts)
    return list(found.values())


class _Proportions(Struct, frozen=True):
    """`score`: how many standard errors independent values lie above a mean of them all."""

    method: Method
    clustered: Method
    score: Callable[[Counter[float], float], float]


def _score_interval(
    clusters: Sequence[Sequence[float]], reach: float, lowest: float, highest: float, of: _Proportions
) -> tuple[float, float]:
    """The means that lie at most `reach` standard errors from what was seen."""
    counts = Counter(each for cluster in clusters for each in cluster)
    sizes = [(len(cluster), sum(cluster)) for cluster in clusters]
    items = counts.total()
    estimate, squares = sum(total for _, total in sizes) / items, sum(n * each * each for each, n in counts.items())
    # The sum over clusters of (total - size x mean) squared, as a polynomial of the mean.
    a, b, c = (sum(f) for f in zip(*((t * t, 2 * t * n, n * n) for n, t in sizes), strict=True))
    corrected = len(sizes) / (len(sizes) - 1) if len(sizes) > 1 else 1.0
    size: float = c / items

    def design_effect(at: float) -> float:
        """Variance of the mean over that of independent items, both about `at` and with UNSEEN_CLUSTERS; 1 at least."""
        if len(sizes) == items:
            return 1.0
        alone = squares - 2 * at * estimate * items + items * at * at
        together: float = (a - b * at + c * at * at) * corrected
        return max(1.0, (together + UNSEEN_CLUSTERS * size * size) / (alone + UNSEEN_CLUSTERS * size))

    def distance(at: float) -> float:
        return of.score(counts, at) / sqrt(design_effect(at))

    return _bisect(lambda at: distance(at) > reach, lowest, estimate), _bisect(
        lambda at: distance(at) >= -reach, estimate, highest
    )


def _wilson_score(counts: Counter[float], mean: float) -> float:
    count = counts.total()
    return _in_errors(counts[1.0] - count * mean, count * mean * (1 - mean))


def _tango_score(counts: Counter[float], difference: float) -> float:
    better, worse, count = counts[1.0], counts[-1.0], counts.total()
    a, b = 2 * count, -better - worse + (2 * count - better + worse) * difference
    c = -worse * difference * (1 - difference)
    chance = (sqrt(max(0.0, b * b - 4 * a * c)) - b) / (2 * a)
    return _in_errors(better - worse - count * difference, count * (2 * chance + difference * (1 - difference)))


def _in_errors(distance: float, variance: float) -> float:
    if variance <= 0:
        return inf if distance > 0 else -inf if distance < 0 else 0.0
    return distance / sqrt(variance)


_WILSON = _Proportions("Wilson", "clustered Wilson", _wilson_score)
_TANGO = _Proportions("Tango", "clustered Tango", _tango_score)


def _betting_low(
    values: Sequence[float], weights: Sequence[float], error: float, lowest: float, highest: float
) -> float:
    """The weighted mean is above this with an error probability of at most `error`, whatever the distribution."""
    heaviest = max(weights)
    shares = [each / heaviest for each in weights]
    scaled = [(each - lowest) / (highest - lowest) for each in values]
    spurred, enough = 2.0 * -log(error) / len(scaled), -log(error)
    bets, squares, mean, variance = list[float](), 0.25, 0.5, 0.25
    for number, (value, share) in enumerate(zip(scaled, shares, strict=True), 2):
        bets.append(sqrt(spurred / variance))
        mean += (value - mean) / number
        squares += (share * (value - mean)) ** 2
        variance = squares / number

    def refuted(at: float) -> bool:
        wealth, most = 0.0, MAX_BET / at
        for bet, value, share in zip(bets, scaled, shares, strict=True):
            wealth += log1p(min(bet, most) * share * (value - at))
            if wealth >= enough:
                return True
        return False

    return lowest + _bisect(refuted, 1e-9, 1.0) * (highest - lowest)


def _bisect(holds: Callable[[float], bool], low: float, high: float) -> float:
    """Where `holds` ends, which is true below it."""
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low
