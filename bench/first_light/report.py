"""Puts what came of the questions on one page, flattering or not; knows nothing of how they were asked."""

from __future__ import annotations

from collections.abc import Sequence

from bench.first_light.statistics import (
    Asked,
    Interval,
    Row,
    bootstrap,
    compare_policies,
    lead,
    quadrants,
    random_spread,
    wilson,
)

HEAD = f"{'':38}{'n':>5}{'right':>7}{'share, 95 % interval':>22}{'tokens':>9}{'each':>7}{'seconds':>9}{'each':>8}"


def page(asked: Sequence[Asked]) -> str:
    parts = [_line(row, "") for row in quadrants(asked)]
    wholes = [_line(row, _share(row)) for row in compare_policies(asked)]
    return "\n".join(
        [HEAD, *parts, "-" * len(HEAD), *wholes, "", errands(asked), agreement(asked), "", sentence(asked)],
    )


def sentence(asked: Sequence[Asked]) -> str:
    """What the run shows, in the words that its intervals allow and no others."""
    n, right, up = len(asked), sum(a.auto.right for a in asked), sum(a.escalated for a in asked)
    spread = random_spread(asked, right)
    cascade, small, large = compare_policies(asked)[:3]
    return (
        f"The cascade was right on {right} of {n} ({_percent(wilson(right, n))}) and let the large model answer {up}. "
        f"Random escalation at that rate expects {spread.mean:.1f} (95 % of draws {spread.low} to {spread.high}; "
        f"{100 * spread.at_least:.1f} % of them reach {right}); "
        f"all small is {small.right:.0f}, all large {large.right:.0f}. "
        f"The cascade spent {_ratio(cascade.tokens, large.tokens)} of all large's tokens "
        f"and {_ratio(cascade.seconds, large.seconds)} of its seconds. {_verdict(asked, up)}"
    )


def errands(asked: Sequence[Asked]) -> str:
    """Was each escalation worth it? Judged by what either model says alone."""

    def knowers(up: bool) -> str:
        seen = [a for a in asked if a.escalated == up]
        small = sum(a.small.right for a in seen)
        large = sum(a.large.right and not a.small.right for a in seen)
        return f"{small} the small model knows, {large} only the large one, {len(seen) - small - large} neither"

    return f"Of the kept, {knowers(False)}; of the escalated, {knowers(True)}."


def agreement(asked: Sequence[Asked]) -> str:
    """Chance is computed from the models alone, so it matters whether they said the same inside the cascade."""
    same = sum(a.auto.right == (a.large if a.escalated else a.small).right for a in asked)
    return f"The cascade's reply was judged as the same model's reply alone on {same} of {len(asked)} questions."


def _verdict(asked: Sequence[Asked], up: int) -> str:
    if up in (0, len(asked)):
        return "It never had two minds: nothing is shown about when to escalate."
    low, high = bootstrap(asked, lead)
    interval = f"{100 * low:+.1f} to {100 * high:+.1f}"
    difference = f"Against random it is {100 * lead(asked):+.1f} points, 95 % interval {interval}: "
    if low > 0:
        return difference + "on questions like these it escalates better than chance."
    if high < 0:
        return difference + "on questions like these it escalates worse than chance."
    return difference + f"{len(asked)} questions do not tell it from chance."


def _share(row: Row) -> str:
    """An expectation over draws is not a count, so it gets no interval here; its spread is in the sentence."""
    share = f"{100 * row.right / row.n:.0f} %"
    return share if row.name.startswith("random") else f"{share}, {_percent(wilson(row.right, row.n))}"


def _line(row: Row, share: str) -> str:
    tokens, seconds = (f"{row.tokens / row.n:.0f}", f"{row.seconds / row.n:.2f}") if row.n else ("-", "-")
    right = f"{row.right:.1f}" if row.right % 1 else f"{row.right:.0f}"
    sums = f"{row.n:>5.0f}{right:>7}{share:>22}{row.tokens:>9.0f}{tokens:>7}{row.seconds:>9.1f}{seconds:>8}"
    return f"{row.name:38}{sums}"


def _percent(interval: Interval) -> str:
    return f"{100 * interval[0]:.0f} to {100 * interval[1]:.0f} %"


def _ratio(part: float, whole: float) -> str:
    return f"{part / whole:.2f}" if whole else "an unknown share"
