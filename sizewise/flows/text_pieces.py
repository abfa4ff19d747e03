"""Pieces of a text, sized in characters: split along headings and sentences, halved, packed or cut."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sizewise.errors import BadRequest
from sizewise.knowledge.chunk import chunk_document
from sizewise.knowledge.document import Document
from sizewise.knowledge.text_formats import read

SEARCH_SHARE = 4
"""A half ends at a sentence or a word in the middle 1/SEARCH_SHARE of the text, if there is one."""
_ENDS = (re.compile(r"\n\s"), re.compile(r"[.!?。！？]\s"), re.compile(r"\s"))


def split_text(text: str, most: int, most_pieces: int) -> tuple[list[str], str]:
    """Pieces of at most `most` characters, and what was left out, in words. Raises BadRequest for an empty text."""
    document: Document = read("markdown", text.encode("utf-8", "replace"), "text")
    cuts, text, spans = chunk_document(document, len, most, 0), document.text, list[tuple[int, int]]()
    for each in cuts:
        if spans and each.end - spans[-1][0] <= most:
            spans[-1] = spans[-1][0], each.end
        else:
            start = each.start if spans else 0  # includes the heading above the first piece
            spans.append((max(start, spans[-1][1]) if spans else start, each.end))
    if not spans:
        raise BadRequest("the text is empty", "provide a text that contains words", param="text")
    kept = spans[:most_pieces]
    left = "" if len(kept) == len(spans) else (
        f"{len(text) - kept[-1][1]:,} of {len(text):,} characters, from character {kept[-1][1]:,} on: "
        f"beyond the first {most_pieces:,} pieces"
    )  # fmt: skip
    return [text[start:end] for start, end in kept], left


def halves(text: str) -> tuple[str, str]:
    """Two parts of about equal length, cut after a sentence or a word near the middle if there is one."""
    middle, reach = len(text) // 2, max(1, len(text) // (2 * SEARCH_SHARE))
    for end in _ENDS:
        found = [match.end() for match in end.finditer(text, max(0, middle - reach), middle + reach)]
        if found:
            middle = min(found, key=lambda at: abs(at - len(text) // 2))
            break
    return text[:middle], text[middle:]


def pack(notes: Sequence[str], most: int) -> list[str]:
    """Joins consecutive notes into texts of at most `most` characters. A longer note stays alone."""
    found = [notes[0]]
    for each in notes[1:]:
        if len(found[-1]) + len(each) + 2 <= most:
            found[-1] = f"{found[-1]}\n\n{each}"
        else:
            found.append(each)
    return found


def shorten(text: str, most: int) -> str:
    """At most `most` characters, cut after a word, with an ellipsis where something was cut."""
    if len(text) <= most:
        return text
    cut = text[: max(1, most - 2)]
    return f"{cut.rpartition(' ')[0] or cut} …"
