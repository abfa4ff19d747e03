"""Archive of a backup: a tar file of plain files behind their manifest, each checked when it is read; knows no home."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO

import msgspec

from sizewise.errors import BadRequest, ExternalFailure
from sizewise.storage.backup.manifest import MANIFEST, MAX_BYTES, ArchivedFile, Manifest, decode_manifest

BLOCK_BYTES = 1 << 20
REGULAR = (tarfile.REGTYPE, tarfile.AREGTYPE)
DAMAGED = "the file is damaged or was cut off: use another backup"
OnBytes = Callable[[int], None]
"""Called with the bytes of each block that was read."""


def describe_file(name: str, path: Path, on_bytes: OnBytes) -> ArchivedFile:
    """The manifest's line for a file on disk. Raises OSError."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        for block in _blocks(file):
            digest.update(block)
            size += len(block)
            on_bytes(len(block))
    return ArchivedFile(name, size, digest.hexdigest())


def write_archive(target: BinaryIO, manifest: Manifest, sources: Mapping[str, Path], on_bytes: OnBytes) -> None:
    """`sources`: the path of each file of the manifest, by its name.

    Raises OSError, and ExternalFailure if a file is not any more what the manifest says.
    """
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as tar:
        data = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
        tar.addfile(_member(MANIFEST, len(data), manifest), io.BytesIO(data))
        for each in manifest.files:
            with sources[each.name].open("rb") as file:
                copied = _Copied(file, on_bytes)
                try:
                    tar.addfile(_member(each.name, each.bytes, manifest), copied)
                except OSError as error:
                    if error.errno is None:  # tarfile's own: the file is shorter than it was
                        raise _changed(each.name) from error
                    raise
            if copied.digest.hexdigest() != each.sha256:
                raise _changed(each.name)


class Archive:
    """An open backup. Its members can be read once, in their order."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        """Raises BadRequest if its first member is not a manifest that this release reads."""
        self._tar = tar
        first = self._next()
        if first is None or first.name != MANIFEST or first.type not in REGULAR or first.size > MAX_BYTES:
            raise BadRequest("it does not begin with a manifest", "name a file that `sizewise backup` wrote")
        self.manifest = decode_manifest(b"".join(self._content(first)))

    def files(self) -> Iterator[tuple[ArchivedFile, Iterator[bytes]]]:
        """Each file with its content, which has to be read to its end before the next one.

        Raises BadRequest: a member that is not in the manifest, or no plain file; another size or SHA-256; one that is
        missing.
        """
        left = {each.name: each for each in self.manifest.files}
        while (member := self._next()) is not None:
            wanted = left.pop(member.name, None)
            if wanted is None or member.type not in REGULAR:
                raise BadRequest(
                    f"it holds {member.name[:100]!r}, which its manifest does not list as a plain file",
                    "do not restore it: it was altered",
                )
            if member.size != wanted.bytes:
                raise BadRequest(f"{wanted.name!r} in it has {member.size:,} bytes, not {wanted.bytes:,}", DAMAGED)
            yield wanted, self._checked(member, wanted)
        if left:
            raise BadRequest(f"{next(iter(left))!r} is missing in it", DAMAGED)

    def _next(self) -> tarfile.TarInfo | None:
        try:
            return self._tar.next()
        except (tarfile.TarError, OSError, ValueError, EOFError) as error:
            raise BadRequest("it cannot be read to its end", DAMAGED) from error

    def _checked(self, member: tarfile.TarInfo, wanted: ArchivedFile) -> Iterator[bytes]:
        digest = hashlib.sha256()
        for block in self._content(member):
            digest.update(block)
            yield block
        if digest.hexdigest() != wanted.sha256:
            raise BadRequest(f"{wanted.name!r} in it is not what was written: its SHA-256 differs", DAMAGED)

    def _content(self, member: tarfile.TarInfo) -> Iterator[bytes]:
        file = self._tar.extractfile(member)
        assert file is not None  # a plain file has a content
        try:
            yield from _blocks(file)
        except (tarfile.TarError, EOFError) as error:
            raise BadRequest(f"{member.name[:100]!r} in it cannot be read to its end", DAMAGED) from error


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Raises BadRequest if it is not a backup, or a damaged one; OSError if the file cannot be read."""
    try:
        with path.open("rb") as file:
            try:
                tar = tarfile.open(fileobj=file, mode="r:")  # noqa: SIM115 - closed below
            except (tarfile.TarError, EOFError) as error:
                hint = "name a file that `sizewise backup` wrote"
                raise BadRequest(f"{str(path)!r} is not a backup: it is no tar file", hint) from error
            with tar:
                try:
                    yield Archive(tar)
                except BadRequest as error:
                    raise BadRequest(f"{str(path)!r} cannot be restored: {error.message}", error.hint) from error
    except IsADirectoryError as error:
        raise BadRequest(f"{str(path)!r} is a folder", "name a file that `sizewise backup` wrote") from error
    except FileNotFoundError as error:
        raise BadRequest(f"there is no file {str(path)!r}", "name a file that `sizewise backup` wrote") from error


class _Copied(io.RawIOBase):
    """Reads a file, and counts and digests what is read."""

    def __init__(self, file: BinaryIO, on_bytes: OnBytes) -> None:
        self._file = file
        self._on_bytes = on_bytes
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        block = self._file.read(size)
        self.digest.update(block)
        self._on_bytes(len(block))
        return block


def _member(name: str, size: int, manifest: Manifest) -> tarfile.TarInfo:
    """Names no user of this machine."""
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = size, 0o600, manifest.created // 1_000
    return member


def _changed(name: str) -> ExternalFailure:
    return ExternalFailure(f"{name!r} was changed while it was backed up", "back up again")


def _blocks(file: IO[bytes]) -> Iterator[bytes]:
    while block := file.read(BLOCK_BYTES):
        yield block
