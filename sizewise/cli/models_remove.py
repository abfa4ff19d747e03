"""`sizewise models rm`: deletes the file of a downloaded model and forgets it; deletes no file of the user's own."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from sizewise.catalog import user_models
from sizewise.catalog.loader import LOCAL_PROVIDER, bundled_models, local_card, weights_path
from sizewise.catalog.memory_estimate import format_bytes
from sizewise.cli.options import command_settings, local_options, wants_json
from sizewise.cli.output import write_json
from sizewise.cli.reload_server import reload_running_server
from sizewise.cli.value_completion import complete_model_name
from sizewise.errors import BadRequest


@click.command("rm")
@click.argument("name", shell_complete=complete_model_name)
@click.option("--dry-run", is_flag=True, help="Show what would be deleted, and delete nothing.")
@local_options
def rm(name: str, dry_run: bool) -> None:
    """Delete a downloaded model, and forget it.

    A model of the catalog can be pulled again. A file of your own is not deleted: use `sizewise models remove`.

    \b
    Example: sizewise models rm qwen2.5-0.5b-instruct-q4_k_m
    """
    found = command_settings()
    card = local_card(name, found)
    assert card.weights is not None  # a local model has them
    if card.weights.adapter:
        raise BadRequest(f"{card.name} is tuned", f"Delete it: sizewise tune delete {card.model}")
    path = weights_path(card.weights, found.cache_dir)
    if card.model not in bundled_models() and not _is_in(path, found.cache_dir / "models"):
        raise BadRequest(
            f"{card.name} is a file of your own, which is not deleted",
            f"To forget it: sizewise models remove {card.model}",
        )
    size = path.stat().st_size if path.is_file() else 0
    if not dry_run:
        if card.model not in bundled_models():
            asyncio.run(user_models.remove_model(card.model, found.home))
        path.unlink(missing_ok=True)
    noticed = False if dry_run else asyncio.run(reload_running_server(found))
    if wants_json():
        write_json(
            {
                "name": card.name,
                "path": str(path),
                "bytes": size,
                "deleted": bool(size) and not dry_run,
                "noticed": noticed,
            }
        )
        return
    what = "would be deleted" if dry_run else "deleted" if size else "was not downloaded"
    click.echo(f"{LOCAL_PROVIDER}/{card.model} {what}: {path}, {format_bytes(size)}")


def _is_in(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())
