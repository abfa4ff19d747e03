"""`sizewise flow`: the group of flow commands; without a command it lists local and published flows."""

from __future__ import annotations

from collections.abc import Mapping

import click

from sizewise.cli.lazy_group import LazyCommand, LazyGroup
from sizewise.cli.options import server_options

COMMANDS: Mapping[str, LazyCommand] = {
    "new": LazyCommand("sizewise.cli.flow_new:new", "Create a flow from a small working example."),
    "check": LazyCommand("sizewise.cli.flow_check:check", "Report all errors in flows; exits with 1 if there are any."),
    "run": LazyCommand("sizewise.cli.flow_run:run", "Run a flow on the server and stream its text."),
    "runs": LazyCommand("sizewise.cli.flow_runs:runs", "List runs on the server, newest first."),
    "status": LazyCommand("sizewise.cli.flow_runs:status", "Show a run node by node: state, model, time, cost."),
    "cancel": LazyCommand("sizewise.cli.flow_runs:cancel", "Cancel a run."),
    "resume": LazyCommand("sizewise.cli.flow_runs:resume", "Resume a run that failed or was cancelled."),
    "waiting": LazyCommand(
        "sizewise.cli.flow_runs:waiting", "List runs that wait for a decision, what they ask, and who can decide."
    ),
    "decide": LazyCommand("sizewise.cli.flow_runs:decide", "Answer a waiting run with yes, no, or JSON."),
    "list": LazyCommand("sizewise.cli.flow_list:list_", "List the flows of the folder and of the server."),
    "publish": LazyCommand("sizewise.cli.flow_publish:publish", "Publish a flow on the server."),
    "withdraw": LazyCommand("sizewise.cli.flow_show:withdraw", "Withdraw a published flow."),
    "show": LazyCommand("sizewise.cli.flow_show:show", "Print the file of a published flow."),
    "versions": LazyCommand(
        "sizewise.cli.flow_runs:versions", "List versions of a flow, newest first, and where each is live."
    ),
    "export": LazyCommand("sizewise.lamatic.cli:export", "Export a flow as Lamatic's YAML or as a kit."),
    "schema": LazyCommand("sizewise.cli.flow_check:schema_", "Print the JSON Schema of flow files, for editors."),
}


@click.group(cls=LazyGroup, lazy_commands=COMMANDS, invoke_without_command=True)
@server_options
@click.pass_context
def flow(ctx: click.Context) -> None:
    """Manage flows as files: new, check, run, publish.

    Without a command it lists the flows in the folder `flows` next to sizewise.toml, and those published on the server.

    \b
    Example: sizewise flow
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(COMMANDS["list"].load())
