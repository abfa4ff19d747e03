"""Lock of a home folder: one process uses it at a time; knows nothing of what lies in it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sizewise.errors import ExternalFailure

LOCK_FILE = "server.lock"


@contextmanager
def locked_home(home: Path) -> Iterator[None]:
    """Locks the home until the process ends, even if it crashes. Raises ExternalFailure."""
    path = home / LOCK_FILE
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        hint = "make it writable, or choose another home folder with --home DIR"
        raise ExternalFailure(f"cannot use the home folder {str(home)!r}: {error.strerror}", hint) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.read(descriptor, 20).decode("ascii", "replace").strip() or "unknown"
        os.close(descriptor)
        hint = f"stop that process (kill {holder}), or choose another home folder with --home DIR"
        raise ExternalFailure(
            f"another Sizewise, process {holder}, uses the home folder {str(home)!r}", hint
        ) from error
    try:
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
        except OSError as error:
            hint = "free space on its disk, or choose another home folder with --home DIR"
            raise ExternalFailure(f"cannot write {str(path)!r}: {error.strerror}", hint) from error
        yield
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)
