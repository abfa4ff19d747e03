"""`sizewise release gate`: runs the evals of a plan by its release and by what is live, and has them judged."""

from __future__ import annotations

import asyncio

import click

from sizewise.cli import operations
from sizewise.cli.api_client import ApiClient
from sizewise.cli.options import api_client, server_options
from sizewise.cli.progress import progress_bar
from sizewise.cli.release_plan import write_plan
from sizewise.cli.release_status import SHORT
from sizewise.errors import ExternalFailure

POLL_S = 0.5


@click.command()
@click.argument("id", metavar="PLAN")
@server_options
def gate(id: str) -> int:
    """Run the evals that a plan needs, and have them judged.

    The server answers each item by the release and by what is live; what either has answered is not asked again. Exits
    with 1 unless all pass.

    \b
    Example: sizewise release gate plan-3f2a9c01
    """
    made = asyncio.run(_gate(api_client(), id))
    write_plan(made)
    return 0 if all(each.verdict == "pass" for each in made.gates) else 1


async def _gate(server: ApiClient, id: str) -> operations.ReleasePlan:
    plan = await operations.show_plan(server, id=id)
    for each in plan.gates:
        if each.verdict == "pass":
            continue
        for release in (plan.base, plan.release):
            if release:
                await _run(server, each.eval, release)
        plan = await operations.gate_release(server, plan=id, eval=each.eval)
    return plan


async def _run(server: ApiClient, suite: str, release: str) -> None:
    """Raises ExternalFailure for a run that does not end whole."""
    started = await operations.start_eval_of_release(server, suite=suite, release=release)
    with progress_bar(f"{suite} by {release[:SHORT]}", "answers") as progress:
        while True:
            run = await operations.watch_eval_run(server, id=started.id)
            progress(run.done, run.total)
            if run.state != "running":
                break
            await asyncio.sleep(POLL_S)
    if run.state != "done":
        raise ExternalFailure(
            f"{suite} by {release[:SHORT]} is not whole: {run.error or run.state}", "run the same command again"
        )
