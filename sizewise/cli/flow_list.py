"""`sizewise flow list`: the flows of the folder and of the server, and whether they are equal."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click
import msgspec
from msgspec import Struct

from sizewise.cli import operations
from sizewise.cli.flow_runs import SHORT
from sizewise.cli.options import api_client_or_none, command_settings, server_options, wants_json
from sizewise.cli.output import format_time, write_json, write_table
from sizewise.flows.file_source import FlowFile, default_flows_folder, load_flow_files
from sizewise.flows.node_registry import NodeRegistry


def flows_folder() -> Path:
    found = command_settings()
    return default_flows_folder(found.config_file, found.home)


@click.command("list")
@server_options
def list_() -> None:
    """List the flows of the folder and of the server.

    \b
    Example: sizewise flow list
    """
    here = load_flow_files(flows_folder(), NodeRegistry())
    there = api_client_or_none()
    live = {each.name: each for each in asyncio.run(operations.list_flows(there))} if there is not None else {}
    rows = [_row(name, here.get(name), live.get(name)) for name in sorted({*here, *live})]
    if wants_json():
        write_json({"flows": [msgspec.to_builtins(row) for row in rows], "server": there is not None})
        return
    write_table(
        ("NAME", "STATE", "VERSION", "LIVE SINCE", "FILE"),
        [(r.name, r.state, r.version[:SHORT], format_time(r.published) if r.published else "", r.file) for r in rows],
    )
    for row in rows:
        if row.error:
            click.echo(f"warning: {row.error}", err=True)


class Row(Struct):
    name: str
    state: str
    version: str
    file: str
    published: int | None
    mistakes: int
    error: str


def _row(name: str, file: FlowFile | None, live: operations.FlowSummary | None) -> Row:
    flow = file.validation.flow if file is not None else None
    version = flow.version if flow is not None else live.version if live is not None else ""
    mistakes = len(file.errors) if file is not None else 0
    error = live.error or "" if live is not None else ""
    if mistakes:
        state = "1 error" if mistakes == 1 else f"{mistakes} errors"
    elif error:
        state = "broken"
    elif live is None:
        state = "not live"
    else:
        state = "live" if live.version == version else "changed"
    return Row(
        name=name,
        state=state,
        version=version,
        file=str(file.path) if file is not None else "",
        published=live.published if live is not None else None,
        mistakes=mistakes,
        error=error,
    )
