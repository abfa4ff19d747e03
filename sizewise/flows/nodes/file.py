"""Node that extracts the text of a file (PDF, DOCX, HTML, CSV, JSON, Markdown), in a separate process."""

from __future__ import annotations

import binascii
from base64 import b64decode
from typing import Annotated

from msgspec import Meta, Struct

from sizewise.errors import BadRequest
from sizewise.flows.language import types
from sizewise.flows.language.types import Json, Type
from sizewise.flows.node import Node, NodeContext, ValidationContext, missing_dependency


class Attachment(Struct, frozen=True):
    """A file as flows pass it: `data` is its bytes as base64, or a data: URL."""

    data: str
    name: str = "file"
    media_type: str = ""


class FileNode(Node, frozen=True, kw_only=True):
    """Extracts the text of a file."""

    file: Annotated[Attachment, Meta(description="File: its name, and its data as base64.")]

    @classmethod
    def output_type(cls, context: ValidationContext) -> Type:
        return types.object_of(
            text=types.TEXT, title=types.TEXT, name=types.TEXT, pages=types.list_of(types.TEXT),
            notes=types.list_of(types.TEXT),
        )  # fmt: skip

    async def run(self, context: NodeContext) -> Json:
        if context.dependencies.read_file is None:
            raise missing_dependency("file reader", "install the extra: pip install 'sizewise[knowledge]'")
        read = await context.dependencies.read_file(_bytes(self.file), self.file.name)
        pages: dict[int, list[str]] = {}
        for block in read.blocks:
            if block.page:
                pages.setdefault(block.page, []).append(block.text)
        return {
            "text": read.text,
            "title": read.title,
            "name": self.file.name,
            "pages": ["\n\n".join(pages.get(number, ())) for number in range(1, read.pages + 1)],
            "notes": read.notes,
        }


def _bytes(file: Attachment) -> bytes:
    data = file.data
    if data.startswith("data:"):
        head, _, data = data.partition(",")
        if not head.endswith(";base64"):
            raise BadRequest(f"{file.name[:60]!r} is not valid base64", "Send the file's bytes as base64.")
    try:
        return b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadRequest(f"{file.name[:60]!r} is not valid base64", "Send the file's bytes as base64.") from error
