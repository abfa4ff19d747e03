"""Importer of a Langfuse data set: the items of its API, as JSON or CSV; calls no server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from sizewise.evals.imports.imported_eval import ImportedEval, ImportRefused, ImportReport, Json, JsonValue, csv_rows

MAX_BYTES = 268_435_456
KNOWN = frozenset(
    [
        "id",
        "input",
        "expectedoutput",
        "expected_output",
        "metadata",
        "status",
        "datasetid",
        "datasetname",
        "createdat",
        "updatedat",
        "projectid",
        "sourcetraceid",
        "sourceobservationid",
        "source_trace_id",
        "source_observation_id",
        "mediareferences",
    ]
)


def import_langfuse(file: Path, name: str) -> ImportReport:
    """Raises ImportRefused if the file is no data set."""
    if file.stat().st_size > MAX_BYTES:
        raise ImportRefused(f"{file.name!r} is larger than {MAX_BYTES:,} bytes", "split it")
    report, items = ImportReport(), list[Json]()
    for line, row in _rows(file):
        item = _item(row, report, file.name, line)
        if item is not None:
            items.append(item)
    if items:
        has_expected = any("expected" in each for each in items)
        scorers = {"right": {"kind": "contains"}} if has_expected else {"cost": {"kind": "cost"}}
        report.evals.append(ImportedEval(name, {"target": {"model": "auto"}, "scorers": scorers}, items))
    return report


def _rows(file: Path) -> Iterator[tuple[int, Mapping[str, JsonValue]]]:
    """With the line, or the number in a JSON list."""
    try:
        text = file.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ImportRefused(f"{file.name!r} is no UTF-8 text", "export the items as JSON or CSV") from error
    if file.suffix == ".csv":
        for line, row in csv_rows(text, file.name):
            yield line, {key: _decoded(value) for key, value in row.items()}
        return
    try:
        if file.suffix == ".jsonl":
            found: JsonValue = [msgspec.json.decode(line) for line in text.splitlines() if line.strip()]
        else:
            found = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ImportRefused(f"{file.name!r} is no JSON: {error}", "export the items as JSON or CSV") from error
    rows_of = found.get("data", found.get("items")) if isinstance(found, dict) else found
    if not isinstance(rows_of, list) or not all(isinstance(each, dict) for each in rows_of):
        raise ImportRefused(f"{file.name!r} is no data set of Langfuse", "a list of items, or {data: [...]}")
    yield from enumerate(rows_of, 1)


def _decoded(value: str) -> JsonValue:
    """A cell that is JSON, or its text."""
    try:
        return msgspec.json.decode(value)
    except (msgspec.DecodeError, RecursionError):
        return value or None


def _item(row: Mapping[str, JsonValue], report: ImportReport, file: str, line: int) -> Json | None:
    low = {key.lower(): value for key, value in row.items()}
    for lost in sorted(low.keys() - KNOWN):
        report.note(file, 0, f"the field {lost!r}")
    if low.get("status") not in (None, "ACTIVE"):
        report.note(file, line, f"an item that is {low['status']}")
        return None
    asked = input_of(low.get("input"))
    if asked is None:
        report.note(file, line, "an item without a question that can be read")
        return None
    expected = low.get("expectedoutput", low.get("expected_output"))
    if isinstance(expected, dict) and len(expected) == 1:
        expected = next(iter(expected.values()))
    if low.get("metadata"):
        report.note(file, 0, "`metadata` of items")
    return {
        **({"id": str(low["id"])} if low.get("id") else {}),
        "input": asked,
        **({} if expected is None else {"expected": expected}),
    }


def input_of(value: JsonValue) -> str | list[Json] | None:
    """Text, messages, `{"messages": [...]}`, or an object with one text. None if it is none of these."""
    if isinstance(value, str) and value:
        return value
    if isinstance(value, dict):
        for name in ("messages", "question", "input", "query", "prompt"):
            if value.get(name):
                return input_of(value[name])
        return input_of(next(iter(value.values()))) if len(value) == 1 else None
    if isinstance(value, list) and value and all(isinstance(each, dict) and each.get("role") for each in value):
        return value
    return None
