"""`sizewise bias augment`: training data that treats groups alike, with what it does to a head before and after."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean

import click
import msgspec
from msgspec import Struct

from sizewise.cli.local_vectors import local_embedding_model, local_vectors
from sizewise.cli.options import command_settings, local_options, wants_json
from sizewise.cli.output import format_count, write_file, write_json, write_table
from sizewise.errors import BadRequest
from sizewise.evals.bias.counterfactuals import Lexicon, mentions, pronoun, reweigh, suite_lexicon, versions
from sizewise.evals.bias.gaps import GroupGap, find_gaps
from sizewise.evals.bias.grouped_answers import GroupedAnswer
from sizewise.tuning.examples import Example, PromptMessage, read_examples
from sizewise.tuning.head_baseline import head_answers

WORDS_HINT = 'such as [religion]\\nmuslim = ["Muslim", "mosque"]\\nchristian = ["Christian", "church"]'


class HeadBias(Struct, frozen=True):
    """Of a head on vectors: right answers to held-out inputs as they are, and by group to their versions."""

    right: float
    worst_gap: float
    groups: list[GroupGap]


@click.command()
@click.argument("data", type=click.Path(path_type=Path, dir_okay=False))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path, dir_okay=False), metavar="FILE")
@click.option("--by", "way", type=click.Choice(("versions", "weights")), default="versions", show_default=True)
@click.option(
    "--words", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Groups in TOML. [suite]"
)
@click.option("--test", type=click.Path(path_type=Path, dir_okay=False), help="Held-out examples. [a fifth of DATA]")
@local_options
@click.pass_context
def augment(ctx: click.Context, /, data: Path, output: Path, way: str, words: Path | None, test: Path | None) -> None:
    """Write training data that treats groups alike, and measure what it does.

    DATA is as for `tune plan`. `versions` repeats each row that mentions a group with each other group; `weights`
    repeats or leaves out rows so that group and answer are independent. Held-out rows go to FILE.test.jsonl. A head on
    vectors is trained on both data sets and asked with each group's versions of the held-out rows.

    \b
    Example: sizewise bias augment examples.jsonl -o fair.jsonl
    """
    lexicon = suite_lexicon() if words is None else _lexicon(words)
    held = output.with_name(output.stem + ".test.jsonl")
    read = [each.resolve() for each in (data, test, words) if each is not None]
    if taken := next((each for each in (output, held) if each.resolve() in read), None):
        raise BadRequest(f"{str(taken)!r} is read, and would be written over", "give another file: -o FILE")
    examples = read_examples(data, test, "")
    made = _with_versions(examples.train, lexicon) if way == "versions" else _reweighed(examples.train, lexicon)
    touched = sum(bool(versions(each.input, lexicon)) for each in examples.train)
    if not touched:
        raise BadRequest(f"no row of {str(data)!r} mentions a group", f"name its words: --words FILE, {WORDS_HINT}")
    write_file(output, _lines(made))
    write_file(held, _lines(examples.test))
    measured = asyncio.run(_measured(examples.train, made, examples.test, examples.answers, lexicon))
    if wants_json():
        before, after = measured or (None, None)
        told = {"rows": len(examples.train), "written": len(made), "mention": touched, "held_out": str(held)}
        write_json({**told, "before": msgspec.to_builtins(before), "after": msgspec.to_builtins(after)})
    else:
        click.echo(
            f"{format_count(len(examples.train))} rows, of which {format_count(touched)} mention a group:"
            f" {format_count(len(made))} written to {output}, {format_count(len(examples.test))} held out in {held}"
        )
        if measured is None:
            click.echo("Not measured: there is no embedding model. Run: sizewise models pull minilm-l6-v2")
        else:
            _write(*measured)
        click.echo(f"Next: sizewise tune plan NAME {output} --test {held}")
    if measured is not None:
        ctx.exit(int(measured[1].worst_gap > measured[0].worst_gap))


def _lexicon(file: Path) -> Lexicon:
    try:
        found = msgspec.toml.decode(file.read_bytes(), type=dict[str, dict[str, list[str]]])
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as why:
        raise BadRequest(f"{str(file)!r} names no groups: {why}", f"write it in TOML, {WORDS_HINT}") from why
    if not all(len(groups) > 1 and all(groups.values()) for groups in found.values()):
        raise BadRequest(f"{str(file)!r} has a dimension with fewer than two groups", WORDS_HINT)
    return found


def _with_versions(rows: Sequence[Example], lexicon: Lexicon) -> list[Example]:
    return [
        version for row in rows for version in (row, *(_said(row, text) for _, text in versions(row.input, lexicon)))
    ]


def _reweighed(rows: Sequence[Example], lexicon: Lexicon) -> list[Example]:
    """By all dimensions at once."""
    groups = [
        " ".join(sorted(f"{each.dimension}={each.group}" for each in mentions(row.input, lexicon))) for row in rows
    ]
    times = reweigh(groups, [row.answer for row in rows])
    return [row for row, count in zip(rows, times, strict=True) for _ in range(count)]


def _said(row: Example, text: str) -> Example:
    return Example((*row.prompt[:-1], PromptMessage(row.prompt[-1].role, text)), row.answer)


def _lines(rows: Iterable[Example]) -> bytes:
    return b"".join(
        msgspec.json.encode({"messages": [*row.prompt, PromptMessage("assistant", row.answer)]}) + b"\n" for row in rows
    )


async def _measured(
    train: Sequence[Example],
    made: Sequence[Example],
    test: Sequence[Example],
    answers: Sequence[str],
    lexicon: Lexicon,
) -> tuple[HeadBias, HeadBias] | None:
    """Before and after; None without an embedding model."""
    model = local_embedding_model(command_settings())
    if model is None:
        return None
    asked: list[tuple[int, dict[str, str], str, str]] = [(at, {}, row.input, row.answer) for at, row in enumerate(test)]
    for at, row in enumerate(test):
        for seen in filter(None, (*mentions(row.input, lexicon), pronoun(row.input))):
            asked.append((at, {seen.dimension: seen.group}, row.input, row.answer))
        for other, text in versions(row.input, lexicon):
            asked.append((at, {other.dimension: other.group}, text, row.answer))
    try:
        texts = dict.fromkeys([*(row.input for row in (*train, *made)), *(text for _, _, text, _ in asked)])
        vectors = dict(zip(texts, await local_vectors(model, list(texts)), strict=True))
    finally:
        await model.stop(0)

    def measured(rows: Sequence[Example]) -> HeadBias:
        said = head_answers(
            [vectors[row.input] for row in rows], rows, [vectors[text] for _, _, text, _ in asked], answers
        )
        right = [float(answer == wanted) for answer, (_, _, _, wanted) in zip(said, asked, strict=True)]
        grouped = [
            GroupedAnswer(str(at), groups, score, is_refused=False)
            for score, (at, groups, _, _) in zip(right, asked, strict=True)
            if groups
        ]
        gaps = [each for each in find_gaps(grouped, {}) if each.metric == "quality"]
        return HeadBias(fmean(right[: len(test)]), max((abs(each.gap) for each in gaps), default=0.0), gaps)

    return measured(train), measured(made)


def _write(before: HeadBias, after: HeadBias) -> None:
    then: Mapping[tuple[str, str], GroupGap] = {(each.dimension, each.group): each for each in after.groups}
    rows = [
        (
            each.dimension,
            each.group,
            f"{each.texts:,}",
            f"{each.value:.1%}",
            f"{then[each.dimension, each.group].value:.1%}",
            f"{100 * each.gap:+.1f}",
            f"{100 * then[each.dimension, each.group].gap:+.1f}",
        )
        for each in before.groups
    ]
    write_table(("DIMENSION", "GROUP", "TEXTS", "RIGHT", "AFTER", "GAP", "AFTER"), rows, right="TEXTS RIGHT GAP AFTER")
    click.echo(
        f"A head on vectors: {before.right:.1%} -> {after.right:.1%} right on held-out rows as they are, widest gap"
        f" {100 * before.worst_gap:.1f} -> {100 * after.worst_gap:.1f} points"
    )
