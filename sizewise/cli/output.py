"""Console output: JSON for scripts, tables and numbers for people; knows neither models nor records.

Without colors if the output is not a terminal or NO_COLOR is set.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

import click

from sizewise.atomic_file import write_file_atomically
from sizewise.cli.printable import printable
from sizewise.errors import ExternalFailure

COLUMN_GAP = 2
MAX_WIDTH = 100_000
"""Columns if the output is not a terminal: nothing is cut."""


def write_json(value: object) -> None:
    click.echo(json.dumps(value, ensure_ascii=False, indent=2))


def write_file(file: Path, said: str | bytes) -> None:
    """Raises ExternalFailure if the file cannot be written. A new file is readable by its owner only: it may contain
    prompts. One that is replaced stays as it was until the new one is whole.
    """
    data = said.encode() if isinstance(said, str) else said
    try:
        if file.exists() and not file.is_file():  # such as /dev/stdout
            file.write_bytes(data)
        else:
            write_file_atomically(file.resolve(), data, 0o600)
    except OSError as error:
        raise ExternalFailure(f"cannot write {str(file)!r}: {error.strerror}", "use another file") from error


def dim(text: str) -> str:
    return click.style(text, dim=True)


def write_table(headers: Sequence[str], rows: Iterable[Sequence[str]], right: str = "", err: bool = False) -> None:
    """Prints columns, cut at the terminal's width. `right`: words of the headings to align right."""
    lines = [headers, *(list(map(printable, row)) for row in rows)]
    wide = [max(len(line[column]) for line in lines) for column in range(len(headers))]
    edge = shutil.get_terminal_size().columns if (sys.stderr if err else sys.stdout).isatty() else MAX_WIDTH
    aligned = [any(word in right.split() for word in head.split()) for head in headers]
    for number, line in enumerate(lines):
        cells = [
            cell.rjust(width) if to_the_right else cell.ljust(width)
            for cell, width, to_the_right in zip(line, wide, aligned, strict=True)
        ]
        text = (" " * COLUMN_GAP).join(cells).rstrip()
        text = text if len(text) <= edge else text[: edge - 1] + "…"
        click.echo(dim(text) if number == 0 else text, err=err)


def write_pairs(pairs: Iterable[tuple[str, str]]) -> None:
    """Prints names and their values in two columns."""
    known = list(pairs)
    wide = max((len(name) for name, _ in known), default=0)
    for name, said in known:
        click.echo(f"{dim(name.ljust(wide))}{' ' * COLUMN_GAP}{printable(said)}".rstrip())


def format_money(amount: str | None) -> str:
    """Dollars as a decimal string, None if the price is unknown."""
    return "unknown" if amount is None else f"${amount}"


def format_count(number: int | None) -> str:
    return "unknown" if number is None else f"{number:,}"


def format_seconds(ms: float | None) -> str:
    if ms is None:
        return "-"
    return f"{ms:.0f} ms" if ms < 1_000 else f"{ms / 1_000:.1f} s"


def format_time(ms: int) -> str:
    """Unix ms in local time; the date only if it is not today."""
    at = datetime.fromtimestamp(ms / 1_000)
    return f"{at:%H:%M:%S}" if at.date() == datetime.now().date() else f"{at:%Y-%m-%d %H:%M:%S}"


def format_date(ms: int | None) -> str:
    return "never" if ms is None else f"{datetime.fromtimestamp(ms / 1_000):%Y-%m-%d %H:%M}"
