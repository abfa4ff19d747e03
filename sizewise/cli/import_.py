"""`sizewise import`: files of other programs as our own; knows no format."""

from __future__ import annotations

from collections.abc import Mapping

import click

from sizewise.cli.lazy_group import LazyCommand, LazyGroup

COMMANDS: Mapping[str, LazyCommand] = {
    "lamatic": LazyCommand("sizewise.lamatic.cli:lamatic", "Import flows of Lamatic, node by node."),
}


@click.group("import", cls=LazyGroup, lazy_commands=COMMANDS)
def import_() -> None:
    """Import from other programs: lamatic."""
