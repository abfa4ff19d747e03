"""The smallest answer that keeps a promise, by a proof: chosen before anybody is asked, or after small answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from sizewise.errors import ConfigError
from sizewise.model_card import Card
from sizewise.routing.guarantees.bounds import Promise
from sizewise.routing.guarantees.certificate import Kept, Proof
from sizewise.routing.option_checks import within
from sizewise.routing.policy import Field, Outcome, Question, Route, Verdict, attempt, judge, strength
from sizewise.routing.retry import in_turn


@dataclass(frozen=True, slots=True)
class Promised:
    """Small unseen, small models held and judged, or large: whatever the certified level says at each stage.

    `certificate` is the file that `sizewise route calibrate --write` wrote, `target` what it must hold: at least
    `quality` (0..1) of the large model's, with chance `confidence`. `models` are the certificate's, each with its
    provider, small ones in its order, the large one last; empty: as the certificate names them. A request may wish
    for another quality: the cheapest certified level that keeps it serves. Where none does, a prompt is unlike all
    that taught, or more than one answer in words is wanted (tools, a schema, several choices), the large model is
    asked; where it fails no weaker one steps in. `hold_s` and `when_exhausted` as in Cascade, `retries` and
    `max_retry_delay_s` as in Fixed.
    """

    certificate: Proof
    target: Promise
    models: tuple[str, ...] = ()
    hold_s: float = 60.0
    when_exhausted: Literal["refuse", "show_marked"] = "refuse"
    retries: int = 1
    max_retry_delay_s: float = 2.0

    def __post_init__(self) -> None:
        within("hold_s", self.hold_s, 0.001, 3600)
        within("retries", self.retries, 0, 5)
        within("max_retry_delay_s", self.max_retry_delay_s, 0, 60)
        proof, named = self.certificate, self.models or self.certificate.models
        object.__setattr__(self, "models", named)
        if len(set(named)) != len(named) or tuple(map(_bare, named)) != tuple(map(_bare, proof.models)):
            hint = f"name these, each as <provider>/<model>, or calibrate anew: {', '.join(proof.models)}"
            raise ConfigError(f"`models` are {', '.join(named)}, and the proof is of others", hint)
        if self.target.reference not in ("large", proof.large, named[-1]):
            hint = f"set target.reference to 'large', which is {named[-1]}"
            raise ConfigError(f"the target refers to {self.target.reference!r}, and the proof of {proof.large!r}", hint)
        if self.target.confidence > proof.sure:
            hint = f"calibrate with --confidence {self.target.confidence:g}, or set target.confidence to {proof.sure:g}"
            raise ConfigError(f"the proof is sure with {proof.sure:g}, not {self.target.confidence:g}", hint)
        if proof.keeping(self.target.quality) is None:
            most = max((each.quality for each in proof.kept), default=0.0)
            hint = "calibrate on more prompts, or promise less"
            raise ConfigError(f"the proof keeps {most:g} at most, not {self.target.quality:g}", hint)

    def route(self, question: Question, field: Field) -> Route:
        asked = {candidate.card.name: candidate.card for candidate in field}
        large, small = asked.get(self.models[-1]), [asked.get(name) for name in self.models[:-1]]
        if large is None:
            why = f"{self.models[-1]} may not answer, so nothing is promised; the best that may"
            others = sorted((each.card for each in field), key=strength, reverse=True)
            return (yield from in_turn(question, tuple(others), why, self.retries, self.max_retry_delay_s))
        wished = self.target.quality if question.min_quality is None else question.min_quality
        kept = self.certificate.keeping(wished)
        if kept is None or question.unforeseen or _other(question) or None in small[: max(1, kept.level.asks)]:
            return (yield from self._up(question, large, self._safe(question, wished, kept)))
        held: list[tuple[Outcome, Verdict]] = []
        failed = ""
        worth = question.good[large.name] - question.good[self.models[0]]
        for place, stage in enumerate(kept.level.stages):
            choice = stage.choice(worth)
            if choice == "give" and not place:
                why = f"{self._kept(kept)}: {large.name} would be better with {max(0.0, worth):.2f} only"
                cards = tuple(each for each in (small[0], large) if each is not None)
                return (yield from in_turn(question, cards, why, self.retries, self.max_retry_delay_s))
            if choice == "give":
                best, seen = held[held[-1][1].best][0], held[-1][1]
                return msgspec.structs.replace(best, why=f"{self._kept(kept)}: {seen.why}")
            card = small[place] if choice == "next" and place < len(small) else None
            if card is None:
                break
            why = f"{self._kept(kept)}: {'its answer is judged first' if not place else 'a second opinion'}"
            got = yield from attempt(card, why, "hold", self.hold_s)
            if got.reply is None:
                failed = f"{card.name} failed ({got.error})"
                break
            replies = [each.reply for each, _ in held if each.reply is not None]
            seen = yield from judge(*replies, got.reply)
            held.append((got, seen))
            if seen.worth is None:
                break
            worth = seen.worth
        why = f"{self._kept(kept)}: {failed or _why_up(held, large)}"
        return (yield from self._up(question, large, why, held))

    def _up(self, question: Question, large: Card, why: str, held: Sequence[tuple[Outcome, Verdict]] = ()) -> Route:
        """The large model. Where it fails nobody keeps the promise: what was held is shown only if that was wanted."""
        got = yield from in_turn(question, (large,), why, self.retries, self.max_retry_delay_s)
        if got.settled or not held or self.when_exhausted == "refuse":
            return got
        best, seen = held[held[-1][1].best][0], held[-1][1]
        reason = f"trusted only at {seen.score or 0.0:.2f}, and {got.card.name} failed ({got.error})"
        return msgspec.structs.replace(best, degraded=reason, why=f"shown although {reason}")

    def _kept(self, kept: Kept) -> str:
        return f"promised {kept.quality:g} of {self.models[-1]}, sure {self.certificate.sure:g}"

    def _safe(self, question: Question, wished: float, kept: Kept | None) -> str:
        if kept is None:
            return f"best effort: {wished:g} of {self.models[-1]} was not certified"
        return question.unforeseen or _other(question) or "a small model of the proof may not answer"


def _bare(name: str) -> str:
    """Without its provider."""
    return name.partition("/")[2] or name


def _other(question: Question) -> str:
    """Why nothing was proved of such a request, in words: the outcomes of a calibration are single answers in words."""
    if question.choices > 1 or question.tools or question.schema:
        return "answers with tools, by a schema or of several choices were not calibrated"
    return ""


def _why_up(held: list[tuple[Outcome, Verdict]], large: Card) -> str:
    if not held:
        return f"{large.name} is worth it"
    return f"{held[-1][0].card.name} was not trusted: {held[-1][1].why}"
