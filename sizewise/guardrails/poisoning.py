"""Poisoning scan of training or knowledge passages: reports suspects with reasons. Decides nothing.

Four kinds: copies of one another (poisoning_copies.py), a trigger put into passages that have nothing else in common
(poisoning_triggers.py), text unlike all the rest (poisoning_outliers.py), and instructions to whoever reads it
(injection.py). All are heuristics: what they find in a real corpus is in bench/poisoning.
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
"""How sure the injection guard must be: more than in a request, as many more ordinary words are looked through."""
TOKEN = re.compile(r"\w+|[^\w\s]")


class Passage(Struct, frozen=True):
    """One text and where it comes from. `label`: the class or the answer that is learnt with it, where there is one."""

    id: str
    text: str
    source: str
    label: str | None = None

    @property
    def digest(self) -> str:
        """Of the text, sha256 in hexadecimal: what was scanned, whatever it is called."""
        return sha256(self.text.encode("utf-8", "surrogatepass")).hexdigest()


class Suspect(Struct, frozen=True):
    """`reason` holds no words of the passage but a trigger's. `score` orders suspects of one kind, and no others."""

    id: str
    kind: PoisoningKind
    reason: str
    score: float


def scan_passages(passages: Sequence[Passage]) -> list[Suspect]:
    """Suspects in the order of the passages; one may be suspect of several kinds. Time and memory are linear in their
    words, but for groups of copies. Statistics need some hundred passages: in fewer, only copies and instructions are
    looked for.
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
            worst = max(spans, key=lambda span: span.score)
            reason = f"{worst.kind.lower()} instruction at characters {worst.start}-{worst.end}"
            found.append((at, Suspect(each.id, "instruction", reason, worst.score)))
    return [each for _, each in sorted(found, key=lambda pair: pair[0])]
