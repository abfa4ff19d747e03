"""Data sets of evals on disk: finds them by name, reads and writes their lines; samples nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import click
import msgspec

from sizewise.app.dataset_addition import named_dataset
from sizewise.app.eval_folder import dataset_files
from sizewise.cli.eval_files import eval_names, evals_folder, load_eval
from sizewise.cli.output import write_file
from sizewise.errors import BadRequest, ExternalFailure, did_you_mean
from sizewise.evals.dataset_files import ENDINGS


def dataset_names() -> list[str]:
    return list(dataset_files(evals_folder()))


def find_dataset(name: str) -> Path:
    """A name in the folder, or a file anywhere. Raises BadRequest."""
    if Path(name).suffix in ENDINGS or "/" in name:
        if Path(name).is_file():
            return Path(name)
        raise BadRequest(f"there is no file {name!r}", "sizewise dataset list shows the data sets")
    known = dataset_files(evals_folder())
    if name in known:
        return known[name]
    hint = did_you_mean(name, list(known)) or ("sizewise dataset list" if known else "sizewise dataset add NAME FILE")
    raise BadRequest(f"there is no data set {name!r} in {str(evals_folder())!r}", hint)


def new_dataset(name: str) -> Path:
    """Its path. Raises BadRequest if there is one of this name, or it is none."""
    path = named_dataset(evals_folder(), name)
    if name in (known := dataset_files(evals_folder())):
        raise BadRequest(f"there is already {str(known[name])!r}", "choose another name")
    return path


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
