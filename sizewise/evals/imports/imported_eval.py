"""What an importer returns: evals with items, and a note on each part that is not carried, with file and line."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sizewise.errors import BadRequest

Json = dict[str, Any]
JsonValue = Any
"""Decoded JSON or YAML of others; what uses it checks it."""
JUDGE = "meets"
RUBRIC = """\
Does the answer meet all of these criteria? Its length does not count.

{criteria}"""
"""The rubric of imported criteria."""


@dataclass(frozen=True)
class ImportNote:
    """`line`: from 1; 0: of the whole file."""

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}" if self.line else f"{self.file}: {self.message}"


@dataclass(frozen=True)
class ImportedEval:
    """`spec`: of the eval file, without `data`. `items`: lines of its data set. `targets`: all that it named."""

    name: str
    spec: Mapping[str, Any]
    items: Sequence[Mapping[str, Any]]
    targets: Sequence[str] = ()


@dataclass
class ImportReport:
    """`carried`: assertions or scores that became checks or criteria, of `seen`."""

    evals: list[ImportedEval] = field(default_factory=list)
    notes: list[ImportNote] = field(default_factory=list)
    seen: int = 0
    carried: int = 0

    def note(self, file: str, line: int, message: str) -> None:
        found = ImportNote(file, line, message)
        if found not in self.notes:
            self.notes.append(found)


def mapping(value: JsonValue) -> Json:
    """Empty if it is none."""
    return value if isinstance(value, dict) else {}


def sequence(value: JsonValue) -> list[JsonValue]:
    """Empty if it is none."""
    return value if isinstance(value, list) else []


def csv_rows(text: str, name: str) -> Iterator[tuple[int, dict[str, str]]]:
    """With their lines; cells without a column or a value are left out. Raises ImportRefused."""
    rows = csv.DictReader(io.StringIO(text))
    try:
        for row in rows:
            yield rows.line_num, {key: value for key, value in row.items() if key and isinstance(value, str)}
    except csv.Error as error:
        raise ImportRefused(f"{name!r}, line {rows.line_num}: {error}", "write it as .jsonl or YAML") from error


class ImportRefused(BadRequest):
    """The file is not of the format, or not to be read."""


def scorers_for(items: Sequence[Mapping[str, JsonValue]], judge: str, threshold: float | None) -> Json:
    """That the items need. `threshold`: of similarities; None: there are none."""
    found = dict[str, Any]()
    if any(each.get("checks") for each in items):
        found["checks"] = {"kind": "checks"}
    if any(each.get("criteria") for each in items):
        found[JUDGE] = {"kind": "judge", "model": judge, "rubric": RUBRIC}
    if threshold is not None:
        found["similar"] = {"kind": "similarity", "threshold": threshold}
    return found or {"cost": {"kind": "cost"}}
