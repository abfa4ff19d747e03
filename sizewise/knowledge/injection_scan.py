"""Scans the chunks of a document for indirect prompt injection and scores them; holds nothing back itself.

Figures: docs/explanation/prompt-injection.md.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from sizewise.guardrails.poisoning import CorpusPassage, scan_passages
from sizewise.knowledge.chunk import TextChunk
from sizewise.settings.knowledge import SuspectAction

SUSPECT_KINDS = ("instruction", "trigger")
"""Copies and outliers are normal within one document: tables, licenses, code."""
HOLD_THRESHOLD = 0.9
"""Score above which the classifier alone is sure."""


class InjectionSuspicion(Struct, frozen=True):
    """`reasons` quote no words of the passage except a trigger. `certain`: the classifier is sure. `witnessed`: text
    that a reader does not see, or a trigger, says so too.
    """

    reasons: tuple[str, ...] = ()
    certain: bool = False
    witnessed: bool = False

    def is_held(self, action: SuspectAction) -> bool:
        return action != "mark" and (self.witnessed or (action == "hold" and self.certain))


def find_suspects(chunks: Sequence[TextChunk], source: str) -> dict[int, InjectionSuspicion]:
    """Index of a chunk -> suspicion. Linear in the text."""
    found: dict[int, InjectionSuspicion] = {}
    passages = [CorpusPassage(str(at), each.text, source) for at, each in enumerate(chunks)]
    for each in scan_passages(passages):
        if each.kind in SUSPECT_KINDS:
            before = found.get(int(each.id), InjectionSuspicion())
            found[int(each.id)] = InjectionSuspicion(
                reasons=(*before.reasons, f"{each.kind}: {each.reason}"),
                certain=before.certain or each.score > HOLD_THRESHOLD,
                witnessed=before.witnessed or each.kind == "trigger" or each.reason.startswith("hidden"),
            )
    return found
