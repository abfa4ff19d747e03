"""Writes reference/command-line.md: the help of every command, word for word; knows no command by name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from sizewise.cli.main import sizewise

PAGE = Path(__file__).parent / "reference" / "command-line.md"
INTRODUCTION = """\
# Command line

*Generated from the commands' help by `python -m docs.build`; edit it there.*

Every command with its help text. Every command accepts `--json` for scripts. Exit codes: 0 success, 1 the answer is
no, 2 wrong usage, 3 an external failure.
"""


def pages() -> dict[Path, str]:
    return {PAGE: "\n".join([INTRODUCTION, *_sections(sizewise, "sizewise", None)])}


def _sections(command: click.Command, name: str, above: click.Context | None) -> Iterator[str]:
    context = click.Context(command, above, info_name=name, **{**command.context_settings, "terminal_width": 80})
    yield f"## {context.command_path}\n\n```text\n{command.get_help(context)}\n```\n"
    if isinstance(command, click.Group):
        for each in command.list_commands(context):
            under = command.get_command(context, each)
            if under is not None and not under.hidden:
                yield from _sections(under, each, context)


def command_names() -> list[str]:
    """Every command as it is typed, including subcommands such as `sizewise models pull`."""
    return [section.partition("\n")[0].removeprefix("## ") for section in _sections(sizewise, "sizewise", None)]
