"""Copies of a person's requests in data sets and runs of evals on this machine: counts and erases them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from io import BytesIO
from pathlib import Path

import msgspec
from msgspec import Struct

from sizewise.app.dataset_addition import Line
from sizewise.app.eval_folder import RUNS_FOLDER
from sizewise.cli.output import write_file
from sizewise.errors import BadRequest
from sizewise.evals.dataset_files import read_rows
from sizewise.evals.runs.run_file import ENDING

CSV = ".csv"
WRITTEN = (ENDING, CSV)
"""Endings of the data sets in which a person's items are found."""


class EvalCopies(Struct, frozen=True):
    """Items of data sets that `dataset from-records` made, and answers of runs to them."""

    items: int
    answers: int


def erase_eval_copies(folder: Path, whose: Mapping[str, Collection[str]], *, dry_run: bool) -> EvalCopies:
    """Of requests with one of these values of `key` (id), `session` or `end_user` (hash). A file that cannot be read as
    a data set or run stays.
    """
    names, items, answers = set[str](), 0, 0
    for file, lines in _files(sorted(each for ending in WRITTEN for each in folder.glob(f"*{ending}"))):
        found = {number: each for number, each in lines.items() if _is_of(each, whose)}
        names |= {str(each.get("id")) for each in found.values()}
        items += len(found)
        if found and not dry_run:
            _remove(file, found)
    for file, lines in _files(sorted(folder.glob(f"{RUNS_FOLDER}/*/*{ENDING}"))):
        found = {number: each for number, each in lines.items() if each.get("item") in names}
        answers += len(found)
        if found and not dry_run:
            _remove(file, found)
    return EvalCopies(items, answers)


def _files(paths: list[Path]) -> list[tuple[Path, dict[int, Line]]]:
    """Each with its items by the line on which they end."""
    found = list[tuple[Path, dict[int, Line]]]()
    for path in paths:
        try:
            found.append((path, dict(read_rows(path, Line))))
        except (BadRequest, msgspec.DecodeError, OSError):
            continue
    return found


def _remove(file: Path, ends: Collection[int]) -> None:
    """Items by the line on which they end; a cell of a CSV file may have several. Raises ExternalFailure."""
    is_csv, data = file.suffix == CSV, file.read_bytes()
    lines = data.splitlines(keepends=True) if is_csv else BytesIO(data).readlines()
    every = [number for number, _ in read_rows(file, Line)]
    begins = [int(is_csv), *every]
    gone = {at for start, end in zip(begins, every, strict=False) if end in ends for at in range(start, end)}
    write_file(file, b"".join(line for at, line in enumerate(lines) if at not in gone))


def _is_of(line: Line, whose: Mapping[str, Collection[str]]) -> bool:
    source = line.get("source")
    return isinstance(source, dict) and any(source.get(name) in values for name, values in whose.items())
