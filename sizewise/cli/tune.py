"""`sizewise tune`: trains a small model on one task and shows, promotes and deletes what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import click
import msgspec

from sizewise.catalog import user_models
from sizewise.cli.api_client import running_server
from sizewise.cli.lazy_group import LazyCommand, LazyGroup
from sizewise.cli.options import command_settings, local_options, wants_json
from sizewise.cli.output import write_json, write_table
from sizewise.cli.reload_server import reload_running_server
from sizewise.cli.tune_promote import promote_run, put_on_ladder
from sizewise.cli.tune_report import share_served, write_run
from sizewise.tuning.run_store import RunStore, TuningRun

COMMANDS: Mapping[str, LazyCommand] = {
    "setup": LazyCommand("sizewise.cli.tune_setup:setup", "Install PyTorch in an environment of its own."),
    "plan": LazyCommand("sizewise.cli.tune_run:plan", "Measure what needs no tuning, and estimate time and memory."),
    "run": LazyCommand("sizewise.cli.tune_run:run", "Train a planned run, or continue one; then measure it."),
    "status": LazyCommand("sizewise.cli.tune:status", "Show a run: what was measured before and after."),
    "list": LazyCommand("sizewise.cli.tune:list_", "List the runs, the newest first."),
    "distill": LazyCommand("sizewise.cli.tune_distill:distill", "Tune a model on the kept answers to a decision."),
    "promote": LazyCommand("sizewise.cli.tune:promote", "Let a tuned model answer under a name of its own."),
    "delete": LazyCommand("sizewise.cli.tune:delete", "Delete a run, its adapter and its model."),
}


@click.group(cls=LazyGroup, lazy_commands=COMMANDS, invoke_without_command=True)
@local_options
@click.pass_context
def tune(ctx: click.Context) -> None:
    """Train a small model on one task: setup, plan, run, promote; or distill.

    Without a command it lists the runs.

    \b
    Example: sizewise tune plan intents examples.jsonl
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(COMMANDS["list"].load())


@click.command("list")
@local_options
def list_() -> None:
    """List the runs, the newest first.

    \b
    Example: sizewise tune list --json
    """
    runs = RunStore(command_settings().home).list()
    if wants_json():
        write_json({"runs": [msgspec.to_builtins(each) for each in runs]})
        return
    if not runs:
        click.echo("There is no tuning run yet. Plan one: sizewise tune plan NAME EXAMPLES.jsonl")
        return
    write_table(
        ("NAME", "BASE", "STATE", "EXAMPLES", "BEFORE", "AFTER"),
        [
            (each.name, each.base, _state(each), f"{each.train_count:,}", _before(each), _share(each.tuned))
            for each in runs
        ],
    )


@click.command()
@click.argument("name")
@local_options
def status(name: str) -> None:
    """Show a run: what was measured before and after.

    \b
    Example: sizewise tune status intents
    """
    write_run(RunStore(command_settings().home).require(name))


@click.command()
@click.argument("name")
@local_options
def promote(name: str) -> None:
    """Let a tuned model answer under a name of its own.

    It becomes the model local/NAME, on the same base in memory as the others. It is never chosen as `small` or `large`:
    name it in a request, a policy or a flow. A run that did not pass its gate is refused. The model of a decision joins
    its ladder, which is certified with it if a server runs.

    \b
    Example: sizewise tune promote intents
    """
    found = command_settings()
    store = RunStore(found.home)
    model, noticed = asyncio.run(promote_run(store, store.require(name), found))
    run, decision = store.require(name), None
    server = running_server(found) if noticed and run.decision else None
    if server is not None:
        _, decision = asyncio.run(put_on_ladder(store, run, server))
    if wants_json():
        write_json({"model": model, "noticed": noticed, "decision": msgspec.to_builtins(decision)})
        return
    click.echo(f"{model} can be asked{'; the running server has reloaded' if noticed else ''}")
    if decision is not None:
        click.echo(share_served(decision))
    elif run.decision:
        click.echo(f"next, with a server: sizewise decisions certify {run.decision[:12]}")


@click.command()
@click.argument("name")
@local_options
def delete(name: str) -> None:
    """Delete a run, its adapter and its model.

    \b
    Example: sizewise tune delete intents
    """
    found = command_settings()
    store = RunStore(found.home)
    run = store.require(name)
    if run.model:
        asyncio.run(user_models.remove_model(run.model, found.home))
    store.delete(name)
    noticed = asyncio.run(reload_running_server(found)) if run.model else False
    if wants_json():
        write_json({"name": name, "model": run.model or None, "noticed": noticed})
    else:
        click.echo(f"{name} deleted{f', {run.model} with it' if run.model else ''}")


def _state(run: TuningRun) -> str:
    if run.state == "training":
        return f"training, {run.step} of {run.estimate.steps}"
    return "refused" if run.refused else run.state


def _before(run: TuningRun) -> str:
    return _share(run.baselines.get("prompting"))


def _share(measured: object) -> str:
    share = getattr(measured, "share", None)
    return "-" if share is None else f"{share:.0%}"
