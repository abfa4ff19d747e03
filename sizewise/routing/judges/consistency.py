"""Self-consistency judge: the share of several answers of one model that agree. Requests no answers itself."""

from __future__ import annotations

from sizewise.messages import Reply
from sizewise.routing.answer_agreement import majority_answer
from sizewise.routing.policy import RequestFeatures, Verdict


def consistency(features: RequestFeatures, replies: tuple[Reply, ...]) -> Verdict:
    """The share of the most common answer, 0..1, and the reply that gives it; no score for a single reply."""
    found = majority_answer(replies) if len(replies) > 1 else None
    if found is None:
        return Verdict(None, "")
    share, best = found
    return Verdict(share, f"{round(share * len(replies))} of {len(replies)} answers agree", best_index=best)
