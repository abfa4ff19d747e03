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
from sizewise.cli.value_completion import complete_flow, complete_model_name, complete_policy
from sizewise.data_class import DATA_CLASSES, DataClass

COMMANDS: Mapping[str, LazyCommand] = {
    "list": LazyCommand("sizewise.cli.keys:list_", "List all keys, including revoked and expired ones."),
    "create": LazyCommand("sizewise.cli.keys:create", "Create a key; its secret is shown once."),
    "rotate": LazyCommand("sizewise.cli.keys:rotate", "Replace a key; the old one stays valid for some hours."),
    "revoke": LazyCommand("sizewise.cli.keys:revoke", "Revoke a key, effective immediately."),
}


@click.group(cls=LazyGroup, lazy_commands=COMMANDS, invoke_without_command=True)
@server_options
@click.pass_context
def keys(ctx: click.Context) -> None:
    """Manage API keys: list, create, rotate, revoke.

    Without a command it lists them, including revoked and expired ones.

    \b
    Example: sizewise keys
    """
    if ctx.invoked_subcommand is None:
        _list()


@click.command("list")
@server_options
def list_() -> None:
    """List all keys, including revoked and expired ones.

    \b
    Example: sizewise keys list
    """
    _list()


def _list() -> None:
    told = asyncio.run(operations.list_keys(api_client()))
    if wants_json():
        write_json(msgspec.to_builtins({"keys": told}))
        return
    write_table(
        ("ID", "NAME", "PROJECT", "PERMISSIONS", "RESTRICTED TO", "CREATED", "EXPIRES", "STATE"),
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
    "--permissions",
    default="ask",
    help="Permissions: ask, read, manage, or single ones, separated by commas. [ask]",
)
@click.option("--expires-days", type=float, help="Days until it expires. [never]")
@click.option("--project", help="Restrict it to this project. [as the key that creates it]")
@click.option("--own", is_flag=True, help="A personal key, disabled together with its user.")
@click.option("--environment", help="Environment whose release answers it. [as the key that creates it]")
@click.option(
    "--data-class",
    type=click.Choice(DATA_CLASSES),
    help="Minimum data class of its requests; public: finds public documents.",
)
@click.option("--endpoint", "endpoints", multiple=True, help="Restrict it to this endpoint; repeatable, as all below.")
@click.option(
    "--model",
    "models",
    multiple=True,
    shell_complete=complete_model_name,
    help="Restrict it to this model, or <provider>/*.",
)
@click.option("--policy", "policies", multiple=True, shell_complete=complete_policy, help="Restrict it to this policy.")
@click.option("--flow", "flows", multiple=True, shell_complete=complete_flow, help="Restrict it to this flow.")
@click.option("--network", "networks", multiple=True, help="Restrict it to this network, as 10.0.0.0/8.")
@server_options
def create(
    name: str,
    permissions: str,
    expires_days: float | None,
    project: str | None,
    own: bool,
    environment: str | None,
    data_class: DataClass | None,
    **confined: tuple[str, ...],
) -> None:
    """Create a key; its secret is shown once.

    \b
    Example: sizewise keys create laptop --permissions ask,read --expires-days 90
    """
    lists = {each: list(said) for each, said in confined.items()}
    made = operations.create_key(
        api_client(),
        name=name,
        permissions=_actions(permissions),
        expires_in_days=expires_days,
        project=project,
        data_class=data_class,
        personal=own,
        environment=environment,
        **lists,
    )
    _show(asyncio.run(made))


@click.command()
@click.argument("id")
@click.option("--overlap-hours", type=float, default=24.0, help="Hours that the old key stays valid; 0: none. [24]")
@server_options
def rotate(id: str, overlap_hours: float) -> None:
    """Replace a key; the old one stays valid for some hours.

    \b
    Example: sizewise keys rotate sw-7k2mqpxd --overlap-hours 2
    """
    _show(asyncio.run(operations.rotate_key(api_client(), id=id, overlap_hours=overlap_hours)))


def _only(key: operations.Key) -> str:
    """The restrictions of a key, in a few words."""
    its = key.scope
    where = (key.environment,) if key.environment else ()
    return ", ".join((*where, *its.endpoints, *its.models, *its.policies, *its.flows, *its.networks)) or "-"


def _show(made: operations.NewKey) -> None:
    if wants_json():
        write_json(msgspec.to_builtins(made))
        return
    click.echo(made.secret)
    click.echo(
        dim(f"{made.key.id} has the permissions {', '.join(made.key.permissions)}; its secret is shown once"),
        err=True,
    )


def _actions(said: str) -> list[operations.Permission]:
    """Raises BadRequest for an unknown permission."""
    actions = [each.strip() for each in said.split(",") if each.strip()]
    expand_actions(actions)
    return msgspec.convert(actions, list[operations.Permission])


@click.command()
@click.argument("id")
@server_options
def revoke(id: str) -> None:
    """Revoke a key, effective immediately.

    \b
    Example: sizewise keys revoke sw-7k2mqpxd
    """
    told = asyncio.run(operations.revoke_key(api_client(), id=id))
    if wants_json():
        write_json({"revoked": told.id})
    else:
        click.echo(f"{told.id} is revoked")
