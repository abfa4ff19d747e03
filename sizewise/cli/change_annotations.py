"""GitHub annotations of a change: workflow commands, one a line, which the log of a job turns into marks on files.

Source: GitHub Docs, "Workflow commands for GitHub Actions". Whatever a file says stays within its line, so that it can
give the runner no command of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sizewise.cli.change_report import ChangeReport

LEVELS: Mapping[str, str] = {"fail": "error", "unclear": "warning", "new": "notice"}
"""Of an eval's state; the others are not marked."""


def change_annotations(report: ChangeReport, files: Mapping[str, str]) -> str:
    """Mistakes first: GitHub shows ten of a level. `files`: eval -> its path from the repository's top."""
    return "".join(f"{line}\n" for line in _lines(report, files))


def _lines(report: ChangeReport, files: Mapping[str, str]) -> Iterator[str]:
    for found in report.findings:
        place = {"file": found.path, "line": str(max(1, found.line)), "col": str(max(1, found.column))}
        yield _command("error", {**place, "title": "Mistake"}, found.message)
    for each in report.outcomes:
        if each.state in LEVELS:
            place = {"file": files[each.name], "line": "1"} if each.name in files else {}
            yield _command(LEVELS[each.state], {**place, "title": f"Eval {each.name}: {each.state}"}, each.why)


def _command(level: str, properties: Mapping[str, str], message: str) -> str:
    named = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
    return f"::{level} {named}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
