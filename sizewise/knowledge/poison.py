"""Which passages of a document give orders to whoever reads them, or repeat each other too often; decides nothing."""

from __future__ import annotations

from collections.abc import Sequence

from sizewise.guards.poisoning import Passage, scan
from sizewise.knowledge.chunk import Cut

SUSPECT = ("instruction", "trigger")
"""What is held back. Copies and outliers are ordinary within one document: tables, licences, code."""


def suspects(cuts: Sequence[Cut], source: str) -> dict[int, tuple[str, ...]]:
    """Number of a passage -> why, without a word of it. Linear in the text."""
    found: dict[int, tuple[str, ...]] = {}
    passages = [Passage(str(at), each.text, source) for at, each in enumerate(cuts)]
    for each in scan(passages):
        if each.kind in SUSPECT:
            at = int(each.id)
            found[at] = (*found.get(at, ()), f"{each.kind}: {each.reason}")
    return found
