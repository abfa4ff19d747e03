"""Metrics of alert rules over scores: the mean of a name, which crosses a threshold with its whole interval.

The interval is of the betting kind that quality targets have: it assumes no distribution, and few scores make it wide.
So a quiet night is no alarm, and neither is one bad score.
"""

from __future__ import annotations

from functools import partial

from sizewise.alerts.record_metrics import Measured, encode_labels
from sizewise.alerts.rules import AlertRule
from sizewise.alerts.series_state import SeriesValue
from sizewise.evals.scores.tables import count_values
from sizewise.routing.guarantees.drift import estimate_loss
from sizewise.storage.database import TransactionRunner

CONFIDENCE_LEVEL = 0.95
MAX_SERIES = 200
"""Series of a rule that are followed: those with the most scores."""


def measure_scores(read: TransactionRunner, rule: AlertRule, now: int) -> Measured:
    """Those of a rule's window. `now`: unix ms."""
    since, name = now - rule.window_s * 1_000, rule.metric.partition(":")[2]
    counts = read(partial(count_values, name=name, since=since, by=rule.by, most=MAX_SERIES))
    found: Measured = {}
    for (tenant, *labels), values in counts.items():
        shown = encode_labels(dict(zip(rule.by, labels, strict=True)))
        found[tenant, shown] = _mean(values, rule)
    return found


def _mean(values: dict[float, int], rule: AlertRule) -> SeriesValue:
    seen = estimate_loss(0, values, 0, CONFIDENCE_LEVEL)
    mean, low, high = seen.mean_loss or 0.0, seen.low or 0.0, seen.high or 0.0
    reason = f"95 % interval {low:.2f} to {high:.2f} of {seen.sample_count:,} scores"
    return SeriesValue(mean, rule.level(high if rule.below else low), reason)
