"""Several judges as one: asked in their order, a flat no ends it, else the most doubtful speaks; pure."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from sizewise.messages import Reply
from sizewise.routing.policy import Judging, Question, Verdict


@dataclass(frozen=True, slots=True)
class Trust:
    """The lowest score of those that have one. A 0 is a veto: who comes after it is not asked.

    No score when no judge has one: then nobody objects, and nobody vouches either. Which of several replies is the best
    says the last that knows.
    """

    judges: tuple[Judging, ...]

    def __call__(self, question: Question, replies: tuple[Reply, ...]) -> Verdict:
        least: Verdict | None = None
        silent: list[str] = []
        best = 0
        for judge in self.judges:
            seen = judge(question, replies)
            best = seen.best or best
            if seen.score is None:
                silent += [seen.why] if seen.why else []
                continue
            if least is None or least.score is None or seen.score < least.score:
                least = seen
            if seen.score <= 0:
                break
        least = least or Verdict(None, ", ".join(silent) or "nobody judged it")
        return msgspec.structs.replace(least, best=best) if best else least
