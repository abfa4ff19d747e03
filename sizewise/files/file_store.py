"""Store of uploaded files: written and read part by part, so that no file is ever in memory; knows no API."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor
from functools import partial
from typing import ParamSpec, TypeVar

import msgspec
from msgspec import Struct

from sizewise.errors import BodyTooLarge, StorageError
from sizewise.files import tables
from sizewise.principal import Principal
from sizewise.settings.storage import FilesSettings
from sizewise.storage.batch_writer import BatchWriter
from sizewise.storage.database import Database
from sizewise.storage.encryption import EnvelopeEncryption
from sizewise.storage.erasure import Caller
from sizewise.storage.row_pages import RowPage

PART_BYTES = 1024 * 1024
DAY_MS = 86_400_000
ID_PREFIX = "file-"

P = ParamSpec("P")
T = TypeVar("T")


class StoredFile(Struct, frozen=True):
    """One file without its content. Times in unix ms; `expires` is None if it stays until it is deleted."""

    number: int
    id: str
    name: str
    purpose: str
    created: int
    expires: int | None
    size: int  # bytes


class FileName(Struct, frozen=True, array_like=True):
    """The encrypted part of a row."""

    name: str


class FileStore:
    """Files of all projects. Every method raises StorageError and EncryptionKeyUnavailable."""

    def __init__(
        self,
        *,
        encryption: EnvelopeEncryption,
        database: Database,
        writer: BatchWriter,
        executor: Executor,
        settings: FilesSettings,
    ) -> None:
        """`executor` runs encryption, which may take seconds."""
        self._encryption = encryption
        self._database = database
        self._writer = writer
        self._executor = executor
        self._settings = settings

    async def begin(
        self, principal: Principal, name: str, expected_bytes: int = 0, max_bytes: int | None = None
    ) -> FileUpload:
        """A file that is hidden until `finish`. Raises BodyTooLarge if `expected_bytes` more do not fit. `max_bytes`:
        None: as `max_file_bytes` of the settings says.
        """
        id, now = f"{ID_PREFIX}{secrets.token_hex(12)}", _now()
        plain = msgspec.msgpack.encode(FileName(name))
        where = f"{principal.project}/{id}"
        sealed = await self._run(self._encryption.encrypt, plain, principal.tenant, tables.FILES_NAME, where)
        caller = Caller(principal.key_id, principal.user_id)

        await self._writer.run_transaction(
            lambda c: tables.insert_upload(
                c,
                principal.tenant,
                principal.project,
                id,
                now,
                sealed,
                caller,
                partial(self._check_room, expected_bytes, 1),
            )
        )
        most = self.max_file_bytes if max_bytes is None else max_bytes
        return FileUpload(self, principal.tenant, principal.project, id, max_bytes=most)

    async def find(self, id: str, tenant: str, project: str) -> StoredFile | None:
        """None if the project has no such file, or it has expired."""
        look = partial(tables.find_file, tenant=tenant, project=project, id=id, now=_now(), oldest=self._oldest())
        row = await self._database.read_in_thread(look)
        return None if row is None else await self._run(self._opened, row, tenant, project)

    async def list_files(self, tenant: str, project: str, page: RowPage, *, purpose: str = "") -> list[StoredFile]:
        """`purpose`: empty for all."""
        look = partial(
            tables.list_files,
            tenant=tenant,
            project=project,
            now=_now(),
            oldest=self._oldest(),
            purpose=purpose,
            page=page,
        )
        rows = await self._database.read_in_thread(look)
        return await self._run(lambda: [self._opened(row, tenant, project) for row in rows])

    async def read(self, file: StoredFile, tenant: str) -> AsyncIterator[bytes]:
        """The content, at most PART_BYTES at a time. Raises StorageError if it is deleted meanwhile."""
        left, part = file.size, 0
        while left > 0:
            piece = await self.read_part(file, tenant, part)
            if piece is None:
                raise StorageError(
                    f"the file {file.id!r} was deleted while it was read", "list the files: GET /v1/files"
                )
            yield piece
            left, part = left - len(piece), part + 1

    async def read_part(self, file: StoredFile, tenant: str, number: int) -> bytes | None:
        """PART_BYTES of the content, or the rest of it. `number`: from 0. None if the file was deleted meanwhile."""
        return await self._run(self._read_part, file.id, tenant, number)

    async def delete(self, id: str, tenant: str, project: str) -> bool:
        """Whether it was there. It is not seen from the first transaction on."""
        marked = await self._writer.run_transaction(partial(tables.mark_deleted, tenant=tenant, project=project, id=id))
        while marked and await self._writer.run_transaction(partial(tables.delete_parts, id=id)):
            pass
        return marked

    async def append(self, upload: FileUpload, part: int, content: bytes) -> None:
        """For FileUpload. Raises BodyTooLarge if the file or its organization may not have more."""
        sealed = await self._run(
            self._encryption.encrypt, content, upload.tenant, tables.PARTS_NAME, f"{upload.id}/{part}"
        )

        size, check = len(content), partial(self._check_room, len(content), 0)
        if not await self._writer.run_transaction(
            lambda c: tables.append_part(c, upload.tenant, upload.id, part, size, _now(), sealed, check)
        ):
            raise _upload_is_gone()

    async def publish(self, upload: FileUpload, purpose: str, expires: int | None) -> StoredFile:
        """For FileUpload."""
        row = await self._writer.run_transaction(
            partial(tables.mark_ready, id=upload.id, purpose=purpose, expires=expires)
        )
        if row is None:
            raise _upload_is_gone()
        return await self._run(self._opened, row, upload.tenant, upload.project)

    @property
    def max_file_bytes(self) -> int:
        return self._settings.max_file_bytes

    def _check_room(self, size: int, files: int, used: tables.StoredBytes) -> None:
        most = self._settings
        if used.bytes + size > most.max_bytes or used.files + files > most.max_files:
            message = f"{used.files:,} files of your organization have {used.bytes:,} bytes, and no more fits"
            raise BodyTooLarge(
                message, "delete some, or raise `max_bytes` or `max_files` in [files] of sizewise.toml", param="file"
            )

    def _oldest(self) -> int:
        days = self._settings.retention_days
        return _now() - days * DAY_MS if days else -1

    def _opened(self, row: tables.FileRow, tenant: str, project: str) -> StoredFile:
        plain = self._encryption.decrypt(row.sealed, tenant, tables.FILES_NAME, f"{project}/{row.id}")
        name = msgspec.msgpack.decode(plain, type=FileName).name
        return StoredFile(
            number=row.number,
            id=row.id,
            name=name,
            purpose=row.purpose,
            created=row.created,
            expires=row.expires,
            size=row.size,
        )

    def _read_part(self, id: str, tenant: str, part: int) -> bytes | None:
        sealed = self._database.read_transaction(partial(tables.read_part, id=id, part=part))
        return None if sealed is None else self._encryption.decrypt(sealed, tenant, tables.PARTS_NAME, f"{id}/{part}")

    async def _run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, partial(work, *args, **kwargs))


class FileUpload:
    """One file on its way into the store; holds at most one part of it."""

    def __init__(self, store: FileStore, tenant: str, project: str, id: str, *, max_bytes: int) -> None:
        self.tenant = tenant
        self.project = project
        self.id = id
        self._store = store
        self._max_bytes = max_bytes
        self._buffer = bytearray()
        self._parts = 0
        self._size = 0

    async def write(self, piece: bytes) -> None:
        """Raises BodyTooLarge."""
        self._size += len(piece)
        if self._size > self._max_bytes:
            raise file_too_large(self._max_bytes)
        self._buffer += piece
        while len(self._buffer) >= PART_BYTES:
            await self._append(bytes(self._buffer[:PART_BYTES]))

    async def finish(self, purpose: str, expires: int | None) -> StoredFile:
        """Durable and visible when this returns. `expires`: unix ms; None: as [files] retention_days says."""
        if self._buffer:
            await self._append(bytes(self._buffer))
        return await self._store.publish(self, purpose, expires)

    async def abort(self) -> None:
        await self._store.delete(self.id, self.tenant, self.project)

    async def _append(self, content: bytes) -> None:
        await self._store.append(self, self._parts, content)
        self._parts += 1
        del self._buffer[: len(content)]


def file_too_large(max_bytes: int) -> BodyTooLarge:
    hint = "split it, or raise `max_file_bytes` in [files] of sizewise.toml"
    return BodyTooLarge(f"the file is larger than {max_bytes:,} bytes", hint, param="file")


def _upload_is_gone() -> StorageError:
    return StorageError("the upload was given up, as nothing of it arrived for long", "send the file again")


def _now() -> int:
    return time.time_ns() // 1_000_000
