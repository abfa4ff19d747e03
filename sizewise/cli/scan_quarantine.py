"""Reads passages from data files for `sizewise scan`, and writes clean and quarantined rows with provenance."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import Raw, Struct

from sizewise.cli.output import write_file
from sizewise.errors import BadRequest, ExternalFailure
from sizewise.guardrails.poisoning import CorpusPassage

EXTENSIONS = (".jsonl", ".txt", ".md", ".csv")
MAX_LINE_BYTES = 10_000_000  # bytes of one row
MAX_FILE_BYTES = 1_000_000_000  # bytes of all files of one scan
MAX_PROSE_CHARS = 1_500  # characters after which a passage of prose ends, with its paragraph
TEXTS = ("text", "content", "passage", "document", "prompt", "question", "input", "instruction", "body")
LABELS = ("label", "answer", "output", "completion", "response", "category", "target")
LABEL = 200  # characters
CLEAN, HELD = "clean.jsonl", "quarantined.jsonl"


class ScanFinding(Struct, frozen=True):
    kind: str
    reason: str


class Provenance(Struct, frozen=True, omit_defaults=True):
    """Origin of a row: file, line, who scanned it and when (UTC), and the sha256 of the scanned file."""

    source: str
    line: int
    sha256: str
    scanned: str
    by: str
    found: list[ScanFinding] = []
    released: str = ""  # when, by whom


class QuarantinedRow(Struct, frozen=True):
    """One row as in its file: JSON as its bytes, a CSV line as an object, prose as text."""

    row: Raw
    provenance: Provenance


class ScannedPassage(Struct, frozen=True):
    """A passage, its line, and the row that it is part of."""

    passage: CorpusPassage
    line: int
    row: Raw


def read_passages(paths: Sequence[Path]) -> list[ScannedPassage]:
    """Raises BadRequest with file and line if a file cannot be read completely: no file is scanned in part."""
    files = [file for path in paths for file in _files(path)]
    size = sum(_size(file) for file in files)  # raises BadRequest for a missing file
    if size > MAX_FILE_BYTES:
        raise BadRequest(f"{size:,} bytes are too many to scan at once", f"scan {MAX_FILE_BYTES:,} at a time")
    return [each for file in files for each in _READERS[file.suffix.lower()](file)]


def _files(path: Path) -> Iterator[Path]:
    if path.is_dir():
        some = sorted(file for file in path.rglob("*") if file.suffix.lower() in EXTENSIONS and file.is_file())
        if not some:
            raise BadRequest(f"there is nothing to scan in {str(path)!r}", f"supported: {', '.join(EXTENSIONS)}")
        yield from (file for file in some if not file.is_symlink())
    elif path.exists() and path.suffix.lower() not in EXTENSIONS:
        raise BadRequest(f"{str(path)!r} cannot be scanned", f"supported: {', '.join(EXTENSIONS)}")
    else:
        yield path


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError as error:
        raise BadRequest(f"cannot read {str(file)!r}: {error.strerror}", "check the path") from error


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines with their line ends. A line is read no further than the limit."""
    try:
        with file.open("rb") as stream:
            number = 0
            while line := stream.readline(MAX_LINE_BYTES + 1):
                number += 1
                if len(line) > MAX_LINE_BYTES:
                    hint = f"a row has at most {MAX_LINE_BYTES:,} bytes: split it into passages"
                    raise BadRequest(f"{str(file)!r}, line {number}: the line is too long", hint)
                try:
                    yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
                except UnicodeDecodeError as error:
                    hint = "write the file as UTF-8: iconv -f latin1 -t utf-8"
                    raise BadRequest(f"{str(file)!r}, line {number}: not UTF-8", hint) from error
    except OSError as error:
        raise BadRequest(f"cannot read {str(file)!r}: {error.strerror}", "check the path") from error


def _jsonl(file: Path) -> Iterator[ScannedPassage]:
    for number, line in _lines(file):
        if line.strip():
            try:
                row = msgspec.json.decode(line)
            except (msgspec.DecodeError, RecursionError, UnicodeEncodeError) as error:
                hint = "each line of .jsonl is one JSON value"
                raise BadRequest(f"{str(file)!r}, line {number}: not valid JSON", hint) from error
            text, label = _said(row)
            yield _read(file, number, text, label, Raw(line.strip().encode()))


def _csv(file: Path) -> Iterator[ScannedPassage]:
    csv.field_size_limit(MAX_LINE_BYTES)
    reader = csv.DictReader((line for _, line in _lines(file)), restkey="more", strict=False)
    try:
        before = 1
        for row in reader:
            text, label = _said({name: value for name, value in row.items() if isinstance(value, str)})
            more = row.get("more")
            yield _read(file, before + 1, "\n".join([text, *(more or ())]), label, Raw(msgspec.json.encode(row)))
            before = reader.line_num
    except csv.Error as error:
        raise BadRequest(
            f"{str(file)!r}, line {reader.line_num}: {error}", "check that it is CSV with a header line"
        ) from error


def _prose(file: Path) -> Iterator[ScannedPassage]:
    """Passages of whole paragraphs, slightly longer than MAX_PROSE_CHARS. Concatenated, their texts are the file."""
    begun, page, size = 1, list[str](), 0
    for number, line in _lines(file):
        if size > MAX_PROSE_CHARS and page[-1].strip() == "" and line.strip():
            yield _read(file, begun, text := "".join(page), None, Raw(msgspec.json.encode(text)))
            begun, page, size = number, [], 0
        page.append(line)
        size += len(line)
    if page:
        yield _read(file, begun, text := "".join(page), None, Raw(msgspec.json.encode(text)))


_READERS: Mapping[str, Callable[[Path], Iterator[ScannedPassage]]] = {
    ".jsonl": _jsonl,
    ".csv": _csv,
    ".txt": _prose,
    ".md": _prose,
}


def _read(file: Path, line: int, text: str, label: str | None, row: Raw) -> ScannedPassage:
    return ScannedPassage(CorpusPassage(f"{file}:{line}", text, str(file), label), line, row)


def _said(row: object) -> tuple[str, str | None]:
    """All text of a row, starting with its text field, and its label."""
    if not isinstance(row, dict):
        return "\n".join(_words(row)), None
    label = next((row[name] for name in LABELS if isinstance(row.get(name), str)), None)
    first = [value for name, value in row.items() if name in TEXTS]
    rest = [value for name, value in row.items() if name not in TEXTS]
    words = [word for value in (*first, *rest) for word in _words(value)]
    return "\n".join(words), None if label is None else label[:LABEL]


def _words(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _words(each)
    elif isinstance(value, list):
        for each in value:
            yield from _words(each)


# ---- quarantine -----------------------------------------------------------------------------------------------------


def split_rows(
    folder: Path,
    rows: Sequence[ScannedPassage],
    found: Mapping[str, Sequence[ScanFinding]],
    when: str,
    by: str,
) -> tuple[int, int]:
    """Writes the clean rows and those held back, and returns their numbers. Raises BadRequest if the folder already
    holds a scan.
    """
    if any((folder / name).exists() for name in (CLEAN, HELD)):
        raise BadRequest(f"{str(folder)!r} already contains a scan", "use another folder: nothing is overwritten")
    made: dict[str, list[QuarantinedRow]] = {CLEAN: [], HELD: []}
    for each in rows:
        suspect = list(found.get(each.passage.id, ()))
        source = Provenance(
            source=each.passage.source, line=each.line, sha256=each.passage.digest, scanned=when, by=by, found=suspect
        )
        made[HELD if suspect else CLEAN].append(QuarantinedRow(each.row, source))
    _make(folder)
    for name in (HELD, CLEAN):
        _write(folder / name, made[name])
    return len(made[CLEAN]), len(made[HELD])


def release_rows(folder: Path, names: Sequence[str], when: str, by: str) -> int:
    """Moves rows, given as FILE:LINE, from those held back to the clean ones; returns their number. A crash in between
    leaves a row in both, never in none.
    """
    held, clean = _read_rows(folder / HELD), _read_rows(folder / CLEAN)
    wanted = set(names)
    known = {_name(each): each for each in held}
    if missing := sorted(wanted - set(known)):
        raise BadRequest(
            f"{missing[0]!r} is not held back in {str(folder)!r}", "give rows as FILE:LINE, as shown by scan"
        )
    there = {_name(each) for each in clean}
    freed = [
        QuarantinedRow(each.row, msgspec.structs.replace(each.provenance, released=f"{when} by {by}"))
        for name, each in known.items()
        if name in wanted and name not in there
    ]
    _write(folder / CLEAN, [*clean, *freed])
    _write(folder / HELD, [each for each in held if _name(each) not in wanted])
    return len(wanted)


def _name(row: QuarantinedRow) -> str:
    return f"{row.provenance.source}:{row.provenance.line}"


def _read_rows(file: Path) -> list[QuarantinedRow]:
    try:
        return [msgspec.json.decode(line, type=QuarantinedRow) for line in file.read_bytes().splitlines() if line]
    except OSError as error:
        raise BadRequest(
            f"cannot read {str(file)!r}: {error.strerror}",
            "use a folder written by scan --quarantine",
        ) from error
    except msgspec.DecodeError as error:
        raise BadRequest(f"{str(file)!r} was not written by scan --quarantine", "scan the data again") from error


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ExternalFailure(f"cannot create {str(folder)!r}: {error.strerror}", "use another folder") from error


def _write(file: Path, rows: Sequence[QuarantinedRow]) -> None:
    write_file(file, b"".join(msgspec.json.encode(each) + b"\n" for each in rows))
