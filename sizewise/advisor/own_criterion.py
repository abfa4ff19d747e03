"""Criteria of the user's own: a name, a weight, and scores by kind of deployment, model or endpoint; judges nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType

from sizewise.advisor.assumptions import parse_decimal
from sizewise.advisor.candidate_kinds import CANDIDATE_KINDS
from sizewise.advisor.candidates import DeploymentCandidate
from sizewise.advisor.placements import Placement
from sizewise.advisor.sourced_number import SourcedNumber, format_number
from sizewise.errors import BadRequest, did_you_mean

UNRATED = 0.5
"""The score of what the user has not rated."""
NAME = re.compile(r"[a-z][a-z0-9-]{0,29}\Z")
EXAMPLE = "--criterion lock-in=2,local=1,api=0.2"


@dataclass(frozen=True, slots=True)
class OwnCriterion:
    """`scores`: 0..1 by model, endpoint or kind; the first of these that is rated counts."""

    name: str
    weight: Fraction
    scores: Mapping[str, Fraction]

    def score(self, candidate: DeploymentCandidate) -> tuple[Fraction, str]:
        """(0..1, reason). A cascade that is not rated itself: each model by its share of the answers."""
        if candidate.kind in self.scores:
            return self.scores[
                candidate.kind
            ], f"you rated {candidate.kind} {format_number(self.scores[candidate.kind])}"
        parts = [self._part(candidate, part) for part in candidate.placements]
        if len(parts) == 1:
            return parts[0]
        up = candidate.escalation_share
        return (1 - up) * parts[0][0] + up * parts[1][0], "; ".join(dict.fromkeys(reason for _, reason in parts))

    def _part(self, candidate: DeploymentCandidate, part: Placement) -> tuple[Fraction, str]:
        single = "local" if part.is_local else "api"
        for key in (part.model.name, part.offer.partition("/")[0], single if len(candidate.placements) > 1 else ""):
            if key in self.scores:
                return self.scores[key], f"you rated {key} {format_number(self.scores[key])}"
        return Fraction(UNRATED), f"you have not rated it: {UNRATED}"

    def number(self) -> SourcedNumber:
        return SourcedNumber(self.name, format_number(self.weight), "input", "--criterion")


def parse_own_criteria(
    texts: Sequence[str],
    taken: Collection[str],
    known: Collection[str],
    named: Callable[[str], Sequence[str]] = lambda name: (),
) -> tuple[OwnCriterion, ...]:
    """`texts` are like lock-in=2,local=1,api=0.2: name and weight, then scores by kind or by a name in `known`.
    `named`: the names in `known` that a plain name means.

    Raises BadRequest, also for a name that is `taken`.
    """
    found = tuple(_parsed(text, [*CANDIDATE_KINDS, *known], named) for text in texts)
    names = [*taken, *(each.name for each in found)]
    for each in found:
        if names.count(each.name) > 1:
            raise BadRequest(f"there is a criterion {each.name!r} already", "Choose another name.")
    return found


def _parsed(text: str, known: list[str], named: Callable[[str], Sequence[str]]) -> OwnCriterion:
    head, *rest = text.split(",")
    name, equals, weight = head.partition("=")
    if not equals or not NAME.match(name.strip()):
        raise BadRequest(f"{text!r} is not a criterion", f"Write, for example, {EXAMPLE}.")
    scores = dict[str, Fraction]()
    for each in rest:
        key, equals, value = (part.strip() for part in each.partition("="))
        keys = (key,) if key in known else named(key)
        if not equals or not keys:
            near = did_you_mean(key, known) or f"Known: {', '.join(CANDIDATE_KINDS)}, models and endpoints."
            raise BadRequest(f"{key!r} is neither a kind of deployment nor a model or endpoint", near)
        score = parse_decimal(value, f"--criterion {name}")
        scores.update(dict.fromkeys(keys, score))
        if score > 1:
            raise BadRequest(f"the score of {key} cannot be {value}", "Use a number from 0 to 1.")
    amount = parse_decimal(weight, f"--criterion {name}")
    if amount > 1000:
        raise BadRequest(f"the weight of {name} cannot be {weight}", "Use a number from 0 to 1000.")
    return OwnCriterion(name.strip(), amount, MappingProxyType(scores))
