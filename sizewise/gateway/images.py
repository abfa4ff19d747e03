"""/v1/images/generations, /v1/images/edits and /v1/images/variations: a prompt, or images, to images."""

from __future__ import annotations

import re

from sizewise.app.application import Application
from sizewise.errors import BadBody
from sizewise.gateway import media_stream
from sizewise.gateway.audio import EXTENSION
from sizewise.gateway.body_reading import read_payload
from sizewise.gateway.media_form import FormFile, FormReader
from sizewise.gateway.request_head import RequestHead
from sizewise.gateway.request_options import parse_options
from sizewise.gateway.response_writer import ResponseWriter
from sizewise.limits.upload import Upload
from sizewise.providers.wires.openai.media_request import image_form_request, read_image

ENDPOINT = "images"
FILE_FIELDS = ("image", "image[]", "mask")
IMAGE_TYPES = ("image/png", "image/jpeg", "image/webp", "image/gif")


async def generations(app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
    head.authorize(app, ENDPOINT)
    what, options = await read_payload(app.resources.offload, read_image, body, head.options)
    await media_stream.answer(app, head, what, options, ENDPOINT, writer)


async def change(path: str, app: Application, head: RequestHead, upload: Upload, writer: ResponseWriter) -> None:
    """`path`: of the upstream's endpoint. The images are held, each up to `max_body_bytes`."""
    head.authorize(app, ENDPOINT)
    content_type = next((value for name, value in head.headers if name == b"content-type"), b"").decode("latin-1")
    form = await FormReader(upload, content_type, holds_all=True).read()
    for file in form.files:
        check_image(file)
    if not any(file.field != "mask" for file in form.files):
        raise BadBody("the form has no image", "send one as the file `image`", param="image")
    what, ours = image_form_request(path, form.fields, form.files)
    await media_stream.answer(app, head, what, parse_options(head.options, ours), ENDPOINT, writer)


def check_image(file: FormFile) -> None:
    """Raises BadBody. The file's name then says its format alone."""
    name = file.field[:100]
    if file.field not in FILE_FIELDS:
        raise BadBody(f"`{name}` is a file, and not one of images", f"files are {', '.join(FILE_FIELDS)}", param=name)
    if not file.held_bytes:
        raise BadBody(f"`{name}` is empty", "send an image", param=name)
    kind, found = file.content_type.partition(";")[0].strip().lower(), EXTENSION.search(file.filename)
    extension = found[1].lower() if found else ""
    if kind not in IMAGE_TYPES:
        by_name = {"png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "webp": "image/webp"}
        if extension not in by_name or not re.fullmatch(r"|application/octet-stream", kind):
            raise BadBody(
                f"`{name}` is {kind or 'of no known type'!r}, not an image",
                f"send {', '.join(IMAGE_TYPES)}",
                param=name,
            )
        kind = by_name[extension]
    file.filename, file.content_type = f"image.{kind.partition('/')[2]}", kind
