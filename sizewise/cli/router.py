"""`sizewise route train` and `add-model`: a predictor of which prompts need the large model."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from importlib.util import find_spec
from pathlib import Path

import click
import msgspec

from sizewise import __version__
from sizewise.cli.options import placed, wants_json
from sizewise.cli.output import count, write_file, write_json, write_table
from sizewise.errors import BadRequest, ConfigError
from sizewise.evals.dataset_files import read
from sizewise.routing.quality.predictor import Area, Predictor, write
from sizewise.routing.quality.predictor import read as read_router
from sizewise.routing.training.onboarding import join


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--small", required=True, metavar="MODEL", help="The small model, as the outcomes name it.")
@click.option("--large", required=True, metavar="MODEL", help="The large one.")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Write the router there. [only report]")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Of the lot that parts the prompts.")
@placed
@click.pass_context
def train(ctx: click.Context, /, folder: Path, small: str, large: str, out: Path | None, seed: int) -> None:
    """Train a predictor of which prompts need the large model.

    FOLDER holds prompts.jsonl and outcomes.jsonl. What is reported was measured on prompts that the router had not
    seen. Ends with 1 where it is not surely better than chance: then it abstains.

    \b
    Example: sizewise route train data/mine --small phi --large gpt -o router.json
    """
    if find_spec("numpy") is None:
        raise ConfigError("training needs numpy", "pip install numpy, where Sizewise is installed")
    from sizewise.routing.training.trainer import learn

    outcomes = read(folder)
    rows = outcomes.answered(small, large)
    made = learn(
        [outcomes.prompts[row] for row in rows],
        {name: [outcomes.column(name).score[row] for row in rows] for name in (small, large)},
        small=small,
        large=large,
        seed=seed,
        date=date.today().isoformat(),
        data=outcomes.digest,
        version=__version__,
    )
    if out is not None:
        write_file(out, write(made))
    if wants_json():
        write_json(_told(made, out))
    else:
        _show(made, out)
    ctx.exit(1 if made.abstains else 0)


@click.command("add-model")
@click.argument("router", type=click.Path(path_type=Path))
@click.argument("folder", type=click.Path(path_type=Path), required=False)
@click.option("--model", required=True, metavar="MODEL", help="The new one, as the outcomes name it.")
@click.option(
    "--like", default="", metavar="MODEL", help="A known one that it is like. [whose scores its own resemble]"
)
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Write the router there. [only report]")
@placed
def add_model(router: Path, folder: Path | None, model: str, like: str, out: Path | None) -> None:
    """Add a new model to a trained predictor.

    ROUTER is a file of `route train`; the models that it knows stay as they are. FOLDER holds some scored answers of
    the new one (thirty do); without it the model counts as good as the one it is --like.

    \b
    Example: sizewise route add-model router.json data/few --model newer -o router.json
    """
    try:
        known = read_router(router.read_bytes())
    except OSError as error:
        raise BadRequest(f"cannot read {str(router)!r}: {error.strerror}", "name a file of `route train -o`") from error
    prompts, scores = list[str](), list[float]()
    if folder is not None:
        outcomes = read(folder)
        rows, column = outcomes.answered(model), outcomes.column(model)
        prompts, scores = [outcomes.prompts[row] for row in rows], [column.score[row] for row in rows]
    found = join(known, model, prompts, scores, like)
    if out is not None:
        write_file(out, write(found.predictor))
    if wants_json():
        told = {"model": model, "like": found.like, "shift": found.shift, "samples": found.samples}
        write_json({**told, "file": None if out is None else str(out)})
        return
    if found.samples:
        than = "better" if found.shift > 0 else "worse"
        click.echo(
            f"{model} is like {found.like}, {than} by {abs(found.shift):.2f} in log-odds: {found.samples} scores"
        )
    else:
        click.echo(f"{model} is taken to be as {found.like}: there are no scores of it")
    if out is not None:
        click.echo(f"Written to {out}.")


def _told(made: Predictor, out: Path | None) -> Mapping[str, object]:
    learnt: dict[str, object] = msgspec.to_builtins(made.learnt)
    return learnt | {
        "abstains": made.abstains,
        "languages": sorted(made.languages),
        "words": len(made.vocabulary),
        "file": None if out is None else str(out),
    }


def _show(made: Predictor, out: Path | None) -> None:
    its = made.learnt
    click.echo(
        f"Learnt from {count(its.labels)} prompts that {its.small} and {its.large} answered; "
        f"{count(len(made.vocabulary))} words and pairs; languages {', '.join(sorted(made.languages)) or 'none'}"
    )
    click.echo()
    rows = (("this router", its.ours), ("length alone", its.length))
    write_table(
        ("ORDER OF ASKING THE LARGE MODEL", "APGR", f"{its.ours.sure:.0%} INTERVAL"),
        [(name, f"{area.apgr:.3f}", _span(area)) for name, area in rows] + [("chance", "0.500", "")],
    )
    click.echo()
    if made.abstains:
        click.echo(f"It abstains: {made.abstains}. More labels may help; other signals than the prompt often do more.")
    else:
        click.echo(
            "Better than chance on prompts it had not seen. It knows nothing of other domains, and says so there."
        )
    if out is not None:
        click.echo(f"Written to {out}. Name it as `predictor` in [router], and ask by a policy of kind `learned`.")


def _span(area: Area) -> str:
    return f"{area.low:.3f} to {area.high:.3f}"
