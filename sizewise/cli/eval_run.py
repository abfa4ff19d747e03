"""`sizewise eval run`: has targets answer the items of an eval, scores the answers and keeps them in run files."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import click

from sizewise.app.eval_folder import EvalFile, next_run_file, run_head
from sizewise.cli import operations
from sizewise.cli.api_client import ApiClient
from sizewise.cli.eval_files import complete_eval, load_eval, prompt_version
from sizewise.cli.eval_report import measured, show_run
from sizewise.cli.eval_target import EvalTargets
from sizewise.cli.options import api_client, server_options, wants_json
from sizewise.cli.output import format_count, format_money, write_json
from sizewise.cli.progress import progress_bar
from sizewise.cli.value_completion import complete_model
from sizewise.errors import BadRequest, Forbidden
from sizewise.evals.runs.budget_prices import check_prices, model_price
from sizewise.evals.runs.eval_items import EvalDataset
from sizewise.evals.runs.eval_job import EvalJob, EvalReport, TargetRun
from sizewise.evals.runs.run_file import EvalRun, open_run, read_run
from sizewise.money import format_dollars

STOPS: Mapping[str, str] = {
    "budget": "the budget is used up",
    "time": "the time is over",
    "failures": "too many requests failed in a row",
}


@click.command()
@click.argument("name", shell_complete=complete_eval)
@click.option(
    "-t",
    "--target",
    "targets",
    multiple=True,
    metavar="MODEL",
    shell_complete=complete_model,
    help="Another target than the eval's; several are asked in turn, item by item.",
)
@click.option("--new", "is_new", is_flag=True, help="Start a new run, even if the last one is not whole.")
@click.option("--dry-run", is_flag=True, help="Check everything, and show what would be asked.")
@server_options
@click.pass_context
def run(ctx: click.Context, /, name: str, targets: tuple[str, ...], is_new: bool, dry_run: bool) -> None:
    """Have a target answer the items, and score the answers.

    Run the same command again to continue a run that was stopped; what was answered is kept, also after a crash. Exits
    with 1 if answers are missing.

    \b
    Example: sizewise eval run support --target auto --target anthropic/large
    """
    found = load_eval(name)
    data = found.dataset()
    names = targets or (found.spec.target.name,)
    if len(set(names)) < len(names):
        raise BadRequest("a target is named twice", "name each once")
    prompt = prompt_version(found)
    files = [next_run_file(found, data, each, prompt, is_new=is_new) for each in names]
    if dry_run:
        _show_plan(found, data, names, files)
        return
    report = asyncio.run(_answer(found, data, prompt, names, files))
    runs = [read_run(file) for file in files if file.is_file()]
    _show(found, runs, report)
    ctx.exit(0 if len(runs) == len(files) and all(each.is_whole for each in runs) else 1)


async def _answer(
    found: EvalFile, data: EvalDataset, prompt: str, names: Sequence[str], files: Sequence[Path]
) -> EvalReport:
    server = api_client()
    await _check_prices(server, found, names)
    asked = EvalTargets(server, found.spec.target, prompt.rpartition("@")[2])
    with ExitStack() as stack, progress_bar("answering", "answers") as progress:
        runs = list[TargetRun]()
        for name, file in zip(names, files, strict=True):
            writer = stack.enter_context(open_run(file, run_head(found, data, name, prompt)))
            runs.append(TargetRun(name, writer, frozenset(read_run(file).answered)))
        try:
            job = EvalJob(
                found.spec,
                data.items,
                runs,
                ask=asked.ask,
                ask_judge=asked.judge,
                embed=asked.embed,
                progress=progress,
            )
            return await job.run()
        finally:
            for file in files:
                if not read_run(file).results:
                    file.unlink()


async def _check_prices(server: ApiClient, found: EvalFile, names: Sequence[str]) -> None:
    """As far as this key may see the models. Raises BadRequest."""
    if found.spec.budget.usd is None:
        return
    with suppress(Forbidden):
        listed = (await operations.list_models(server)).models
        known = [model_price(each.name, each.task, each.price.input, each.price.output) for each in listed]
        check_prices(found.spec, names, known, f"evals/{found.path.name}")


def _show_plan(found: EvalFile, data: EvalDataset, names: Sequence[str], files: Sequence[Path]) -> None:
    planned = len(data.items) * found.spec.repeat
    left = {
        name: planned - (len(read_run(file).answered) if file.is_file() else 0)
        for name, file in zip(names, files, strict=True)
    }
    if wants_json():
        write_json({"eval": found.name, "items": len(data.items), "clusters": data.clusters, "missing": left})
        return
    repeats = f", each {found.spec.repeat} times" if found.spec.repeat > 1 else ""
    click.echo(f"{format_count(len(data.items))} items in {format_count(data.clusters)} clusters{repeats}")
    for name, count in left.items():
        click.echo(f"{name}: {format_count(count)} answers to ask for")
    click.echo("Nothing was asked (--dry-run).")


def _show(found: EvalFile, runs: Sequence[EvalRun], report: EvalReport) -> None:
    if wants_json():
        told = {
            "added": report.added,
            "cost_usd": format_dollars(report.cost),
            "unpriced": report.unpriced,
            "failed": [{"item": item, "error": error} for item, error in report.failed],
            "stopped": report.stopped,
            "why": report.why,
        }
        write_json({"eval": found.name, **told, "runs": [measured(each) for each in runs]})
        return
    for each in runs:
        show_run(each)
    unknown = f", {format_count(report.unpriced)} of unknown cost" if report.unpriced else ""
    click.echo(f"{format_count(report.added)} new answers for {format_money(format_dollars(report.cost))}{unknown}")
    for item, error in report.failed[:5]:
        click.echo(f"{item}: {error}", err=True)
    if runs and all(each.is_whole for each in runs):
        if len(runs) == 2:
            click.echo(f"Next: sizewise eval compare {found.name} {runs[0].name} {runs[1].name}")
        elif found.spec.gate:
            click.echo(f"Next: sizewise eval gate {found.name}")
        return
    why = STOPS.get(report.stopped, f"{format_count(len(report.failed))} requests failed")
    click.echo(f"Answers are missing: {why}{f' ({report.why})' if report.why else ''}", err=True)
    more = f", with a larger `usd` under `budget` in {found.path.name}, or none" if report.stopped == "budget" else ""
    click.echo(f"hint: run the same command again to continue{more}", err=True)
