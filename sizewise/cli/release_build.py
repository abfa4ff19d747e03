"""`sizewise release build`: builds a release of the folder, and saves it on the running server."""

from __future__ import annotations

import asyncio
import base64
from collections import Counter

import click
import msgspec

from sizewise.cli import operations
from sizewise.cli.options import api_client_or_none, command_settings, server_options, wants_json
from sizewise.cli.output import write_json
from sizewise.releases.folder_release import build_release
from sizewise.releases.manifest import PART_KINDS, Release, ReleaseManifest


@click.command()
@click.option("--dry-run", is_flag=True, help="Build it and print its hash; save nothing.")
@server_options
def build(dry_run: bool) -> None:
    """Build a release of the folder next to sizewise.toml, and save it on the server.

    The same folder has the same hash on every machine. Secrets are never part of it: what looks like one is refused.

    \b
    Example: sizewise release build --dry-run --json
    """
    made = build_release(command_settings())
    server = None if dry_run else api_client_or_none()
    is_new = None
    if server is not None:
        saved = asyncio.run(
            operations.save_release(server, manifest=msgspec.to_builtins(made.manifest), parts=part_inputs(made))
        )
        is_new = saved.new
    if wants_json():
        write_json({**manifest_fields(made.manifest), "saved": is_new is not None, "new": bool(is_new)})
        return
    click.echo(made.manifest.hash)
    click.echo(f"  {part_counts(made.manifest)}")
    if is_new is None:
        why = "--dry-run" if dry_run else "no server is running: start it with sizewise up"
        click.echo(f"Not saved ({why}).")
    else:
        click.echo("Saved." if is_new else "The server has it already.")


def part_inputs(made: Release) -> list[dict[str, str]]:
    return [
        {
            "kind": each.kind,
            "name": each.name,
            "version": each.version,
            "content": base64.b64encode(each.content).decode(),
        }
        for each in made.parts
    ]


def part_counts(manifest: ReleaseManifest) -> str:
    """Such as `2 flows, 1 prompt`."""
    counts = Counter(kind for kind, _, _ in manifest.each())
    named = [f"{counts[kind]} {kind if counts[kind] != 1 else _singular(kind)}" for kind in PART_KINDS if counts[kind]]
    return ", ".join(named) or "no parts"


def _singular(kind: str) -> str:
    return {"policies": "policy", "knowledge": "knowledge base", "routing": "routing table"}.get(kind, kind[:-1])


def manifest_fields(manifest: ReleaseManifest) -> dict[str, object]:
    return {
        "hash": manifest.hash,
        "parts": msgspec.to_builtins(manifest.parts),
        "requires": msgspec.to_builtins(manifest.requires),
    }
