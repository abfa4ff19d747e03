"""Poisoning scan of training or knowledge passages: reports suspects with reasons. Decides nothing.

Four kinds: near-duplicates (poisoning_near_duplicates.py), a trigger in otherwise unrelated passages
(poisoning_triggers.py), outliers (poisoning_outliers.py), and instructions to a model (prompt_injection.py). All are
heuristics; bench/poisoning measures them on a real corpus.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import sha256
from typing import Literal

from msgspec import Struct

from sizewise.guardrails import poisoning_near_duplicates, poisoning_outliers, poisoning_triggers
from sizewise.guardrails.prompt_injection import PromptInjectionGuard, load_classifier

PoisoningKind = Literal["copy", "trigger", "outlier", "instruction"]
MIN_INJECTION_SCORE = 0.5
"""Score of the injection guard, 0..1. Higher than for requests, because a corpus has many more ordinary words."""
TOKEN = re.compile(r"\w+|[^\w\s]")


class CorpusPassage(Struct, frozen=True):
    """One text and its source. `label`: the class or answer that is trained with it."""

    id: str
    text: str
    source: str
    label: str | None = None

    @property
    def digest(self) -> str:
        """SHA-256 of the text, in hexadecimal."""
        return sha256(self.text.encode("utf-8", "surrogatepass")).hexdigest()


class Suspect(Struct, frozen=True):
    """`reason` quotes no words of the passage except a trigger. Scores are comparable within one kind only."""

    id: str
    kind: PoisoningKind
    reason: str
    score: float


def scan_passages(passages: Sequence[CorpusPassage]) -> list[Suspect]:
    """Suspects in the order of the passages; a passage may be listed under several kinds. Time and memory are linear in
    the words, except for groups of copies. Below 300 passages, only copies and instructions are searched.
    """
    tokens = [TOKEN.findall(each.text.lower()) for each in passages]
    marks = poisoning_near_duplicates.minhashes(tokens)
    found = list[tuple[int, Suspect]]()
    for at, reason, score in poisoning_near_duplicates.find_near_duplicates(marks, [each.id for each in passages]):
        found.append((at, Suspect(passages[at].id, "copy", reason, score)))
    for at, reason, score in poisoning_triggers.find_triggers(tokens, [each.label for each in passages]):
        found.append((at, Suspect(passages[at].id, "trigger", reason, score)))
    for at, reason, score in poisoning_outliers.find_outliers(tokens):
        found.append((at, Suspect(passages[at].id, "outlier", reason, score)))
    guard = PromptInjectionGuard("INDIRECT", load_classifier())
    for at, each in enumerate(passages):
        spans = [span for span in guard(each.text) if span.score > MIN_INJECTION_SCORE]
        if spans:
            worst = max(spans, key=lambda span: (span.kind == "HIDDEN", span.score))
            reason = f"{worst.kind.lower()} instruction at characters {worst.start}-{worst.end}"
            found.append((at, Suspect(each.id, "instruction", reason, worst.score)))
    return [each for _, each in sorted(found, key=lambda pair: pair[0])]
