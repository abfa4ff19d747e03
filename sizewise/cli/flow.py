"""`sizewise flow`: the group of flow commands; alone it lists local and published flows."""

from __future__ import annotations

from collections.abc import Mapping

import click

from sizewise.cli.lazy_group import LazyCommand, LazyGroup
from sizewise.cli.options import server_options

COMMANDS: Mapping[str, LazyCommand] = {
    "new": LazyCommand("sizewise.cli.flow_new:new", "Begin a flow from a small one that works."),
    "check": LazyCommand("sizewise.cli.flow_check:check", "Find all that is wrong; ends with 1 when something is."),
    "run": LazyCommand("sizewise.cli.flow_run:run", "Run a flow at the server; its words come as they are said."),
    "runs": LazyCommand("sizewise.cli.flow_runs:runs", "Runs at the server, newest first."),
    "status": LazyCommand("sizewise.cli.flow_runs:status", "A run, node by node: state, model, time, cost."),
    "cancel": LazyCommand("sizewise.cli.flow_runs:cancel", "Stop a run that is under way."),
    "resume": LazyCommand("sizewise.cli.flow_runs:resume", "Go on with a run that failed or was cancelled."),
    "waiting": LazyCommand("sizewise.cli.flow_runs:waiting", "Runs that wait for somebody, and what they ask."),
    "decide": LazyCommand("sizewise.cli.flow_runs:decide", "Tell a run that waits yes or no, or yes with JSON."),
    "list": LazyCommand("sizewise.cli.flow_list:list_", "The flows of the folder and of the server."),
    "publish": LazyCommand("sizewise.cli.flow_publish:publish", "Put a flow in force at the server."),
    "withdraw": LazyCommand("sizewise.cli.flow_publish:withdraw", "Take a flow out of force."),
    "show": LazyCommand("sizewise.cli.flow_publish:show", "The file of a published flow, as it is live."),
    "versions": LazyCommand("sizewise.cli.flow_runs:versions", "Versions of a flow, newest first, and which is live."),
    "export": LazyCommand("sizewise.lamatic.cli:export", "A flow as Lamatic's YAML or as a kit."),
    "schema": LazyCommand("sizewise.cli.flow_check:schema_", "The JSON Schema of flows, for editors."),
}


@click.group(cls=LazyGroup, lazy_commands=COMMANDS, invoke_without_command=True)
@server_options
@click.pass_context
def flow(ctx: click.Context) -> None:
    """Flows as files: new, check, run, publish.

    Alone it lists those of the folder `flows` beside sizewise.toml, and those that are live at the server.

    \b
    Example: sizewise flow
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(COMMANDS["list"].load())
