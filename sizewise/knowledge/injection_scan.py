"""Scans the chunks of a document for indirect prompt injection and scores them; holds nothing back itself.

Measured on 10,433 passages of other people's documentation and licences, and 14 orders each put between ordinary
sentences: above the scan's own bound 2.7 % of the passages and 13 orders, above SURE 0.3 % and 12.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from sizewise.guardrails.poisoning import Passage, scan_passages
from sizewise.knowledge.chunk import TextChunk

SUSPECT_KINDS = ("instruction", "trigger")
"""Copies and outliers are ordinary within one document: tables, licences, code."""
HOLD_THRESHOLD = 0.9
"""Above it an instruction is held back; below it is marked."""


class InjectionSuspicion(Struct, frozen=True):
    """Reasons, without a word of the passage but a trigger's; and whether they are enough to hold it back."""

    reasons: tuple[str, ...]
    certain: bool


def find_suspects(chunks: Sequence[TextChunk], source: str) -> dict[int, InjectionSuspicion]:
    """By the number of a passage. Linear in the text."""
    found: dict[int, InjectionSuspicion] = {}
    passages = [Passage(str(at), each.text, source) for at, each in enumerate(chunks)]
    for each in scan_passages(passages):
        if each.kind in SUSPECT_KINDS:
            before = found.get(int(each.id), InjectionSuspicion((), False))
            sure = before.certain or each.kind == "trigger" or each.score > HOLD_THRESHOLD
            found[int(each.id)] = InjectionSuspicion((*before.reasons, f"{each.kind}: {each.reason}"), sure)
    return found
