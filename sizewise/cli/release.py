"""`sizewise release`: the group of release commands; without a command it lists the releases of the server."""

from __future__ import annotations

from collections.abc import Mapping

import click

from sizewise.cli.lazy_group import LazyCommand, LazyGroup
from sizewise.cli.options import server_options

COMMANDS: Mapping[str, LazyCommand] = {
    "build": LazyCommand(
        "sizewise.cli.release_build:build",
        "Build a release of the folder next to sizewise.toml, and save it on the server.",
    ),
    "status": LazyCommand("sizewise.cli.release_status:status", "Show what is live in each environment."),
    "plan": LazyCommand(
        "sizewise.cli.release_plan:plan", "Plan a release for an environment: what changes, breaks and is missing."
    ),
    "gate": LazyCommand("sizewise.cli.release_gate:gate", "Run the evals that a plan needs, and have them judged."),
    "approve": LazyCommand("sizewise.cli.release_plan:approve", "Approve a plan of someone else's."),
    "apply": LazyCommand("sizewise.cli.release_apply:apply", "Make a release live in an environment."),
    "promote": LazyCommand(
        "sizewise.cli.release_apply:promote", "Make live what is live in the environment before this one."
    ),
    "rollback": LazyCommand("sizewise.cli.release_apply:rollback", "Go back to the release that was live before."),
    "sync": LazyCommand(
        "sizewise.cli.release_sync:sync", "Look at the branch of [git] now; a new commit becomes a saved release."
    ),
    "pause": LazyCommand("sizewise.cli.release_canary:pause", "Let a canary take no further step."),
    "resume": LazyCommand("sizewise.cli.release_canary:resume", "Let a paused canary go on."),
    "list": LazyCommand("sizewise.cli.release_show:list_", "List the releases of the server, newest first."),
    "show": LazyCommand("sizewise.cli.release_show:show", "Show the parts of a release, and what it needs."),
    "diff": LazyCommand(
        "sizewise.cli.release_diff:diff", "Show what differs between two releases: + added, ~ changed, - removed."
    ),
}


@click.group(cls=LazyGroup, lazy_commands=COMMANDS, invoke_without_command=True)
@server_options
@click.pass_context
def release(ctx: click.Context) -> None:
    """Manage releases: build, plan, apply, promote, roll back.

    A release is what a project answers with (flows, prompts, policies, agents, guardrails, evals) under one hash.

    \b
    Example: sizewise release build
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(COMMANDS["list"].load())
