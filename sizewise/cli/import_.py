"""`sizewise import`: files of other programs as our own; knows no format."""

from __future__ import annotations

from collections.abc import Mapping

import click

from sizewise.cli.lazy_group import Verb, Verbs

VERBS: Mapping[str, Verb] = {
    "lamatic": Verb("sizewise.cli.flow_import:lamatic", "Import flows of Lamatic, node by node."),
}


@click.group("import", cls=Verbs, verbs=VERBS)
def import_() -> None:
    """Import from other programs: lamatic."""
