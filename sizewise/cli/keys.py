"""`sizewise keys`: lists, creates, rotates and revokes API keys; a new key is shown once, on stdout."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import click
import msgspec

from sizewise.auth.permissions import expand_actions
from sizewise.cli import operations
from sizewise.cli.lazy_group import LazyCommand, LazyGroup
from sizewise.cli.options import api_client, server_options, wants_json
from sizewise.cli.output import dim, format_date, write_json, write_table
from sizewise.data_class import DATA_CLASSES, DataClass

COMMANDS: Mapping[str, LazyCommand] = {
    "create": LazyCommand("sizewise.cli.keys:create", "Make a key; its text is shown this once."),
    "rotate": LazyCommand("sizewise.cli.keys:rotate", "A new key like an old one, which stays good for some hours."),
    "revoke": LazyCommand("sizewise.cli.keys:revoke", "Refuse a key from now on, everywhere."),
}


@click.group(cls=LazyGroup, lazy_commands=COMMANDS, invoke_without_command=True)
@server_options
@click.pass_context
def keys(ctx: click.Context) -> None:
    """Keys that may ask: list, create, rotate, revoke.

    Alone it lists them, revoked and expired ones too.

    \b
    Example: sizewise keys
    """
    if ctx.invoked_subcommand is not None:
        return
    told = asyncio.run(operations.list_keys(api_client()))
    if wants_json():
        write_json(msgspec.to_builtins({"keys": told}))
        return
    write_table(
        ("ID", "NAME", "PROJECT", "MAY", "ONLY", "CREATED", "EXPIRES", "STATE"),
        [
            (
                k.id,
                k.name,
                "*" if k.all_projects else k.project,
                ", ".join(k.permissions),
                _only(k),
                format_date(k.created),
                format_date(k.expires),
                k.state,
            )
            for k in told
        ],
    )


@click.command()
@click.argument("name")
@click.option(
    "--may",
    default="ask",
    help="What it may do: ask, read, manage, or single actions, with commas between. [ask]",
)
@click.option("--expires-days", type=float, help="Days until it expires; otherwise never.")
@click.option("--project", help="It sees this project alone; otherwise as much as the one that asks.")
@click.option("--own", is_flag=True, help="A key of one's own, refused with its user.")
@click.option("--data-class", type=click.Choice(DATA_CLASSES), help="All that it asks is at least this.")
@click.option("--door", "doors", multiple=True, help="Good for this door alone; may be said again, as all below.")
@click.option("--model", "models", multiple=True, help="Good for this model, or <provider>/*, alone.")
@click.option("--policy", "policies", multiple=True, help="Good for this policy alone.")
@click.option("--flow", "flows", multiple=True, help="Good for this flow alone.")
@click.option("--network", "networks", multiple=True, help="Good from this network alone, as 10.0.0.0/8.")
@server_options
def create(
    name: str,
    may: str,
    expires_days: float | None,
    project: str | None,
    own: bool,
    data_class: DataClass | None,
    **confined: tuple[str, ...],
) -> None:
    """Make a key; its text is shown this once.

    \b
    Example: sizewise keys create laptop --may ask,read --expires-days 90
    """
    lists = {each: list(said) for each, said in confined.items()}
    made = operations.create_key(
        api_client(),
        name=name,
        permissions=_actions(may),
        expires_in_days=expires_days,
        project=project,
        data_class=data_class,
        personal=own,
        **lists,
    )
    _show(asyncio.run(made))


@click.command()
@click.argument("id")
@click.option("--overlap-hours", type=float, default=24.0, help="Hours for which the old one stays good; 0: none. [24]")
@server_options
def rotate(id: str, overlap_hours: float) -> None:
    """A new key like an old one, which stays good for some hours.

    \b
    Example: sizewise keys rotate sw-7k2mqpxd --overlap-hours 2
    """
    _show(asyncio.run(operations.rotate_key(api_client(), id=id, overlap_hours=overlap_hours)))


def _only(key: operations.Key) -> str:
    """What it is confined to, in a few words."""
    its = key.scope
    return ", ".join((*its.doors, *its.models, *its.policies, *its.flows, *its.networks)) or "-"


def _show(made: operations.NewKey) -> None:
    if wants_json():
        write_json(msgspec.to_builtins(made))
        return
    click.echo(made.secret)
    click.echo(
        dim(f"{made.key.id} may {', '.join(made.key.permissions)}; this is the only time its text is shown"),
        err=True,
    )


def _actions(said: str) -> list[operations.Permission]:
    """Raises BadRequest for what is no action."""
    actions = [each.strip() for each in said.split(",") if each.strip()]
    expand_actions(actions)
    return msgspec.convert(actions, list[operations.Permission])


@click.command()
@click.argument("id")
@server_options
def revoke(id: str) -> None:
    """Refuse a key from now on, everywhere.

    \b
    Example: sizewise keys revoke sw-7k2mqpxd
    """
    told = asyncio.run(operations.revoke_key(api_client(), id=id))
    if wants_json():
        write_json({"revoked": told.id})
    else:
        click.echo(f"{told.id} is revoked")
