"""`sizewise edge build`: compiles the folder's release to the files of a Worker; uploads nothing."""

from __future__ import annotations

import gzip
import time
from collections.abc import Mapping
from pathlib import Path

import click

from sizewise.catalog.loader import load_cards
from sizewise.cli.options import command_settings, local_options, wants_json
from sizewise.cli.output import write_json
from sizewise.edge.compiled_release import CompiledRelease, compile_release
from sizewise.edge.edge_safety import Obstacle
from sizewise.edge.worker_folder import RELEASE, RUNTIME, folder_files, write_folder
from sizewise.errors import BadRequest, ExternalFailure
from sizewise.model_card import ModelCard
from sizewise.releases.folder_release import build_release, project_folder
from sizewise.settings.load import Settings

FOLDER = Path("build", "edge")
"""Beside sizewise.toml."""


@click.command()
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Folder to write; else build/edge.")
@local_options
def build(out: Path | None) -> None:
    """Compile the folder's release to the files of a Cloudflare Worker.

    What cannot run at an edge is refused by name. The files hold no secret. Needs no server and no Node.

    \b
    Example: sizewise edge build --out build/edge
    """
    settings = command_settings()
    compiled = compile_folder(settings, load_cards(settings))
    content = folder_files(compiled, settings.edge)
    folder = project_folder(settings) / FOLDER if out is None else out
    write_files(folder, content)
    size = sum(len(gzip.compress(content[name])) for name in (RUNTIME, RELEASE))
    if wants_json():
        write_json(
            {
                "folder": str(folder),
                "hash": compiled.data["hash"],
                "bytes_gzipped": size,
                "models": sorted(compiled.data["rows"]),
                "secrets": list(compiled.secrets),
                "forwarded": list(compiled.forwarded),
                "left_out": list(compiled.left_out),
            }
        )
        return
    click.echo(compiled.data["hash"])
    click.echo(f"  {folder}: {size / 1000:.1f} kB, gzipped")
    for title, told in (
        ("secrets that the Worker needs", compiled.secrets),
        ("asked at the gateway", compiled.forwarded),
        ("left out at the edge", compiled.left_out),
    ):
        if told:
            click.echo(f"  {title}:")
            for each in told:
                click.echo(f"    {each}")
    click.echo("Try it: sizewise edge dev")


def compile_folder(settings: Settings, cards: tuple[ModelCard, ...]) -> CompiledRelease:
    """Raises BadRequest, which names all that cannot run at an edge."""
    release = build_release(settings)
    compiled = compile_release(settings, cards, release.manifest.hash, int(time.time()))
    if compiled.obstacles:
        raise BadRequest(_refusal(compiled.obstacles), compiled.obstacles[0].hint)
    return compiled


def write_files(folder: Path, content: Mapping[str, bytes]) -> None:
    try:
        write_folder(folder, content)
    except OSError as error:
        raise ExternalFailure(f"{str(folder)!r} cannot be written: {error.strerror}", "give another --out") from error


def _refusal(obstacles: tuple[Obstacle, ...]) -> str:
    told = "\n".join(f"  {each.subject}: {each.why}" for each in obstacles)
    return f"this release cannot run at an edge:\n{told}"
