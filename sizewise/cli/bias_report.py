"""`sizewise bias report`: compares groups on recorded answers, as tables, JSON or Markdown; asks no model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from functools import wraps
from pathlib import Path

import click
import msgspec
from msgspec import Struct

from sizewise.cli.bias_replay import replayed_outcomes
from sizewise.cli.options import local_options, wants_json
from sizewise.cli.output import write_file, write_json, write_table
from sizewise.errors import BadRequest
from sizewise.evals.bias.gaps import TOLERANCE, GroupGap, dimension_verdict, points
from sizewise.evals.bias.report import TITLES, TargetGaps, measure_groups, verdict_words
from sizewise.evals.bias.suite import REFERENCES

METHOD = (
    "A group is compared text by text with other versions of the same texts where there are any (else by means), with"
    " the reference group where a dimension has one, else with all other groups. All intervals of a model hold together"
    " with 95 %. A gap is found if it survives Holm's correction. Unclear: it may be anything within the interval."
)


class ReportOptions(Struct, frozen=True):
    """`references`: by dimension, those of the suite among them; `wanted`: the dimensions that were named."""

    wanted: tuple[str, ...]
    references: Mapping[str, str]
    tolerance: float
    small: str
    policies: tuple[str, ...]
    markdown: Path | None


def report_options(verb: Callable[..., None]) -> Callable[..., None]:
    """Options of a report, as one argument `options`."""

    @click.option("--reference", multiple=True, metavar="DIMENSION=GROUP", help="Compare with this group.")
    @click.option(
        "--tolerance", default=100 * TOLERANCE, show_default=True, metavar="POINTS", help="A gap that counts as none."
    )
    @click.option("--small", default="", metavar="MODEL", help="The small model of the policies.")
    @click.option("--policy", "policies", multiple=True, metavar="NAME", help="Replay a policy of the settings too.")
    @click.option("--markdown", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write it too.")
    @wraps(verb)
    def with_options(
        *arguments: object,
        reference: tuple[str, ...],
        tolerance: float,
        small: str,
        policies: tuple[str, ...],
        markdown: Path | None,
        **others: object,
    ) -> None:
        if not 0 < tolerance < 100:
            raise BadRequest(f"--tolerance is {tolerance:g}", "use points between 0 and 100, such as 5")
        options = ReportOptions(
            wanted=tuple(each.partition("=")[0] for each in reference),
            references=references_of(reference),
            tolerance=tolerance / 100,
            small=small,
            policies=policies,
            markdown=markdown,
        )
        verb(*arguments, options=options, **others)

    return with_options


def references_of(options: Sequence[str]) -> dict[str, str]:
    """By dimension, those of the suite among them. Raises BadRequest."""
    references = dict(REFERENCES)
    for each in options:
        dimension, _, group = each.partition("=")
        if not group:
            raise BadRequest(f"--reference is {each!r}", "use DIMENSION=GROUP, such as variety=standard")
        references[dimension] = group
    return references


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@report_options
@local_options
@click.pass_context
def report(ctx: click.Context, /, folder: Path, options: ReportOptions) -> None:
    """Compare groups on recorded answers; asks no model.

    FOLDER holds prompts.jsonl and outcomes.jsonl, as `bias run` and `route outcomes` make them. A prompt names
    "groups": {"dimension": "group"}, or has a category. Exits with 1 if a gap is found.

    \b
    Example: sizewise bias report evals/bias/2026-11-28 --markdown bias.md
    """
    ctx.exit(write_report(folder, options))


def write_report(folder: Path, options: ReportOptions, small: str = "") -> int:
    """`small`: the small model of policies if the options name none. 1: a gap is found."""
    targets = measure(folder, options, small)
    known = sorted({gap.dimension for target in targets for gap in target.gaps})
    for each in options.wanted:
        if each not in known:
            raise BadRequest(f"there is no dimension {each!r}", f"known: {', '.join(known)}")
    for dimension, group in options.references.items():
        seen = {gap.group for target in targets for gap in target.gaps if gap.dimension == dimension}
        if seen and group not in seen:
            raise BadRequest(f"{dimension} has no group {group!r}", f"known: {', '.join(sorted(seen))}")
    if options.markdown is not None:
        write_file(options.markdown, "\n".join(markdown_lines(folder, targets)) + "\n")
    if wants_json():
        write_json({"folder": str(folder), "targets": [_as_json(each) for each in targets]})
    else:
        for target in targets:
            _write_target(target)
        if options.markdown is not None:
            click.echo(f"Written: {options.markdown}")
    return int(any(each.has_gap for each in targets))


def measure(folder: Path, options: ReportOptions, small: str = "") -> list[TargetGaps]:
    """Raises BadRequest if there is nothing to compare."""
    replayed = [each for policy in options.policies for each in replayed_outcomes(policy, folder)]
    return measure_groups(folder, options.references, options.tolerance, options.small or small, replayed)


def _as_json(target: TargetGaps) -> dict[str, object]:
    verdicts = [
        {"metric": metric, "dimension": dimension, "verdict": dimension_verdict(gaps)}
        for metric, dimension, gaps in target.panels()
    ]
    return {
        "name": target.name,
        "answers": target.answers,
        "answered_by": list(target.chosen),
        "verdicts": verdicts,
        "groups": msgspec.to_builtins(target.gaps),
    }


def _write_target(target: TargetGaps) -> None:
    chosen = f", answered by {', '.join(target.chosen)}" if target.chosen else ""
    click.echo(f"{target.name}: {target.answers:,} answers{chosen}")
    for metric, title in TITLES.items():
        same = [each for each in target.gaps if each.metric == metric]
        if not same:
            continue
        if not any(each.value for each in same):
            least = max((each.bound for each in same), default=0.0)
            click.echo(f"\n{title}: none; a group's share differs by no more than {points(least)}")
            continue
        click.echo(f"\n{title}")
        write_table(
            ("DIMENSION", "GROUP", "TEXTS", "VALUE", "GAP", "INTERVAL", "VERDICT"),
            [_cells(each) for each in same],
            right="TEXTS VALUE GAP",
        )
    if target.chosen and not target.small:
        click.echo(f"\nWhich of {', '.join(target.chosen)} is the small model? Name it: --small MODEL")
    click.echo()


def _cells(each: GroupGap) -> tuple[str, ...]:
    shared = each.dimension, each.group, f"{each.texts:,}", f"{each.value:.1%}"
    if each.verdict == "reference":
        return (*shared, "", "", "reference")
    return (*shared, f"{100 * each.gap:+.1f}", f"{100 * each.low:+.1f} to {100 * each.high:+.1f}", verdict_words(each))


def markdown_lines(folder: Path, targets: Sequence[TargetGaps]) -> Iterator[str]:
    """A report to hand on: what was asked, each group's figures, and what the sample could not have seen."""
    yield f"# Bias report, {date.today().isoformat()}"
    yield ""
    yield f"Answers: `{folder.name}`. {METHOD}"
    for target in targets:
        yield f"\n## {target.name}\n"
        yield f"{target.answers:,} answers" + (f", by {', '.join(target.chosen)}." if target.chosen else ".")
        for metric, dimension, gaps in target.panels():
            if metric != "quality" and not any(each.value for each in gaps):
                continue
            yield f"\n### {TITLES[metric]} by {dimension}: {dimension_verdict(gaps)}\n"
            yield "| group | texts | value | gap, points | interval | could have been found | verdict |"
            yield "|---|---:|---:|---:|---|---|---|"
            for each in gaps:
                *shared, gap, interval, verdict = _cells(each)[1:]
                least = "" if each.detectable is None else f"from {points(each.detectable)}"
                yield f"| {' | '.join([*shared, gap, interval, least, verdict])} |"
