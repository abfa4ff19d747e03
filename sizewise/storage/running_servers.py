"""Registry of this user's running servers: a small file for each, by which commands find its home; holds no secret.

The files are in the user's state folder and not in XDG_RUNTIME_DIR: that one is missing in cron, and emptied when the
user logs out, while a server goes on. What a killed server left there, a reader ignores and the next start deletes.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import Struct
from platformdirs import user_state_path

from sizewise.atomic_file import write_file_atomically
from sizewise.process import is_same_process, process_identity

MAX_ENTRY_BYTES = 65_536


class RunningServer(Struct, frozen=True):
    """`process`: as `process_identity` gives it. `started`: unix seconds."""

    home: str
    url: str
    pid: int
    process: str
    host: str
    started: int


def register_server(home: Path, url: str) -> Path | None:
    """Enters the server of this process, and deletes what killed servers of this machine left. None if the folder
    cannot be used: then commands find the server by its home alone.
    """
    folder = _folder()
    try:
        if not folder.is_absolute():  # a user without a home directory
            return None
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _is_ours_alone(folder):
            return None
        _delete_stale(folder)
        pid = os.getpid()
        found = RunningServer(
            home=str(home),
            url=url,
            pid=pid,
            process=process_identity(pid),
            host=os.uname().nodename,
            started=int(time.time()),
        )
        # One name for one run, so that a late deletion never takes the file of the server that came after.
        path = folder / f"{pid}-{hashlib.sha256(os.fsencode(home)).hexdigest()[:12]}.json"
        write_file_atomically(path, msgspec.json.encode(found), 0o600)
    except (OSError, UnicodeError):  # a home whose name is not UTF-8
        return None
    return path


def unregister_server(entry: Path | None) -> None:
    if entry is not None:
        with suppress(OSError):
            entry.unlink()


def running_servers() -> list[RunningServer]:
    """Of this user on this machine, by their homes; without those that were killed."""
    folder = _folder()
    try:
        found = [each for _, each in _entries(folder) if is_same_process(each.pid, each.process)]
    except OSError:
        return []
    return sorted(found, key=lambda each: each.home)


def is_server_running(home: Path) -> bool:
    """By the note in the home, which a server without a registry writes too."""
    try:
        note = msgspec.json.decode((home / "server.json").read_bytes(), type=_Note)
    except (OSError, msgspec.DecodeError):
        return False
    return is_same_process(note.pid, note.process)


class _Note(Struct):
    """Of server.json."""

    pid: int
    process: str = ""


def _folder() -> Path:
    return user_state_path("sizewise", appauthor=False) / "servers"


def _is_ours_alone(path: Path) -> bool:
    """Whether no other user can have written it: commands give their token to the server that it names."""
    found = path.stat()
    return found.st_uid == os.getuid() and not stat.S_IMODE(found.st_mode) & 0o022


def _entries(folder: Path) -> Iterator[tuple[Path, RunningServer]]:
    """Raises OSError if the folder cannot be read. A file that is no entry is skipped."""
    if not _is_ours_alone(folder):
        return
    for path in folder.glob("*.json"):
        with suppress(OSError, msgspec.DecodeError):
            if _is_ours_alone(path) and path.stat().st_size <= MAX_ENTRY_BYTES:
                yield path, msgspec.json.decode(path.read_bytes(), type=RunningServer)


def _delete_stale(folder: Path) -> None:
    """Those of this machine alone: a state folder may be shared by several, and by containers."""
    here, (boot, namespace) = os.uname().nodename, _place(process_identity(os.getpid()))
    for path, entry in _entries(folder):
        its_boot, its_namespace = _place(entry.process)
        can_tell = entry.host == here and (its_boot != boot or its_namespace == namespace)
        if can_tell and not is_same_process(entry.pid, entry.process):
            with suppress(OSError):
                path.unlink()


def _place(process: str) -> tuple[str, str]:
    """Boot and process namespace of an identity."""
    boot, namespace, *_ = *process.split(), "", ""
    return boot, namespace
