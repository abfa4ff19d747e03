"""Rows of a CSV file (RFC 4180) as the objects that JSON lines would have; checks no field.

The first line names the columns. An empty cell is a field that is not there. Separated by commas, semicolons or tabs,
as the first line is: spreadsheets differ.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import msgspec

from sizewise.errors import BadRequest

DELIMITERS = ",;\t"
HINT = "save it as CSV with UTF-8 and the names of its columns in the first line, or write JSON lines"
JSON_COLUMNS = frozenset(
    {"checks", "context", "expected", "ideal", "input", "reference", "schema", "source", "tools", "variables"}
)
"""Whose cells may hold a JSON array or object; every other cell that is one is text."""
MAX_CELL_CHARS = 131_072
VARIABLE = "variables."
"""Before the name of a column: a variable of the target's prompt."""


def read_csv(file: Path) -> Iterator[tuple[int, dict[str, object]]]:
    """With the line on which each row ends. Raises BadRequest, with file and line."""
    line = 1
    csv.field_size_limit(MAX_CELL_CHARS)  # of the whole process, so that other readers set theirs too
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            head = lines.readline()
            lines.seek(0)
            delimiter = max(DELIMITERS, key=head.count)
            rows = csv.reader(lines, delimiter=delimiter, strict=True)
            names = [each.strip() for each in next(rows, [])]
            repeated = next((each for each in names if each and names.count(each) > 1), None)
            if repeated is not None:
                raise BadRequest(f"{str(file)!r} has two columns {repeated!r}", "give each column its own name")
            for cells in rows:
                line = rows.line_num
                if any(cells[len(names) :]):
                    raise BadRequest(
                        f"{str(file)!r}, line {line}: more cells than columns", 'quote text with commas: "a, b"'
                    )
                if row := _fields(names, cells):
                    yield line, row
    except csv.Error as error:
        raise BadRequest(f"{str(file)!r}, line {line + 1}: {error}", HINT) from error
    except UnicodeDecodeError as error:
        raise BadRequest(f"{str(file)!r} is not UTF-8 text", HINT) from error


def _fields(names: list[str], cells: list[str]) -> dict[str, object]:
    found, variables = dict[str, object](), dict[str, str]()
    for name, cell in zip(names, cells, strict=False):
        if not name or not cell.strip():
            continue
        if name.startswith(VARIABLE):
            variables[name.removeprefix(VARIABLE)] = cell
        elif name == "tags":
            found[name] = [each.strip() for each in cell.split(",") if each.strip()]
        else:
            found[name] = _value(name, cell)
    return {**found, "variables": variables} if variables else found


def _value(name: str, cell: str) -> object:
    """Text, unless it is an array or object where one may stand; an input only as messages."""
    if name not in JSON_COLUMNS or not cell.lstrip().startswith(("[", "{")):
        return cell
    try:
        found: object = msgspec.json.decode(cell)
    except msgspec.DecodeError:
        return cell
    is_messages = isinstance(found, list) and bool(found) and all(isinstance(each, dict) for each in found)
    return cell if name == "input" and not is_messages else found
