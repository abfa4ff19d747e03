"""Test cases of a promptfoo configuration: from lists, files, patterns, CSV and scenarios; asserts nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from sizewise.errors import SizewiseError
from sizewise.evals.imports.imported_eval import ImportReport, Json, JsonValue, csv_rows
from sizewise.evals.imports.promptfoo_assertions import csv_assertions
from sizewise.evals.imports.source_files import DATA, TEXT, ParsedFile, SourceFiles

MAX_CASES = 1_000
"""That one test makes of lists in its variables."""
FIELDS = frozenset({"vars", "assert", "description", "options", "metadata", "threshold", "provider"})

Where = tuple[str | int, ...]


@dataclass(frozen=True)
class TestCase:
    """`asserts`: each with its line. `file`: from the root, which has them."""

    __test__ = False

    values: Mapping[str, JsonValue]
    asserts: tuple[tuple[Mapping[str, JsonValue], int], ...]
    options: Mapping[str, JsonValue]
    file: str
    line: int
    description: str = ""


class TestReader:
    """Reads with notes; a test that cannot be read is noted and left out."""

    __test__ = False

    def __init__(self, files: SourceFiles, report: ImportReport) -> None:
        self._files, self._report = files, report
        self._open: list[Path] = []  # files whose tests are being read

    def tests(self, found: JsonValue, at: Path, source: ParsedFile, where: Where) -> Iterator[TestCase]:
        """Of a list, a reference or a file's data."""
        name, line = self._files.name(at), line_of(source, where)
        if isinstance(found, list):
            for place, each in enumerate(found):
                yield from self.tests(each, at, source, (*where, place))
        elif isinstance(found, str):
            yield from self._referenced(found, at, name, line)
        elif isinstance(found, dict):
            yield from self._case(found, at, source, where)
        else:
            self._report.note(name, line, f"a test that is a {type(found).__name__}")

    def _referenced(self, reference: str, at: Path, name: str, line: int) -> Iterator[TestCase]:
        if "://" in reference and not reference.startswith("file://"):
            self._report.note(name, line, f"the tests of {reference!r}: nothing is fetched")
            return
        try:
            for path in self._files.find(reference, at):
                if path.suffix == ".csv":
                    yield from self._rows(path)
                elif path in self._open:
                    self._report.note(name, line, f"{path.name!r} names itself")
                elif path.suffix in DATA:
                    source = self._files.parsed(path)
                    self._open.append(path)
                    yield from self.tests(source.data, path, source, ())
                    self._open.remove(path)
                else:
                    self._report.note(name, line, f"the tests of {path.name!r}: it is no data file, and nothing is run")
        except SizewiseError as error:
            self._report.note(name, line, error.message)

    def _case(self, found: Mapping[str, JsonValue], at: Path, source: ParsedFile, where: Where) -> Iterator[TestCase]:
        name, line = self._files.name(at), line_of(source, where)
        for lost in found.keys() - FIELDS:
            self._report.note(name, line_of(source, (*where, lost)), f"`{lost}` of a test")
        for lost in ("threshold", "provider"):
            if found.get(lost) is not None:
                self._report.note(name, line_of(source, (*where, lost)), f"`{lost}` of a test")
        asserts = list(self.asserts(found.get("assert"), source, (*where, "assert"), name))
        for values in self.values(found.get("vars"), at, line_of(source, (*where, "vars"))):
            options = found.get("options")
            yield TestCase(
                values=values,
                asserts=tuple(asserts),
                options=options if isinstance(options, dict) else {},
                file=name,
                line=line,
                description=str(found.get("description") or ""),
            )

    def asserts(self, found: JsonValue, source: ParsedFile, where: Where, name: str) -> Iterator[tuple[Json, int]]:
        """With their lines; sets are taken apart."""
        for place, each in enumerate(found if isinstance(found, list) else []):
            line = line_of(source, (*where, place))
            if not isinstance(each, dict):
                self._report.note(name, line, "an assertion that is no mapping")
            elif each.get("type") == "assert-set":
                if each.get("threshold") is not None:
                    self._report.note(name, line, "`threshold` of an assert-set: all of it must hold")
                yield from self.asserts(each.get("assert"), source, (*where, place, "assert"), name)
            else:
                yield each, line

    def values(self, found: JsonValue, at: Path, line: int) -> Iterator[Json]:
        """Variables of each case: files read, lists tried one by one."""
        name = self._files.name(at)
        if isinstance(found, str):
            try:
                for path in self._files.find(found, at):
                    yield from self.values(self._files.parsed(path).data, path, 0)
            except SizewiseError as error:
                self._report.note(name, line, error.message)
            return
        read = dict[str, JsonValue]()
        for key, value in (found if isinstance(found, dict) else {}).items():
            try:
                read[str(key)] = self._value(value, at)
            except SizewiseError as error:
                self._report.note(name, line, f"the variable {key!r}: {error.message}")
                return
        lists = {key: value for key, value in read.items() if isinstance(value, list) and value}
        for place, chosen in enumerate(product(*lists.values())):
            if place >= MAX_CASES:
                self._report.note(name, line, f"more than {MAX_CASES} cases of one test")
                return
            yield read | dict(zip(lists, chosen, strict=True))

    def _value(self, value: JsonValue, at: Path) -> JsonValue:
        if not (isinstance(value, str) and value.startswith("file://")):
            return value
        path = self._files.find(value, at)[0]
        if path.suffix in DATA:
            return self._files.parsed(path).data
        if path.suffix in TEXT:
            return self._files.text(path).strip()
        raise SizewiseError(f"{path.name!r} is no text or data file, and nothing is run")

    def _rows(self, path: Path) -> Iterator[TestCase]:
        name = self._files.name(path)
        for line, row in csv_rows(self._files.text(path), name):
            values = {key: value for key, value in row.items() if not key.startswith("__")}
            for lost in sorted(key for key in row if key.startswith("__")):
                if row[lost] and not lost.startswith(("__expected", "__description")):
                    self._report.note(name, line, f"the column {lost!r}")
            cells = [row[key] for key in row if key.startswith("__expected") and row[key]]
            asserts = tuple((each, line) for cell in cells for each in csv_assertions(cell))
            description = str(row.get("__description") or "")
            yield TestCase(values, asserts, {}, file=name, line=line, description=description)


def line_of(source: ParsedFile, where: Where) -> int:
    """Of the value at `where`, or of what is around it."""
    for length in range(len(where), -1, -1):
        if where[:length] in source.positions:
            return source.positions[where[:length]][0]
    return 1
