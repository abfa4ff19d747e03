"""`sizewise flow`: flows as files: begun, checked, run, published; alone it lists those here and those live."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import click
import msgspec
from msgspec import Struct

from sizewise.cli.options import served, server_or_none, settings, wants_json
from sizewise.cli.paper import when, write_json, write_table
from sizewise.cli.verbs import Verb, Verbs
from sizewise.flows.folder import File, place, read
from sizewise.flows.kinds import Kinds

VERBS: Mapping[str, Verb] = {
    "new": Verb("sizewise.cli.flow_new:new", "Begin a flow from a small one that works."),
    "check": Verb("sizewise.cli.flow_check:check", "Find all that is wrong; ends with 1 when something is."),
    "run": Verb("sizewise.cli.flow_run:run", "Run a flow at the server; its words come as they are said."),
    "list": Verb("sizewise.cli.flow:list_", "The flows of the folder and of the server."),
    "publish": Verb("sizewise.cli.flow_publish:publish", "Put a flow in force at the server."),
    "withdraw": Verb("sizewise.cli.flow_publish:withdraw", "Take a flow out of force."),
    "show": Verb("sizewise.cli.flow_publish:show", "The file of a published flow, as it is live."),
    "import": Verb("sizewise.cli.flow_import:import_", "Bring flows of Lamatic's, node by node."),
    "export": Verb("sizewise.cli.flow_import:export", "A flow as Lamatic's YAML or as a kit."),
    "schema": Verb("sizewise.cli.flow_check:schema_", "The JSON Schema of flows, for editors."),
}
LIST = "{ flows { name version published project } }"
SHORT = 12
"""Digits of a version that people are shown."""


class Live(Struct):
    """`published`: unix ms."""

    name: str
    version: str
    published: int
    project: str


class Lives(Struct):
    flows: list[Live]


def folder() -> Path:
    found = settings()
    return place(found.config, found.home)


@click.group(cls=Verbs, verbs=VERBS, invoke_without_command=True)
@served
@click.pass_context
def flow(ctx: click.Context) -> None:
    """Flows as files: new, check, run, publish.

    Alone it lists those of the folder `flows` beside sizewise.toml, and those that are live at the server.

    \b
    Example: sizewise flow
    """
    if ctx.invoked_subcommand is None:
        _list()


@click.command("list")
@served
def list_() -> None:
    """The flows of the folder and of the server.

    \b
    Example: sizewise flow list
    """
    _list()


def _list() -> None:
    here = read(folder(), Kinds())
    there = server_or_none()
    live = {each.name: each for each in asyncio.run(there.graphql(LIST, Lives)).flows} if there is not None else {}
    rows = [_row(name, here.get(name), live.get(name)) for name in sorted({*here, *live})]
    if wants_json():
        write_json({"flows": [msgspec.to_builtins(row) for row in rows], "server": there is not None})
        return
    write_table(
        ("NAME", "STATE", "VERSION", "LIVE SINCE", "FILE"),
        [(r.name, r.state, r.version[:SHORT], when(r.published) if r.published else "", r.file) for r in rows],
    )


class Row(Struct):
    name: str
    state: str
    version: str
    file: str
    published: int | None
    mistakes: int


def _row(name: str, file: File | None, live: Live | None) -> Row:
    flow = file.checked.flow if file is not None else None
    version = flow.version if flow is not None else live.version if live is not None else ""
    mistakes = len(file.mistakes) if file is not None else 0
    if mistakes:
        state = "1 mistake" if mistakes == 1 else f"{mistakes} mistakes"
    elif live is None:
        state = "not live"
    else:
        state = "live" if live.version == version else "changed"
    return Row(
        name,
        state,
        version,
        str(file.path) if file is not None else "",
        live.published if live is not None else None,
        mistakes,
    )
