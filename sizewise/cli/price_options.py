"""Parses --price options, MODEL=IN,OUT in dollars per million tokens; looks no price up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isnan

from sizewise.errors import BadRequest
from sizewise.evals.outcomes import OutcomeDataset
from sizewise.money import Price, parse_micro_dollars


def parse_prices(options: Sequence[str], outcomes: OutcomeDataset) -> dict[str, Price]:
    """By model. Raises BadRequest for what is no price, and for a model that the outcomes do not have."""
    found: dict[str, Price] = {}
    for each in options:
        name, _, rest = each.rpartition("=")
        outcomes.column(name)
        try:
            into, out = (parse_micro_dollars(part) for part in rest.split(","))
        except ValueError as why:
            raise BadRequest(f"{each!r} is no price", "write it as MODEL=IN,OUT, as in mine=2,8") from why
        found[name] = Price(input=into, output=out)
    return found


def mean_answer_costs(
    outcomes: OutcomeDataset,
    models: Sequence[str],
    prices: Mapping[str, Price],
    ratio: float,
) -> list[float]:
    """What a mean answer of each of `models` costs: by its price and recorded tokens, else `ratio` and 1 for the last.

    Raises BadRequest where only some have a price, or the last one costs nothing.
    """
    if not prices:
        return [ratio] * (len(models) - 1) + [1.0]
    costs = [_mean(outcomes, name, prices.get(name)) for name in models]
    if costs[-1] <= 0:
        raise BadRequest(f"an answer of {models[-1]!r} costs nothing", "then there is nothing to save")
    return costs


def _mean(outcomes: OutcomeDataset, name: str, price: Price | None) -> float:
    if price is None:
        raise BadRequest(f"the price of {name!r} is missing", "give all of them, or --price-ratio alone")
    column = outcomes.column(name)
    rows = [row for row, score in enumerate(column.score) if not isnan(score)]
    spent = [price.cost(column.tokens_in[row], column.tokens_out[row]) or 0 for row in rows]
    if not any(column.tokens_out[row] for row in rows):
        raise BadRequest(
            f"no tokens were recorded of {name!r}", "record tokens_in and tokens_out, or use --price-ratio"
        )
    return sum(spent) / max(1, len(rows))
