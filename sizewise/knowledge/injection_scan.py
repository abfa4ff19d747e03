"""Scans the chunks of a document for indirect prompt injection and scores them; holds nothing back itself.

Measured on 10,433 passages of third-party documentation and licenses, and 14 instructions placed between ordinary
sentences: the scan's own threshold marks 2.7 % of the passages and 13 instructions, HOLD_THRESHOLD 0.3 % and 12.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from sizewise.guardrails.poisoning import CorpusPassage, scan_passages
from sizewise.knowledge.chunk import TextChunk

SUSPECT_KINDS = ("instruction", "trigger")
"""Copies and outliers are normal within one document: tables, licenses, code."""
HOLD_THRESHOLD = 0.9
"""An instruction with a higher score may be held back; others are only marked."""


class InjectionSuspicion(Struct, frozen=True):
    """`reasons` quote no words of the passage except a trigger. `certain`: enough to hold the passage back."""

    reasons: tuple[str, ...]
    certain: bool


def find_suspects(chunks: Sequence[TextChunk], source: str) -> dict[int, InjectionSuspicion]:
    """Index of a chunk -> suspicion. Linear in the text."""
    found: dict[int, InjectionSuspicion] = {}
    passages = [CorpusPassage(str(at), each.text, source) for at, each in enumerate(chunks)]
    for each in scan_passages(passages):
        if each.kind in SUSPECT_KINDS:
            before = found.get(int(each.id), InjectionSuspicion((), False))
            sure = before.certain or each.kind == "trigger" or each.score > HOLD_THRESHOLD
            found[int(each.id)] = InjectionSuspicion((*before.reasons, f"{each.kind}: {each.reason}"), sure)
    return found
