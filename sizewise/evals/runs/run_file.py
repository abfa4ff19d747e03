"""Run file: what a target answered to each item and how it scored, a JSON object a line, appended answer by answer.

The first line says how the run was made. A killed run loses no whole line; its cut last one is dropped.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import msgspec
from msgspec import Struct

from sizewise.errors import BadRequest, ExternalFailure
from sizewise.evals.runs.item_scorers import Score

PRIVATE = 0o600
"""Permissions of a new file: it holds answers."""
FORMAT = 1
ENDING = ".jsonl"


class RunHead(Struct, frozen=True, kw_only=True):
    """How a run was made. `planned`: its results, items times repeats."""

    format: int = FORMAT
    eval: str
    target: str
    started: str
    data: str
    scoring: str
    scorers: dict[str, str]
    repeat: int
    planned: int


class ItemResult(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One answer. `error`: the target gave none; then every score is missing. `cost`: pico-dollars, judges included;
    None: unknown.
    """

    item: str
    digest: str
    repeat: int
    cluster: str
    tags: tuple[str, ...] = ()
    weight: float = 1.0
    scores: dict[str, Score] = {}
    output: str = ""
    calls: tuple[tuple[str, str], ...] = ()
    tokens: int = 0
    seconds: float = 0.0
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
    results = list[ItemResult]()
    for number, line in enumerate(lines[1:], 2):
        try:
            results.append(msgspec.json.decode(line, type=ItemResult))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BadRequest(f"{str(file)!r}, line {number}: {error}", "remove the line, or run it again") from error
    return EvalRun(head, tuple(results), file.stem)


class RunWriter:
    """Open it with `open_run`."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path = path
        self._file = file

    def append(self, line: RunHead | ItemResult) -> None:
        """It is on disk when this returns. Raises ExternalFailure if it cannot be written."""
        try:
            self._file.write(msgspec.json.encode(line) + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise _unwritable(self.path, error) from error


@contextmanager
def open_run(path: Path, head: RunHead) -> Iterator[RunWriter]:
    """Creates the file with its head, or continues it. Raises ExternalFailure if it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        keep_out = path.parent.parent / ".gitignore"
        if not keep_out.exists():
            keep_out.write_text("*\n")
        file = open(os.open(path, os.O_RDWR | os.O_CREAT, PRIVATE), "r+b")  # noqa: SIM115  # closed below
    except OSError as error:
        raise _unwritable(path, error) from error
    with file:
        whole = file.read().rfind(b"\n") + 1
        file.seek(whole)
        file.truncate()
        writer = RunWriter(path, file)
        if not whole:
            writer.append(head)
        yield writer


def _unwritable(path: Path, error: OSError) -> ExternalFailure:
    return ExternalFailure(f"{str(path)!r} cannot be written: {error.strerror}", "check its permissions and free space")
