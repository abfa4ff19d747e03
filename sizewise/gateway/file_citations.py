"""Citations of an answer: finds `[1]` and the like in a text, and names the files that they stand for; pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import Struct

Json = dict[str, Any]
_NUMBERS = r"\[(\d{1,2}(?:\s?,\s?\d{1,2})*)\]"
_MARKER = re.compile(_NUMBERS)
_MARKERS = re.compile(rf"(?<![\w\])])(?:{_NUMBERS})+(?![\[(])")
"""Neither an index such as `a[1]` nor the text or the target of a link."""


class CitedFile(Struct, frozen=True):
    id: str
    name: str


def cited_numbers(text: str) -> Iterator[tuple[int, int, int]]:
    """The numbers in markers, in the order of the text, with the marker's first character and the one after it."""
    markers = (each for several in _MARKERS.finditer(text) for each in _MARKER.finditer(text, *several.span()))
    for marker in markers:
        for number in marker.group(1).split(","):
            yield int(number), marker.start(), marker.end()


def file_citations(text: str, files: Sequence[CitedFile]) -> list[Json]:
    """Annotations in the order of the text. `files`: those of the numbered passages, from 1. `index`: characters before
    the marker.
    """
    cited = [(start, files[number - 1]) for number, start, _ in cited_numbers(text) if 1 <= number <= len(files)]
    return [
        {"type": "file_citation", "index": start, "file_id": file.id, "filename": file.name}
        for start, file in dict.fromkeys(cited)
    ]
