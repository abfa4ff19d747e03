"""`sizewise backup`: writes the state of the home into one file, also while the server runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from sizewise.catalog.memory_estimate import format_bytes
from sizewise.cli.options import command_settings, local_options, wants_json
from sizewise.cli.output import dim, write_json
from sizewise.flows.file_source import default_flows_folder
from sizewise.storage.backup.create import HomeState, Progress, create_backup
from sizewise.storage.backup.manifest import Manifest
from sizewise.storage.backup.state_files import other_entries


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--without-key", is_flag=True, help="Leave out vault.key; keep a copy of it elsewhere.")
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
@local_options
def backup(file: Path, without_key: bool, force: bool) -> None:
    """Back up the home to one file, while the server runs.

    FILE holds the databases, the settings file, flows, prompts, evals, adapters, and the encryption key if that is in
    the home: keep it as secret as the home. Stop the server first to include the vectors of knowledge bases.

    \b
    Example: sizewise backup /backup/sizewise.tar
    """
    settings = command_settings()
    state = HomeState(
        home=settings.home,
        settings_file=settings.config_file,
        project=default_flows_folder(settings.config_file, settings.home).parent,
        uses_postgres=bool(settings.database.url),
        key_is_elsewhere=bool(settings.encryption.key or settings.encryption.kms),
    )
    with progress_bar(silent=wants_json()) as progress:
        written = create_backup(file, state, with_key=not without_key, replace=force, progress=progress)
    notes = [*_notes(written, settings.home), *_left_out(settings.home)]
    if wants_json():
        place = {"file": str(file.absolute()), "home": str(settings.home), "bytes": file.stat().st_size}
        write_json({**place, **manifest_fields(written), "notes": notes})
        return
    click.echo(f"{file} holds {len(written.files)} files, {format_bytes(written.total_bytes)}, of {settings.home}")
    for note in notes:
        click.echo(dim(note), err=True)
    click.echo(dim(f"check it: sizewise restore {file} --check"), err=True)


def manifest_fields(manifest: Manifest) -> dict[str, object]:
    found: dict[str, object] = msgspec.to_builtins(manifest)
    return {name: value for name, value in found.items() if name not in ("format", "version")}


@contextmanager
def progress_bar(silent: bool) -> Iterator[Progress]:
    """A progress bar on stderr, if it is a terminal."""
    console = Console(stderr=True)
    if silent or not console.is_terminal:
        yield lambda what, done, whole: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda what, done, whole: bar.update(task, description=what, completed=done, total=whole)


def _notes(manifest: Manifest, home: Path) -> Iterator[str]:
    if manifest.key == "included":
        yield "it holds the encryption key: whoever can read it can read all stored prompts and replies"
    elif manifest.key == "left out":
        yield f"without {home / 'vault.key'} nothing in it can be decrypted: keep a copy of that file elsewhere"
    elif manifest.key == "elsewhere":
        yield "the encryption key is not in it: it is where [encryption] says, and a restore needs it"
    if manifest.database == "postgres":
        yield (
            "records, keys, users and runs are in Postgres and not in it: "
            "pg_dump --format=custom --file=sizewise.dump postgresql://USER@HOST/NAME"
        )
    if manifest.passages == "left out":
        yield "the vectors of knowledge bases are not in it, the server runs: `sizewise knowledge rebuild` makes them"


def _left_out(home: Path) -> Iterator[str]:
    if others := other_entries(home):
        more = f" and {len(others) - 5} more" if len(others) > 5 else ""
        yield f"not part of the state, and left out: {', '.join(others[:5])}{more}"
