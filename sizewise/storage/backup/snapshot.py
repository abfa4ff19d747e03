"""Snapshot of a SQLite file: a consistent copy while others read and write it; knows few tables."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from sizewise.errors import StorageError
from sizewise.storage.database import LOCK_TIMEOUT_MS, translate_errors

PAGES_PER_STEP = 1_024
KEY_PREFIX = "key "
"""Of `data_keys.by`: a key of the local ring, whose id follows."""


def copy_database(source: Path, target: Path, progress: Callable[[int, int], None]) -> None:
    """Copies `source` to the new file `target` and checks the copy. `progress`: how many bytes of how many.

    The copy is of the moment at which this begins: the open read transaction keeps writers from restarting it, which
    without it happens at each of their commits. Raises StorageError.
    """
    url = f"file:{quote(str(source.absolute()))}?mode=rw"
    with translate_errors(str(source)), closing(_connect(url)) as read, closing(sqlite3.connect(target)) as written:
        written.execute("PRAGMA synchronous = OFF")  # the archive is what has to survive a power cut
        read.execute("BEGIN")
        (page_size,) = read.execute("PRAGMA page_size").fetchone()
        read.execute("SELECT count(*) FROM sqlite_master").fetchone()  # begins the snapshot

        def report(_: int, remaining: int, total: int) -> None:
            progress((total - remaining) * page_size, total * page_size)

        read.backup(written, pages=PAGES_PER_STEP, progress=report)
        found = [str(row[0]) for row in written.execute("PRAGMA quick_check(1)")]
    if found != ["ok"]:
        hint = "run `sizewise doctor`; `sqlite3 FILE .recover` saves what is readable"
        raise StorageError(f"the database {str(source)!r} is damaged: {found[0][:200]}", hint)


def schema_versions(file: Path) -> dict[str, int]:
    """The version of each component in a copy; empty if it has no schema."""
    return {str(room): int(version) for room, version in _rows(file, "schema_version", "SELECT room, version FROM {}")}


def wrapping_key_ids(file: Path) -> list[str]:
    """Ids of the encryption keys that wrap the data keys of a copy, in hex; without those of a key service."""
    found = {str(by) for (by,) in _rows(file, "data_keys", 'SELECT DISTINCT "by" FROM {}')}
    return sorted(each.removeprefix(KEY_PREFIX) for each in found if each.startswith(KEY_PREFIX))


def _rows(file: Path, table: str, query: str) -> list[tuple[str | int, ...]]:
    with translate_errors(str(file)), closing(sqlite3.connect(file)) as read:
        known = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
        if read.execute(known, (table,)).fetchone() is None:
            return []
        return read.execute(query.format(table)).fetchall()


def _connect(url: str) -> sqlite3.Connection:
    return sqlite3.connect(url, uri=True, isolation_level=None, timeout=LOCK_TIMEOUT_MS / 1_000)
