"""Cascade policy: asks small models first with their answers held, and escalates when a reply is not trusted."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Literal

import msgspec

from sizewise.model_card import ModelCard
from sizewise.routing.cascade_trust import prior_score, trust_basis, why_asked, why_kept, why_large
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
)
from sizewise.routing.quality.answer_prior import AnswerPrior, PriorModel
from sizewise.routing.strength import strength
from sizewise.routing.time_to_escalate import with_time_to_escalate


@dataclass(frozen=True, slots=True)
class CascadePolicy:
    """Candidates that cost no more than the strongest, cheapest first, held and judged; then the strongest, unjudged.

    `threshold` (0..1): the score from which a held reply is returned. Uncalibrated: 0.5 is a default, not a guarantee.
    `certificate`, made by `sizewise route calibrate --policy NAME --write` from sampled pairs, and its `target` replace
    it by the threshold certified for the target, or for the quality that a request sets; if none was certified, the
    strongest model is asked. `prior` replaces `threshold` too, by the chance that a reply is right (policy_loader.py);
    where it has no basis the strongest model is asked at once.

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
    prior: AnswerPrior | None = None

    def __post_init__(self) -> None:
        require_range("threshold", self.threshold, 0, 1)
        require_range("hold_s", self.hold_s, 0.001, 3600)
        require_range("votes", self.votes, 1, 9)
        require_one_of("verifier", self.verifier, self.models)
        if self.target is not None or self.certificate is not None:
            check_certificate(self.certificate, self.target, self.models, self.votes, self.verifier)

    def route(self, features: RequestFeatures, candidates: Candidates) -> PolicyRun:
        small, large = _split_candidates(candidates)
        judged, trust, known = trust_basis(self, features, tuple(each.card for each in small))
        in_time = with_time_to_escalate(small, candidates[len(small)], features.time_left_s)
        asked = [(card, prior) for card, prior in judged if any(card is each.card for each in in_time)]
        verifier = next((each.card for each in candidates if each.card.name == self.verifier), None)
        held: list[tuple[float, AttemptOutcome]] = []
        for card, prior in asked:
            got, seen = yield from self._hold_and_judge(card, why_asked(held, prior), verifier, prior)
            if seen is None:
                continue
            score, needed = (seen.score, trust) if prior is None else (prior_score(self, seen), prior.threshold)
            if score is None or needed is None or score >= needed:
                return msgspec.structs.replace(got, why=why_kept(seen, needed, prior, known))
            held.append((score, got))
        basis_decided = not judged and (bool(small) or (trust is None and self.prior is None))
        why = known if basis_decided else why_large(len(asked), len(held), known, len(judged) - len(asked))
        got = yield from with_fallbacks(features, large, why, retries=1)
        if self.resume:
            smaller = tuple(candidate.card for candidate in reversed(small))
            got = yield from resume_if_cut(features, (*large, *smaller), got)
        if got.is_final or self.when_exhausted == "refuse":
            return got
        failed = f"{got.card.name} failed ({got.error})"
        if held:
            score, best = max(held, key=lambda pair: pair[0])
            reason = f"trusted only at {score:.2f}, and {failed}"
            return msgspec.structs.replace(best, degraded=reason, why=f"shown although {reason}")
        for candidate in () if judged else reversed(small):
            weaker = yield from attempt(candidate.card, failed, "hold", self.hold_s)
            if weaker.reply is not None:
                reason = f"not judged, and {failed}"
                return msgspec.structs.replace(weaker, degraded=reason, why=f"shown although {reason}")
        return got

    def _hold_and_judge(
        self,
        card: ModelCard,
        why: str,
        verifier: ModelCard | None,
        prior: PriorModel | None,
    ) -> Generator[Move, MoveResult, tuple[AttemptOutcome, Verdict | None]]:
        """The held outcome of `card` and its verdict; with several votes, the most common answer. None: it failed."""
        if self.votes == 1:
            got = yield from attempt(card, why, "hold", self.hold_s)
            return got, None if got.reply is None else (yield from judge(got.reply, verifier=verifier, prior=prior))
        outcomes = yield from parallel((Attempt(card, why, "hold", self.hold_s),) * self.votes)
        said = [(each, each.reply) for each in outcomes if each.reply is not None]
        if not said:
            return outcomes[-1], None
        seen = yield from judge(*(reply for _, reply in said), verifier=verifier, prior=prior)
        return said[seen.best_index][0], seen


def _split_candidates(candidates: Candidates) -> tuple[tuple[Candidate, ...], tuple[ModelCard, ...]]:
    """Models that are held and judged; models that answer unjudged: the strongest, then dearer fallbacks."""
    best = max(range(len(candidates)), key=lambda i: strength(candidates[i].card))
    return candidates[:best], tuple(candidate.card for candidate in candidates[best:])
