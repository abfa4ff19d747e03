"""A log file that several processes append to, rotated by the one that finds it full; knows no format and no level."""

from __future__ import annotations

import fcntl
import logging
import os
import sys
from contextlib import suppress
from pathlib import Path

from sizewise.errors import ConfigError


class LogFileHandler(logging.Handler):
    """Writes each line by one append, so that lines of processes do not mix. Follows a file that was moved away.

    A line that cannot be written goes to stderr.
    """

    def __init__(self, path: Path, max_bytes: int, keep_files: int) -> None:
        """`max_bytes`: 0: never rotated."""
        super().__init__()
        self.path = path
        self._max_bytes = max_bytes
        self._keep_files = keep_files
        self._descriptor = -1

    def emit(self, record: logging.LogRecord) -> None:
        line = f"{self.format(record)}\n".encode("utf-8", "replace")
        try:
            size = self._open()
            if self._max_bytes and size and size + len(line) > self._max_bytes:
                self._rotate()
            os.write(self._descriptor, line)
        except OSError as error:
            sys.stderr.write(f"cannot write the log {str(self.path)!r}: {error.strerror}\n{line.decode()}")

    def close(self) -> None:
        with suppress(OSError):
            os.close(self._descriptor)
        self._descriptor = -1
        super().close()

    def _open(self) -> int:
        """Opens the file of this name, if it is not that which is open. Returns its size."""
        if self._descriptor >= 0 and self._is_current():
            return os.fstat(self._descriptor).st_size
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        self._descriptor = open_log(self.path)
        return os.fstat(self._descriptor).st_size

    def _is_current(self) -> bool:
        mine = os.fstat(self._descriptor)
        try:
            named = os.stat(self.path)
        except FileNotFoundError:
            return False
        return (mine.st_ino, mine.st_dev) == (named.st_ino, named.st_dev)

    def _rotate(self) -> None:
        """Only one of the processes that find the file full renames it: the others see that it is another one."""
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)  # until the descriptor is closed
        if self._is_current():
            for number in range(self._keep_files - 1, 0, -1):
                with suppress(FileNotFoundError):
                    os.replace(_numbered(self.path, number), _numbered(self.path, number + 1))
            os.replace(self.path, _numbered(self.path, 1))
        self._open()


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")


def open_log(path: Path) -> int:
    """A descriptor that appends; the file is readable by its owner only. Raises OSError."""
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


def check_log_file(path: Path) -> None:
    """Raises ConfigError if the file cannot be appended to. Creates none."""
    folder = path.parent
    if path.is_dir():
        problem = "it is a folder"
    elif path.exists():
        problem = "" if os.access(path, os.W_OK) else "it is not writable"
    elif not folder.is_dir():
        problem = "its folder does not exist"
    else:
        problem = "" if os.access(folder, os.W_OK | os.X_OK) else "its folder is not writable"
    if problem:
        hint = "give `logs.file` a path that the server may write, or leave it out: the log goes to stderr"
        raise ConfigError(f"the log cannot be written to {str(path)!r}: {problem}", hint)
