"""`sizewise flow list`: the flows of the folder and of the server, and which version answers in each environment."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec
from msgspec import Struct

from sizewise.cli import operations
from sizewise.cli.api_client import ApiClient
from sizewise.cli.flow_environments import SHORT, flow_in, heading, other_versions, places_of, version_cell
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

    STATE compares the file with what answers. A server with environments shows the version of each.

    \b
    Example: sizewise flow list
    """
    here = load_flow_files(flows_folder(), NodeRegistry())
    there = api_client_or_none()
    live, environments = asyncio.run(_served(there)) if there is not None else ({}, [])
    answering = {flow.name for each in environments for flow in each.flows}
    rows = [_row(name, here.get(name), live.get(name), environments) for name in sorted({*here, *live, *answering})]
    if wants_json():
        write_json({"flows": [msgspec.to_builtins(row) for row in rows], "server": there is not None})
        return
    versions = list(map(heading, environments)) or ["LIVE SINCE"]
    write_table(
        ("NAME", "STATE", "VERSION", *versions, "FILE"),
        [(r.name, r.state, r.version[:SHORT], *_cells(r, environments), r.file) for r in rows],
    )
    for row in rows:
        if row.error:
            click.echo(f"warning: {row.error}", err=True)


async def _served(server: ApiClient) -> tuple[dict[str, operations.FlowSummary], list[operations.EnvironmentFlows]]:
    """What is published, by name, and what answers in each environment."""
    published, environments = await asyncio.gather(
        operations.list_flows(server), operations.list_flows_by_environment(server)
    )
    return {each.name: each for each in published}, environments


class Row(Struct):
    """`environments`: where the server has some: the versions that answer there, by environment."""

    name: str
    state: str
    version: str
    file: str
    published: int | None
    mistakes: int
    error: str
    environments: dict[str, AnsweringVersions] | None = None


class AnsweringVersions(Struct):
    """`canary`: null: there is no canary, or it lacks the flow. `share`: of new sessions, 0..1."""

    version: str | None
    canary: str | None
    share: float


def _cells(row: Row, environments: Sequence[operations.EnvironmentFlows]) -> list[str]:
    if not environments:
        return [format_time(row.published) if row.published else ""]
    return [version_cell(each, row.name) for each in environments]


def _row(
    name: str,
    file: FlowFile | None,
    live: operations.FlowSummary | None,
    environments: Sequence[operations.EnvironmentFlows],
) -> Row:
    flow = file.validation.flow if file is not None else None
    version = flow.version if flow is not None else live.version if live is not None else ""
    mistakes = len(file.errors) if file is not None else 0
    error = live.error or "" if live is not None else ""
    if mistakes:
        state = "1 error" if mistakes == 1 else f"{mistakes} errors"
    elif error:
        state = "broken"
    elif environments:
        state = _state(environments, name, version)
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
        environments={each.environment: _answering(each, name) for each in environments} if environments else None,
    )


def _state(environments: Sequence[operations.EnvironmentFlows], name: str, version: str) -> str:
    """Where `version` answers: everywhere, in some environments, or nowhere."""
    others = other_versions(environments, name, version)
    if not others:
        return "live"
    places = [each for each in places_of(environments, name, version) if not each.startswith("canary ")]
    if places:
        return f"live in {', '.join(places)}"
    return "changed" if any(each for _, each in others) else "not live"


def _answering(environment: operations.EnvironmentFlows, name: str) -> AnsweringVersions:
    found = flow_in(environment, name)
    if found is None:
        return AnsweringVersions(None, None, environment.share)
    return AnsweringVersions(found.version, found.canary_version, environment.share)
