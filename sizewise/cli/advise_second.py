"""`sizewise advise --second`: which second small model is worth its price, from recorded answers; asks no model."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan
from pathlib import Path
from statistics import fmean

import click
import msgspec

from sizewise.cli.options import wants_json
from sizewise.cli.output import write_json, write_table
from sizewise.cli.price_options import mean_answer_costs, parse_prices
from sizewise.errors import BadRequest
from sizewise.evals.dataset_files import read_dataset
from sizewise.evals.outcomes import OutcomeDataset
from sizewise.evals.second_model import SecondModel, rank_seconds

PROMISE = 0.95
RATIO = 0.05
"""Price of a small model relative to the large one, if none is given."""


def advise_second(folder: Path, small: str | None, large: str | None, prices: Sequence[str]) -> int:
    """1 if no second model keeps the promise. Raises BadRequest."""
    dataset = read_dataset(folder)
    if not small:
        raise BadRequest("--second needs the small model that you have", f"--small NAME: {', '.join(dataset.columns)}")
    dataset.column(small)
    best = large or max(dataset.columns, key=lambda name: _score(dataset, name))
    dataset.column(best)
    priced = parse_prices(prices, dataset)
    for name in (small, best):
        if priced and name not in priced:
            raise BadRequest(f"{name} has no price", "give --price for both models and each second one, or for none")
    names = [*(name for name in dataset.columns if name != best and (not priced or name in priced)), best]
    costs = dict(zip(names, mean_answer_costs(dataset, names, priced, RATIO), strict=True))
    ranked = rank_seconds(dataset, small, best, costs, PROMISE)
    if wants_json():
        known = "given" if prices else f"assumed: {RATIO} of the large model's each"
        told = {"small": small, "large": best, "promise": PROMISE, "prices": known}
        write_json({**told, "seconds": msgspec.to_builtins(ranked)})
    else:
        _write(ranked, small, best, priced=bool(prices))
    return int(not any(each.quality >= PROMISE for each in ranked))


def _score(dataset: OutcomeDataset, name: str) -> float:
    known = [score for score in dataset.columns[name].score if not isnan(score)]
    return fmean(known) if known else 0.0


def _write(ranked: Sequence[SecondModel], small: str, large: str, *, priced: bool) -> None:
    heads = ("SECOND MODEL", "AGREE", "RIGHT IF SO", "IF NOT", "ERRORS ALIKE", "QUALITY", "LOSS, POINTS", "COST")
    write_table(
        heads,
        [
            (
                each.name,
                f"{each.agreement:.0%}",
                _share(each.right_if_agreed),
                _share(each.right_if_not),
                "-" if each.error_correlation is None else f"{each.error_correlation:+.2f}",
                f"{each.quality:.1%}",
                f"{100 * each.loss_low:+.1f} to {100 * each.loss_high:+.1f}",
                f"{each.cost:.0%}",
            )
            for each in ranked
        ],
        right="AGREE SO NOT ALIKE QUALITY COST",
    )
    first = ranked[0]
    click.echo(
        f"\n{small} answers; if the second model agrees, that is the answer, else {large} is asked. Quality and cost"
        f" are relative to {large} alone, on {first.prompts} prompts."
    )
    if not priced:
        click.echo(f"A small answer is taken to cost {RATIO:.0%} of a large one: name prices by --price MODEL=IN,OUT.")
    if first.quality >= PROMISE:
        click.echo(f"Next: sizewise route calibrate FOLDER --small {small} --second {first.name} --large {large}")
    else:
        click.echo(f"None keeps {PROMISE:.0%} of its quality.")


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"
