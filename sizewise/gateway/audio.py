"""/v1/audio/speech, /v1/audio/transcriptions and /v1/audio/translations: a text to audio, and audio to a text."""

from __future__ import annotations

import re

from msgspec.structs import replace

from sizewise.app.application import Application
from sizewise.errors import BadBody, BadRequest
from sizewise.gateway import media_stream
from sizewise.gateway.body_reading import read_payload
from sizewise.gateway.media_form import FormFile, FormReader
from sizewise.gateway.request_head import RequestHead
from sizewise.gateway.request_options import parse_options
from sizewise.gateway.response_writer import ResponseWriter
from sizewise.limits.upload import Upload
from sizewise.providers.wires.openai.media_request import read_speech, transcription_request

ENDPOINT = "audio"
EXTENSIONS = ("flac", "m4a", "mp3", "mp4", "mpeg", "mpga", "oga", "ogg", "opus", "wav", "webm", "aac")
EXTENSION = re.compile(r"\.([A-Za-z0-9]{1,5})\Z")


async def speech(app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
    head.authorize(app, ENDPOINT)
    what, options = await read_payload(app.resources.offload, read_speech, body, head.options)
    await media_stream.answer(app, head, what, options, ENDPOINT, writer)


async def transcribe(path: str, app: Application, head: RequestHead, upload: Upload, writer: ResponseWriter) -> None:
    """`path`: of the upstream's endpoint."""
    head.authorize(app, ENDPOINT)
    content_type = next((value for name, value in head.headers if name == b"content-type"), b"").decode("latin-1")
    form = await FormReader(upload, content_type, holds_all="idempotency-key" in head.options).read()
    file = audio_file(form.files)
    what, ours = transcription_request(path, form.fields, file, upload.most_bytes)
    options = parse_options(head.options, ours)
    if file.size is None:
        if options.idempotency_key is not None:
            hint = "send the key as the header `idempotency-key`: the file is then held, and compared"
            raise BadRequest("an idempotency key of a long upload comes too late", hint, param="idempotency_key")
        options = replace(options, cache="no-store")  # a cache cannot compare what is not held
    await media_stream.answer(app, head, what, options, ENDPOINT, writer)


def audio_file(files: list[FormFile]) -> FormFile:
    """The form's only file, under a name that says its format alone. Raises BadBody."""
    if len(files) != 1 or files[0].field != "file":
        raise BadBody(
            f"the form has {len(files)} files, and one is needed: `file`", "send one audio file", param="file"
        )
    file = files[0]
    if not file.held_bytes:
        raise BadBody("`file` is empty", "send an audio file", param="file")
    kind, found = file.content_type.partition(";")[0].strip().lower(), EXTENSION.search(file.filename)
    extension = found[1].lower() if found else ""
    is_audio = kind.startswith(("audio/", "video/")) or kind == "application/ogg"
    if not is_audio and (extension not in EXTENSIONS or kind.startswith(("text/", "image/"))):
        told = f"`file` is {kind or extension or 'of no known type'!r}, not audio"
        raise BadBody(told, f"send one of: {', '.join(EXTENSIONS)}", param="file")
    file.filename = f"audio.{extension}" if extension else "audio"  # the client's name may name people
    file.content_type = kind if re.fullmatch(r"[a-z]+/[a-z0-9.+-]{1,60}", kind) else "application/octet-stream"
    return file
