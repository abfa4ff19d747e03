"""Reads the words of a file: PDF, DOCX, HTML, CSV, JSON, Markdown, plain text; in a process of its own."""

from __future__ import annotations

import binascii
from base64 import b64decode
from typing import Annotated

from msgspec import Meta, Struct

from sizewise.errors import BadRequest
from sizewise.flows.language import types
from sizewise.flows.language.types import Json, Type
from sizewise.flows.node import Given, Job, Kind, missing


class Attached(Struct, frozen=True):
    """A file as a flow has it: `data` is its bytes as base64, or a data: URL."""

    data: str
    name: str = "file"
    media_type: str = ""


class File(Kind, frozen=True, kw_only=True):
    """Reads the words of a file."""

    file: Annotated[Attached, Meta(description="The file: its name, and its data as base64.")]

    @classmethod
    def gives(cls, given: Given) -> Type:
        return types.record(
            text=types.TEXT, title=types.TEXT, name=types.TEXT, pages=types.list_of(types.TEXT),
            notes=types.list_of(types.TEXT),
        )  # fmt: skip

    async def run(self, job: Job) -> Json:
        if job.means.files is None:
            raise missing("reader of files", "install the extra: pip install 'sizewise[knowledge]'")
        read = await job.means.files(_bytes(self.file), self.file.name)
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


def _bytes(file: Attached) -> bytes:
    data = file.data
    if data.startswith("data:"):
        head, _, data = data.partition(",")
        if not head.endswith(";base64"):
            raise BadRequest(f"{file.name[:60]!r} is no base64", "Send its bytes as base64.")
    try:
        return b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadRequest(f"{file.name[:60]!r} is no base64", "Send its bytes as base64.") from error
