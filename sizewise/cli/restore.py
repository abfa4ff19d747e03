"""`sizewise restore`: puts the state of a backup into a home, all of it or nothing; starts no server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from sizewise.app.services import COMPONENTS
from sizewise.catalog.memory_estimate import format_bytes
from sizewise.cli.backup import manifest_fields, progress_bar
from sizewise.cli.options import as_json, command_home, home_option, wants_json
from sizewise.cli.output import dim, format_date, write_json
from sizewise.storage.backup.manifest import Manifest
from sizewise.storage.backup.restore import check_backup, restore_backup


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--check", is_flag=True, help="Only check FILE, and write nothing.")
@click.option("--force", is_flag=True, help="Also into a home with data, which is moved into a folder of it.")
@home_option
@as_json
def restore(file: Path, check: bool, force: bool) -> None:
    """Restore a home from a backup.

    Every file is checked before anything is replaced. The server of the home must be stopped; one that still runs
    elsewhere on the same state would do its work twice.

    \b
    Example: sizewise restore /backup/sizewise.tar --home /var/lib/sizewise
    """
    known = {each.SCHEMA.component: len(each.SCHEMA.steps) for each in COMPONENTS}
    home = command_home()
    with progress_bar(silent=wants_json()) as progress:
        if check:
            manifest, replaced = check_backup(file, known, progress), None
        else:
            restored = restore_backup(file, home, known, force=force, progress=progress)
            manifest, replaced = restored.manifest, restored.replaced
    following = f"sizewise restore {file} --home DIR" if check else f"sizewise up --home {home}"
    notes = list(_notes(manifest, home))
    if wants_json():
        place = {"home": None if check else str(home), "replaced": None if replaced is None else str(replaced)}
        write_json({**place, **manifest_fields(manifest), "notes": notes, "next": following})
        return
    of = f"{len(manifest.files)} files, {format_bytes(manifest.total_bytes)}, of {format_date(manifest.created)}"
    click.echo(f"{file} is whole: {of}" if check else f"{home} is restored: {of}")
    if replaced is not None:
        click.echo(dim(f"the former state is in {replaced}: delete it when all is well"), err=True)
    for note in notes:
        click.echo(dim(note), err=True)
    click.echo(dim(f"next: {following}"), err=True)


def _notes(manifest: Manifest, home: Path) -> Iterator[str]:
    ids = ", ".join(manifest.key_ids)
    if manifest.key == "left out" and manifest.key_ids:
        yield f"the encryption key {ids} is not in the backup: copy it to {home / 'vault.key'}, with mode 600, first"
    elif manifest.key == "elsewhere":
        yield f"the encryption key{f' {ids}' if ids else ''} has to be where [encryption] of the settings says"
    if manifest.database == "postgres":
        yield "the database is in Postgres: restore it with pg_restore, before you start the server"
    if manifest.passages == "left out":
        yield "the vectors of knowledge bases are not in the backup: make them anew with `sizewise knowledge rebuild`"
    if manifest.settings_file:
        yield f"the settings file was {manifest.settings_file}, and is now in the home; files that it names are not"
