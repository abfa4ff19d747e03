"""Creates a backup of a home, also while its server runs: databases as snapshots, other files as they are."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Literal

from msgspec import Struct

from sizewise import __version__
from sizewise.atomic_file import open_file_atomically
from sizewise.errors import BadRequest, Conflict, ExternalFailure
from sizewise.storage.backup import state_files
from sizewise.storage.backup.archive import describe_file, write_archive
from sizewise.storage.backup.manifest import FORMAT, VERSION, KeyPlace, Manifest, PassagesPlace
from sizewise.storage.backup.snapshot import copy_database, schema_versions, wrapping_key_ids
from sizewise.storage.home_lock import locked_home

Progress = Callable[[str, int, int], None]
"""Called with what is done now, and how many bytes of how many are done in it."""
SPARE_BYTES = 16_000_000


class HomeState(Struct, frozen=True, kw_only=True):
    """Where the state of a home is. `settings_file`, and `project` with the folders `flows`, `prompts`, `evals`: they
    may be elsewhere, and go into the home at a restore. `uses_postgres`: the database is there. `key_is_elsewhere`: by
    [encryption].
    """

    home: Path
    settings_file: Path | None
    project: Path
    uses_postgres: bool
    key_is_elsewhere: bool


def create_backup(target: Path, state: HomeState, *, with_key: bool, replace: bool, progress: Progress) -> Manifest:
    """Writes the backup to `target`, readable by its owner only; whole, or not at all.

    Passages are in it if no server uses the home, since their store cannot be copied while it is written. Raises
    BadRequest (nothing to back up), Conflict (`target` exists), ExternalFailure (disk), StorageError (damage).
    """
    if not replace and os.path.lexists(target):
        raise Conflict(f"{str(target)!r} exists already", "choose another name, or replace it with --force")
    if target.is_dir():
        raise BadRequest(f"{str(target)!r} is a folder", f"name a file in it, such as {target / 'sizewise.tar'}")
    if not state_files.state_entries(state.home):
        raise BadRequest(f"there is nothing to back up in {str(state.home)!r}", "name the home folder with --home DIR")
    try:
        with ExitStack() as opened:
            _require_room(target, state)
            sources, passages = _plain_files(state, with_key), _passages(opened, state.home)
            sources |= passages[1]
            folder = opened.enter_context(_temporary_folder(target))
            sources |= _snapshots(state.home, folder, progress)
            manifest = _describe(state, sources, passages[0], with_key, progress)
            done = 0

            def report(count: int) -> None:
                nonlocal done
                done += count
                progress("writing", done, manifest.total_bytes)

            with open_file_atomically(target, 0o600, replace=replace) as file:
                write_archive(file, manifest, sources, report)
    except FileExistsError as error:
        raise Conflict(f"{str(target)!r} exists already", "choose another name, or replace it with --force") from error
    except OSError as error:
        hint = "choose another file, or free space on its disk"
        raise ExternalFailure(f"cannot write {str(target)!r}: {error.strerror or error}", hint) from error
    return manifest


def _plain_files(state: HomeState, with_key: bool) -> dict[str, Path]:
    """Files that are replaced whole when they change, by their names in the archive; each may be a link."""
    found: dict[str, Path] = {}
    for name in state_files.FILES:
        if name not in state_files.DATABASES and (with_key or name != state_files.KEY):
            found[name] = state.home / name
    if state.settings_file is not None:
        found[state_files.SETTINGS] = state.settings_file
    for folder in state_files.PROJECT_FOLDERS:
        found |= {name: state.project / name for name in state_files.files_below(state.project, folder)}
    tuned = state_files.files_below(state.home, state_files.TUNING)
    found |= {name: state.home / name for name in tuned if name.endswith(state_files.TUNED_FILES)}
    return {name: path for name, path in found.items() if path.is_file()}


def _passages(opened: ExitStack, home: Path) -> tuple[PassagesPlace, dict[str, Path]]:
    """The files of the passages. `opened` keeps a server from starting while they are read."""
    if not any(state_files.files_below(home, state_files.PASSAGES)):
        return "none", {}
    try:
        opened.enter_context(locked_home(home))
    except ExternalFailure:
        return "left out", {}
    return "included", {name: home / name for name in state_files.files_below(home, state_files.PASSAGES)}


def _snapshots(home: Path, folder: Path, progress: Progress) -> dict[str, Path]:
    """The engine's database first: runs that began in between are in the other one, and are started from there."""
    found = [name for name in reversed(state_files.DATABASES) if (home / name).is_file()]
    for name in found:
        copy_database(home / name, folder / name, partial(progress, name))
    return {name: folder / name for name in found}


def _describe(
    state: HomeState, sources: dict[str, Path], passages: PassagesPlace, with_key: bool, progress: Progress
) -> Manifest:
    whole, done = sum(path.stat().st_size for path in sources.values()), 0

    def report(count: int) -> None:
        nonlocal done
        done += count
        progress("reading", done, whole)

    database = sources.get(state_files.DATABASE)
    kind: Literal["sqlite", "postgres", "none"] = "none" if database is None else "sqlite"
    return Manifest(
        format=FORMAT,
        version=VERSION,
        sizewise=__version__,
        created=time.time_ns() // 1_000_000,
        database="postgres" if state.uses_postgres else kind,
        schemas={} if database is None else schema_versions(database),
        key=_key_place(state, with_key),
        key_ids=[] if database is None else wrapping_key_ids(database),
        passages=passages,
        settings_file=_outside(state),
        files=[describe_file(name, path, report) for name, path in sorted(sources.items(), key=_databases_last)],
    )


def _outside(state: HomeState) -> str:
    """The settings file, if it is not in the home."""
    file = state.settings_file
    return "" if file is None or file.parent == state.home else str(file)


def _databases_last(source: tuple[str, Path]) -> tuple[bool, str]:
    return source[0] in state_files.DATABASES, source[0]


def _key_place(state: HomeState, with_key: bool) -> KeyPlace:
    if state.key_is_elsewhere:
        return "elsewhere"
    if not (state.home / state_files.KEY).is_file():
        return "none"
    return "included" if with_key else "left out"


def _require_room(target: Path, state: HomeState) -> None:
    """The databases need room twice: as snapshots, and in the archive."""
    sizes = [path.stat().st_size for name in state_files.DATABASES if (path := state.home / name).is_file()]
    free = shutil.disk_usage(target.absolute().parent).free
    needed = 2 * sum(sizes) + SPARE_BYTES
    if free < needed:
        raise ExternalFailure(
            f"a backup needs {needed:,} bytes on the disk of {str(target)!r}, and {free:,} are free",
            "free some space, or write it to another disk",
        )


@contextmanager
def _temporary_folder(target: Path) -> Iterator[Path]:
    folder = target.with_name(f".{target.name}.{secrets.token_hex(4)}.parts")
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
