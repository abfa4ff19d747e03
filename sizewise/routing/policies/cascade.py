"""Ask the small model first, hold its words back, and go up only when its reply is not trusted; knows no judge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import msgspec

from sizewise.cards import Card
from sizewise.routing.policy import Candidate, Field, Outcome, Question, Route, attempt, judge, strength, within
from sizewise.routing.turns import carried_on, in_turn


@dataclass(frozen=True, slots=True)
class Cascade:
    """Candidates that cost no more than the best, cheapest first, each held and judged; then the best, unjudged.

    `trust` (0..1) is the score from which a held reply is shown. It is uncalibrated: 0.5 is a declared default, not
    a promise. `hold_s` (seconds) bounds each hold, then the next model is asked. The best is so by strength, not by
    price; dearer ones only step in where it fails. When everyone who is left has failed, `refuse` gives that error
    and `show_marked` the best reply that was held, marked as degraded. `resume` lets a model that can continue, a
    smaller one too, finish a plain-text answer that broke off.
    """

    models: tuple[str, ...] = ()
    trust: float = 0.5
    hold_s: float = 60.0
    when_exhausted: Literal["refuse", "show_marked"] = "refuse"
    resume: bool = False

    def __post_init__(self) -> None:
        within("trust", self.trust, 0, 1)
        within("hold_s", self.hold_s, 0.001, 3600)

    def route(self, question: Question, field: Field) -> Route:
        small, large = _halves(field)
        held: list[tuple[float, Outcome]] = []
        for candidate in small:
            got = yield from attempt(candidate.card, _why_asked(held), "hold", self.hold_s)
            if got.reply is None:
                continue
            seen = yield from judge(got.reply)
            if seen.score is None or seen.score >= self.trust:
                return msgspec.structs.replace(got, why=f"smallest trusted reply: {seen.why} (uncalibrated)")
            held.append((seen.score, got))
        got = yield from in_turn(question, large, _why_large(len(small), len(held)), retries=1)
        if self.resume:
            smaller = tuple(candidate.card for candidate in reversed(small))
            got = yield from carried_on(question, (*large, *smaller), got)
        if not got.settled and held and self.when_exhausted == "show_marked":
            score, best = max(held, key=lambda pair: pair[0])
            reason = f"trusted only at {score:.2f}, and {got.card.name} failed ({got.error})"
            return msgspec.structs.replace(best, degraded=reason, why=f"shown although {reason}")
        return got


def _halves(field: Field) -> tuple[tuple[Candidate, ...], tuple[Card, ...]]:
    """Who is held and judged, and who answers unjudged: the best, then the dearer ones in case it fails."""
    best = max(range(len(field)), key=lambda i: strength(field[i].card))
    return field[:best], tuple(candidate.card for candidate in field[best:])


def _why_asked(held: list[tuple[float, Outcome]]) -> str:
    return f"{held[-1][1].card.name} was not trusted" if held else "the cheapest model that fits"


def _why_large(asked: int, distrusted: int) -> str:
    if not asked:
        return "the best model that fits is also the cheapest"
    if distrusted == asked:
        return "no smaller model was trusted (uncalibrated)"
    return "no smaller model answered" if not distrusted else "smaller models failed or were not trusted (uncalibrated)"
