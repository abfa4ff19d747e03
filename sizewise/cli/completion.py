"""`sizewise completion`: prints the shell completion script; writes no file."""

from __future__ import annotations

from collections.abc import Mapping

import click
from click.shell_completion import get_completion_class

from sizewise.cli.options import as_json, wants_json
from sizewise.cli.output import write_json

WHERE: Mapping[str, str] = {
    "bash": "~/.bashrc",
    "zsh": "~/.zshrc",
    "fish": "~/.config/fish/completions/sizewise.fish",
}


@click.command()
@click.argument("shell", type=click.Choice(list(WHERE)))
@as_json
def completion(shell: str) -> None:
    """Print a completion script for bash, zsh or fish.

    Your shell reads it at startup.

    \b
    Example: echo 'eval "$(sizewise completion bash)"' >> ~/.bashrc
    """
    kind = get_completion_class(shell)
    assert kind is not None  # click knows all three
    root = click.get_current_context().find_root().command
    script = kind(root, {}, "sizewise", "_SIZEWISE_COMPLETE").source()
    if wants_json():
        write_json({"shell": shell, "script": script, "file": WHERE[shell]})
        return
    click.echo(f"# Read by {shell} at startup: save this to {WHERE[shell]}, or eval it there.")
    click.echo(script)
