"""Copies of a person's requests in data sets and runs of evals on this machine: counts and erases them."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import msgspec
from msgspec import Struct

from sizewise.cli.dataset_files import ENDING, Line, read_lines, write_lines
from sizewise.cli.eval_files import RUNS_FOLDER, evals_folder
from sizewise.errors import BadRequest


class EvalCopies(Struct, frozen=True):
    """Items of data sets that `dataset from-records` made, and answers of runs to them."""

    items: int
    answers: int


def erase_eval_copies(keys: Collection[str], *, dry_run: bool) -> EvalCopies:
    """Of requests that were made by these keys, by id. A file that cannot be read as a data set or run stays."""
    folder, names, items, answers = evals_folder(), set[str](), 0, 0
    for file, lines in _files(sorted(folder.glob(f"*{ENDING}"))):
        kept = [each for each in lines if _key(each) not in keys]
        names |= {str(each.get("id")) for each in lines if _key(each) in keys}
        items += len(lines) - len(kept)
        if len(kept) < len(lines) and not dry_run:
            write_lines(file, kept)
    for file, lines in _files(sorted(folder.glob(f"{RUNS_FOLDER}/*/*{ENDING}"))):
        kept = [each for each in lines if each.get("item") not in names]
        answers += len(lines) - len(kept)
        if len(kept) < len(lines) and not dry_run:
            write_lines(file, kept)
    return EvalCopies(items, answers)


def _files(paths: list[Path]) -> list[tuple[Path, list[Line]]]:
    found = list[tuple[Path, list[Line]]]()
    for path in paths:
        try:
            found.append((path, read_lines(path)))
        except (BadRequest, msgspec.DecodeError, OSError):
            continue
    return found


def _key(line: Line) -> object:
    source = line.get("source")
    return source.get("key") if isinstance(source, dict) else None
