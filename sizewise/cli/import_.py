"""`sizewise import`: converts files of other programs; knows no format."""

from __future__ import annotations

from collections.abc import Mapping

import click

from sizewise.cli.lazy_group import LazyCommand, LazyGroup

COMMANDS: Mapping[str, LazyCommand] = {
    "promptfoo": LazyCommand("sizewise.cli.import_evals:promptfoo", "Import evals from promptfoo."),
    "openai-evals": LazyCommand("sizewise.cli.import_evals:openai_evals", "Import an eval from OpenAI."),
    "langfuse": LazyCommand("sizewise.cli.import_evals:langfuse", "Import a data set from Langfuse."),
    "inspect": LazyCommand("sizewise.cli.import_evals:inspect_", "Import the samples of an Inspect log."),
    "litellm": LazyCommand("sizewise.cli.import_litellm:litellm", "Import the configuration of a LiteLLM proxy."),
    "lamatic": LazyCommand("sizewise.lamatic.cli:lamatic", "Import flows from Lamatic."),
}


@click.group("import", cls=LazyGroup, lazy_commands=COMMANDS)
def import_() -> None:
    """Import from other programs: settings, evals and flows."""
