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
    (b"\xd0\xcf\x11\xe0", "is a document of old Word, Excel or PowerPoint", "save it as .docx or PDF"),
    (b"{\\rtf", "is RTF", "save it as .docx or PDF"),
    (b"\x89PNG", "is a picture", "read its words by OCR first, such as ocrmypdf"),
    (b"\xff\xd8\xff", "is a picture", "read its words by OCR first, such as ocrmypdf"),
    (b"GIF8", "is a picture", "read its words by OCR first, such as ocrmypdf"),
    (b"\x1f\x8b", "is packed (gzip)", "unpack it first"),
    (b"7z\xbc\xaf", "is packed (7z)", "unpack it first"),
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
        raise BadRequest(f"{name[:200]!r} is empty", "add a file with something in it")
    if b"%PDF-" in head[:1_024]:
        return "pdf"
    if head[:4] == b"PK\x03\x04":
        return _packed(data, name)
    for start, said, hint in _OTHERS:
        if head.startswith(start):
            raise BadRequest(f"{name[:200]!r} {said}", hint)
    if head[:2] not in (b"\xff\xfe", b"\xfe\xff") and b"\0" in head:
        raise BadRequest(f"{name[:200]!r} holds no text", f"what can be read: {READABLE_TYPES}")
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
            hint = "save each sheet as CSV" if said == "a spreadsheet" else f"what can be read: {READABLE_TYPES}"
            raise BadRequest(f"{name[:200]!r} is {said}", hint)
    raise AssertionError("the last of them is in everything")


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
