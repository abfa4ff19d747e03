"""Copies of a person's requests in data sets and runs of evals on this machine: counts and erases them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from sizewise.app.eval_folder import RUNS_FOLDER
from sizewise.cli.dataset_files import ENDING, Line, read_lines, write_lines
from sizewise.cli.eval_files import evals_folder
from sizewise.errors import BadRequest


class EvalCopies(Struct, frozen=True):
    """Items of data sets that `dataset from-records` made, and answers of runs to them."""

    items: int
    answers: int


def erase_eval_copies(whose: Mapping[str, Collection[str]], *, dry_run: bool) -> EvalCopies:
    """Of requests with one of these values of `key` (id), `session` or `end_user` (hash). A file that cannot be read as
    a data set or run stays.
    """
    folder, names, items, answers = evals_folder(), set[str](), 0, 0
    for file, lines in _files(sorted(folder.glob(f"*{ENDING}"))):
        kept = [each for each in lines if not _is_of(each, whose)]
        names |= {str(each.get("id")) for each in lines if _is_of(each, whose)}
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


def _is_of(line: Line, whose: Mapping[str, Collection[str]]) -> bool:
    source = line.get("source")
    return isinstance(source, dict) and any(source.get(name) in values for name, values in whose.items())
