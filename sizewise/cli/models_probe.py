"""`sizewise models probe`: detects a model server and prints the settings to paste; writes no file."""

from __future__ import annotations

import asyncio

import click

from sizewise.catalog.server_detection import DetectedServer, detect_server
from sizewise.cli.options import command_settings, local_options, wants_json
from sizewise.cli.output import dim, format_count, write_json, write_table
from sizewise.cli.printable import printable
from sizewise.settings.load import resolve_secret


@click.command()
@click.argument("url")
@click.option("--key", default="", metavar="REFERENCE", help="API key: env:NAME, file:PATH, exec:COMMAND.")
@local_options
def probe(url: str, key: str) -> None:
    """Detect a model server, and print its settings.

    Prints its models and the lines of sizewise.toml that add them. Contacts only that server.

    \b
    Example: sizewise models probe http://127.0.0.1:11434
    """
    server = asyncio.run(detect_server(url, key=resolve_secret(key), ca=command_settings().ca_file))
    if wants_json():
        write_json(_probe_json(server, key))
        return
    click.echo(dim(printable(f"{server.title} {server.version}".rstrip())), err=True)
    rows = [(model.name, format_count(model.context) if model.context else "?") for model in server.models]
    write_table(("MODEL", "CONTEXT"), rows, right="CONTEXT")
    click.echo(dim("\nadd to sizewise.toml:"), err=True)
    click.echo(f"\n{server.to_toml(key)}")


def _probe_json(server: DetectedServer, key: str) -> dict[str, object]:
    return {
        "kind": server.kind,
        "version": server.version,
        "base_url": server.base_url,
        "models": [{"name": model.name, "context": model.context} for model in server.models],
        "toml": server.to_toml(key),
    }
