"""Cascade policy: asks small models first with their answers held, and escalates when a reply is not trusted."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Literal

import msgspec

from sizewise.model_card import ModelCard
from sizewise.routing.fallback import resume_if_cut, with_fallbacks
from sizewise.routing.guarantees.bounds import QualityGuarantee
from sizewise.routing.guarantees.sampled_certificate import SampledCertificate, check_certificate
from sizewise.routing.option_checks import require_one_of, require_range
from sizewise.routing.policy import (
    Attempt,
    AttemptOutcome,
    Candidate,
    Candidates,
    Move,
    MoveResult,
    PolicyRun,
    RequestFeatures,
    Verdict,
    attempt,
    judge,
    parallel,
    strength,
)
from sizewise.routing.time_to_escalate import with_time_to_escalate


@dataclass(frozen=True, slots=True)
class CascadePolicy:
    """Candidates that cost no more than the strongest, cheapest first, held and judged; then the strongest, unjudged.

    `threshold` (0..1): the score from which a held reply is returned. Uncalibrated: 0.5 is a default, not a guarantee.
    `certificate`, made by `sizewise route calibrate --policy NAME --write` from sampled pairs, and its `target` replace
    it by the threshold certified for the target, or for the quality that a request sets; if none was certified, the
    strongest model is asked.

    `hold_s`: seconds that each reply may be held; then the next model is asked. The strongest model is chosen by
    strength, not by price; dearer ones are only its fallbacks. `when_exhausted`: if all remaining models fail, `refuse`
    raises that error and `show_marked` returns the best held reply, marked as degraded. `resume`: a model that can
    continue, also a smaller one, finishes an interrupted plain-text answer.

    `votes` (1..9): each small model is asked so many times at once; the share that agrees is one more score, and the
    most common answer is returned. `verifier`: one of the models is also asked whether a held reply is good, with both
    orders of the options; its attempts are billed.
    """

    models: tuple[str, ...] = ()
    threshold: float = 0.5
    hold_s: float = 60.0
    when_exhausted: Literal["refuse", "show_marked"] = "refuse"
    resume: bool = False
    votes: int = 1
    verifier: str = ""
    target: QualityGuarantee | None = None
    certificate: SampledCertificate | None = None

    def __post_init__(self) -> None:
        require_range("threshold", self.threshold, 0, 1)
        require_range("hold_s", self.hold_s, 0.001, 3600)
        require_range("votes", self.votes, 1, 9)
        require_one_of("verifier", self.verifier, self.models)
        if self.target is not None or self.certificate is not None:
            check_certificate(self.certificate, self.target, self.models, self.votes, self.verifier)

    def route(self, features: RequestFeatures, candidates: Candidates) -> PolicyRun:
        small, large = _split_candidates(candidates)
        trust, known = self._trust_threshold(features)
        in_time = with_time_to_escalate(small, candidates[len(small)], features.time_left_s)
        hurried, small = len(small) - len(in_time), () if trust is None else in_time
        verifier = next((each.card for each in candidates if each.card.name == self.verifier), None)
        held: list[tuple[float, AttemptOutcome]] = []
        for candidate in small:
            got, seen = yield from self._hold_and_judge(candidate.card, _why_asked(held), verifier)
            if seen is None:
                continue
            if seen.score is None or trust is None or seen.score >= trust:
                return msgspec.structs.replace(got, why=f"smallest trusted reply: {seen.why} ({known})")
            held.append((seen.score, got))
        why = known if trust is None else _why_large(len(small), len(held), known, hurried)
        got = yield from with_fallbacks(features, large, why, retries=1)
        if self.resume:
            smaller = tuple(candidate.card for candidate in reversed(small))
            got = yield from resume_if_cut(features, (*large, *smaller), got)
        if not got.is_final and held and self.when_exhausted == "show_marked":
            score, best = max(held, key=lambda pair: pair[0])
            reason = f"trusted only at {score:.2f}, and {got.card.name} failed ({got.error})"
            return msgspec.structs.replace(best, degraded=reason, why=f"shown although {reason}")
        return got

    def _hold_and_judge(
        self,
        card: ModelCard,
        why: str,
        verifier: ModelCard | None,
    ) -> Generator[Move, MoveResult, tuple[AttemptOutcome, Verdict | None]]:
        """The held outcome of `card` and its verdict; with several votes, the most common answer. None: it failed."""
        if self.votes == 1:
            got = yield from attempt(card, why, "hold", self.hold_s)
            return got, None if got.reply is None else (yield from judge(got.reply, verifier=verifier))
        outcomes = yield from parallel((Attempt(card, why, "hold", self.hold_s),) * self.votes)
        said = [(each, each.reply) for each in outcomes if each.reply is not None]
        if not said:
            return outcomes[-1], None
        seen = yield from judge(*(reply for _, reply in said), verifier=verifier)
        return said[seen.best_index][0], seen

    def _trust_threshold(self, features: RequestFeatures) -> tuple[float | None, str]:
        """The score from which a held reply is returned (None: none is), and its basis in words."""
        if self.target is None or self.certificate is None:
            return self.threshold, "uncalibrated" if features.min_quality is None else "best effort: uncalibrated"
        if features.choice_count > 1:
            return None, "requests for several choices were not calibrated, so no target applies"
        wished = self.target.quality if features.min_quality is None else features.min_quality
        kept = self.certificate.guarantee_for(wished)
        if kept is None:
            return None, f"best effort: {wished:g} of {self.certificate.large_model} is not certified"
        return (
            kept.trust_threshold,
            f"certified {kept.quality:g} of {self.certificate.large_model} with confidence "
            f"{self.certificate.confidence_level:g}",
        )


def _split_candidates(candidates: Candidates) -> tuple[tuple[Candidate, ...], tuple[ModelCard, ...]]:
    """Models that are held and judged; models that answer unjudged: the strongest, then dearer fallbacks."""
    best = max(range(len(candidates)), key=lambda i: strength(candidates[i].card))
    return candidates[:best], tuple(candidate.card for candidate in candidates[best:])


def _why_asked(held: list[tuple[float, AttemptOutcome]]) -> str:
    return f"{held[-1][1].card.name} was not trusted" if held else "the cheapest model that fits"


def _why_large(asked: int, distrusted: int, known: str, hurried: int) -> str:
    """`hurried`: small models that the deadline leaves no time to judge first."""
    if not asked and hurried:
        return "the deadline leaves no time to judge a smaller model first"
    if not asked:
        return "the best model that fits is also the cheapest"
    if distrusted == asked:
        return f"no smaller model was trusted ({known})"
    return "no smaller model answered" if not distrusted else f"smaller models failed or were not trusted ({known})"
