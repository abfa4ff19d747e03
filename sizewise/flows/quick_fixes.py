"""Quick fixes: for a diagnostic whose correction is one replacement in the file, what to replace by what; pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec import Struct

from sizewise.flows.language.diagnostics import Diagnostic

_NEAREST = re.compile(r"Did you mean '([^']{1,100})'\?")
_NAMED = re.compile(r"'([^']{1,100})'")
_UNQUOTED = re.compile(r"[^:#]{0,200}:\s{1,20}(\{\{.{0,2000}\}\})\s{0,20}$")
MAX_DISTANCE = 200
"""Characters from the position of a diagnostic to the word that is wrong: a reference begins before it."""


class QuickFix(Struct, frozen=True):
    """Replaces the characters from `start` to `end` of the file, in code points from 0, by `text`."""

    title: str
    start: int
    end: int
    text: str


def line_starts(text: str) -> list[int]:
    """The offset of each line."""
    starts = [0]
    for line in text.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    return starts


def quick_fixes(text: str, starts: Sequence[int], found: Diagnostic) -> list[QuickFix]:
    """`starts`: the line_starts of `text`. Empty where the file does not say what the diagnostic says."""
    if found.line >= len(starts):
        return []
    begin, end = starts[found.line - 1], starts[found.line] - 1
    line = text[begin:end]
    if found.hint.startswith(("Quote values that begin with {{", "Quote keys that begin with {{")):
        quoted = _UNQUOTED.match(line)
        if quoted is None:
            return []
        value = quoted.group(1)
        mark = "'" if '"' in value else '"'
        if mark in value:
            return []
        return [QuickFix("Quote it", begin + quoted.start(1), begin + quoted.end(1), f"{mark}{value}{mark}")]
    nearest = _NEAREST.match(found.hint)
    names = list(dict.fromkeys([*([nearest.group(1)] if nearest else []), *found.choices]))
    wrong = _NAMED.findall(found.message)[-1:]  # what comes before is what was asked: "'ask' has no parameter 'modle'"
    at = line.find(wrong[0], found.column - 1, found.column + MAX_DISTANCE) if wrong else -1
    if at < 0:
        return []
    return [QuickFix(f"Change it to {name!r}", begin + at, begin + at + len(wrong[0]), name) for name in names]
