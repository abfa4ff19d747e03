"""File lock between processes, released by the system when the holder dies."""

from __future__ import annotations

import asyncio
import fcntl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from sizewise.errors import ExternalFailure

RETRY_INTERVAL_S = 0.1  # seconds between two tries


@asynccontextmanager
async def file_lock(path: Path, on_wait: Callable[[], None] = lambda: None) -> AsyncIterator[None]:
    """Holds the lock at `path`, after its present holder; `on_wait` is called once when there is one.

    The file stays: deleting it would let two processes hold two files of one name. Outside when it cannot be made.
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
            while not _try_lock(file.fileno()):  # noqa: ASYNC110  # another process holds it: no event of ours
                await asyncio.sleep(RETRY_INTERVAL_S)
        yield


def _try_lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
