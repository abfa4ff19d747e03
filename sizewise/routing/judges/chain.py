"""Judge chain: several judges as one. A score of 0 is a veto; otherwise the lowest score counts."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from sizewise.messages import Reply
from sizewise.routing.policy import Judge, RequestFeatures, Verdict


@dataclass(frozen=True, slots=True)
class JudgeChain:
    """The lowest score of the judges. A 0 is a veto: later judges are not called.

    No score if no judge has one. The best reply is the choice of the last judge that has one.
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
        least = least or Verdict(None, ", ".join(silent) or "no judge scored the reply")
        return msgspec.structs.replace(least, best_index=best) if best else least
