"""Writes reference/lamatic.md: what becomes of every type of Lamatic's nodes, by importing a flow of each; knows none.

The flows are those of the tests, whose writer shares no code with the importer.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sizewise.lamatic import file_formats, importer, triggers
from sizewise.lamatic.canvas import Canvas, TranslationNote
from sizewise.lamatic.importer import ImportedFlow
from tests.lamatic import sample_files

PAGE = Path(__file__).parent / "reference" / "lamatic.md"
MARKS = {"imported": "imported", "note": "with a note", "named": "named"}
GRADES = tuple(MARKS)
BESIDE = {
    **triggers.TRIGGERS,
    **dict.fromkeys(sorted(triggers.RESPONSE_NODES), "outputs"),
    "forLoopNode": "`each`, one at a time",
    "batchNode": "`each`, several at a time",
    "agentNode": "`loop` of `json`, `branch` and its paths",
    "addNode": "edges",
    "branchNode": "edges",
    "endNode": "edges",
    "stickyNoteNode": "a comment",
}
INTRODUCTION = """\
# Lamatic's nodes

*Made by `python -m docs.build`: a flow with every type of node was written in every format, and imported.*

What `sizewise import lamatic` makes of each ([how](../how-to/from-lamatic.md)). *with a note*: it runs, and something
of it is otherwise than there. *named*: it is no node here; what to do is said, and it stays in the file under its own
kind, where `flow check` points at it.

"""


def pages() -> dict[Path, str]:
    return {PAGE: INTRODUCTION + "\n".join(_page()) + "\n"}


def _page() -> Iterator[str]:
    yield (
        f"| type of node | becomes | {' | '.join(sample_files.FORMATS)}"
        f" |\n|---|---|{'---|' * len(sample_files.FORMATS)}"
    )
    told: dict[str, list[TranslationNote]] = {}
    for name in sample_files.FLOWS:
        marks = []
        for format in sample_files.FORMATS:
            told[name] = _told(name, format)
            marks.append(MARKS[max((each.grade for each in told[name]), key=GRADES.index)])
        named = marks[0] == MARKS["named"]
        yield f"| `{name}` | {'' if named else _becomes(name)} | {' | '.join(marks)} |"
    yield "\n`forLoopEndNode`, `batchEndNode` and `agentLoopEndNode` are the ends of their loops.\n"
    yield "## What is noted, and what to do\n"
    for name, each in told.items():
        lines = [f"{one.message}. {one.hint}".strip() for one in each if one.grade != "imported"]
        if lines:
            yield f"* `{name}`: {' '.join(_sentence(line) for line in dict.fromkeys(lines))}"


def _becomes(name: str) -> str:
    sort = importer.TRANSLATIONS.get(name)
    return sort.description if sort is not None else BESIDE[name]


def _sentence(text: str) -> str:
    shown = text if text.endswith(".") else f"{text}."
    return shown[:1].upper() + shown[1:].replace("|", "\\|")


def _told(name: str, format: str) -> list[TranslationNote]:
    drawings: dict[str, Canvas] = {}
    for flow in sample_files.flows(name):
        written = sample_files.FORMATS[format](flow)
        path = next(path for path in written if path.rpartition("/")[0] in ("flows", "lamatic/flows", ""))
        drawings[path] = file_formats.parse_file(path, written[path], written.get)[1]
    made = next(iter(importer.import_flows(drawings).values()))
    assert isinstance(made, ImportedFlow)
    return [each for each in made.notes if each.node == sample_files.FLOWS[name]().under]
