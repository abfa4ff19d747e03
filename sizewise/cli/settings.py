"""`sizewise settings migrate`: a settings file of an older version, by the names of this one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click

from sizewise.cli.lazy_group import LazyCommand, LazyGroup
from sizewise.cli.options import as_json, wants_json
from sizewise.cli.output import write_file, write_json
from sizewise.cli.settings_patch import diff
from sizewise.errors import ExternalFailure
from sizewise.settings.load import load_settings
from sizewise.settings.migrate import describe
from sizewise.settings.migrate import migrate as migrated

COMMANDS: Mapping[str, LazyCommand] = {
    "migrate": LazyCommand("sizewise.cli.settings:migrate", "Write renamed settings by their new names.")
}


@click.group("settings", cls=LazyGroup, lazy_commands=COMMANDS)
def settings() -> None:
    """Change a settings file to this version's names."""


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False), default="sizewise.toml")
@click.option("--write", is_flag=True, help="Write the file; without it, only the change is shown.")
@as_json
def migrate(file: Path, write: bool) -> int:
    """Write renamed settings by their new names.

    Shows the change of FILE (sizewise.toml), and with --write makes it. Comments, order and spaces stay as they are.
    The result is read as a server reads it.

    \b
    Example: sizewise settings migrate --write
    """
    try:
        old = file.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise ExternalFailure(f"cannot read {str(file)!r}: {error}", "make it readable, as UTF-8") from error
    new, changes = migrated(old)
    load_settings(config=file, content=new.encode())
    if write and changes:
        write_file(file, new)
    if wants_json():
        write_json({"file": str(file), "changes": describe(changes), "written": write and bool(changes)})
    elif not changes:
        click.echo(f"{file} has no renamed settings.")
    else:
        click.echo("\n".join(diff(old, new, file.name)))
        click.echo(f"{len(changes)} renamed. {'Written.' if write else 'Nothing is written yet: --write writes this.'}")
    return 0
