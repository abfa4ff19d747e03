"""`sizewise compare`: sends one prompt to several models and shows the answers side by side."""

from __future__ import annotations

import asyncio
import shutil
import sys
import textwrap
import time
import tomllib
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from pathlib import Path

import click
import msgspec
from msgspec import Struct

from sizewise.advisor.response_metrics import (
    EXAMPLE_FACTS,
    EXAMPLE_PROMPT,
    FORMULA,
    LEAST_WORDS,
    KeyFact,
    measure_response,
    parse_facts,
)
from sizewise.cli import operations
from sizewise.cli.answer_energy import ProcessorMeter, answer_energy
from sizewise.cli.api_client import ApiClient
from sizewise.cli.options import api_client, server_options, wants_json
from sizewise.cli.output import COLUMN_GAP, dim, format_money, write_json, write_pairs, write_table
from sizewise.cli.prompt_words import join_prompt
from sizewise.cli.stream_reader import CHAT_PATH, StreamChunk, read_stream
from sizewise.data_class import THIS_MACHINE
from sizewise.errors import BadRequest, SizewiseError

MODELS = "small,large"
MOST = 4
"""Maximum models in one comparison; more columns are unreadable."""
NARROWEST = 36
"""Terminal columns that each answer needs for a side-by-side view."""
UNKNOWN = "unknown"


class ComparedAnswer(Struct, rename="camel"):
    """One model's answer and its metadata; None for what is unknown. The format of --json."""

    asked: str
    model: str = ""
    why: str = ""
    answer: str = ""
    finish: str = ""
    words: int = 0
    reading_level: float | None = None  # by FORMULA
    facts: list[str] = []
    first_seconds: float | None = None  # until the first word
    seconds: float = 0.0
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: str | None = None
    energy_wh: float | None = None
    energy_how: str = ""  # how it was measured or estimated
    trace: str = ""


class Comparison(Struct, rename="camel"):
    prompt: str
    reading_formula: str
    facts: list[str]
    answers: list[ComparedAnswer]


@click.command()
@click.argument("question", nargs=-1)
@click.option("-m", "--models", default=MODELS, metavar="A,B", help=f"Models, called one after the other. [{MODELS}]")
@click.option(
    "-f",
    "--file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FACTS",
    help="TOML file of key facts to find in the answers.",
)
@click.option("--max-tokens", type=click.IntRange(min=1), help="Maximum output tokens.")
@server_options
def compare(question: tuple[str, ...], models: str, file: Path | None, max_tokens: int | None) -> None:
    """Ask several models the same question, side by side.

    Shows each answer with its words, reading level, time, tokens, cost and the key facts in it. Facts are found by
    patterns, which match words and not truth. Without a QUESTION both explain the theory of relativity.

    \b
    Example: sizewise compare
             sizewise compare "Why is the sky blue?" --models small,large
    """
    names = _names(models)
    prompt, wanted = _prompt_and_facts(question, file)
    answers, failure = asyncio.run(_answers(api_client(), names, prompt, max_tokens, silent=wants_json()))
    for each in answers:
        found = measure_response(each.answer, wanted)
        each.words, each.reading_level, each.facts = found.words, found.reading_grade, list(found.facts)
    if failure is not None and (wants_json() or not answers):
        raise failure
    told = Comparison(prompt, FORMULA, [fact.name for fact in wanted], answers)
    if wants_json():
        write_json(msgspec.to_builtins(told))
    else:
        _show(told)
    if failure is not None:
        raise failure


def _names(models: str) -> list[str]:
    names = [name.strip() for name in models.split(",") if name.strip()]
    if not 2 <= len(set(names)) == len(names) <= MOST:
        raise BadRequest(f"--models is {models!r}", f"use two to {MOST} different models, such as --models {MODELS}")
    return names


def _prompt_and_facts(question: tuple[str, ...], file: Path | None) -> tuple[str, tuple[KeyFact, ...]]:
    """The prompt and its facts: the command line first, then the file, then the built-in example."""
    of_file, found = _read(file) if file else ("", ())
    prompt = join_prompt(question)
    prompt = prompt or of_file or ("" if file or question else EXAMPLE_PROMPT)
    if not prompt:
        raise BadRequest("there is no question", 'sizewise compare "Why is the sky blue?"')
    return prompt, found or (EXAMPLE_FACTS if prompt == EXAMPLE_PROMPT else ())


class _File(Struct, forbid_unknown_fields=True):
    facts: dict[str, object]
    prompt: str = ""


def _read(file: Path) -> tuple[str, tuple[KeyFact, ...]]:
    try:
        told = msgspec.convert(tomllib.loads(file.read_text("utf-8")), _File)
    except (OSError, ValueError) as why:  # TOML's, msgspec's and UTF-8's errors are ValueErrors
        reason = why.strerror if isinstance(why, OSError) else str(why)
        raise BadRequest(f"the facts in {str(file)!r} cannot be read: {reason}", "see docs/how-to/compare.md") from why
    return told.prompt, parse_facts(told.facts)


async def _answers(
    server: ApiClient,
    names: list[str],
    prompt: str,
    max_tokens: int | None,
    silent: bool,
) -> tuple[list[ComparedAnswer], SizewiseError | None]:
    """Asks one model after the other, so that none waits for another's processor. Keeps what arrived before a failure,
    and the failure.
    """
    answers: list[ComparedAnswer] = []
    places = {each.name: each.place for each in (await operations.list_models(server)).models}
    for name in names:
        answer, meter = ComparedAnswer(name), ProcessorMeter()
        try:
            failure = await _ask(server, answer, prompt, max_tokens, not silent and sys.stderr.isatty())
            is_here = places.get(answer.model) in THIS_MACHINE
            answer.energy_wh, answer.energy_how = answer_energy(
                answer.model, answer.seconds, answer.output_tokens, meter.wh() if is_here else None, is_here=is_here
            )
        except SizewiseError as of_the_line:
            failure = of_the_line
        if failure is not None:
            return answers, failure
        answers.append(answer)
    return answers, None


async def _ask(
    server: ApiClient,
    answer: ComparedAnswer,
    prompt: str,
    max_tokens: int | None,
    watched: bool,
) -> SizewiseError | None:
    """None on success, otherwise the model's error. An error of the connection to the server is raised."""
    body: dict[str, object] = {
        "model": answer.asked,
        "messages": [{"role": "user", "content": prompt}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if max_tokens is not None:
        body["max_tokens"] = max_tokens
    began = time.perf_counter()

    def take(chunk: StreamChunk) -> None:
        answer.seconds = round(time.perf_counter() - began, 3)
        _note(answer, chunk)
        if watched:
            said = f"{answer.asked}: {len(answer.answer.split())} words, {answer.seconds:.1f} s"
            click.echo(f"\r{dim(said)}\x1b[K", nl=False, err=True)

    try:
        async with server.post(CHAT_PATH, body) as response:
            return await read_stream(response, take, f"the answer of {answer.asked!r}")
    finally:
        answer.seconds = round(time.perf_counter() - began, 3)
        if watched:
            click.echo("\r\x1b[K", nl=False, err=True)


def _note(answer: ComparedAnswer, chunk: StreamChunk) -> None:
    for choice in chunk.choices:
        if choice.delta.content and answer.first_seconds is None:
            answer.first_seconds = answer.seconds
        answer.answer += choice.delta.content or ""
        answer.finish = choice.finish_reason or answer.finish
    if chunk.usage is not None:
        answer.input_tokens, answer.output_tokens = chunk.usage.prompt_tokens, chunk.usage.completion_tokens
    if (ours := chunk.sizewise) is not None:
        answer.model, answer.why, answer.trace = ours.model, ours.why, ours.trace
        answer.cost_usd = None if ours.cost_usd == UNKNOWN else ours.cost_usd


def _show(told: Comparison) -> None:
    click.echo(dim(told.prompt) + "\n")
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    wide = (width + COLUMN_GAP) // len(told.answers) - COLUMN_GAP
    if len(told.answers) > 1 and wide >= NARROWEST:
        _beside(told.answers, wide)
    else:
        _below(told.answers)
    if told.facts:
        marks = [[name, *("yes" if name in each.facts else "-" for each in told.answers)] for name in told.facts]
        click.echo()
        write_table(("KEY FACT (found by patterns)", *(each.asked for each in told.answers)), marks)
    click.echo("\n" + dim(f"reading level: {told.reading_formula}; unknown below {LEAST_WORDS} words"))
    models = {each.model for each in told.answers}
    if len(models) < len(told.answers):
        click.echo(dim(f"{' and '.join(each.asked for each in told.answers)} are the same model here"), err=True)


def _beside(answers: Sequence[ComparedAnswer], wide: int) -> None:
    _lines([[_heading(each)] for each in answers], wide, heading=True)
    _lines([_wrapped(each.answer, wide) for each in answers], wide)
    click.echo()
    _lines([[f"{name}: {said}" for name, said in _measures(each)] for each in answers], wide)


def _lines(columns: Sequence[Sequence[str]], wide: int, heading: bool = False) -> None:
    for cells in zip_longest(*columns, fillvalue=""):
        cut = (cell if len(cell) <= wide else cell[: wide - 1] + "…" for cell in cells)
        text = (" " * COLUMN_GAP).join(cell.ljust(wide) for cell in cut).rstrip()
        click.echo(click.style(text, bold=True) if heading else text)


def _wrapped(answer: str, wide: int) -> list[str]:
    lines: list[str] = []
    for line in answer.strip().expandtabs(4).splitlines():
        lines += textwrap.wrap(line, wide, drop_whitespace=True) or [""]
    return lines


def _below(answers: Iterable[ComparedAnswer]) -> None:
    for number, each in enumerate(answers):
        if number:
            click.echo()
        click.echo(click.style(_heading(each), bold=True))
        click.echo(each.answer.strip() + "\n")
        write_pairs(_measures(each))


def _heading(answer: ComparedAnswer) -> str:
    return answer.asked if answer.model in ("", answer.asked) else f"{answer.asked} ({answer.model})"


def _measures(answer: ComparedAnswer) -> list[tuple[str, str]]:
    tokens = UNKNOWN if answer.input_tokens is None else f"{answer.input_tokens}+{answer.output_tokens}"
    level = UNKNOWN if answer.reading_level is None else f"grade {answer.reading_level:.1f}"
    cut = ", cut off at the maximum length" if answer.finish == "length" else ""
    return [
        ("words", f"{answer.words}{cut}"),
        ("reading level", level),
        ("first token", UNKNOWN if answer.first_seconds is None else f"{answer.first_seconds:.2f} s"),
        ("total", f"{answer.seconds:.2f} s"),
        ("tokens", tokens),
        ("cost", format_money(answer.cost_usd)),
        ("energy", UNKNOWN if answer.energy_wh is None else f"{answer.energy_wh:.2g} Wh, {answer.energy_how}"),
    ]
