"""`sizewise widget`: makes, lists and stops chat widgets, and prints the line for the page."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import click
import msgspec

from sizewise.cli import operations
from sizewise.cli.api_client import ApiClient
from sizewise.cli.budgets import DOLLARS
from sizewise.cli.lazy_group import LazyCommand, LazyGroup
from sizewise.cli.options import api_client, server_options, wants_json
from sizewise.cli.output import dim, format_date, write_json, write_table
from sizewise.cli.printable import printable
from sizewise.errors import BadRequest, PathNotFound

COMMANDS: Mapping[str, LazyCommand] = {
    "list": LazyCommand("sizewise.cli.widget:list_", "List chat widgets, including stopped ones."),
    "create": LazyCommand("sizewise.cli.widget:create", "Create a chat widget, and print its tag."),
    "revoke": LazyCommand("sizewise.cli.widget:revoke", "Stop a chat widget, effective immediately."),
}


@click.group(cls=LazyGroup, lazy_commands=COMMANDS, invoke_without_command=True)
@server_options
@click.pass_context
def widget(ctx: click.Context) -> None:
    """Manage chat widgets: list, create, revoke.

    Without a command it lists them, including stopped ones.

    \b
    Example: sizewise widget
    """
    if ctx.invoked_subcommand is None:
        _list()


@click.command("list")
@server_options
def list_() -> None:
    """List chat widgets, including stopped ones.

    \b
    Example: sizewise widget list
    """
    _list()


def _list() -> None:
    told = asyncio.run(operations.list_widgets(api_client()))
    if wants_json():
        write_json(msgspec.to_builtins({"widgets": told}))
        return
    write_table(
        ("NAME", "TARGET", "ORIGINS", "SPENT TODAY", "CREATED", "STATE"),
        [
            (
                each.name,
                each.target,
                ", ".join(each.origins) or "nowhere",
                f"${each.usd_per_day.spent or 0} of ${each.usd_per_day.limit or '?'}",
                format_date(each.created),
                "stopped" if each.stopped else "live",
            )
            for each in told
        ],
    )
    for each in told:
        _warn(each, f"{each.name}: ")


@click.command()
@click.argument("name")
@click.option("--target", required=True, help="What answers: auto:POLICY or flow:NAME.")
@click.option("--origin", "origins", multiple=True, help="Origin of pages that may hold it; repeatable. [nowhere]")
@click.option("--usd-day", metavar="N", help="Dollars per day, a hard limit. [5]")
@click.option("--page", is_flag=True, help="It may be opened by itself too.")
@click.option("--title", help="Text of the button and above the conversation.")
@click.option("--greeting", help="The first line of a conversation.")
@server_options
def create(
    name: str,
    target: str,
    origins: tuple[str, ...],
    usd_day: str | None,
    page: bool,
    title: str | None,
    greeting: str | None,
) -> None:
    """Create a chat widget, and print its tag.

    \b
    Example: sizewise widget create help --target auto:default --origin https://www.example.com
    """
    if usd_day is not None and not DOLLARS.fullmatch(usd_day):
        raise BadRequest(f"{usd_day[:50]!r} is not an amount of dollars", "write it as 0.25")
    client = api_client()
    made = operations.create_widget(
        client,
        name=name,
        target=target,
        origins=list(origins),
        usd_per_day=usd_day,
        page=page,
        title=title,
        greeting=greeting,
    )
    told = asyncio.run(made)
    if wants_json():
        write_json(msgspec.to_builtins(told) | {"tag": _tag(client, told)})
        return
    click.echo(_tag(client, told))
    where = ", ".join(told.origins) or "nowhere yet: add origins with --origin, or in the studio"
    click.echo(dim(f"it may stand on: {where}"), err=True)
    if page:
        click.echo(dim(f"and by itself: {client.url}{told.path}"), err=True)
    _warn(told)


@click.command()
@click.argument("name")
@server_options
def revoke(name: str) -> None:
    """Stop a chat widget, effective immediately.

    \b
    Example: sizewise widget revoke help
    """
    told = asyncio.run(_revoke(api_client(), name))
    if wants_json():
        write_json({"revoked": told.name})
    else:
        click.echo(f"{told.name} is stopped")


async def _revoke(client: ApiClient, name: str) -> operations.Widget:
    """Raises PathNotFound."""
    found = next((each for each in await operations.list_widgets(client) if each.name == name), None)
    if found is None:
        raise PathNotFound(f"there is no widget {name[:100]!r}", "list them: sizewise widget list")
    await operations.revoke_key(client, id=found.key)
    return found


def _warn(widget: operations.Widget, named: str = "") -> None:
    for each in widget.warnings:
        click.echo(f"warning: {named}{printable(each)}", err=True)


def _tag(client: ApiClient, widget: operations.Widget) -> str:
    return f'<script async src="{client.url}{widget.path}.js"></script>'
