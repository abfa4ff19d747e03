"""The decisions of a cascade in words: what holds for this answer, and apart from it what holds on average."""

from __future__ import annotations

from msgspec import Struct

from sizewise.routing.cascade_trust import TrustBasis
from sizewise.routing.policy import AttemptOutcome, Candidate, Candidates, Verdict
from sizewise.routing.quality.answer_prior import PriorModel
from sizewise.routing.strength import strength


class DistrustedReply(Struct, frozen=True):
    """A held reply that was not trusted. `score`, and what was `needed`: trust scores, or chances with a `prior`."""

    outcome: AttemptOutcome
    verdict: Verdict
    score: float
    needed: float
    prior: PriorModel | None


def why_first(candidates: Candidates) -> str:
    """Why the first of `candidates` is asked before the others: its cost, and at the same cost its time or its size."""
    return "the only model that fits" if len(candidates) == 1 else f"the cheapest model that fits{_tie(candidates)}"


def _tie(candidates: Candidates) -> str:
    """What decides between the first and the last of the same cost, in brackets; empty if none costs the same."""
    first, *others = candidates
    equal = [each for each in others if each.expected_cost == first.expected_cost]
    if first.expected_cost is None or not equal:
        return ""
    other, price = equal[-1], "free" if first.expected_cost == 0 else "at the same cost"
    if first.expected_s is not None and other.expected_s is not None and first.expected_s < other.expected_s:
        one, two = _about(first.expected_s), _about(other.expected_s)
        gain = "it answers sooner" if one == two else f"it answers in about {one} instead of {two}"
    else:
        gain = "it is smaller" if strength(first.card) < strength(other.card) else "it is no weaker"
    return f" ({price}, like {other.card.name}, and {gain})"


def _about(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"


def why_next(
    candidates: Candidates,
    distrusted: list[DistrustedReply],
    failed: list[AttemptOutcome],
    needed: float,
    prior: PriorModel | None,
) -> str:
    """Why a small model is asked. `candidates`: itself, then those that could be asked instead."""
    because = doubt(distrusted[-1]) if distrusted else _failures(failed) if failed else why_first(candidates)
    card = candidates[0].card
    if any(each.outcome.card.base_name == card.base_name for each in distrusted):
        because += f"; the same model may think more before a larger one is asked (effort {card.effort})"
    if prior is not None:
        return f"prior: its answer is shown if it is right with a chance of at least {needed:.2f}; {because}"
    return f"{because}; its answer is shown if it is trusted at {needed:.2f} or more"


def why_kept(seen: Verdict, needed: float | None, prior: PriorModel | None, basis: TrustBasis) -> str:
    if prior is not None:
        chance = f"this answer is right with a chance of {seen.chance or 0.0:.2f}, and {needed or 0.0:.2f} is enough"
        return f"{basis.name}: {chance}; {basis.average}"
    if seen.score is None or needed is None:
        return f"this answer is shown because nothing speaks against it ({seen.why}); {basis.average}"
    return f"this answer is trusted at {seen.score:.2f}, and {needed:.2f} is enough ({seen.why}); {basis.average}"


def _failures(failed: list[AttemptOutcome]) -> str:
    return ", ".join(f"{one.card.name} failed ({one.error})" for one in failed)


def doubt(reply: DistrustedReply) -> str:
    """Why a reply is not shown, with the numbers that decided."""
    name, seen = reply.outcome.card.name, reply.verdict
    digits = 2 if f"{reply.score:.2f}" != f"{reply.needed:.2f}" else 4  # 0.497 is not 0.50 where 0.50 is needed
    needed = f"{reply.needed:.{digits}f}"
    if seen.score == 0 and seen.why:
        return f"the answer of {name} is rejected: {seen.why}"
    measure = "trusted at" if reply.prior is None else "right with a chance of"
    if reply.score == 0:
        return f"the answer of {name} is {measure} less than {needed}"
    return f"the answer of {name} is {measure} {reply.score:.{digits}f} only, and {needed} is needed"


def why_large(
    candidates: Candidates,
    basis: TrustBasis,
    asked: int,
    distrusted: list[DistrustedReply],
    failed: list[AttemptOutcome],
    hurry: str,
) -> str:
    """Why the strongest model answers. `candidates`: it, and what could replace it. `asked`: small models that were.
    `hurry`: why the deadline lets none be.
    """
    if not asked:
        cheapest = f"the best model that fits is also the cheapest{_tie(candidates)}"
        return hurry or (cheapest if len(candidates) > 1 else why_first(candidates))
    if not distrusted:
        return f"no smaller model answered: {_failures(failed)}"
    best = max(distrusted, key=lambda each: each.score)
    so = "no smaller model was trusted" if len(distrusted) == asked else "smaller models failed or were not trusted"
    of = f"the best of {len(distrusted)}: " if len(distrusted) > 1 else ""
    end = basis.average if best.prior is None else f"{basis.name}: {basis.average}"
    return f"{so}: {of}{doubt(best)}; {end}"


def no_time_to_judge(left_s: float | None, large: Candidate) -> str:
    """Why the deadline lets no small model be judged before `large` is asked."""
    if left_s is None or large.latest_s is None:
        return "the deadline leaves no time to judge a smaller model first"
    return (
        f"the deadline leaves no time to judge a smaller model first: {left_s:.1f} s are left, and {large.card.name} "
        f"needs up to {large.latest_s:.1f} s"
    )
