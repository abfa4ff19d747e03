"""`sizewise import`: converts files of other programs; knows no format."""

from __future__ import annotations

from collections.abc import Mapping

import click

from sizewise.cli.lazy_group import LazyCommand, LazyGroup

COMMANDS: Mapping[str, LazyCommand] = {
    "lamatic": LazyCommand("sizewise.lamatic.cli:lamatic", "Import flows from Lamatic."),
}


@click.group("import", cls=LazyGroup, lazy_commands=COMMANDS)
def import_() -> None:
    """Import from other programs: lamatic."""
