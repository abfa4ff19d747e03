"""The messages between load.py and its child process: a load request, and a refusal instead of a document."""

from __future__ import annotations

from msgspec import Struct

from sizewise.knowledge.document import FileType

EXIT_REFUSED = 7
"""Exit code of the child when its output is a LoadRefusal."""


class LoadRequest(Struct, frozen=True):
    file_type: FileType
    name: str
    cpu_seconds: int


class LoadRefusal(Struct, frozen=True):
    message: str
    hint: str
