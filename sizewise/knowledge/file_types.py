"""Detects the type of a file by its content, then by its name; parses nothing and refuses unsupported types."""

from __future__ import annotations

import re

import msgspec

from sizewise.errors import BadRequest
from sizewise.knowledge.document import FileType

READABLE_TYPES = "PDF, DOCX, HTML, CSV, JSON, JSONL, Markdown and plain text"
SNIFF_BYTES = 4_096
_HTML = re.compile(rb"<(?:!doctype\s+html|html|head|body)[\s>]", re.IGNORECASE)
_OTHERS = (
    (b"\xd0\xcf\x11\xe0", "is a Word, Excel or PowerPoint file in an old format", "save it as .docx or PDF"),
    (b"{\\rtf", "is RTF", "save it as .docx or PDF"),
    (b"\x89PNG", "is an image", "run OCR first, for example with ocrmypdf"),
    (b"\xff\xd8\xff", "is an image", "run OCR first, for example with ocrmypdf"),
    (b"GIF8", "is an image", "run OCR first, for example with ocrmypdf"),
    (b"\x1f\x8b", "is compressed (gzip)", "decompress it first"),
    (b"7z\xbc\xaf", "is compressed (7z)", "decompress it first"),
    (b"SQLite format 3", "is a database", "export its rows as CSV or JSONL"),
)
_ENDINGS: tuple[tuple[str, FileType], ...] = (
    (".csv", "csv"),
    (".tsv", "csv"),
    (".jsonl", "jsonl"),
    (".ndjson", "jsonl"),
    (".md", "markdown"),
    (".markdown", "markdown"),
    (".html", "html"),
    (".htm", "html"),
    (".xhtml", "html"),
)


def detect_file_type(data: bytes, name: str) -> FileType:
    """Raises BadRequest for an empty file and for types that cannot be read."""
    head, low = data[:SNIFF_BYTES], name.lower().partition("?")[0]
    if not data.strip():
        raise BadRequest(f"{name[:200]!r} is empty", "add a file with content")
    if b"%PDF-" in head[:1_024]:
        return "pdf"
    if head[:4] == b"PK\x03\x04":
        return _packed(data, name)
    for start, said, hint in _OTHERS:
        if head.startswith(start):
            raise BadRequest(f"{name[:200]!r} {said}", hint)
    if head[:2] not in (b"\xff\xfe", b"\xfe\xff") and b"\0" in head:
        raise BadRequest(f"{name[:200]!r} is not text", f"supported formats: {READABLE_TYPES}")
    if _HTML.search(head):
        return "html"
    named: FileType = next((kind for ending, kind in _ENDINGS if low.endswith(ending)), "text")
    if low.endswith(".json"):
        return "jsonl" if _json(data) == "jsonl" else "json"
    return _json(data) if named == "text" and head.lstrip()[:1] in (b"{", b"[") else named


def _packed(data: bytes, name: str) -> FileType:
    if b"word/document.xml" in data:
        return "docx"
    for member, said in (
        (b"xl/workbook", "a spreadsheet"),
        (b"ppt/presentation", "a presentation"),
        (b"", "an archive"),
    ):
        if member in data:
            hint = "save each sheet as CSV" if said == "a spreadsheet" else f"supported formats: {READABLE_TYPES}"
            raise BadRequest(f"{name[:200]!r} is {said}", hint)
    raise AssertionError("an archive contains every prefix")


def _json(data: bytes) -> FileType:
    """JSONL, JSON, or text that only begins like JSON."""
    first = data.lstrip().partition(b"\n")[0].strip()
    if first[:1] == b"{" and first[-1:] == b"}" and len(first) < len(data.strip()) and _is_json(first):
        return "jsonl"
    return "json" if _is_json(data) else "text"


def _is_json(data: bytes) -> bool:
    try:
        msgspec.json.decode(data, type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True
