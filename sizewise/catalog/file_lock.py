"""One process at a time: a lock on a file, let go by the system when its holder dies; knows not what it protects."""

from __future__ import annotations

import asyncio
import fcntl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from sizewise.errors import Outside

AGAIN_S = 0.1  # seconds between two tries


@asynccontextmanager
async def alone(path: Path, waiting: Callable[[], None] = lambda: None) -> AsyncIterator[None]:
    """Holds the lock at `path`, after its present holder; `waiting` is called once when there is one.

    The file stays: deleting it would let two processes hold two files of one name. Outside when it cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("ab")
    except OSError as why:
        raise Outside(f"{str(path.parent)!r} cannot be written: {why.strerror}", "Check its permissions.") from why
    with file:
        if not _taken(file.fileno()):
            waiting()
            while not _taken(file.fileno()):  # noqa: ASYNC110  # another process holds it: no event of ours
                await asyncio.sleep(AGAIN_S)
        yield


def _taken(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
