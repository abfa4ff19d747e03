"""Adds the items of a file to a data set of the folder of evals, each once; overwrites none and samples nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from sizewise.app.eval_folder import dataset_files
from sizewise.atomic_file import write_file_atomically
from sizewise.errors import BadRequest, ExternalFailure
from sizewise.evals.dataset_files import read_rows
from sizewise.evals.runs.eval_items import HINT, EvalDataset, read_items

WRITTEN = ".jsonl"
"""Ending of the data sets that are written."""
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,62}")
PRIVATE = 0o600

Line = dict[str, Any]


class DatasetAddition(Struct, frozen=True):
    """`added`, `known`: items of the file; `items`, `digest`: of the data set afterwards. `digest` is empty if there
    is none yet.
    """

    file: Path
    added: int
    known: int
    items: int
    digest: str


def named_dataset(folder: Path, name: str) -> Path:
    """Where a data set of this name is written. Raises BadRequest if it is no name of a file."""
    if NAME.fullmatch(name) is None:
        raise BadRequest(f"{name[:60]!r} is not a data set's name", "use a letter, then letters, digits, _ - and .")
    return folder / f"{name}{WRITTEN}"


def add_items(folder: Path, name: str, file: Path, *, dry_run: bool = False) -> DatasetAddition:
    """Creates the data set if there is none. Raises BadRequest, with file and line, and ExternalFailure."""
    into, new = named_dataset(folder, name), read_items(file)
    other = dataset_files(folder).get(name, into)
    if other != into:
        hint = f"add to the file itself, or make JSON lines of it: sizewise dataset add NEW {other.name}"
        raise BadRequest(f"{other.name!r} is no file of JSON lines", hint)
    before = read_items(into) if into.exists() else EvalDataset((), "")
    known, digest = before.items, before.digest
    have, added = {each.id: each.digest for each in known}, list[int]()
    for place, item in enumerate(new.items):
        if item.id not in have:
            added.append(place)
        elif have[item.id] != item.digest:
            raise BadRequest(f"{into.stem!r} has another item {item.id!r}", "give the new one another id")
    if added and not dry_run:
        rows = read_lines(file)
        _write(into, [*(read_lines(into) if known else []), *(rows[place] for place in added)])
        digest = read_items(into).digest
    return DatasetAddition(
        file=into,
        added=len(added),
        known=len(new.items) - len(added),
        items=len(known) + len(added),
        digest=digest,
    )


def read_lines(file: Path) -> list[Line]:
    """As they are, in order. Raises BadRequest, with file and line."""
    return [row for _, row in read_rows(file, Line, HINT)]


def _write(file: Path, lines: Iterable[Line]) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        data = b"".join(msgspec.json.encode(each) + b"\n" for each in lines)
        write_file_atomically(file.resolve(), data, PRIVATE)
    except OSError as error:
        raise ExternalFailure(f"{str(file)!r} cannot be written: {error.strerror}", "check the folder") from error
