"""`sizewise route calibrate`: certifies a quality target on outcomes or sampled pairs, and writes its policy."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import date
from importlib.util import find_spec
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from sizewise import __version__
from sizewise.catalog.loader import load_cards
from sizewise.cli.calibrate_samples import calibrate_from_samples
from sizewise.cli.local_jobs import run_steps
from sizewise.cli.options import command_settings, refuse_options, server_options, wants_json
from sizewise.cli.output import format_count, write_file, write_json, write_table
from sizewise.cli.price_options import mean_answer_costs, parse_prices
from sizewise.cli.settings_patch import print_patch, write_policy
from sizewise.errors import BadRequest, ConfigError
from sizewise.evals.cost_quality_plot import PlotPoint, draw_plot
from sizewise.evals.dataset_files import read_dataset
from sizewise.model_card import ModelCard
from sizewise.money import Price
from sizewise.routing.guarantees.bounds import QualityGuarantee
from sizewise.settings.load import Settings
from sizewise.settings.validators import NAME

if TYPE_CHECKING:
    from sizewise.evals.calibration import Calibration, PolicyCalibration

NEEDS = "numpy"
LARGE = 5_000
"""Prompts from which worker processes are faster than this one: they take half a second to start."""
MAX_SHOWN_QUALITY = 2.0  # relative to the large model
OF_A_FOLDER = (
    "small",
    "large",
    "second",
    "ratio",
    "price",
    "checker",
    "checker_error",
    "picture",
    "missing_is_wrong",
    "per_request",
)


@click.command("calibrate")
@click.argument("folder", type=click.Path(path_type=Path), required=False)
@click.option("--small", metavar="MODEL", help="The small model, by its name in the outcomes.")
@click.option("--large", metavar="MODEL", help="The large model: the reference of the target.")
@click.option("--second", metavar="MODEL", help="Another small model, for a second opinion.")
@click.option(
    "--quality", default=0.95, show_default=True, help="Target, as a fraction of the large model's quality, 0 to 1."
)
@click.option(
    "--confidence", "sure", default=0.95, show_default=True, help="Confidence that the target is met, 0 to 1."
)
@click.option(
    "--price-ratio", "ratio", default=0.1, show_default=True, help="Cost of a small answer, where a large one costs 1."
)
@click.option("--price", multiple=True, metavar="MODEL=IN,OUT", help="Or dollars per million tokens.")
@click.option("--checker", default="", metavar="WORDS", help="What scored the answers.")
@click.option("--checker-error", type=float, metavar="SHARE", help="Fraction of its scores that are wrong, 0 to 1.")
@click.option(
    "--per-request", is_flag=True, help="The rows are a random sample of requests. [each question counts once]"
)
@click.option(
    "--missing-is-wrong", is_flag=True, help="Count missing answers as wrong. [refuse if over 2% of prompts lack one]"
)
@click.option("--policy", metavar="NAME", help="The policy to write. [certified; without FOLDER that of `auto`]")
@click.option("--write", "writes", is_flag=True, help="Write the certificate and the policy. [show what would change]")
@click.option("--svg", "picture", type=click.Path(path_type=Path), help="Draw cost against quality, as SVG.")
@server_options
@click.pass_context
def calibrate(
    ctx: click.Context,
    /,
    folder: Path | None,
    small: str | None,
    large: str | None,
    second: str | None,
    quality: float,
    sure: float,
    ratio: float,
    price: tuple[str, ...],
    checker: str,
    checker_error: float | None,
    policy: str | None,
    writes: bool,
    picture: Path | None,
    missing_is_wrong: bool,
    per_request: bool,
) -> None:
    """Certify a quality target, and write the policy for it.

    FOLDER holds prompts.jsonl and outcomes.jsonl. Without it, the pairs that [shadow] has sampled of a cascade are
    used. Calls no model. Exits with 1 if no target can be certified yet.

    \b
    Example: sizewise route calibrate data/mine --small phi --large gpt --write
    Example: sizewise route calibrate --policy default
    """
    policy = policy or ("certified" if folder is not None else command_settings().router.policy)
    if not NAME.match(policy) or "." in policy:
        raise BadRequest(f"{policy!r} is not a policy name", "use letters, digits, '_' and '-'")
    if not isfinite(ratio) or ratio < 0:
        raise BadRequest(f"--price-ratio is {ratio!r}", "use a number from 0, such as 0.1")
    if checker_error is not None and not 0 <= checker_error <= 1:
        raise BadRequest(f"--checker-error is {checker_error!r}", "use a fraction from 0 to 1")
    if folder is None:
        refuse_options("without a FOLDER of outcomes", *OF_A_FOLDER)
        ctx.exit(0 if calibrate_from_samples(policy, QualityGuarantee(quality, sure), writes) else 1)
    refuse_options("with a FOLDER: it needs no server", "url")
    if not small or not large:
        raise BadRequest("the models to compare are missing", "name both: --small MODEL --large MODEL")
    if find_spec(NEEDS) is None:
        raise ConfigError("calibrating needs numpy", "pip install numpy in the environment of Sizewise")
    from sizewise.evals.calibration import calibration_steps

    outcomes, names = read_dataset(folder), [small, *([second] if second else []), large]
    for name in names:
        outcomes.column(name)
    here = _here(names, command_settings())
    strange = [name for name in names if here[name] is None]
    if strange:
        hint = "use the names of the settings for the outcomes' models, <provider>/<model> or bare"
        raise BadRequest(f"no single configured model is named {', '.join(map(repr, strange))}", hint)
    known = parse_prices(price, outcomes) or ({} if _said(ctx, "ratio") else _prices(here))
    if sys.stderr.isatty():
        click.echo(f"Calibrating on {format_count(len(outcomes.ids))} prompts ...", err=True)
    steps = calibration_steps(
        outcomes,
        names[:-1],
        large,
        QualityGuarantee(quality, sure, large),
        costs=mean_answer_costs(outcomes, names, known, ratio),
        date=date.today().isoformat(),
        version=__version__,
        scorer=checker or "the scores of the outcomes",
        scorer_error=checker_error,
        missing_is_wrong=missing_is_wrong,
        per_request=per_request,
    )
    found = run_steps(steps, f"calibrate-{outcomes.digest[:16]}", is_large=len(outcomes.ids) >= LARGE)
    if picture is not None:
        _draw(found, picture)
    proof = found.certificate if found.best is not None else None
    file, changed = None, list[str]()
    if proof is not None:
        models = [card.name for name in proof.models if (card := here[name]) is not None]
        file, changed = write_policy(command_settings(), policy, "certified", found.guarantee, proof, models, writes)
    if wants_json():
        told = {name: value for name, value in msgspec.to_builtins(found).items() if name != "certificate"}
        write_json({**told, "kept": msgspec.to_builtins(proof.guarantees) if proof else [], "diff": changed})
    else:
        _show_evidence(found, missing_is_wrong)
        _show(found, checker, checker_error, "" if known else f"{ratio:g}")
        if found.best is not None:
            _show_unit(found, found.best, per_request)
        if file is not None:
            print_patch(file, changed, writes)
    ctx.exit(0 if found.best is not None else 1)


def _draw(found: Calibration, file: Path) -> None:
    small, large, its = found.small_models[0], found.large_model, found.best
    dots = [PlotPoint(f"{small} alone", *found.curves["random"][0]), PlotPoint(f"{large} alone", 1.0, 1.0)]
    if its is not None and its.quality is not None:
        dots.append(
            PlotPoint(
                name=f"{its.policy}, certified",
                cost=1.0 - its.savings,
                quality=its.quality,
                low=its.low,
                high=its.high,
                cost_margin=its.savings_margin,
            )
        )
    title = f"{small} before {large}, {format_count(found.certification_prompts)} prompts"
    write_file(file, draw_plot(title, found.curves, dots, found.guarantee.quality))


def _show(found: Calibration, checker: str, checker_error: float | None, ratio: str) -> None:
    small, large, promise = found.small_models[0], found.large_model, found.guarantee
    if found.small_score >= found.large_score:
        click.echo(f"{small} is at least as good as {large} on these prompts: it may answer alone, without a policy.")
    click.echo(
        f"{small} is right {found.small_score:.1%} of the time, {large} {found.large_score:.1%}, on "
        f"{format_count(found.certification_prompts)} prompts for certification; "
        f"{format_count(found.training_prompts)} others for training"
    )
    click.echo()
    heads = ("POLICY", "KEPT SMALL", "QUALITY", "SAVES", "PROMPTS NEEDED")
    write_table(heads, [_row(each) for each in found.policies])
    if ratio:
        click.echo(
            f"Assumes that a small answer costs {ratio} of a large one; change it with --price-ratio or --price."
        )
    click.echo()
    if found.best is None:
        said = f"{promise.quality:g} of the quality of {large} with confidence {promise.confidence:g}"
        click.echo(f"No policy that saves cost can be certified for {said} yet.")
        return
    measured = f"as {checker} measures it" if checker else "as these scores measure it"
    wrong = "" if checker_error is None else f" (wrong in {checker_error:.1%} of its scores)"
    click.echo(
        f"With confidence {promise.confidence:g}, the policy {found.best.policy!r} keeps at least "
        f"{promise.quality:g} of the quality of {large}, {measured}{wrong}, and saves {found.best.savings:.0%} of "
        "its cost."
    )


def _show_unit(found: Calibration, best: PolicyCalibration, per_request: bool) -> None:
    """What the guarantee is of, and how frequent questions do if they count once."""
    if per_request:
        click.echo("It is a guarantee of requests like these rows, frequent questions as often as they are in them.")
        return
    click.echo("It is a guarantee of questions like these, in which each counts once however often it is asked.")
    if found.row_count == found.training_prompts + found.certification_prompts or best.request_quality is None:
        return
    click.echo(f"With each row counted, repeated ones too, its quality was {format_quality(best.request_quality)}.")
    if best.request_quality < found.guarantee.quality:
        click.echo(
            "Frequent questions do worse: if the rows are a random sample of your requests, certify these with"
            " --per-request."
        )


def _show_evidence(found: Calibration, missing_is_wrong: bool) -> None:
    """What was left out of the evidence, or counts less than it seems; nothing if nothing was."""
    prompts, missing = found.training_prompts + found.certification_prompts, found.missing
    if prompts < found.row_count:
        click.echo(
            f"{format_count(found.row_count)} rows are {format_count(prompts)} independent prompts: near copies, and"
            " rows of one group, session or template, count once"
        )
    if missing.incomplete:
        few = "those of a small model count as wrong, those of the large one as right"
        click.echo(f"{missing}: {'counted as wrong' if missing_is_wrong else few}")
    if missing.unanswered:
        click.echo(f"{format_count(missing.unanswered)} prompts without an answer of any of them were left out")


def _row(each: PolicyCalibration) -> Sequence[str]:
    quality = "-" if each.quality is None else format_quality(each.quality)
    needs = "-" if each.small_share or each.samples_needed is None else f"about {format_count(each.samples_needed)}"
    return each.policy, f"{each.small_share:.0%}", quality, f"{each.savings:.0%} +- {each.savings_margin:.0%}", needs


def format_quality(quality: float) -> str:
    """Relative to the large model. Where that is hardly ever right a ratio says nothing more."""
    return f"{quality:.1%}" if quality <= MAX_SHOWN_QUALITY else f"over {MAX_SHOWN_QUALITY:.0%}"


def _said(ctx: click.Context, option: str) -> bool:
    return ctx.get_parameter_source(option) is not click.core.ParameterSource.DEFAULT


def _here(names: Sequence[str], known: Settings) -> dict[str, ModelCard | None]:
    """The configured model for each name; None if there is not exactly one."""
    found: dict[str, ModelCard | None] = {}
    for name in names:
        same = [card for card in load_cards(known) if name in (card.name, card.model, card.name.partition("/")[2])]
        found[name] = same[0] if len(same) == 1 else None
    return found


def _prices(here: Mapping[str, ModelCard | None]) -> dict[str, Price]:
    """The prices of the configured models; empty if one is unknown or the large model is free."""
    prices = {name: card.price for name, card in here.items() if card is not None and card.price.cost(1, 1) is not None}
    return prices if len(prices) == len(here) and [*prices.values()][-1].cost(1, 1) else {}
