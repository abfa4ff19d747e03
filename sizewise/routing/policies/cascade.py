"""Cascade policy: asks small models first with their answers held, and escalates when a reply is not trusted."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Literal, cast

import msgspec

from sizewise.model_card import ModelCard
from sizewise.routing.cascade_reasons import DistrustedReply, no_time_to_judge, why_kept, why_large, why_next
from sizewise.routing.cascade_trust import TrustBasis, prior_score, trust_basis
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

    `hold_s`: seconds that a reply may be held; then the next model is asked. The strongest model is chosen by strength,
    not by price; dearer ones are its fallbacks. `when_exhausted`: if they fail, `refuse` raises that error and
    `show_marked` returns the best held reply as degraded. `resume`: a model that can finishes an interrupted text.

    `votes` (1..9): each small model is asked so many times at once; the share that agrees is one more score.
    `verifier`: one of the models is also asked whether a held reply is good, in both orders; that is billed.
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
        best = candidates[len(small)]
        basis = trust_basis(self, features, tuple(each.card for each in small))
        in_time = with_time_to_escalate(small, best, features.time_left_s)
        asked = [(card, prior) for card, prior in basis.judged if any(card is each.card for each in in_time)]
        verifier = next((each.card for each in candidates if each.card.name == self.verifier), None)
        held, failed = list[DistrustedReply](), list[AttemptOutcome]()
        for card, prior in asked:
            needed = basis.needed(prior)
            others = tuple(each for each in candidates if each.card is card or each is best)
            why = why_next(others, held, failed, needed or 0.0, prior)
            got, seen = yield from self._hold_and_judge(Attempt(card, why, "hold", self.hold_s), basis, verifier, prior)
            if seen is None:
                failed.append(got)
                continue
            score = seen.score if prior is None else prior_score(self, seen)
            if score is None or needed is None or score >= needed:
                return msgspec.structs.replace(got, why=why_kept(seen, needed, prior, basis))
            held.append(DistrustedReply(outcome=got, verdict=seen, score=score, needed=needed, prior=prior))
        basis_decided = not basis.judged and (bool(small) or (basis.threshold is None and self.prior is None))
        hurry = no_time_to_judge(features.time_left_s, best) if basis.judged and not asked else ""
        unjudged = candidates[len(small) :]
        why = basis.name if basis_decided else why_large(unjudged, basis, len(asked), held, failed, hurry)
        got = yield from with_fallbacks(features, large, why, retries=1)
        if self.resume:
            smaller = tuple(candidate.card for candidate in reversed(small))
            got = yield from resume_if_cut(features, (*large, *smaller), got)
        if got.is_final or self.when_exhausted == "refuse":
            return got
        fault = f"{got.card.name} failed ({got.error})"
        if held:
            least = max(held, key=lambda each: each.score)
            reason = f"trusted only at {least.score:.2f}, and {fault}"
            return msgspec.structs.replace(least.outcome, degraded=reason, why=f"shown although {reason}")
        for candidate in () if basis.judged else reversed(small):
            weaker = yield from attempt(candidate.card, fault, "hold", self.hold_s)
            if weaker.reply is not None:
                reason = f"not judged, and {fault}"
                return msgspec.structs.replace(weaker, degraded=reason, why=f"shown although {reason}")
        return got

    def _hold_and_judge(
        self,
        move: Attempt,
        basis: TrustBasis,
        verifier: ModelCard | None,
        prior: PriorModel | None,
    ) -> Generator[Move, MoveResult, tuple[AttemptOutcome, Verdict | None]]:
        """The held outcome of `move` and its verdict; with several votes, the most common answer. None: it failed."""
        move = msgspec.structs.replace(move, threshold=basis.needed(prior), average=basis.average)
        if self.votes == 1:
            got = cast("AttemptOutcome", (yield move))
            return got, None if got.reply is None else (yield from judge(got.reply, verifier=verifier, prior=prior))
        outcomes = yield from parallel((move,) * self.votes)
        said = [(each, each.reply) for each in outcomes if each.reply is not None]
        if not said:
            return outcomes[-1], None
        seen = yield from judge(*(reply for _, reply in said), verifier=verifier, prior=prior)
        return said[seen.best_index][0], seen


def _split_candidates(candidates: Candidates) -> tuple[tuple[Candidate, ...], tuple[ModelCard, ...]]:
    """Models that are held and judged; models that answer unjudged: the strongest, then dearer fallbacks."""
    best = max(range(len(candidates)), key=lambda i: strength(candidates[i].card))
    return candidates[:best], tuple(candidate.card for candidate in candidates[best:])
