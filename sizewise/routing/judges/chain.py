"""Judge chain: several judges as one. A score of 0 is a veto; otherwise the lowest score counts."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from sizewise.messages import Reply
from sizewise.routing.policy import Judge, RequestFeatures, Verdict


@dataclass(frozen=True, slots=True)
class JudgeChain:
    """The lowest score of those that have one. A 0 is a veto: who comes after it is not asked.

    No score when no judge has one: then nobody objects, and nobody vouches either. Which of several replies is the best
    says the last that knows.
    """

    judges: tuple[Judge, ...]

    def __call__(self, features: RequestFeatures, replies: tuple[Reply, ...]) -> Verdict:
        least: Verdict | None = None
        silent: list[str] = []
        best = 0
        for judge in self.judges:
            seen = judge(features, replies)
            best = seen.best_index or best
            if seen.score is None:
                silent += [seen.why] if seen.why else []
                continue
            if least is None or least.score is None or seen.score < least.score:
                least = seen
            if seen.score <= 0:
                break
        least = least or Verdict(None, ", ".join(silent) or "nobody judged it")
        return msgspec.structs.replace(least, best_index=best) if best else least
