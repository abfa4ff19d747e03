"""Estimates what a policy saved against its large model, money with a 95 % interval, and energy; ignores quality.

It assumes that the large model would use as many tokens as the model that answered, at its plain rates; where the large
model did answer, its actual cost counts. Attempts besides the answer (distrusted, hedged, repaired) reduce the saving.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

from msgspec import Struct

from sizewise.money import Price
from sizewise.telemetry.policy_usage import PolicyUsage

Z_95 = 1.96  # standard errors in a 95 % interval


class PolicySavings(Struct, frozen=True):
    """Savings of one policy, in pico-dollars. `baseline_cost`, `saved_cost` and `margin` (half the width of the 95 %
    interval) are None if the large model's price is unknown. `unpriced_requests` count as free.
    """

    policy: str
    large_model: str
    requests: int
    small_requests: int  # answered by a model other than the large one
    cost: int
    unpriced_requests: int
    baseline_cost: int | None
    saved_cost: int | None
    margin: int | None


def policy_savings(policy: str, large_model: str, price: Price, usage: Sequence[PolicyUsage]) -> PolicySavings:
    """`usage`: all usage of this policy, by model. `price`: the current price of the large model."""
    requests, spent = sum(each.requests for each in usage), sum(each.cost for each in usage)
    small = sum(each.requests for each in usage if each.model != large_model)
    unpriced = sum(each.unpriced for each in usage)
    into, out = price.input, price.output
    if into is None or out is None:
        return PolicySavings(
            policy=policy,
            large_model=large_model,
            requests=requests,
            small_requests=small,
            cost=spent,
            unpriced_requests=unpriced,
            baseline_cost=None,
            saved_cost=None,
            margin=None,
        )
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
    return PolicySavings(
        policy=policy,
        large_model=large_model,
        requests=requests,
        small_requests=small,
        cost=spent,
        unpriced_requests=unpriced,
        baseline_cost=alone,
        saved_cost=saved,
        margin=round(Z_95 * spread),
    )


class EnergySavings(Struct, frozen=True):
    """Microjoules that the `requests` of known energy took, with all attempts, and that the large model alone would
    have: `baseline` is None if that is unknown. `unknown`: the other requests.
    """

    requests: int
    unknown: int
    spent: int
    baseline: int | None


def energy_savings(large_model: str, per_token: int | None, usage: Sequence[PolicyUsage]) -> EnergySavings:
    """`usage`: all of one policy. `per_token`: microjoules of an output token of the large model; None: by its own
    answers among these, as many tokens each, if there are any.
    """
    large = [each for each in usage if each.model == large_model]
    other = sum(each.metered_output for each in usage if each.model != large_model)
    own, written = sum(each.energy - each.energy_overhead for each in large), sum(each.metered_output for each in large)
    if per_token is not None:
        baseline: int | None = own + per_token * other
    elif other == 0:
        baseline = own
    else:
        baseline = own + round(own / written * other) if written else None
    metered = sum(each.metered for each in usage)
    return EnergySavings(
        requests=metered,
        unknown=sum(each.requests for each in usage) - metered,
        spent=sum(each.energy for each in usage),
        baseline=baseline,
    )


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
