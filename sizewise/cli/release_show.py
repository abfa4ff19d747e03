"""`sizewise release list` and `show`: the releases of the server, and the parts of one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import click
import msgspec

from sizewise.cli import operations
from sizewise.cli.options import api_client, refuse_options, server_options, wants_json
from sizewise.cli.output import format_time, write_json, write_table
from sizewise.cli.release_build import manifest_fields, part_counts
from sizewise.cli.release_source import FOLDER, NamedRelease, complete_release, manifest_of

SHORT = 12
"""Digits of a hash in a table."""


@click.command("list")
@click.option("-n", "--last", type=click.IntRange(1, 1_000), default=20, show_default=True, help="Number of releases.")
@server_options
def list_(last: int) -> None:
    """List the releases of the server, newest first.

    \b
    Example: sizewise release list
    """
    found, environments = asyncio.run(_releases(last))
    if wants_json():
        shown: list[dict[str, object]] = msgspec.to_builtins(found)
        write_json({"releases": [each | {"places": _places(str(each["hash"]), environments)} for each in shown]})
        return
    if not found:
        click.echo("There is no release yet. Build one: sizewise release build")
        return
    rows = [
        (
            each.hash[:SHORT],
            format_time(each.created),
            ", ".join(_places(each.hash, environments)),
            part_counts(manifest_of(each)),
        )
        for each in found
    ]
    write_table(("RELEASE", "CREATED", "LIVE IN", "PARTS"), rows)


async def _releases(last: int) -> tuple[list[operations.Release], list[operations.Environment]]:
    server = api_client()
    return await asyncio.gather(operations.list_releases(server, last=last), operations.list_environments(server))


def _places(hash: str, environments: Sequence[operations.Environment]) -> list[str]:
    """Where it is live: `prod`, or `canary of prod`."""
    live = [(each.name, each.live) for each in environments if each.live is not None]
    here = [name for name, its in live if its.release == hash]
    return here + [f"canary of {name}" for name, its in live if its.canary == hash]


@click.command()
@click.argument("name", default=FOLDER, metavar="[RELEASE]", shell_complete=complete_release)
@server_options
def show(name: str) -> None:
    """Show the parts of a release, and what it needs.

    RELEASE is the first 8 or more digits of its hash, or `.`, the folder as it is now.

    \b
    Example: sizewise release show 3f2a9c01
    """
    if name == FOLDER:
        refuse_options("with the folder, which needs no server", "url")
    manifest = NamedRelease(name).manifest
    if wants_json():
        write_json(manifest_fields(manifest))
        return
    click.echo(manifest.hash)
    write_table(("KIND", "NAME", "VERSION"), [(kind, name, version[:SHORT]) for kind, name, version in manifest.each()])
    for what, names in msgspec.structs.asdict(manifest.requires).items():
        if names:
            click.echo(f"needs {what}: {', '.join(names)}")
