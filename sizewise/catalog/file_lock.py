"""File lock between processes, released by the system when the holder dies."""

from __future__ import annotations

import asyncio
import fcntl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from sizewise.errors import ExternalFailure

RETRY_INTERVAL_S = 0.1  # seconds


@asynccontextmanager
async def file_lock(path: Path, on_wait: Callable[[], None] = lambda: None) -> AsyncIterator[None]:
    """Waits for the lock at `path` and holds it; `on_wait` is called once if another process has it.

    The file is never deleted: then two processes could lock two files of the same name. Raises ExternalFailure if it
    cannot be created.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("ab")
    except OSError as why:
        raise ExternalFailure(
            f"{str(path.parent)!r} cannot be written: {why.strerror}",
            "Check its permissions.",
        ) from why
    with file:
        if not _try_lock(file.fileno()):
            on_wait()
            while not _try_lock(file.fileno()):  # noqa: ASYNC110  # held by another process: there is no event to await
                await asyncio.sleep(RETRY_INTERVAL_S)
        yield


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock at `path`. It may be otherwise when this returns."""
    try:
        with path.open("rb") as file:
            return not _try_lock(file.fileno())
    except OSError:
        return False


def _try_lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
