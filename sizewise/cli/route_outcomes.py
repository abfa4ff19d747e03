"""`sizewise route outcomes`: has models answer prompts, scores the answers and keeps them for `calibrate`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from decimal import Decimal
from math import isnan
from pathlib import Path
from typing import cast

import click
import msgspec

from sizewise.cli import operations
from sizewise.cli.api_client import ApiClient
from sizewise.cli.chat_answers import ChatAnswers
from sizewise.cli.options import api_client, server_options, wants_json
from sizewise.cli.output import format_count, format_money, write_json, write_table
from sizewise.cli.progress import progress_bar
from sizewise.cli.value_completion import complete_model
from sizewise.errors import BadRequest, ModelNotFound, did_you_mean
from sizewise.evals.dataset_files import read_dataset
from sizewise.evals.outcome_folder import OutcomeRun, check_run, digest_of, finished, open_folder
from sizewise.evals.outcome_job import OutcomeBudget, OutcomeJob, OutcomeReport, missing_by_model
from sizewise.evals.prompt_files import ScoredPrompt, read_prompts
from sizewise.evals.scorers import SCORERS, ScorerName
from sizewise.money import PICO_PER_DOLLAR, format_dollars

MEANS = ("score", "tokens_out", "tokens_thinking", "seconds")


@click.command("outcomes")
@click.argument("prompts", type=click.Path(path_type=Path))
@click.option("-m", "--models", required=True, metavar="A,B", help="The models that answer, smallest first.")
@click.option("-s", "--scorer", type=click.Choice(SCORERS), metavar="RULE", help=f"{', '.join(SCORERS)}. [exact]")
@click.option(
    "--judge",
    default="",
    metavar="MODEL",
    shell_complete=complete_model,
    help="The model that scores, for the scorer `judge`.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FOLDER", help="[PROMPTS.outcomes]")
@click.option("--max-tokens", default=256, show_default=True, type=click.IntRange(1), help="Tokens of an answer.")
@click.option("--system", default="", metavar="TEXT", help="System prompt of every request.")
@click.option("--budget-usd", type=Decimal, metavar="DOLLARS", help="Stop before it costs more.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Stop after so many new answers.")
@click.option("--concurrency", default=1, show_default=True, type=click.IntRange(1, 64), help="Requests at once.")
@click.option("--dry-run", is_flag=True, help="Check everything, and show what would be asked.")
@server_options
@click.pass_context
def outcomes(
    ctx: click.Context,
    /,
    prompts: Path,
    models: str,
    scorer: str | None,
    judge: str,
    output: Path | None,
    max_tokens: int,
    system: str,
    budget_usd: Decimal | None,
    limit: int | None,
    concurrency: int,
    dry_run: bool,
) -> None:
    """Have models answer prompts, and score the answers.

    PROMPTS is a .jsonl file: {"prompt": ..., "reference": ...} a line. The folder is what `route calibrate` and `route
    train` need. Run the same command again to continue; what was answered is kept, also after a crash. Exits with 1 if
    answers are missing.

    \b
    Example: sizewise route outcomes mine.jsonl --models local/a,other/b --scorer number
    """
    asked = read_prompts(prompts, cast("ScorerName | None", scorer))
    budget = OutcomeBudget(_pico_dollars(budget_usd), limit, concurrency)
    server = api_client()
    chats = asyncio.run(_chat_models(server))
    names = _configured(chats, [each.strip() for each in models.split(",") if each.strip()])
    by = _judge(chats, asked, judge)
    if budget_usd is not None:
        _check_prices([chats[name] for name in (*names, by) if name])
    folder = output or prompts.with_suffix(".outcomes")
    run = OutcomeRun(digest_of(asked), max_tokens, system, by)
    if dry_run:
        check_run(folder, run)
        _show_plan(folder, asked, names, budget)
        return
    report = asyncio.run(record_answers(ChatAnswers(server, max_tokens, system), folder, asked, names, run, budget))
    missing = missing_by_model(asked, names, finished(folder))
    _show(report, folder, names, missing)
    ctx.exit(1 if any(missing.values()) else 0)


def _pico_dollars(dollars: Decimal | None) -> int | None:
    if dollars is not None and not (dollars.is_finite() and 0 <= dollars <= 10**9):
        raise BadRequest(f"--budget-usd is {dollars}", "use dollars, such as 2.50")
    return None if dollars is None else int(dollars * PICO_PER_DOLLAR)


async def _chat_models(server: ApiClient) -> dict[str, operations.ModelSummary]:
    listed = await operations.list_models(server)
    return {model.name: model for model in listed.models if model.task == "chat"}


def _check_prices(models: list[operations.ModelSummary]) -> None:
    unknown = [each.name for each in models if each.price.input is None or each.price.output is None]
    if unknown:
        hint = "set the price in the settings, or use --limit instead"
        raise BadRequest(f"--budget-usd cannot be kept: {', '.join(unknown)} has no known price", hint)


def _configured(chats: Mapping[str, object], names: list[str]) -> list[str]:
    """The full names of chat models. Raises BadRequest or ModelNotFound."""
    if not names:
        raise BadRequest("--models names no model", "use two, such as --models local/small,other/large")
    found: list[str] = []
    for name in names:
        same = [full for full in chats if name in (full, full.partition("/")[2])]
        if len(same) != 1:
            hint = did_you_mean(name, list(chats)) or f"known: {', '.join(same or chats)}"
            raise ModelNotFound(f"no single configured chat model is named {name!r}", hint)
        found.append(same[0])
    if len(set(found)) < len(found):
        raise BadRequest(f"--models names a model twice: {', '.join(found)}", "name each once")
    return found


def _judge(chats: Mapping[str, object], prompts: tuple[ScoredPrompt, ...], judge: str) -> str:
    """The judge's full name; empty if no prompt needs one."""
    if not any(each.scorer == "judge" for each in prompts):
        if judge:
            raise BadRequest("--judge is used by the scorer 'judge' alone", "add --scorer judge, or remove --judge")
        return ""
    if not judge:
        raise BadRequest("the scorer 'judge' needs a model", "name it: --judge MODEL")
    return _configured(chats, [judge])[0]


async def record_answers(
    ask: ChatAnswers,
    path: Path,
    prompts: tuple[ScoredPrompt, ...],
    models: list[str],
    run: OutcomeRun,
    budget: OutcomeBudget,
) -> OutcomeReport:
    """Into the folder `path`, with a bar; answers that are there are not asked for again."""
    async with open_folder(path, prompts, run) as folder:
        with progress_bar("answering", "answers") as progress:
            job = OutcomeJob(prompts, models, folder, ask, judge=run.judge, budget=budget, progress=progress)
            return await job.run()


def _show_plan(folder: Path, prompts: tuple[ScoredPrompt, ...], models: list[str], budget: OutcomeBudget) -> None:
    missing = missing_by_model(prompts, models, finished(folder))
    scorers = {name: sum(each.scorer == name for each in prompts) for name in SCORERS}
    used = {name: count for name, count in scorers.items() if count}
    if wants_json():
        limits = {"limit": budget.answers, "concurrency": budget.concurrent}
        write_json({"folder": str(folder), "prompts": len(prompts), "scorers": used, "missing": missing, **limits})
        return
    said = ", ".join(f"{format_count(count)} by {name}" for name, count in used.items())
    click.echo(f"{format_count(len(prompts))} prompts, scored {said}; the answers go to {folder}")
    write_table(("MODEL", "TO ANSWER"), [(name, format_count(count)) for name, count in missing.items()], right="TO")
    most = "" if budget.answers is None else f"at most {format_count(budget.answers)} of them, "
    click.echo(f"It would ask {most}{budget.concurrent} at a time. Nothing was asked (--dry-run).")


def _show(report: OutcomeReport, folder: Path, models: list[str], missing: dict[str, int]) -> None:
    rows = _summaries(folder, models)
    if wants_json():
        told = {**msgspec.to_builtins(report), "cost_usd": format_dollars(report.cost)}
        del told["cost"]
        write_json({"folder": str(folder), **told, "missing": missing, "models": rows})
        return
    heads = ("MODEL", "ANSWERS", "MEAN SCORE", "TOKENS", "THINKING", "SECONDS", "WITH LOGPROBS")
    write_table(heads, [_row(name, its) for name, its in rows.items()], right=" ".join(heads[1:]))
    unknown = f", {format_count(report.unpriced)} of unknown cost" if report.unpriced else ""
    click.echo(f"{format_count(report.added)} new answers for {format_money(format_dollars(report.cost))}{unknown}")
    for failed in report.failed[:5]:
        click.echo(f"{failed.model} on {failed.prompt_id}: {failed.error}", err=True)
    if not any(missing.values()):
        if len(models) > 1:
            click.echo(f"Next: sizewise route calibrate {folder} --small {models[0]} --large {models[-1]}")
        return
    left = ", ".join(f"{format_count(count)} of {name}" for name, count in missing.items() if count)
    words = {
        "budget": "the budget is used up",
        "limit": "the limit of this run is reached",
        "failures": "too many requests failed in a row",
        "": f"{format_count(len(report.failed))} requests failed",
    }
    why = f" ({report.why})" if report.why else ""
    click.echo(f"Answers are missing, {left}: {words[report.stopped]}{why}", err=True)
    click.echo("hint: run the same command again to continue", err=True)


def _summaries(folder: Path, models: list[str]) -> dict[str, dict[str, float | int | None]]:
    dataset = read_dataset(folder)
    found: dict[str, dict[str, float | int | None]] = {}
    for name in models:
        column = dataset.columns.get(name)
        rows = [] if column is None else [row for row, score in enumerate(column.score) if not isnan(score)]
        if column is None or not rows:
            found[name] = {**dict.fromkeys(MEANS), "answers": 0, "with_logprobs": 0}
            continue
        found[name] = {
            "answers": len(rows),
            "score": sum(column.score[row] for row in rows) / len(rows),
            "tokens_out": sum(column.tokens_out[row] for row in rows) / len(rows),
            "tokens_thinking": sum(column.tokens_thinking[row] for row in rows) / len(rows),
            "seconds": sum(column.seconds[row] for row in rows) / len(rows),
            "with_logprobs": sum(not isnan(column.confidence[row]) for row in rows),
        }
    return found


def _row(name: str, its: dict[str, float | int | None]) -> tuple[str, ...]:
    score, tokens, thinking, seconds = (its[each] for each in MEANS)
    if score is None or tokens is None or thinking is None or seconds is None:
        return name, "0", *["-"] * 5
    means = f"{score:.3f}", f"{tokens:.0f}", f"{thinking:.0f}" if thinking else "-", f"{seconds:.2f}"
    return name, f"{its['answers']:,}", *means, f"{its['with_logprobs']:,}"
