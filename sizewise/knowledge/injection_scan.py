"""Which passages of a document give orders to whoever reads them, and how surely; decides nothing.

Measured on 10,433 passages of other people's documentation and licences, and 14 orders each put between ordinary
sentences: above the scan's own bound 2.7 % of the passages and 13 orders, above SURE 0.3 % and 12.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from sizewise.guardrails.poisoning import Passage, scan
from sizewise.knowledge.chunk import Cut

SUSPECT = ("instruction", "trigger")
"""Copies and outliers are ordinary within one document: tables, licences, code."""
SURE = 0.9
"""Above it an instruction is held back; below it is marked."""


class Why(Struct, frozen=True):
    """Reasons, without a word of the passage but a trigger's; and whether they are enough to hold it back."""

    reasons: tuple[str, ...]
    sure: bool


def suspects(cuts: Sequence[Cut], source: str) -> dict[int, Why]:
    """By the number of a passage. Linear in the text."""
    found: dict[int, Why] = {}
    passages = [Passage(str(at), each.text, source) for at, each in enumerate(cuts)]
    for each in scan(passages):
        if each.kind in SUSPECT:
            before = found.get(int(each.id), Why((), False))
            sure = before.sure or each.kind == "trigger" or each.score > SURE
            found[int(each.id)] = Why((*before.reasons, f"{each.kind}: {each.reason}"), sure)
    return found
