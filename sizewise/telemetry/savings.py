"""Estimates what a policy saved against its large model, with a 95 % interval; knows nothing of quality.

The large model is taken to read and write as many tokens as the model that answered, at its plain rates; where it did
answer, its cost is its own. What was asked beside the answer (held and distrusted, raced, repaired) counts against the
saving.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

from msgspec import Struct

from sizewise.money import Price
from sizewise.telemetry.tables import PolicyUsage

Z_95 = 1.96  # standard errors of an interval of 95 %


class PolicySavings(Struct, frozen=True):
    """Of one policy. Money in pico-dollars; `baseline_cost`, `saved_cost` and `margin` (half the width of its 95 %
    interval) are None where the large model's price is unknown. `unpriced_requests` requests count as having cost
    nothing.
    """

    policy: str
    large_model: str
    requests: int
    small_requests: int  # answered by another than the large model
    cost: int
    unpriced_requests: int
    baseline_cost: int | None
    saved_cost: int | None
    margin: int | None


def policy_savings(policy: str, large_model: str, price: Price, usage: Sequence[PolicyUsage]) -> PolicySavings:
    """`usage`: all of this policy, by model. `price`: the large model's, as it is now."""
    requests, spent = sum(each.requests for each in usage), sum(each.cost for each in usage)
    small = sum(each.requests for each in usage if each.model != large_model)
    unpriced = sum(each.unpriced for each in usage)
    into, out = price.input, price.output
    if into is None or out is None:
        return PolicySavings(policy, large_model, requests, small, spent, unpriced, None, None, None)
    alone, squares = 0, 0.0
    for each in usage:
        if each.model == large_model:
            alone += each.cost - each.overhead
            squares += each.overhead_overhead
        else:
            alone += into * each.input + out * each.output
            squares += _squares(each, into, out)
    saved = alone - spent
    mean = saved / max(1, requests)
    spread = sqrt(max(0.0, squares / max(1, requests) - mean * mean) * requests)
    return PolicySavings(policy, large_model, requests, small, spent, unpriced, alone, saved, round(Z_95 * spread))


def _squares(each: PolicyUsage, into: int, out: int) -> float:
    """The sum of squares of into * input + out * output - cost."""
    return (
        into * into * each.input_input
        + 2.0 * into * out * each.input_output
        + out * out * each.output_output
        - 2.0 * into * each.input_cost
        - 2.0 * out * each.output_cost
        + each.cost_cost
    )
