"""Restores a home from a backup: checked whole before anything changes, and then all of it or nothing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct

from sizewise.errors import Conflict, ExternalFailure
from sizewise.storage.backup import state_files
from sizewise.storage.backup.archive import Archive, open_archive
from sizewise.storage.backup.create import SPARE_BYTES, Progress
from sizewise.storage.backup.manifest import ArchivedFile, Manifest, require_readable
from sizewise.storage.backup.staged_restore import REPLACED, commit_staged, finish_restore, stage_files
from sizewise.storage.home_lock import locked_home


class Restored(Struct, frozen=True):
    """`replaced`: the folder in the home that holds the former state; None if there was none."""

    manifest: Manifest
    replaced: Path | None


def check_backup(file: Path, known: Mapping[str, int], progress: Progress) -> Manifest:
    """Reads all of it and writes nothing. `known`: version of each component that this release reads.

    Raises BadRequest (foreign, damaged or altered), StorageError (of a newer release), ExternalFailure (unreadable).
    """
    with _reading(file), open_archive(file) as archive:
        require_readable(archive.manifest, known)
        for _, content in _counted(archive, progress):
            for _ in content:
                pass
        return archive.manifest


def restore_backup(file: Path, home: Path, known: Mapping[str, int], *, force: bool, progress: Progress) -> Restored:
    """Raises what `check_backup` raises, ExternalFailure if the home is in use or its disk is full, and Conflict if the
    home is not empty. `force`: the former state is moved into a folder of the home instead.
    """
    with _reading(file), open_archive(file) as archive:
        require_readable(archive.manifest, known)
        if not force:
            _require_empty(home)
        with locked_home(home):
            finish_restore(home)
            if not force:
                _require_empty(home)  # again, now that no other process can fill it
            _require_room(home, archive.manifest)
            replaced = f"{REPLACED}{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}"
            try:
                stage_files(home, _counted(archive, progress), replaced)
                commit_staged(home)
            except OSError as error:
                raise ExternalFailure(
                    f"cannot write into the home folder {str(home)!r}: {error.strerror or error}",
                    "free space on its disk and make it writable; nothing was replaced",
                ) from error
            former = home / replaced
            return Restored(archive.manifest, former if former.is_dir() else None)


@contextmanager
def _reading(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ExternalFailure(
            f"cannot read {str(file)!r}: {error.strerror or error}", "check its permissions"
        ) from error


def _counted(archive: Archive, progress: Progress) -> Iterator[tuple[ArchivedFile, Iterator[bytes]]]:
    done, whole = 0, archive.manifest.total_bytes

    def watched(content: Iterator[bytes]) -> Iterator[bytes]:
        nonlocal done
        for block in content:
            done += len(block)
            progress("reading", done, whole)
            yield block

    for each, content in archive.files():
        yield each, watched(content)


def _require_empty(home: Path) -> None:
    found = [*state_files.state_entries(home), *state_files.other_entries(home)]
    if found:
        more = f" and {len(found) - 3} more" if len(found) > 3 else ""
        raise Conflict(
            f"the home folder {str(home)!r} is not empty: {', '.join(found[:3])}{more}",
            "restore into an empty one with --home DIR; or add --force, which moves the present state into a folder",
        )


def _require_room(home: Path, manifest: Manifest) -> None:
    needed, free = manifest.total_bytes + SPARE_BYTES, shutil.disk_usage(home).free
    if free < needed:
        raise ExternalFailure(
            f"the backup needs {needed:,} bytes in {str(home)!r}, and {free:,} are free",
            "free some space, or choose a home on another disk with --home DIR",
        )
