"""Reads text, Markdown, CSV and JSON into blocks, in time linear in the size; opens no file."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator

import msgspec

from sizewise.errors import BadRequest
from sizewise.knowledge.document import Block, Document, FileType

MAX_CSV_FIELD = 1_000_000  # characters
MAX_JSON_DEPTH = 32
_HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+")
_UNDER = re.compile(r" {0,3}(=+|-+)[ \t]*\Z")
_FENCE = re.compile(r" {0,3}(```+|~~~+)")
_ITEM = re.compile(r" {0,3}(?:[-*+]|\d{1,9}[.)])[ \t]")


def read(kind: FileType, data: bytes, name: str) -> Document:
    """Raises BadRequest if `data` is not valid as `kind`."""
    text, notes = decode_text(data)
    if kind == "csv":
        return Document(kind, "", list(_csv(text, name)), notes=notes)
    if kind in ("json", "jsonl"):
        return Document(kind, "", list(_json(kind, text, name)), notes=notes)
    blocks = list(_markdown(text) if kind == "markdown" else _paragraphs(text))
    title = next((block.text for block in blocks if block.sort == "heading"), "")
    return Document(kind, title, blocks, notes=notes)


def decode_text(data: bytes) -> tuple[str, list[str]]:
    """The text, and notes on guesses."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return _tidy(data.decode("utf-16", "replace")), []
    try:
        return _tidy(data.decode("utf-8-sig")), []
    except UnicodeDecodeError:
        return _tidy(data.decode("cp1252", "replace")), ["not UTF-8: read as Windows-1252"]


def _tidy(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")


def _paragraphs(text: str) -> Iterator[Block]:
    for part in re.split(r"\n[ \t]*(?:\n[ \t]*)+", text):
        if part.strip():
            yield Block("paragraph", part.strip("\n").rstrip())


def _markdown(text: str) -> Iterator[Block]:
    lines, at, held = text.split("\n"), _after_front_matter(text), list[str]()

    def paragraph() -> Iterator[Block]:
        said = "\n".join(held).strip("\n").rstrip()
        if said:
            sort = "list" if _ITEM.match(said) else "row" if said.lstrip().startswith("|") else "paragraph"
            yield Block(sort, said)  # type: ignore[arg-type]  # one of the three
        held.clear()

    while at < len(lines):
        line = lines[at]
        if fence := _FENCE.match(line):
            yield from paragraph()
            end = next((n for n in range(at + 1, len(lines)) if lines[n].strip().startswith(fence[1])), len(lines) - 1)
            yield Block("code", "\n".join(lines[at : end + 1]))
            at = end
        elif heading := _HEADING.match(line):
            yield from paragraph()
            if said := line[heading.end() :].strip().rstrip("#").rstrip():
                yield Block("heading", said, len(heading[1]))
        elif len(held) == 1 and held[0].strip() and (under := _UNDER.match(line)) and not _ITEM.match(held[0]):
            yield Block("heading", held.pop().strip(), 1 if under[1][0] == "=" else 2)
        elif not line.strip():
            yield from paragraph()
        else:
            held.append(line)
        at += 1
    yield from paragraph()


def _after_front_matter(text: str) -> int:
    """Index of the first line after the front matter (between two lines of `---` at the top)."""
    if not text.startswith("---\n"):
        return 0
    end = text.find("\n---\n", 4)
    return text.count("\n", 0, end) + 2 if 0 <= end <= 10_000 else 0


def _csv(text: str, name: str) -> Iterator[Block]:
    """Each row with its column names, so that it can be understood alone."""
    csv.field_size_limit(MAX_CSV_FIELD)
    first = text.partition("\n")[0]
    mark = max(",;\t|", key=first.count)
    reader = csv.reader(io.StringIO(text), delimiter=mark)
    try:
        head = [each.strip() for each in next(reader, [])]
        for row in reader:
            cells = [
                f"{head[at]}: {cell.strip()}" if at < len(head) and head[at] else cell.strip()
                for at, cell in enumerate(row)
                if cell.strip()
            ]
            if cells:
                yield Block("row", "; ".join(cells))
    except csv.Error as error:
        hint = "check that it is CSV with a header line"
        raise BadRequest(f"{name[:200]!r}, line {reader.line_num}: {error}", hint) from error


def _json(kind: FileType, text: str, name: str) -> Iterator[Block]:
    """One block per line, list item or object field; each value follows its path."""
    if kind == "jsonl":
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip():
                yield from _block(_value(line, f"{name[:200]!r}, line {number}"))
        return
    value = _value(text, f"{name[:200]!r}")
    if isinstance(value, list):
        for each in value:
            yield from _block(each)
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from _block({key: each})
    else:
        yield from _block(value)


def _value(text: str, where: str) -> object:
    try:
        found: object = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError) as error:
        raise BadRequest(f"{where}: invalid JSON", "check it: python -m json.tool FILE") from error
    return found


def _block(value: object) -> Iterator[Block]:
    said = "\n".join(_said(value, "", 0))
    if said.strip():
        yield Block("row", said)


def _said(value: object, way: str, depth: int) -> Iterator[str]:
    if isinstance(value, dict) and depth < MAX_JSON_DEPTH:
        for key, each in value.items():
            yield from _said(each, f"{way}.{key}" if way else str(key), depth + 1)
    elif isinstance(value, list) and depth < MAX_JSON_DEPTH:
        for each in value:
            yield from _said(each, way, depth + 1)
    elif value is not None and value != "":
        text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        yield f"{way}: {text}" if way else text
