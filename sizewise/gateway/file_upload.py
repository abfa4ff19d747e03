"""POST /v1/files: a form into the file store while it arrives; its content is never whole in memory."""

from __future__ import annotations

import asyncio
import re
import time

import msgspec

from sizewise.app.application import Application
from sizewise.errors import BadBody
from sizewise.files.file_store import DAY_MS, PART_BYTES, FileStore, FileUpload, StoredFile, file_too_large
from sizewise.gateway.files import file_object
from sizewise.gateway.multipart import FormEvent, MultipartParser, PartHeader, boundary_of
from sizewise.gateway.request_head import RequestHead
from sizewise.gateway.response_writer import JSON, ResponseWriter, trace_headers
from sizewise.limits.upload import Upload, UploadLimit
from sizewise.principal import Principal

HELD_BYTES = 3 * PART_BYTES
"""Memory of one upload: a part, its ciphertext, and what just arrived."""
FORM_BYTES = 64 * 1024
"""What a form has around its file, at most, as far as refusing by the announced length goes."""
MAX_FIELD_BYTES = 1_024
PURPOSES = ("assistants", "batch", "fine-tune", "vision", "user_data", "evals")
BATCH_DAYS = 30
"""After which files for batches expire, as OpenAI's do."""
EXPIRES_AFTER_S = (3_600, 2_592_000)
MAX_NAME_CHARS = 255
_FIELD = re.compile(r"purpose|expires_after\[(?:anchor|seconds)\]")


def file_limit(app: Application) -> UploadLimit:
    """Of a form with a file for the store."""
    most = app.resources.services.files.max_file_bytes
    return UploadLimit(most + FORM_BYTES, file_too_large(most))


async def create_file(app: Application, head: RequestHead, upload: Upload, writer: ResponseWriter) -> None:
    """POST /v1/files. Raises BadBody, BodyTooLarge, BodyTooSlow and Busy."""
    principal = head.authorize(app, "files")
    waits = app.resources.services.limiter.count_request(principal)
    if waits is not None:
        await waits
    upload.hold(HELD_BYTES)
    content_type = next((value.decode("latin-1") for name, value in head.headers if name == b"content-type"), "")
    form = UploadForm(app.resources.services.files, principal, max(0, upload.declared_bytes - FORM_BYTES))
    parser = MultipartParser(boundary_of(content_type))
    try:
        while piece := await upload.next_piece():
            for event in parser.feed(piece):
                await form.take(event)
        parser.finish()
        stored = await form.finish()
    except BaseException:
        await form.abort()
        raise
    await writer.send_response(200, [JSON, *trace_headers(head.trace)], msgspec.json.encode(file_object(stored)))


class UploadForm:
    """The fields of the form in whatever order, and its file in the store."""

    def __init__(self, store: FileStore, principal: Principal, expected_bytes: int) -> None:
        self._store = store
        self._principal = principal
        self._expected_bytes = expected_bytes
        self._upload: FileUpload | None = None
        self._in_file = False
        self._field = ""
        self._fields: dict[str, bytes] = {}

    async def take(self, event: FormEvent) -> None:
        if isinstance(event, PartHeader):
            await self._begin(event)
        elif event is not None and self._in_file:
            assert self._upload is not None
            await self._upload.write(event)
        elif event is not None:
            self._fields[self._field] += event
            if len(self._fields[self._field]) > MAX_FIELD_BYTES:
                raise BadBody(f"`{self._field}` is too long", "send the content as `file`", param=self._field)

    async def finish(self) -> StoredFile:
        if self._upload is None:
            raise BadBody("the form has no `file`", "send the file as a part of this name", param="file")
        purpose = self._text("purpose")
        if purpose not in PURPOSES:
            message = f"{purpose[:100]!r} is not a purpose" if purpose else "the form has no `purpose`"
            raise BadBody(message, f"use one of: {', '.join(PURPOSES)}", param="purpose")
        return await self._upload.finish(purpose, self._expires(purpose))

    async def abort(self) -> None:
        if self._upload is not None:
            await asyncio.shield(self._upload.abort())

    async def _begin(self, part: PartHeader) -> None:
        self._in_file = part.name == "file"
        if self._in_file:
            if self._upload is not None:
                raise BadBody("the form has two files", "send each in a request of its own", param="file")
            self._upload = await self._store.begin(self._principal, clean_name(part.filename), self._expected_bytes)
            return
        self._field = part.name
        if not _FIELD.fullmatch(part.name):
            message = f"the form has a field {part.name[:100]!r}"
            raise BadBody(
                message, "known: file, purpose, expires_after[anchor], expires_after[seconds]", param=part.name
            )
        self._fields[part.name] = b""

    def _text(self, name: str) -> str:
        return self._fields.get(name, b"").decode("utf-8", "replace").strip()

    def _expires(self, purpose: str) -> int | None:
        """Unix ms. Raises BadBody."""
        anchor, seconds = self._text("expires_after[anchor]"), self._text("expires_after[seconds]")
        now = time.time_ns() // 1_000_000
        if not anchor and not seconds:
            return now + BATCH_DAYS * DAY_MS if purpose == "batch" else None
        least, most = EXPIRES_AFTER_S
        if anchor != "created_at" or not re.fullmatch(r"\d{1,9}", seconds) or not least <= int(seconds) <= most:
            hint = f"send `expires_after[anchor]` = created_at and `expires_after[seconds]` from {least:,} to {most:,}"
            raise BadBody("`expires_after` is not valid", hint, param="expires_after")
        return now + 1_000 * int(seconds)


def clean_name(filename: str | None) -> str:
    """The last part of a path, without control characters."""
    last = (filename or "").replace("\\", "/").rpartition("/")[2]
    return "".join(each for each in last if each.isprintable())[:MAX_NAME_CHARS] or "file"
