"""`sizewise edge diff`: what a deploy would change of what is live at the edge; changes nothing."""

from __future__ import annotations

import asyncio

import click
import msgspec

from sizewise.catalog.loader import load_cards
from sizewise.cli.edge_build import compile_folder
from sizewise.cli.edge_worker import with_api
from sizewise.cli.options import command_settings, local_options, wants_json
from sizewise.cli.output import write_json
from sizewise.edge.release_diff import Difference, compare_releases
from sizewise.edge.worker_folder import RELEASE, read_release
from sizewise.errors import ExternalFailure


@click.command()
@local_options
def diff() -> None:
    """Show what a deploy would change of what is live.

    \b
    Example: sizewise edge diff
    """
    settings = command_settings()
    new = compile_folder(settings, load_cards(settings)).data
    content = asyncio.run(with_api(settings, lambda api, _: api.live_module(RELEASE)))
    live = None if content is None else read_release(content)
    if content is not None and live is None:
        raise ExternalFailure(f"the Worker {settings.edge.name!r} is none of ours", "give another `name` in [edge]")
    found = [] if live is None else compare_releases(live, new)
    if wants_json():
        build = None if live is None else live["build"]
        write_json({"live": build, "build": new["build"], "changes": msgspec.to_builtins(found)})
        return
    if live is None:
        click.echo(f"There is no Worker {settings.edge.name!r} in this account: sizewise edge deploy")
    elif live["build"] == new["build"]:
        click.echo(f"Nothing: build {new['build'][:12]} is live.")
    else:
        click.echo(f"live: {str(live['build'])[:12]}, here: {new['build'][:12]}")
        for each in found:
            click.echo(_line(each))


def _line(each: Difference) -> str:
    sign = {"added": "+", "removed": "-", "changed": "~"}[each.change]
    return f"  {sign} {each.what}" + (f": {each.before} -> {each.after}" if each.change == "changed" else "")
