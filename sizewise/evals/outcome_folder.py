"""Outcome folder: prompts and outcomes as files, appended answer by answer, so that a killed run loses none of them.

It holds `prompts.jsonl`, `outcomes.jsonl` (both as `read_dataset` reads them) and `run.json`, which says how the
answers were made: a run that would make others is refused. One process writes at a time.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

import msgspec
from msgspec import Struct

from sizewise.atomic_file import write_file_atomically
from sizewise.catalog.file_lock import file_lock
from sizewise.errors import BadRequest, Conflict, ExternalFailure
from sizewise.evals.dataset_files import read_rows
from sizewise.evals.outcomes import RecordedOutcome
from sizewise.evals.prompt_files import ScoredPrompt, encode_prompts

PRIVATE = 0o600
"""Permissions of a new file: it holds prompts and answers."""


class OutcomeRun(Struct, frozen=True):
    """How answers are made and scored. All answers of a folder are made alike; models may be added."""

    prompts_digest: str  # SHA-256 of prompts.jsonl
    max_tokens: int  # of an answer
    system: str = ""
    judge: str = ""  # the model that scores; empty: none does


class OutcomeFolder:
    """Open it with `open_folder`. `done`: (model, prompt_id) of the outcomes it holds."""

    def __init__(self, path: Path, file: BinaryIO, done: set[tuple[str, str]]) -> None:
        self.path = path
        self.done = done
        self._file = file

    def append(self, outcome: RecordedOutcome) -> None:
        """It is on disk when this returns. Raises ExternalFailure if it cannot be written."""
        try:
            self._file.write(msgspec.json.encode(outcome) + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise _unwritable(self.path, error) from error
        self.done.add((outcome.model, str(outcome.prompt_id)))


@asynccontextmanager
async def open_folder(path: Path, prompts: tuple[ScoredPrompt, ...], run: OutcomeRun) -> AsyncIterator[OutcomeFolder]:
    """Creates the folder, or continues it. A last line that a crash cut off is dropped.

    Raises Conflict if it has other prompts, was made otherwise, or is being written by another process; BadRequest for
    a damaged file; ExternalFailure if it cannot be written.
    """

    def refuse() -> None:
        raise Conflict(f"another run is writing to {str(path)!r}", "wait for it, or use another folder")

    async with file_lock(path / ".lock", refuse):
        with _prepared(path, prompts, run) as file:
            yield OutcomeFolder(path, file, finished(path))


def finished(path: Path) -> set[tuple[str, str]]:
    """(model, prompt_id) of the outcomes in a folder; empty if there is no such folder. Raises BadRequest."""
    file = path / "outcomes.jsonl"
    if not file.is_file():
        return set()
    return {(row.model, str(row.prompt_id)) for _, row in read_rows(file, RecordedOutcome)}


def digest_of(prompts: tuple[ScoredPrompt, ...]) -> str:
    return sha256(encode_prompts(prompts)).hexdigest()


def check_run(path: Path, run: OutcomeRun) -> None:
    """Raises Conflict if the folder's answers were made otherwise; nothing if there is no such folder."""
    note, known = path / "run.json", path / "prompts.jsonl"
    if not note.is_file():
        others = known.is_file() and sha256(known.read_bytes()).hexdigest() != run.prompts_digest
        if others or (path / "outcomes.jsonl").exists():
            raise Conflict(f"{str(path)!r} holds prompts or outcomes from elsewhere", "use another folder: -o FOLDER")
        return
    try:
        before = msgspec.json.decode(note.read_bytes(), type=OutcomeRun)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"{str(note)!r} is damaged: {error}", "use another folder: -o FOLDER") from error
    for name in OutcomeRun.__struct_fields__:
        old, new = getattr(before, name), getattr(run, name)
        if old != new:
            what = "other prompts" if name == "prompts_digest" else f"answers made with {name} {old!r}, not {new!r}"
            raise Conflict(f"{str(path)!r} holds {what}", "use another folder: -o FOLDER")


def _prepared(path: Path, prompts: tuple[ScoredPrompt, ...], run: OutcomeRun) -> BinaryIO:
    """outcomes.jsonl at its end; the other files exist."""
    check_run(path, run)
    try:
        if not (path / "run.json").is_file():
            shown = msgspec.json.format(msgspec.json.encode(run)) + b"\n"
            write_file_atomically(path / "prompts.jsonl", encode_prompts(prompts), PRIVATE)
            write_file_atomically(path / "run.json", shown, PRIVATE)
        file = open(os.open(path / "outcomes.jsonl", os.O_RDWR | os.O_CREAT, PRIVATE), "r+b")  # noqa: SIM115  # the caller closes it
        file.truncate(_whole_lines(file))
        file.seek(0, os.SEEK_END)
    except OSError as error:
        raise _unwritable(path, error) from error
    return file


def _whole_lines(file: BinaryIO) -> int:
    """Bytes up to the end of the last whole line."""
    end = file.seek(0, os.SEEK_END)
    while end:
        begin = max(0, end - 65_536)
        file.seek(begin)
        at = file.read(end - begin).rfind(b"\n")
        if at >= 0:
            return begin + at + 1
        end = begin
    return 0


def _unwritable(path: Path, error: OSError) -> ExternalFailure:
    return ExternalFailure(f"{str(path)!r} cannot be written: {error.strerror}", "check its permissions and free space")
