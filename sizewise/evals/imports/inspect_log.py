"""Importer of Inspect logs, `.eval` and `.json`: the samples as items, once each; loads no task and runs no solver."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from sizewise.evals.imports.imported_eval import (
    RUBRIC,
    ImportedEval,
    ImportRefused,
    ImportReport,
    Json,
    JsonValue,
    mapping,
    sequence,
)
from sizewise.evals.imports.langfuse_items import input_of

MAX_BYTES = 268_435_456
"""Unpacked, of all members."""
SCORERS: Mapping[str, str] = {
    "match": "contains",
    "includes": "contains",
    "exact": "exact",
    "choice": "choice",
    "answer": "contains",
    "f1": "",
}


def import_inspect(file: Path, name: str, judge: str) -> ImportReport:
    """`judge`: the model of model-graded scorers. Raises ImportRefused."""
    head, samples = _log(file)
    task = mapping(head.get("eval"))
    report, items = ImportReport(), dict[str, Json]()
    for number, sample in enumerate(samples, 1):
        item = _item(sample, report, file.name, number)
        if item is not None:
            items.setdefault(item["id"], item)
    names = sorted({each for sample in samples for each in mapping(sample.get("scores"))})
    report.seen = len(names)
    scorers = dict[str, JsonValue]()
    for each in names:
        kind = SCORERS.get(each.rpartition("/")[2])
        if kind:
            scorers[each.replace("/", "-")] = {"kind": kind}
        elif each.rpartition("/")[2].startswith("model_graded"):
            rubric = RUBRIC.replace("{criteria}", "It says the same as the correct answer.")
            scorers[each.replace("/", "-")] = {"kind": "judge", "model": judge, "rubric": rubric}
        else:
            report.note(file.name, 0, f"the scorer {each!r}")
            continue
        report.carried += 1
    for lost in ("sandbox", "tools", "approval"):
        if task.get(lost) or any(each.get(lost) for each in samples):
            report.note(file.name, 0, f"`{lost}` of the task")
    if items:
        target = str(task.get("model") or "auto")
        spec = {"target": {"model": target}, "scorers": scorers or {"cost": {"kind": "cost"}}}
        report.evals.append(ImportedEval(name, spec, list(items.values()), [target]))
    return report


def _item(sample: Mapping[str, JsonValue], report: ImportReport, file: str, number: int) -> Json | None:
    asked = input_of(sample.get("input"))
    if isinstance(asked, list):
        asked = [{"role": each["role"], "content": each.get("content", "")} for each in asked]
    if asked is None:
        report.note(file, 0, f"sample {number}: an input that cannot be read")
        return None
    choices = sample.get("choices")
    if isinstance(choices, list) and choices and isinstance(asked, str):
        asked += "\n\n" + "\n".join(f"{chr(65 + place)}) {each}" for place, each in enumerate(choices[:26]))
    target = sample.get("target")
    return {
        "id": str(sample.get("id", number)),
        "input": asked,
        **({} if target in (None, "", []) else {"expected": target}),
    }


def _log(file: Path) -> tuple[Mapping[str, JsonValue], list[Mapping[str, JsonValue]]]:
    """The header and the samples."""
    if zipfile.is_zipfile(file):
        found = dict(_members(file))
        head = found.get("header.json") or found.get("_journal/start.json") or {}
        samples = [its for name, its in sorted(found.items()) if name.startswith("samples/")]
    else:
        if file.stat().st_size > MAX_BYTES:
            raise ImportRefused(f"{file.name!r} is larger than {MAX_BYTES:,} bytes", "split it")
        head = _decoded(file.read_bytes(), file.name)
        samples = sequence(mapping(head).get("samples"))
    if not isinstance(head, dict) or not all(isinstance(each, dict) for each in samples) or not samples:
        raise ImportRefused(f"{file.name!r} is no log of Inspect with samples", "name an .eval or .json log")
    return head, samples


def _members(file: Path) -> Iterator[tuple[str, JsonValue]]:
    """JSON members, bounded together: a member's own size is not believed."""
    left = MAX_BYTES
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            if not info.filename.endswith(".json"):
                continue
            try:
                with archive.open(info) as member:
                    data = member.read(left + 1)
            except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
                raise ImportRefused(f"{file.name!r} cannot be unpacked", "convert it: inspect log convert") from error
            left -= len(data)
            if left < 0:
                raise ImportRefused(f"{file.name!r} unpacks to more than {MAX_BYTES:,} bytes", "split it")
            yield info.filename, _decoded(data, info.filename)


def _decoded(data: bytes, name: str) -> JsonValue:
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ImportRefused(f"{name!r} is no JSON", "name an .eval or .json log of Inspect") from error
