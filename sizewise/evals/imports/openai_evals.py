"""Importer of OpenAI evals: an exported eval with its criteria and rows, or samples as JSON lines; runs no grader."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from sizewise.evals.csv_rows import read_csv
from sizewise.evals.imports.imported_eval import (
    ImportedEval,
    ImportRefused,
    ImportReport,
    Json,
    JsonValue,
    mapping,
    scorers_for,
    sequence,
)
from sizewise.evals.imports.langfuse_items import input_of
from sizewise.evals.imports.promptfoo_templates import UnknownTemplate, render, render_all

MAX_BYTES = 268_435_456
OPERATIONS: Mapping[str, Mapping[str, JsonValue]] = {
    "eq": {"kind": "exact", "case_sensitive": True},
    "ne": {"kind": "exact", "case_sensitive": True, "negate": True},
    "like": {"kind": "contains", "case_sensitive": True, "whole_words": False},
    "ilike": {"kind": "contains", "whole_words": False},
}
OUTPUT = "sample.output_text"


def import_openai_evals(file: Path, name: str, judge: str) -> ImportReport:
    """FILE: JSON with `testing_criteria` and rows in `data_source` or `items`; or JSON lines or CSV of `input` and
    `ideal`, or of `item`. Raises ImportRefused, BadRequest.
    """
    if file.stat().st_size > MAX_BYTES:
        raise ImportRefused(f"{file.name!r} is larger than {MAX_BYTES:,} bytes", "split it")
    report, text = ImportReport(), file.read_bytes()
    exported = _decoded(text, file.name) if file.suffix not in (".jsonl", ".csv") else None
    found = exported if isinstance(exported, dict) else {}
    if file.suffix == ".csv":
        rows: list[JsonValue] = [row for _, row in read_csv(file)]
    elif isinstance(exported, list):
        rows = exported
    else:
        rows = list(_rows_of(found)) if found else list(_lines(text, file.name))
    source = mapping(found.get("data_source"))
    items = list[Json]()
    for number, row in enumerate(rows, 1):
        item = _item(row, source, report, file.name, number)
        if item is not None:
            items.append(_checked(item, row, sequence(found.get("testing_criteria")), report, file.name))
    if not items:
        raise ImportRefused(f"{file.name!r} has no samples that can be read", "export the eval with its rows")
    scorers = scorers_for(items, judge, None)
    if any("expected" in each for each in items):
        scorers = {"right": {"kind": "contains"}, **{key: each for key, each in scorers.items() if key != "cost"}}
    target = str(source.get("model") or "auto")
    spec = {"target": {"model": target}, "scorers": scorers}
    report.evals.append(ImportedEval(name, spec, items, [target]))
    return report


def _item(row: JsonValue, source: Mapping[str, JsonValue], report: ImportReport, file: str, number: int) -> Json | None:
    values = mapping(mapping(row).get("item", row))
    template = mapping(source.get("input_messages")).get("template")
    try:
        asked = input_of(_messages(template, values) if template else values.get("input"))
    except UnknownTemplate as error:
        report.note(file, number, str(error))
        return None
    if asked is None:
        report.note(file, number, "a sample without an input that can be read")
        return None
    ideal = values.get("ideal")
    return {"id": f"sample-{number}", "input": asked, **({} if ideal is None else {"expected": ideal})}


def _messages(template: JsonValue, values: Mapping[str, JsonValue]) -> list[Json]:
    found = list[Json]()
    for each in map(mapping, sequence(template)):
        content = each.get("content")
        text = content.get("text", "") if isinstance(content, dict) else content
        role = "system" if each.get("role") == "developer" else each.get("role", "user")
        found.append({"role": role, "content": render_all(text, {"item": values})})
    return found


def _checked(item: Json, row: JsonValue, criteria: list[JsonValue], report: ImportReport, file: str) -> Json:
    checks, judged = list[Json](), list[str]()
    values = {"item": mapping(row).get("item", row)}
    for each in map(mapping, criteria):
        report.seen += 1
        kind, operation = each.get("type"), str(each.get("operation"))
        try:
            if kind == "string_check" and _is_output(each.get("input")) and operation in OPERATIONS:
                reference = render(str(each.get("reference", "")), values)
                checks.append({**OPERATIONS[operation], "expected": reference})
            elif kind == "label_model" and each.get("passing_labels"):
                judged.append(_criterion(each, values))
            else:
                raise UnknownTemplate(f"the criterion {each.get('name')!r} of the type {kind!r}")
            report.carried += 1
        except UnknownTemplate as error:
            report.note(file, 0, str(error))
    more: Json = {"checks": checks} if checks else {}
    return {**item, **more, **({"criteria": "\n".join(f"* {each}" for each in judged)} if judged else {})}


def _is_output(template: JsonValue) -> bool:
    return isinstance(template, str) and template.strip("{} \n") == OUTPUT


def _criterion(grader: Mapping[str, JsonValue], values: Mapping[str, JsonValue]) -> str:
    """The grader's instructions, with the labels that pass. Raises UnknownTemplate."""
    said = [each.get("content") for each in map(mapping, sequence(grader.get("input")))]
    texts = [str(mapping(each).get("text", "") if isinstance(each, dict) else each or "") for each in said]
    text = (
        "\n".join(texts)
        .replace("{{ sample.output_text }}", "the answer")
        .replace("{{sample.output_text}}", "the answer")
    )
    passing = ", ".join(map(str, sequence(grader["passing_labels"])))
    return f"{render(text, values)}\n  It would be labeled: {passing}"


def _rows_of(found: Mapping[str, JsonValue]) -> Iterator[JsonValue]:
    content = mapping(mapping(found.get("data_source")).get("source")).get("content")
    for each in (found.get("items"), found.get("data"), content):
        if isinstance(each, list):
            yield from each
            return


def _lines(text: bytes, name: str) -> Iterator[JsonValue]:
    for line in text.splitlines():
        if line.strip():
            yield _decoded(line, name)


def _decoded(data: bytes, name: str) -> JsonValue:
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ImportRefused(f"{name!r} is no JSON", "export the eval as JSON or JSON lines") from error
