"""The kinds of deployment that can be recommended, and the count of what was excluded of each; decides nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType
from typing import Literal

CandidateKind = Literal[
    "classifier",
    "local",
    "local-tuned",
    "local-large",
    "local-large-tuned",
    "hosted",
    "api",
    "api-tuned",
    "cascade-local",
    "cascade-hosted",
]

CANDIDATE_KINDS: Mapping[CandidateKind, str] = MappingProxyType(
    {
        "classifier": "trained classifier here, no language model",
        "local": "small model here",
        "local-tuned": "small model here, fine-tuned",
        "local-large": "large model here",
        "local-large-tuned": "large model here, fine-tuned",
        "hosted": "small model, hosted",
        "api": "large model by API",
        "api-tuned": "large model by API, fine-tuned there",
        "cascade-local": "cascade: small here, large by API",
        "cascade-hosted": "cascade: small hosted, large by API",
    },
)
"""Models of undisclosed size count as large."""


@dataclass(frozen=True, slots=True)
class Exclusion:
    """Why `count` candidates of a kind are unsuitable. `example`: one of them, the nearest miss if there is one."""

    kind: CandidateKind
    reason: str
    count: int
    example: str


class ExclusionCounter:
    """Counts exclusions and keeps the nearest miss (the least `by`) for each reason."""

    def __init__(self) -> None:
        self.found: dict[tuple[CandidateKind, str], tuple[int, Fraction, str]] = {}

    def add(self, kind: CandidateKind, reason: str, example: str, by: Fraction | int = 0) -> None:
        count, nearest, kept = self.found.get((kind, reason), (0, Fraction(by), example))
        best = (Fraction(by), example) if by < nearest else (nearest, kept)
        self.found[kind, reason] = (count + 1, *best)

    def all(self) -> tuple[Exclusion, ...]:
        order = list(CANDIDATE_KINDS)
        rows = [Exclusion(kind, why, count, example) for (kind, why), (count, _, example) in self.found.items()]
        return tuple(sorted(rows, key=lambda row: (order.index(row.kind), -row.count, row.reason)))
