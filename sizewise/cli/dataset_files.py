"""Data sets of evals on disk: finds them by name, reads and writes their lines; samples nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click
import msgspec

from sizewise.cli.eval_files import eval_names, evals_folder, load_eval
from sizewise.cli.output import write_file
from sizewise.errors import BadRequest, ExternalFailure, did_you_mean
from sizewise.evals.dataset_files import read_rows
from sizewise.evals.runs.eval_items import HINT

ENDING = ".jsonl"
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,62}")

Line = dict[str, Any]


def dataset_names() -> list[str]:
    folder = evals_folder()
    return sorted(each.stem for each in folder.glob(f"*{ENDING}")) if folder.is_dir() else []


def find_dataset(name: str) -> Path:
    """A name in the folder, or a file anywhere. Raises BadRequest."""
    if Path(name).suffix == ENDING or "/" in name:
        if Path(name).is_file():
            return Path(name)
        raise BadRequest(f"there is no file {name!r}", "sizewise dataset list shows the data sets")
    path = evals_folder() / f"{name}{ENDING}"
    if path.is_file():
        return path
    known = dataset_names()
    hint = did_you_mean(name, known) or ("sizewise dataset list" if known else "sizewise dataset add NAME FILE")
    raise BadRequest(f"there is no data set {name!r} in {str(evals_folder())!r}", hint)


def new_dataset(name: str) -> Path:
    """Its path. Raises BadRequest if there is one of this name, or it is none."""
    path = named_dataset(name)
    if path.exists():
        raise BadRequest(f"there is already {str(path)!r}", "choose another name")
    return path


def named_dataset(name: str) -> Path:
    """Raises BadRequest if it is no name of a file."""
    if NAME.fullmatch(name) is None:
        raise BadRequest(f"{name[:60]!r} is not a data set's name", "use a letter, then letters, digits, _ - and .")
    return evals_folder() / f"{name}{ENDING}"


def read_lines(file: Path) -> list[Line]:
    """As they are, in order. Raises BadRequest, with file and line."""
    return [row for _, row in read_rows(file, Line, HINT)]


def write_lines(file: Path, lines: Iterable[Mapping[str, object]]) -> None:
    """All of them or none; a new file is readable by its owner only. Raises ExternalFailure."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ExternalFailure(f"{str(file.parent)!r} cannot be made: {error.strerror}", "check the folder") from error
    write_file(file, b"".join(msgspec.json.encode(each) + b"\n" for each in lines))


def evals_of() -> dict[Path, list[str]]:
    """Names of the evals by the file of their items; an eval with an error has none."""
    found = dict[Path, list[str]]()
    for name in eval_names():
        try:
            its = load_eval(name)
        except BadRequest:
            continue
        found.setdefault(its.data_file.resolve(), []).append(name)
    return found


def complete_dataset(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    return [each for each in dataset_names() if each.startswith(incomplete)]
