"""Form with files, read from an upload: held whole if it is short, else up to its last file, which streams on."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Mapping

from sizewise.app.application import Application
from sizewise.errors import BadBody, BodyTooLarge, SizewiseError
from sizewise.gateway.multipart import FormEvent, MultipartParser, PartHeader, boundary_of
from sizewise.limits.upload import Upload, UploadLimit

HELD_BYTES = 1024 * 1024
"""Bytes of a file that are held if `model` came before it. A shorter file can be sent again, in a retry."""
MAX_FIELD_BYTES = 1024 * 1024
"""Bytes of all fields together."""
READ_BYTES = 64 * 1024


class FormFile:
    """A file of the form, in memory or still arriving."""

    def __init__(self, field: str, filename: str, content_type: str) -> None:
        self.failure: SizewiseError | None = None
        self.field = field
        self.filename = filename
        self.content_type = content_type
        self.held: list[bytes] = []
        self.held_bytes = 0
        self._rest: AsyncIterator[bytes] | None = None
        self._is_spent = False

    @property
    def size(self) -> int | None:
        return self.held_bytes if self._rest is None else None

    @property
    def is_readable(self) -> bool:
        return not self._is_spent

    def digest(self) -> bytes:
        """SHA-256 of a file that is held."""
        found = hashlib.sha256(self.field.encode())
        for piece in self.held:
            found.update(piece)
        return found.digest()

    def stream_on(self, rest: AsyncIterator[bytes]) -> None:
        """What follows the held bytes comes from `rest`."""
        self._rest = rest

    async def read(self) -> AsyncIterator[bytes]:
        rest = self._rest
        self._is_spent = rest is not None
        for piece in self.held:
            yield piece
        if rest is not None:
            self.held = []
            async for piece in rest:
                yield piece


class MediaForm:
    """The fields and files that have arrived. A name may have several values."""

    def __init__(self) -> None:
        self.fields: dict[str, list[str]] = {}
        self.files: list[FormFile] = []


def media_limit(app: Application) -> UploadLimit:
    """Of a form with audio or images."""
    most = app.settings.server.max_upload_bytes
    hint = "send a smaller file, or raise `max_upload_bytes` in [server] of sizewise.toml"
    return UploadLimit(most, BodyTooLarge(f"the upload is larger than {most} bytes", hint))


class FormReader:
    """Reads one form. Fields must come before a file that is not held whole."""

    def __init__(self, upload: Upload, content_type: str, *, holds_all: bool) -> None:
        """`holds_all`: no file may stream on, as where the request must be known before it is sent. Raises BadBody."""
        self._upload = upload
        self._parser = MultipartParser(boundary_of(content_type))
        self._holds_all = holds_all
        self._field_bytes = 0

    async def read(self) -> MediaForm:
        """Raises BadBody, BodyTooLarge, BodyTooSlow, Busy."""
        form = MediaForm()
        pieces = self._pieces()
        async for piece in pieces:
            assert isinstance(piece, PartHeader)
            if piece.filename is None:
                form.fields.setdefault(piece.name, []).append(await self._field(piece, pieces))
                continue
            file = FormFile(piece.name, piece.filename, piece.content_type)
            form.files.append(file)
            if not await self._hold(file, pieces, form.fields):
                file.stream_on(self._stream(pieces))
                break
        return form

    async def _pieces(self) -> AsyncIterator[FormEvent]:
        while data := await self._upload.next_piece():
            for at in range(0, len(data), READ_BYTES):
                for piece in self._parser.feed(data[at : at + READ_BYTES]):
                    yield piece
                if self._parser.is_done:
                    await self._skip()
                    return
        self._parser.finish()

    async def _skip(self) -> None:
        """What follows the form, so that the client's next request is found."""
        while await self._upload.next_piece():
            pass

    async def _field(self, head: PartHeader, pieces: AsyncIterator[FormEvent]) -> str:
        found: list[bytes] = []
        async for piece in pieces:
            if not isinstance(piece, bytes):
                break
            self._field_bytes += len(piece)
            if self._field_bytes > MAX_FIELD_BYTES:
                raise BadBody(
                    f"the form's fields have more than {MAX_FIELD_BYTES} bytes", "send less", param=head.name[:100]
                )
            found.append(piece)
        try:
            return b"".join(found).decode()
        except UnicodeDecodeError as error:
            raise BadBody(f"`{head.name[:100]}` is not UTF-8", "send text", param=head.name[:100]) from error

    async def _hold(self, file: FormFile, pieces: AsyncIterator[FormEvent], fields: Mapping[str, object]) -> bool:
        """Whether the file was held to its end. Raises BodyTooLarge for one that cannot stream on and is too long."""
        limit = self._upload.limits.max_body_bytes
        streams = "model" in fields and not self._holds_all
        async for piece in pieces:
            if not isinstance(piece, bytes):
                return True
            self._upload.hold(len(piece))
            file.held.append(piece)
            file.held_bytes += len(piece)
            if streams and file.held_bytes >= HELD_BYTES:
                return False
            if file.held_bytes > limit:
                raise self._too_large(file, limit)
        return True

    def _too_large(self, file: FormFile, limit: int) -> BodyTooLarge:
        words = f"`{file.field[:100]}` is larger than {limit} bytes"
        if self._holds_all:
            hint = (
                "send a smaller file, or raise `max_body_bytes` in [server]; with an idempotency key it is held whole"
            )
            return BodyTooLarge(words, hint, param=file.field[:100])
        hint = "send all other fields of the form before the file: it is then passed on as it arrives"
        return BodyTooLarge(f"{words}, and `model` is not known yet", hint, param=file.field[:100])

    async def _stream(self, pieces: AsyncIterator[FormEvent]) -> AsyncIterator[bytes]:
        """The rest of the file. Raises BadBody for a part after it: the request is on its way without it."""
        is_over = False
        async for piece in pieces:
            if isinstance(piece, bytes):
                yield piece
            elif piece is None:
                is_over = True
            elif isinstance(piece, PartHeader) and is_over:
                raise BadBody(
                    f"`{piece.name[:100]}` comes after a file of more than {HELD_BYTES} bytes",
                    "send all other fields of the form before the file",
                    param=piece.name[:100],
                )
