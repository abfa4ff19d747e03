"""`sizewise route prior`: pulls the shipped answer prior by a user's own labels, and shows what it then keeps."""

from __future__ import annotations

from collections import Counter
from datetime import date
from importlib.util import find_spec
from math import isnan
from pathlib import Path

import click
import msgspec
from msgspec.structs import replace

from sizewise.catalog.loader import load_cards
from sizewise.cli.options import command_settings, local_options, wants_json
from sizewise.cli.output import format_count, write_file, write_json
from sizewise.errors import BadRequest, ConfigError, ModelNotFound, did_you_mean
from sizewise.evals.dataset_files import read_dataset
from sizewise.evals.outcomes import OutcomeDataset, recorded_signals
from sizewise.model_card import ModelCard
from sizewise.routing.quality.answer_prior import AnswerPrior, PriorModel, encode_prior
from sizewise.routing.quality.shipped_prior import SHIPPED_PRIOR
from sizewise.routing.text.prompt_features import fold_text, guess_language, tokenize

MIN_PROMPTS = 30
"""Prompts of a language from which on it counts as learned."""


@click.command("prior")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--model", required=True, metavar="MODEL", help="The small model, by its name in the outcomes.")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Write the prior. [show it only]")
@local_options
def prior(folder: Path, model: str, output: Path | None) -> None:
    """Pull the shipped answer prior by your own labels.

    FOLDER holds prompts.jsonl and outcomes.jsonl, with log-probabilities, as `route outcomes` writes them. Ten labels
    suffice; how much they weigh against what was shipped, they decide themselves. Calls no model.

    \b
    Example: sizewise route prior mine.outcomes --model local/small -o mine.prior.json
    """
    if find_spec("numpy") is None:
        raise ConfigError("pulling a prior needs numpy", "pip install numpy in the environment of Sizewise")
    from sizewise.routing.training.answer_prior import pull_prior_model

    dataset = read_dataset(folder)
    column = dataset.column(model)
    rows = [row for row, score in enumerate(column.score) if not isnan(score)]
    card = _card(model)
    shipped = SHIPPED_PRIOR.learned_for(card.parameters)
    if shipped is None:
        hint = (
            f'set its size: [models."{card.name}"] parameters = ..., of at least {SHIPPED_PRIOR.models[0].parameters:,}'
        )
        raise BadRequest(f"nothing was learned of models of the size of {card.name!r}", hint)
    signals, right = [recorded_signals(column, row) for row in rows], [column.score[row] for row in rows]
    pulled = replace(
        pull_prior_model(shipped, signals, right, SHIPPED_PRIOR.max_loss),
        name=card.name,
        parameters=card.parameters or shipped.parameters,
    )
    found = _with_model(pulled, dataset, rows)
    if output is not None:
        write_file(output, encode_prior(found))
    if wants_json():
        write_json({**msgspec.to_builtins(pulled), "languages": sorted(found.languages), "file": str(output or "")})
    else:
        _show(pulled, output)


def _card(name: str) -> ModelCard:
    cards = load_cards(command_settings())
    same = [card for card in cards if name in (card.name, card.model, card.name.partition("/")[2])]
    if len(same) != 1:
        known = [card.name for card in cards]
        hint = did_you_mean(name, known) or f"known: {', '.join(known)}"
        raise ModelNotFound(f"no single configured model is named {name!r}", hint)
    return same[0]


def _with_model(pulled: PriorModel, dataset: OutcomeDataset, rows: list[int]) -> AnswerPrior:
    """The shipped prior with the pulled model, and with the languages of enough own prompts."""
    tongues = Counter(_language(dataset.prompts[row]) for row in rows)
    own = {tongue for tongue, count in tongues.items() if count >= MIN_PROMPTS and tongue != "none"}
    others = [its for its in SHIPPED_PRIOR.models if its.parameters != pulled.parameters]
    return replace(
        SHIPPED_PRIOR,
        models=tuple(sorted([*others, pulled], key=lambda its: its.parameters)),
        languages=SHIPPED_PRIOR.languages | own,
        dataset_digest=dataset.digest,
        date=date.today().isoformat(),
    )


def _language(prompt: str) -> str:
    folded = fold_text(prompt)
    return guess_language(folded, tokenize(folded))


def _show(pulled: PriorModel, output: Path | None) -> None:
    click.echo(
        f"{format_count(pulled.own_labels)} labels of {pulled.name}; the shipped weights count as a prior of precision"
        f" {pulled.prior_weight:g} (0.1: hardly, 100: nearly alone)"
    )
    if pulled.threshold is None:
        click.echo("No threshold keeps the loss: the better model answers.")
    else:
        click.echo(f"A reply is kept if it is right with a chance of at least {pulled.threshold:.2f}.")
    if output is not None:
        click.echo(f'Wrote {output}. Use it in a cascade policy: prior = "{output}"')
