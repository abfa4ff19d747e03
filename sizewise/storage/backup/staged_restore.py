"""Staged restore: a whole state lies beside the old one and takes its place in one step, also across a crash.

The step is the renaming of STAGED to COMMITTED. Before it nothing has changed; after it, `finish_restore` moves each
entry into place, and whoever opens the home next does so again, until all are. The caller holds the lock of the home.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from sizewise.atomic_file import sync_folder
from sizewise.errors import ExternalFailure
from sizewise.storage.backup.manifest import ArchivedFile
from sizewise.storage.backup.state_files import STATE

STAGED = ".restore-staged"
"""One of state_files.TRANSIENT."""
COMMITTED = ".restore-committed"
PLAN = "plan.json"
REPLACED = "before-restore-"
"""With the time of the restore: the folder of the state that was replaced."""


class _Plan(Struct, frozen=True):
    """`entries`: the names of the new state. `replaced`: the folder that gets the old one."""

    entries: list[str]
    replaced: str


def stage_files(home: Path, files: Iterable[tuple[ArchivedFile, Iterator[bytes]]], replaced: str) -> None:
    """Writes `files` beside the state of the home, and waits until they are on disk. On an error nothing is left.

    `replaced`: the name of the folder that will get the old state. Raises what `files` raises, and OSError.
    """
    staged = home / STAGED
    discard_staged(home)
    staged.mkdir(mode=0o700)
    try:
        entries = dict[str, None]()
        for each, content in files:
            entries[each.name.partition("/")[0]] = None
            _write(staged / each.name, content)
        (staged / PLAN).write_bytes(msgspec.json.encode(_Plan(list(entries), replaced)))
        for folder, _, _ in os.walk(staged):
            sync_folder(Path(folder))
    except BaseException:
        discard_staged(home)
        raise


def commit_staged(home: Path) -> None:
    """From here on the staged state is that of the home."""
    os.rename(home / STAGED, home / COMMITTED)
    sync_folder(home)
    finish_restore(home)


def discard_staged(home: Path) -> None:
    """Removes what a restore that was interrupted before its step left."""
    shutil.rmtree(home / STAGED, ignore_errors=True)


def finish_restore(home: Path) -> None:
    """Moves a committed state into place, as far as that is not done; does nothing if there is none.

    Raises ExternalFailure.
    """
    committed = home / COMMITTED
    if not committed.is_dir():
        return
    try:
        _move_into_place(home, committed)
    except OSError as error:
        hint = "make it writable and free space on its disk: the next `sizewise up` finishes the restore"
        raise ExternalFailure(f"cannot finish the restore of {str(home)!r}: {error.strerror}", hint) from error


def _move_into_place(home: Path, committed: Path) -> None:
    if (committed / PLAN).exists():
        plan = msgspec.json.decode((committed / PLAN).read_bytes(), type=_Plan)
        for name in STATE:
            if name not in plan.entries or os.path.lexists(committed / name):
                _exchange(home, name, committed / name, home / plan.replaced)
        sync_folder(home)
        (committed / PLAN).unlink()
    shutil.rmtree(committed)


def _exchange(home: Path, name: str, new: Path, replaced: Path) -> None:
    """Moves the old entry away and the new one in, if there are any; whole also if it is done twice."""
    old = home / name
    if os.path.lexists(old):
        replaced.mkdir(mode=0o700, exist_ok=True)
        os.rename(old, replaced / name)
    if os.path.lexists(new):
        os.rename(new, old)


def _write(path: Path, content: Iterator[bytes]) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        for block in content:
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
