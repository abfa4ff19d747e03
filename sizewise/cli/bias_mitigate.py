"""`sizewise bias mitigate`: thresholds of a cascade that keep its promise in every group, with before and after."""

from __future__ import annotations

from collections.abc import Mapping
from math import exp, isnan
from pathlib import Path
from statistics import fmean

import click
import msgspec
from msgspec import Struct

from sizewise.cli.bias_report import references_of
from sizewise.cli.options import as_json, wants_json
from sizewise.cli.output import write_json, write_table
from sizewise.errors import BadRequest
from sizewise.evals.bias.gaps import GroupGap, find_gaps
from sizewise.evals.bias.grouped_answers import is_refused, read_grouped_prompts, read_outcomes
from sizewise.evals.bias.thresholds import CascadeRow, Thresholds, Way, fit_thresholds, split
from sizewise.evals.outcomes import RecordedOutcome

MIN_ROWS = 20
"""In each half of the prompts."""
WAYS: tuple[Way, ...] = ("every-group", "by-group")


class MitigationResult(Struct, frozen=True):
    """On texts that the thresholds were not fitted on. `small_share` and `quality`: of all; the rest by group."""

    thresholds: Thresholds
    quality: float
    large_quality: float
    small_share: float
    worst_gap: float
    groups: list[GroupGap]


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--small", required=True, metavar="MODEL", help="The model that is asked first.")
@click.option(
    "--large", required=True, metavar="MODEL", help="The model that is asked if the small one is not trusted."
)
@click.option("--promise", default=0.95, show_default=True, metavar="SHARE", help="Of the large model's quality.")
@click.option(
    "--by", "way", type=click.Choice(WAYS), default=WAYS[0], show_default=True, help="How groups are treated."
)
@click.option("-d", "--dimension", default="", metavar="NAME", help="The groups to treat alike. [all]")
@click.option("--reference", multiple=True, metavar="DIMENSION=GROUP", help="Compare with this group.")
@as_json
@click.pass_context
def mitigate(
    ctx: click.Context,
    /,
    folder: Path,
    small: str,
    large: str,
    promise: float,
    way: Way,
    dimension: str,
    reference: tuple[str, ...],
) -> None:
    """Find thresholds that keep a cascade's promise in every group.

    FOLDER holds answers of both models with log-probabilities. Half of the texts fit the thresholds, the others measure
    them, before and after. `every-group`: one threshold for all, high enough for each group. `by-group`: a threshold
    for each group; use it only where that is lawful, and by what people have said of themselves. Exits with 1 if the
    gap is not smaller.

    \b
    Example: sizewise bias mitigate evals/bias/2026-11-28 --small small --large large
    """
    if not 0 < promise <= 1:
        raise BadRequest(f"--promise is {promise:g}", "use a share such as 0.95")
    if small == large:
        raise BadRequest(f"--small and --large are both {small!r}", "name the model that is asked second as --large")
    if way == "by-group" and not dimension:
        raise BadRequest("a threshold for each group needs one dimension", "add --dimension NAME")
    rows = _rows(folder, small, large)
    known = sorted({name for row in rows for name in row.groups})
    if dimension and dimension not in known:
        raise BadRequest(f"there is no dimension {dimension!r}", f"known: {', '.join(known)}")
    fit, judged = split(rows)
    if min(len(fit), len(judged)) < MIN_ROWS:
        raise BadRequest(f"{len(rows)} prompts are too few to fit and to judge", "let both models answer more")
    references = references_of(reference)
    before, after = (
        _measure(fit_thresholds(fit, promise, each, dimension), judged, references) for each in ("one", way)
    )
    if wants_json():
        write_json({"before": _as_json(before), "after": _as_json(after), "texts": len({r.template for r in judged})})
    else:
        _write(before, after, small, large, dimension)
    ctx.exit(int(after.worst_gap > before.worst_gap))


def _rows(folder: Path, small: str, large: str) -> list[CascadeRow]:
    prompts = read_grouped_prompts(folder)
    outcomes = {(each.model, str(each.prompt_id)): each for each in read_outcomes(folder)}
    names = sorted({model for model, _ in outcomes})
    for model in (small, large):
        if model not in names:
            raise BadRequest(f"there are no answers of {model!r}", f"known: {', '.join(names)}")
    found = [
        _row(prompt.template, id, prompt.all_groups, outcomes[small, id], outcomes[large, id])
        for id, prompt in prompts.items()
        if prompt.all_groups and (small, id) in outcomes and (large, id) in outcomes
    ]
    rows = [row for row in found if row is not None]
    if not rows:
        hint = "let it answer with log-probabilities: sizewise bias run"
        raise BadRequest(f"no answer of {small} has a recorded confidence", hint)
    return rows


def _row(
    template: str | int | None, id: str, groups: Mapping[str, str], small: RecordedOutcome, large: RecordedOutcome
) -> CascadeRow | None:
    if small.score is None or large.score is None or small.confidence is None or isnan(small.confidence):
        return None
    return CascadeRow(
        template=id if template is None else str(template),
        groups=groups,
        trust=exp(min(0.0, small.confidence)),
        small=small.score,
        large=large.score,
        is_small_refused=is_refused(small),
        is_large_refused=is_refused(large),
    )


def _measure(thresholds: Thresholds, rows: list[CascadeRow], references: dict[str, str]) -> MitigationResult:
    answers = thresholds.answers(rows)
    gaps = find_gaps(answers, references)
    return MitigationResult(
        thresholds=thresholds,
        quality=fmean(each.quality for each in answers),
        large_quality=fmean(row.large for row in rows),
        small_share=fmean(bool(each.is_small) for each in answers),
        worst_gap=max((abs(each.gap) for each in gaps if each.metric == "quality"), default=0.0),
        groups=gaps,
    )


def _as_json(its: MitigationResult) -> object:
    return msgspec.to_builtins(its)


def _write(before: MitigationResult, after: MitigationResult, small: str, large: str, dimension: str) -> None:
    then = {(each.dimension, each.metric, each.group): each for each in after.groups}
    rows = [
        (
            each.dimension,
            each.group,
            f"{each.value:.1%}",
            f"{then[each.dimension, 'quality', each.group].value:.1%}",
            f"{100 * each.gap:+.1f}",
            f"{100 * then[each.dimension, 'quality', each.group].gap:+.1f}",
            f"{then[each.dimension, 'small_share', each.group].value:.0%}",
            then[each.dimension, "quality", each.group].verdict,
        )
        for each in before.groups
        if each.metric == "quality" and dimension in ("", each.dimension)
    ]
    heads = ("DIMENSION", "GROUP", "QUALITY", "AFTER", "GAP", "AFTER", "SMALL AFTER", "VERDICT AFTER")
    write_table(heads, rows, right="QUALITY GAP AFTER SMALL")
    click.echo(
        f"\nAll: quality {before.quality:.1%} -> {after.quality:.1%} ({large} alone {after.large_quality:.1%}),"
        f" answered by {small} {before.small_share:.0%} -> {after.small_share:.0%}, widest gap"
        f" {100 * before.worst_gap:.1f} -> {100 * after.worst_gap:.1f} points"
    )
    click.echo("Measured on texts that the thresholds were not fitted on. In the settings:\n")
    its = after.thresholds
    for group, threshold in its.by_group.items() or {"": its.common}.items():
        name = f"fair-{group}" if group else "fair"
        click.echo(
            f'[policies.{name}]\nkind = "cascade"\nmodels = ["{small}", "{large}"]\nthreshold = {threshold:.4f}\n'
        )
