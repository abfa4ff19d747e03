"""`sizewise encryption`: encryption key status and rotation while the server runs; shows no key."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import click
import msgspec

from sizewise.cli import operations
from sizewise.cli.lazy_group import LazyCommand, LazyGroup
from sizewise.cli.options import api_client, server_options, wants_json
from sizewise.cli.output import dim, format_date, write_json, write_table

COMMANDS: Mapping[str, LazyCommand] = {
    "status": LazyCommand("sizewise.cli.encryption:status", "Show the keys, and what each encrypted."),
    "rotate": LazyCommand("sizewise.cli.encryption:rotate", "Wrap the data keys with the newest key."),
}


@click.group(cls=LazyGroup, lazy_commands=COMMANDS, invoke_without_command=True)
@server_options
@click.pass_context
def encryption(ctx: click.Context) -> None:
    """Show and rotate the keys that encrypt prompts and replies.

    Without a command it shows the status.

    \b
    Example: sizewise encryption
    """
    if ctx.invoked_subcommand is None:
        _status()


@click.command()
@server_options
def status() -> None:
    """Show the keys, and what each encrypted.

    \b
    Example: sizewise encryption status
    """
    _status()


def _status() -> None:
    found = asyncio.run(operations.get_encryption(api_client()))
    if wants_json():
        write_json(msgspec.to_builtins(found))
        return
    write_table(
        ("DATA KEY", "WRAPPED BY", "CREATED", "STATE", "ROWS"),
        [(its.id, its.wrapped_by or "-", format_date(its.created), _state(its), f"{its.rows:,}") for its in found.keys],
        right="ROWS",
    )
    click.echo(dim(f"new ones are wrapped by the {found.wrapped_by}"), err=True)
    if found.reencrypting:
        click.echo(dim("data of old keys is being re-encrypted"), err=True)


def _state(key: operations.DataKey) -> str:
    if not key.wrapped_by:
        return "encrypted directly"
    return "seals" if key.retired is None else "retired"


@click.command()
@click.option("--data", is_flag=True, help="Also create new data keys and re-encrypt the data of the old ones.")
@server_options
def rotate(data: bool) -> None:
    """Wrap the data keys with the newest key.

    First put a new key in front of the old one, or point `kms` at a new one. The server keeps serving. Remove the old
    key when `sizewise encryption status` no longer lists it.

    \b
    Example: sizewise encryption rotate --data
    """
    told = asyncio.run(operations.rotate_encryption_keys(api_client(), new_data_keys=data))
    if wants_json():
        write_json(msgspec.to_builtins(told))
        return
    keys = "1 data key is" if told.rewrapped == 1 else f"{told.rewrapped} data keys are"
    click.echo(f"{keys} wrapped by the newest key")
    if data:
        click.echo(dim("data is being re-encrypted in the background: sizewise encryption status"), err=True)
