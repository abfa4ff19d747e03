"""Atomic file writes: readers, crashes and full disks see a file whole or not at all; knows no content.

A symbolic link is replaced, not followed. A killed process may leave a temporary file, `.NAME.xxxxxxxx.new`.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

WRITE_FAILURES = (errno.EIO, errno.ENOSPC, errno.EDQUOT)
NO_HARD_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK)
"""Errors of file systems without hard links."""


def write_file_atomically(path: Path, data: bytes, mode: int = 0o666) -> None:
    """Replaces or creates `path`. It is on disk, with its name, when this returns.

    `mode`: permissions of a new file, less the umask; a file that is replaced passes on its own. Raises OSError: then
    `path` is as it was.
    """
    write_files_atomically({path: data}, mode)


def write_files_atomically(files: Mapping[Path, bytes], mode: int = 0o666) -> None:
    """Each as `write_file_atomically`, all of them or none, unless a rename fails: no file is renamed before all are
    on disk.
    """
    temporaries: dict[Path, Path] = {}
    try:
        for path, data in files.items():
            temporaries[path] = _temporary_name(path)
            _write_temporary(temporaries[path], data, mode, like=path)
        for path, temporary in temporaries.items():
            os.replace(temporary, path)
    finally:
        for temporary in temporaries.values():
            temporary.unlink(missing_ok=True)
    for folder in {path.parent for path in files}:
        sync_folder(folder)


def create_file_atomically(path: Path, data: bytes, mode: int) -> None:
    """As `write_file_atomically`, but raises FileExistsError if there is a `path`, and leaves it as it is.

    Where the file system has no hard links, two processes that create the same file at once may replace it.
    """
    if os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    temporary = _temporary_name(path)
    try:
        _write_temporary(temporary, data, mode)
        _link(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


@contextmanager
def open_file_atomically(path: Path, mode: int, *, replace: bool) -> Iterator[BinaryIO]:
    """A new file that becomes `path` when the block ends, and vanishes if it raises.

    It is on disk, with its name, after the block. `mode`: its permissions, less the umask, also if it replaces another
    file. Without `replace` it raises FileExistsError as `create_file_atomically` does, before the block too.
    """
    if not replace and os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    temporary = _temporary_name(path)
    try:
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if replace:
            os.replace(temporary, path)
        else:
            _link(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def _link(temporary: Path, path: Path) -> None:
    """Raises FileExistsError if there is a `path`."""
    try:
        os.link(temporary, path)
    except OSError as error:
        if error.errno not in NO_HARD_LINKS:
            raise
        os.replace(temporary, path)


def _temporary_name(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")


def _write_temporary(path: Path, data: bytes, mode: int, like: Path | None = None) -> None:
    """Creates `path` and waits until it is on disk. `like`: its permissions instead of `mode`, if it exists."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        if like is not None:
            with suppress(FileNotFoundError):
                os.fchmod(file.fileno(), stat.S_IMODE(like.stat().st_mode))
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Without it a power failure may lose the name. Some file systems cannot, and some folders may not be opened."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno in WRITE_FAILURES:
            raise
    finally:
        os.close(descriptor)
