"""What policies saved against asking their large model always, with its interval; pure, and knows nothing of quality.

The large model is taken to read and write as many tokens as the model that answered, at its plain rates; where it did
answer, its cost is its own. What was asked beside the answer (held and distrusted, raced, repaired) counts against the
saving.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

from msgspec import Struct

from sizewise.money import Price
from sizewise.telemetry.tables import Spent

SURE = 1.96  # standard errors of an interval of 95 %


class Saving(Struct, frozen=True):
    """Of one policy. Money in pico-dollars; `alone`, `saved` and `within` (half the width of its 95 % interval) are
    None where the large model's price is unknown. `unpriced` requests count as having cost nothing."""

    policy: str
    large: str
    requests: int
    small: int  # answered by another than the large model
    spent: int
    unpriced: int
    alone: int | None
    saved: int | None
    within: int | None


def saving(policy: str, large: str, price: Price, answered: Sequence[Spent]) -> Saving:
    """`answered`: all of this policy, by model. `price`: the large model's, as it is now."""
    requests, spent = sum(each.requests for each in answered), sum(each.cost for each in answered)
    small = sum(each.requests for each in answered if each.model != large)
    unpriced = sum(each.unpriced for each in answered)
    into, out = price.input, price.output
    if into is None or out is None:
        return Saving(policy, large, requests, small, spent, unpriced, None, None, None)
    alone, squares = 0, 0.0
    for each in answered:
        if each.model == large:
            alone += each.cost - each.beside
            squares += each.beside_beside
        else:
            alone += into * each.input + out * each.output
            squares += _squares(each, into, out)
    saved = alone - spent
    mean = saved / max(1, requests)
    spread = sqrt(max(0.0, squares / max(1, requests) - mean * mean) * requests)
    return Saving(policy, large, requests, small, spent, unpriced, alone, saved, round(SURE * spread))


def _squares(each: Spent, into: int, out: int) -> float:
    """The sum of squares of into * input + out * output - cost."""
    return (
        into * into * each.input_input
        + 2.0 * into * out * each.input_output
        + out * out * each.output_output
        - 2.0 * into * each.input_cost
        - 2.0 * out * each.output_cost
        + each.cost_cost
    )
