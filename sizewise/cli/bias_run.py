"""`sizewise bias run`: has models and policies answer as each group would ask, and compares the groups."""

from __future__ import annotations

import asyncio
from datetime import date
from pathlib import Path

import click

from sizewise.cli import operations
from sizewise.cli.api_client import ApiClient
from sizewise.cli.bias_report import ReportOptions, report_options, write_report
from sizewise.cli.chat_answers import ChatAnswers
from sizewise.cli.eval_files import evals_folder
from sizewise.cli.options import api_client, refuse_options, server_options
from sizewise.cli.output import format_count
from sizewise.cli.route_outcomes import record_answers
from sizewise.errors import BadRequest, ModelNotFound, did_you_mean
from sizewise.evals.bias.run_folders import FOLDER
from sizewise.evals.bias.suite import SYSTEM, suite_prompts
from sizewise.evals.outcome_folder import OutcomeRun, digest_of, finished
from sizewise.evals.outcome_job import OutcomeBudget, missing_by_model
from sizewise.evals.prompt_files import read_prompts

MAX_TOKENS = 12
POLICIES = "auto"


@click.command()
@click.argument("prompts", required=False, type=click.Path(path_type=Path))
@click.option("-m", "--models", required=True, metavar="A,B,auto", help="Models and policies, the small model first.")
@click.option("-d", "--dimension", "dimensions", multiple=True, metavar="NAME", help="Of the suite; several. [all]")
@click.option("--fillings", default=1, show_default=True, type=click.IntRange(1, 50), help="Versions of each text.")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FOLDER", help="[evals/bias/DATE]")
@click.option("--max-tokens", default=MAX_TOKENS, show_default=True, type=click.IntRange(1), help="Of an answer.")
@click.option("--system", metavar="TEXT", help="System prompt of every request. [of the suite: one word]")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Stop after so many new answers.")
@click.option("--concurrency", default=1, show_default=True, type=click.IntRange(1, 64), help="Requests at once.")
@report_options
@server_options
@click.pass_context
def run(
    ctx: click.Context,
    /,
    prompts: Path | None,
    models: str,
    dimensions: tuple[str, ...],
    fillings: int,
    output: Path | None,
    max_tokens: int,
    system: str | None,
    limit: int | None,
    concurrency: int,
    options: ReportOptions,
) -> None:
    """Ask models and policies as each group would, and compare.

    Without PROMPTS it asks our suite: 32 messages, each as members of each group would send it. PROMPTS is a .jsonl
    file of your own, as for `route outcomes`, with "groups": {"dimension": "group"}, and "template" for versions of one
    text. Run it again to continue. Exits with 1 if a gap is found or answers are missing.

    \b
    Example: sizewise bias run --models local/smollm2-135m,auto --dimension variety
    """
    if prompts is None:
        asked = suite_prompts(dimensions, fillings)
    else:
        refuse_options("with PROMPTS of your own: they are for the suite", "dimensions", "fillings")
        asked = read_prompts(prompts, None)
    if not any(each.groups for each in asked):
        raise BadRequest("no prompt names a group", 'add "groups": {"dimension": "group"}: see docs/how-to/bias.md')
    server = api_client()
    names = asyncio.run(_targets(server, [each.strip() for each in models.split(",") if each.strip()]))
    folder = output or evals_folder() / FOLDER / date.today().isoformat()
    said = (SYSTEM if prompts is None else "") if system is None else system
    made = OutcomeRun(digest_of(asked), max_tokens, said)
    budget = OutcomeBudget(None, limit, concurrency)
    done = asyncio.run(record_answers(ChatAnswers(server, max_tokens, said), folder, asked, names, made, budget))
    missing = {name: count for name, count in missing_by_model(asked, names, finished(folder)).items() if count}
    for failed in done.failed[:5]:
        click.echo(f"{failed.model} on {failed.prompt_id}: {failed.error}", err=True)
    if missing:
        left = ", ".join(f"{format_count(count)} of {name}" for name, count in missing.items())
        click.echo(f"Answers are missing, {left}. Run the same command again to continue", err=True)
    first = next((name for name in names if not name.startswith(POLICIES)), "")
    ctx.exit(write_report(folder, options, small=first) or bool(missing))


async def _targets(server: ApiClient, names: list[str]) -> list[str]:
    """Full names of chat models, and policies. Raises BadRequest or ModelNotFound."""
    listed = await operations.list_models(server)
    chats = [model.name for model in listed.models if model.task == "chat"]
    known = [*chats, *(each for each in listed.model_aliases if each.startswith(POLICIES))]
    found = list[str]()
    for name in names:
        same = [full for full in known if name in (full, full.partition("/")[2])]
        if len(same) != 1:
            hint = did_you_mean(name, known) or f"known: {', '.join(same or known)}"
            raise ModelNotFound(f"no single chat model or policy is named {name!r}", hint)
        found.append(same[0])
    if not found or len(set(found)) < len(found):
        raise BadRequest("--models names no model, or one twice", "such as --models local/small,auto")
    return found
