"""`sizewise route train` and `add-model`: trains a quality predictor on labels, and adds new models to it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from importlib.util import find_spec
from pathlib import Path

import click
import msgspec

from sizewise import __version__
from sizewise.cli.options import as_json, wants_json
from sizewise.cli.output import format_count, write_file, write_json, write_table
from sizewise.errors import BadRequest, ConfigError
from sizewise.evals.dataset_files import read_dataset
from sizewise.evals.prompt_groups import group_prompts, seed_of
from sizewise.routing.quality.predictor import ApgrScore, Predictor, encode_predictor
from sizewise.routing.quality.predictor import decode_predictor as read_router
from sizewise.routing.training.onboarding import onboard_model


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--small", required=True, metavar="MODEL", help="The small model, by its name in the outcomes.")
@click.option("--large", required=True, metavar="MODEL", help="The large model.")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Write the predictor there. [only report]")
@as_json
@click.pass_context
def train(ctx: click.Context, /, folder: Path, small: str, large: str, out: Path | None) -> None:
    """Train a predictor of which prompts need the large model.

    FOLDER holds prompts.jsonl and outcomes.jsonl. The reported figures are measured on held-out prompts. Exits with 1
    if the predictor is not significantly better than chance: then it abstains.

    \b
    Example: sizewise route train data/mine --small phi --large gpt -o router.json
    """
    if find_spec("numpy") is None:
        raise ConfigError("training needs numpy", "pip install numpy in the environment of Sizewise")
    from sizewise.routing.training.trainer import train_predictor

    outcomes = read_dataset(folder)
    rows = outcomes.scored_rows(small, large)
    prompts = [outcomes.prompts[row] for row in rows]
    made = train_predictor(
        prompts,
        {name: [outcomes.column(name).score[row] for row in rows] for name in (small, large)},
        small_model=small,
        large_model=large,
        seed=seed_of(prompts),
        groups=group_prompts(prompts, [outcomes.declared_groups.get(row, ()) for row in rows]),
        date=date.today().isoformat(),
        dataset_digest=outcomes.digest,
        version=__version__,
    )
    if out is not None:
        write_file(out, encode_predictor(made))
    if wants_json():
        write_json(_training_json(made, out))
    else:
        _show(made, out)
    ctx.exit(1 if made.abstention else 0)


@click.command("add-model")
@click.argument("router", type=click.Path(path_type=Path))
@click.argument("folder", type=click.Path(path_type=Path), required=False)
@click.option("--model", required=True, metavar="MODEL", help="The new model, by its name in the outcomes.")
@click.option(
    "--like", default="", metavar="MODEL", help="A known model that it is like. [the one with the most similar scores]"
)
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Write the predictor there. [only report]")
@as_json
def add_model(router: Path, folder: Path | None, model: str, like: str, out: Path | None) -> None:
    """Add a new model to a trained predictor.

    ROUTER is a file of `route train`; its models stay unchanged. FOLDER holds some scored answers of the new model
    (thirty are enough); without it the model counts as good as the one it is --like.

    \b
    Example: sizewise route add-model router.json data/few --model newer -o router.json
    """
    try:
        known = read_router(router.read_bytes())
    except OSError as error:
        raise BadRequest(
            f"cannot read {str(router)!r}: {error.strerror}", "use a file written by `route train -o`"
        ) from error
    prompts, scores = list[str](), list[float]()
    if folder is not None:
        outcomes = read_dataset(folder)
        rows, column = outcomes.scored_rows(model), outcomes.column(model)
        prompts, scores = [outcomes.prompts[row] for row in rows], [column.score[row] for row in rows]
    found = onboard_model(known, model, prompts, scores, like)
    if out is not None:
        write_file(out, encode_predictor(found.predictor))
    if wants_json():
        told = {"model": model, "like": found.based_on, "shift": found.shift, "samples": found.sample_count}
        write_json({**told, "file": None if out is None else str(out)})
        return
    if found.sample_count:
        than = "better" if found.shift > 0 else "worse"
        click.echo(
            f"{model} is like {found.based_on}, {than} by {abs(found.shift):.2f} in log-odds: {found.sample_count}"
            " scores"
        )
    else:
        click.echo(f"{model} is assumed to be as good as {found.based_on}: it has no scores")
    if out is not None:
        click.echo(f"Written to {out}.")


def _training_json(made: Predictor, out: Path | None) -> Mapping[str, object]:
    learnt: dict[str, object] = msgspec.to_builtins(msgspec.structs.replace(made.provenance, prompt_sketch=()))
    learnt.pop("prompt_sketch")
    return learnt | {
        "abstains": made.abstention,
        "languages": sorted(made.languages),
        "words": len(made.vocabulary),
        "file": None if out is None else str(out),
    }


def _show(made: Predictor, out: Path | None) -> None:
    its = made.provenance
    click.echo(
        f"Trained on {format_count(its.label_count)} prompts that {its.small_model} and {its.large_model} answered; "
        f"{format_count(len(made.vocabulary))} words and pairs; languages "
        f"{', '.join(sorted(made.languages)) or 'none'}"
    )
    click.echo()
    rows = (("this predictor", its.apgr), ("length alone", its.length_baseline))
    write_table(
        ("ORDER OF ASKING THE LARGE MODEL", "APGR", f"{its.apgr.confidence_level:.0%} INTERVAL"),
        [(name, f"{area.apgr:.3f}", _span(area)) for name, area in rows] + [("chance", "0.500", "")],
    )
    click.echo()
    if made.abstention:
        click.echo(
            f"It abstains: {made.abstention}. More labels may help; signals other than the prompt often help more."
        )
    else:
        click.echo("Better than chance on held-out prompts. It abstains on prompts of other domains.")
    if out is not None:
        click.echo(f"Written to {out}. Set it as `predictor` in [router], and use a policy of kind `learned`.")


def _span(area: ApgrScore) -> str:
    return f"{area.low:.3f} to {area.high:.3f}"
