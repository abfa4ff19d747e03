"""Result file: results of batches by key, appended one by one, so that a job that was stopped continues; reads none.

A line holds a key and the result in base64. A last line that was cut off is dropped.
"""

from __future__ import annotations

import fcntl
import os
import time
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

MAX_AGE_S = 7 * 86_400
"""A job that was stopped and not continued for so long is forgotten."""


class ResultFile(MutableMapping[str, bytes]):
    """A result is on disk when it is set. If the disk is full it is kept in memory alone."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._known = dict(_read(file))

    def __getitem__(self, key: str) -> bytes:
        return self._known[key]

    def __setitem__(self, key: str, result: bytes) -> None:
        self._known[key] = result
        with suppress(OSError):
            self._file.write(key.encode() + b" " + b64encode(result) + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())

    def __delitem__(self, key: str) -> None:
        del self._known[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)


@contextmanager
def open_results(folder: Path, job: str) -> Iterator[MutableMapping[str, bytes]]:
    """The results of the job's earlier call, if one was stopped. The file is deleted when the block ends without an
    error, and so are those of jobs that were given up. In memory alone where the folder cannot be written, or while
    another process does the same job.
    """
    file = _opened(folder, job)
    if file is None:
        yield {}
        return
    with file:
        yield ResultFile(file)
        (folder / f"{job}.results").unlink(missing_ok=True)


def _opened(folder: Path, job: str) -> BinaryIO | None:
    path = folder / f"{job}.results"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for old in folder.glob("*.results"):
            if time.time() - old.stat().st_mtime > MAX_AGE_S:
                old.unlink(missing_ok=True)
        file = open(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b")  # noqa: SIM115  # the caller closes it
    except OSError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file


def _read(file: BinaryIO) -> Iterator[tuple[str, bytes]]:
    """Leaves the file at the end of its last whole line; a damaged line is as if it were not there."""
    content = file.read()
    whole = content.rfind(b"\n") + 1
    file.seek(whole)
    file.truncate()
    for line in content[:whole].splitlines():
        key, _, data = line.partition(b" ")
        with suppress(Base64Error, UnicodeDecodeError):
            yield key.decode(), b64decode(data, validate=True)
