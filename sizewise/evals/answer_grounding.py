"""Grounding of an answer in its sources: which it cites, and which of its sentences they hold. Pure.

By the rules of a flow's `grounded` node, so that what an eval counts is what a reader of that node would get.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from sizewise.knowledge.grounding import Evidence, check_grounding

_CITATION = re.compile(r"\[(\d{1,4}(?:, ?\d{1,4}){0,20})\]")


def cited_sources(text: str) -> set[int]:
    """Numbers in brackets, as in [1] and [2, 3]."""
    return {int(each) for found in _CITATION.findall(text) for each in found.split(",")}


def cites_sources(text: str, count: int) -> bool:
    """Whether it cites a source, and only some of the `count` that there are."""
    found = cited_sources(text)
    return bool(found) and all(1 <= each <= count for each in found)


def grounded_share(text: str, sources: Sequence[str], question: str = "") -> float | None:
    """Share of the answer's sentences that a source holds, 0..1; None if no sentence states anything. `question`:
    completes short sentences, such as "45 days.".
    """
    found = check_grounding(text, [Evidence(each) for each in sources], question)
    return found.share if any(each.states for each in found.claims) else None
