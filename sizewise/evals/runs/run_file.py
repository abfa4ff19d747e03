"""Run file: what a target answered to each item and how it scored, a JSON object a line, appended answer by answer.

The first line says how the run was made. A killed run loses no whole line; its cut last one is dropped. One process
writes it at a time. It may come from elsewhere, so its values are checked.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, BinaryIO

import msgspec
from msgspec import Meta, Struct

from sizewise.atomic_file import create_file_atomically
from sizewise.errors import BadRequest, ExternalFailure
from sizewise.evals.runs.eval_items import PlainLine
from sizewise.evals.runs.eval_spec import MEASURES
from sizewise.evals.runs.item_scorers import Score

PRIVATE = 0o600
"""Permissions of a new file: it holds answers."""
FORMAT = 1
ENDING = ".jsonl"

Count = Annotated[int, Meta(ge=0)]


class RunHead(Struct, frozen=True, kw_only=True):
    """How a run was made. `planned`: its results, items times repeats."""

    format: int = FORMAT
    eval: PlainLine
    target: PlainLine
    started: PlainLine
    data: str
    scoring: str
    scorers: dict[PlainLine, str]
    repeat: Annotated[int, Meta(ge=1)]
    planned: Annotated[int, Meta(ge=1)]
    prompt: PlainLine = ""  # ID@VERSION, if the target has one
    release: PlainLine = ""  # hash of the release that answered; empty: what was published


class ItemResult(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One answer. `error`: the target gave none; then every score is missing. `cost`: pico-dollars, judges included;
    None: unknown.
    """

    item: PlainLine
    digest: str
    repeat: Count
    cluster: str
    tags: tuple[str, ...] = ()
    weight: Annotated[float, Meta(gt=0)] = 1.0
    scores: dict[str, Score] = {}
    output: str = ""
    calls: tuple[tuple[str, str], ...] = ()
    tokens: int = 0
    seconds: Annotated[float, Meta(ge=0)] = 0.0
    cost: int | None = None
    error: str = ""


class EvalRun(Struct, frozen=True):
    """A run read from its file."""

    head: RunHead
    results: tuple[ItemResult, ...]
    name: str = ""

    @property
    def is_whole(self) -> bool:
        return len(self.answered) >= self.head.planned

    @property
    def answered(self) -> Mapping[tuple[str, int], ItemResult]:
        """The last result of each (item digest, repeat) that has an answer."""
        return {(each.digest, each.repeat): each for each in self.results if not each.error}


def read_run(file: Path) -> EvalRun:
    """Raises BadRequest, with file and line."""
    if not file.is_file():
        raise BadRequest(f"there is no run {str(file)!r}", "sizewise eval list shows the runs of each eval")
    lines = [line for line in file.read_bytes().split(b"\n")[:-1] if line.strip()]
    try:
        head = msgspec.json.decode(lines[0] if lines else b"", type=RunHead)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"{str(file)!r} is no eval run: {error}", "name a file that `eval run` wrote") from error
    if head.format != FORMAT:
        raise BadRequest(
            f"{str(file)!r} has format {head.format}, not {FORMAT}", "read it with the Sizewise that wrote it"
        )
    results = list[ItemResult]()
    for number, line in enumerate(lines[1:], 2):
        try:
            results.append(_result(line, head))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BadRequest(f"{str(file)!r}, line {number}: {error}", "remove the line, or run it again") from error
    return EvalRun(head, tuple(results), file.stem)


def _result(line: bytes, head: RunHead) -> ItemResult:
    found = msgspec.json.decode(line, type=ItemResult)
    if found.repeat >= head.repeat:
        raise msgspec.ValidationError(f"repeat {found.repeat} of {head.repeat}, counted from 0")
    for name, its in found.scores.items():
        if its.value is not None and its.value > 1 and head.scorers.get(name) not in MEASURES:
            raise msgspec.ValidationError(f"the score {name!r} is {its.value}, not in 0..1")
    return found


class RunWriter:
    """Open it with `open_run`."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path = path
        self._file = file

    def append(self, line: ItemResult) -> None:
        """It is on disk when this returns. Raises ExternalFailure if it cannot be written."""
        try:
            self._file.write(msgspec.json.encode(line) + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise _unwritable(self.path, error) from error


@contextmanager
def open_run(path: Path, head: RunHead) -> Iterator[RunWriter]:
    """Creates the file with its head, or continues it; no other process can until the block ends.

    Raises ExternalFailure if it cannot be written, or if another process writes it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        keep_out = path.parent.parent / ".gitignore"
        if not keep_out.exists():
            keep_out.write_text("*\n")
        with suppress(FileExistsError):
            create_file_atomically(path, msgspec.json.encode(head) + b"\n", PRIVATE)
        file = path.open("r+b")
    except OSError as error:
        raise _unwritable(path, error) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            hint = "wait for it, or start another run with --new"
            raise ExternalFailure(f"another command is writing the run {str(path)!r}", hint) from error
        whole = file.read().rfind(b"\n") + 1
        file.seek(whole)
        file.truncate()
        yield RunWriter(path, file)


def _unwritable(path: Path, error: OSError) -> ExternalFailure:
    return ExternalFailure(f"{str(path)!r} cannot be written: {error.strerror}", "check its permissions and free space")
