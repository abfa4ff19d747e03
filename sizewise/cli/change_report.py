"""Reports on a change: a comment, JUnit XML, JSON, and SARIF of mistakes in files; no word of an item or an answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from msgspec import Struct

from sizewise.cli.eval_change import EvalOutcome
from sizewise.cli.eval_report import MARKER, MARKS, gate_json, gate_junit, gate_section, table_cell
from sizewise.money import format_dollars

FORMAT = 1
STATE_MARKS: Mapping[str, str] = {**MARKS, "unchanged": "⏭️", "new": "🆕"}
SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"

ALTERS = "evals-change"
"""Label of a pull request, set by someone who may: it may change evals. They hold from the merge on."""

Verdict = Literal["pass", "fail", "unclear"]


class FileFinding(Struct, frozen=True):
    """A mistake in a file of the head. `path`: from the repository's top."""

    path: str
    line: int
    column: int
    message: str


class ChangeReport(Struct, frozen=True, kw_only=True):
    """`base`, `head`: ids of commits, shortened. `only_here`: no model beyond this machine was asked. `may_alter`: the
    pull request has the label ALTERS, so it may change evals.
    """

    base: str
    head: str
    outcomes: tuple[EvalOutcome, ...]
    findings: tuple[FileFinding, ...] = ()
    only_here: bool = False
    may_alter: bool = False

    @property
    def lacks_label(self) -> tuple[str, ...]:
        """Evals that the change alters or removes, and that nobody allowed."""
        return () if self.may_alter else tuple(each.name for each in self.outcomes if each.altered)

    @property
    def verdict(self) -> Verdict:
        """Fails closed: what could not be run is unclear, and so is a change without any eval."""
        states = {each.state for each in self.outcomes}
        if "fail" in states or self.findings or self.lacks_label:
            return "fail"
        return "unclear" if "unclear" in states or not self.outcomes else "pass"

    @property
    def sentence(self) -> str:
        wrong = [f"{each.name}: {each.why}" for each in self.outcomes if each.state == self.verdict != "pass"]
        found = [f"{each.path}:{each.line}: {each.message}" for each in self.findings]
        found += [f"{name}: a change of evals needs the label {ALTERS!r}" for name in self.lacks_label]
        first = next(iter([*wrong, *found]), "the base has no eval" if not self.outcomes else "every rule holds")
        return f"{self.verdict.upper()}: {first}"


def change_markdown(report: ChangeReport) -> str:
    """One comment, found again by its first line."""
    lines = [MARKER, f"### Sizewise: {table_cell(report.sentence)}", ""]
    lines += ["| eval | | |", "|---|---|---|"]
    for each in report.outcomes:
        lines.append(f"| {table_cell(each.name)} | {STATE_MARKS[each.state]} {each.state} | {table_cell(each.why)} |")
    for finding in report.findings:
        lines.append(f"* {table_cell(f'{finding.path}:{finding.line}: {finding.message}')}")
    for each in report.outcomes:
        if each.gate is not None:
            lines += ["", f"**{table_cell(each.name)}**", "", *gate_section(each.gate, each.comparison)]
        lines += [f"* {table_cell(f'{each.name}: {note}')}" for note in each.notes]
    if report.lacks_label:
        names = ", ".join(map(table_cell, report.lacks_label))
        lines += ["", f"Changes of evals ({names}) need the label `{ALTERS}`, by someone who may set it."]
    if report.only_here:
        lines += ["", "Only models of this machine were asked: this change comes from a fork."]
    cost = format_dollars(sum(each.cost for each in report.outcomes))
    lines += ["", f"base {report.base}, head {report.head}, this check cost ${cost}"]
    return "\n".join(lines).rstrip() + "\n"


def change_json(report: ChangeReport) -> dict[str, object]:
    return {
        "format": FORMAT,
        "verdict": report.verdict,
        "sentence": report.sentence,
        "base": report.base,
        "head": report.head,
        "only_here": report.only_here,
        "lacks_label": list(report.lacks_label),
        "evals": [
            {
                "name": each.name,
                "state": each.state,
                "why": each.why,
                "notes": list(each.notes),
                "gate": None if each.gate is None else gate_json(each.gate),
                "newly_wrong": _crossed(each),
                "cost_usd": format_dollars(each.cost),
            }
            for each in report.outcomes
        ],
        "findings": [
            {"path": each.path, "line": each.line, "column": each.column, "message": each.message}
            for each in report.findings
        ],
    }


def change_junit(report: ChangeReport) -> str:
    """A suite for each eval that ran; what could not be run is an error in one of its own."""
    suites = list[str]()
    for each in report.outcomes:
        if each.gate is not None and each.head is not None:
            suites.append(gate_junit(each.name, each.gate, each.head).split("\n", 1)[1].strip())
        elif each.state in ("fail", "unclear"):
            name, why = _attribute(each.name), _attribute(each.why)
            case = f'<testcase classname="{name}" name="it is run"><error message="{why}"/></testcase>'
            suites.append(f'<testsuite name="{name}" tests="1" failures="0" errors="1">{case}</testsuite>')
    return "\n".join(['<?xml version="1.0" encoding="utf-8"?>', "<testsuites>", *suites, "</testsuites>"]) + "\n"


def sarif(findings: Sequence[FileFinding]) -> dict[str, object]:
    """Version 2.1.0. A score has no line, and is in no SARIF."""
    results = [
        {
            "ruleId": "invalid-file",
            "level": "error",
            "message": {"text": each.message},
            "locations": [
                {
                    "physicalLocation": {
                        "artifactLocation": {"uri": each.path},
                        "region": {"startLine": max(1, each.line), "startColumn": max(1, each.column)},
                    }
                }
            ],
        }
        for each in findings
    ]
    rule = {"id": "invalid-file", "shortDescription": {"text": "The file has a mistake"}}
    driver = {"name": "Sizewise", "rules": [rule]}
    return {"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": results}]}


def finding_of(message: str, top: Path) -> FileFinding | None:
    """Of an error whose message begins with `FILE:LINE:COLUMN: `; None if it has none."""
    place, _, said = message.partition(": ")
    path, _, rest = place.partition(":")
    line, _, column = rest.partition(":")
    if not line.isdecimal() or not column.isdecimal():
        return None
    return FileFinding(path.removeprefix(f"{top}/"), int(line), int(column), said)


def _crossed(outcome: EvalOutcome) -> dict[str, list[str]]:
    changes = {} if outcome.comparison is None else outcome.comparison.changes
    return {name: list(each.newly_wrong) for name, each in changes.items() if each.newly_wrong}


def _attribute(text: str) -> str:
    for sign, written in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        text = text.replace(sign, written)
    return "".join(each if each.isprintable() else " " for each in text)
