"""Parses --price options, MODEL=IN,OUT in dollars per million tokens; looks up no price."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isnan

from sizewise.errors import BadRequest
from sizewise.evals.outcomes import OutcomeDataset
from sizewise.money import Price, parse_micro_dollars


def parse_prices(options: Sequence[str], outcomes: OutcomeDataset) -> dict[str, Price]:
    """By model. Raises BadRequest for an invalid price, and for a model that is not in the outcomes."""
    found: dict[str, Price] = {}
    for each in options:
        name, _, rest = each.rpartition("=")
        outcomes.column(name)
        try:
            into, out = (parse_micro_dollars(part) for part in rest.split(","))
        except ValueError as why:
            raise BadRequest(f"{each!r} is not a price", "write it as MODEL=IN,OUT, such as mine=2,8") from why
        found[name] = Price(input=into, output=out)
    return found


def mean_answer_costs(
    outcomes: OutcomeDataset,
    models: Sequence[str],
    prices: Mapping[str, Price],
    ratio: float,
) -> list[float]:
    """Mean cost of an answer of each of `models`: from prices and recorded tokens, else `ratio` and 1 for the last.

    Raises BadRequest if only some have a price, or if the last one costs nothing.
    """
    if not prices:
        return [ratio] * (len(models) - 1) + [1.0]
    costs = [_mean(outcomes, name, prices.get(name)) for name in models]
    if costs[-1] <= 0:
        raise BadRequest(f"an answer of {models[-1]!r} costs nothing", "there is nothing to save")
    return costs


def _mean(outcomes: OutcomeDataset, name: str, price: Price | None) -> float:
    if price is None:
        raise BadRequest(f"the price of {name!r} is missing", "give all prices, or only --price-ratio")
    column = outcomes.column(name)
    rows = [row for row, score in enumerate(column.score) if not isnan(score)]
    spent = [price.cost(column.tokens_in[row], column.tokens_out[row]) or 0 for row in rows]
    if not any(column.tokens_out[row] for row in rows):
        raise BadRequest(
            f"no tokens were recorded for {name!r}", "record tokens_in and tokens_out, or use --price-ratio"
        )
    return sum(spent) / max(1, len(rows))
