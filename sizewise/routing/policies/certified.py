"""Certified policy: the cheapest route that keeps a quality guarantee, by the thresholds of a certificate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from sizewise.errors import ConfigError
from sizewise.model_card import ModelCard
from sizewise.routing.cascade_reasons import no_time_to_judge
from sizewise.routing.fallback import with_fallbacks
from sizewise.routing.guarantees.bounds import QualityGuarantee
from sizewise.routing.guarantees.certificate import Certificate, CertifiedLadder
from sizewise.routing.option_checks import require_range
from sizewise.routing.policy import AttemptOutcome, Candidates, PolicyRun, RequestFeatures, Verdict, attempt, judge
from sizewise.routing.strength import strength
from sizewise.routing.time_to_escalate import with_time_to_escalate


@dataclass(frozen=True, slots=True)
class CertifiedPolicy:
    """A small model unjudged, small models held and judged, or large: as the certified ladder decides at each stage.

    `certificate`: the file written by `sizewise route calibrate --write`. `target`: what it must guarantee, at least
    `quality` (0..1) relative to the large model with probability `confidence`.
    `models`: the certificate's models, each with its provider, small ones in its order, the large one last; empty: as
    named in the certificate.
    A request may set another quality: the cheapest certified ladder that keeps it applies. If there is none, if the
    prompt is unlike the training prompts, or if more than one text answer is requested (tools, a schema, several
    choices), the large model is asked; no weaker model replaces it if it fails.
    `hold_s` and `when_exhausted` as in CascadePolicy, `retries` and `max_retry_delay_s` as in FixedPolicy.
    """

    certificate: Certificate
    target: QualityGuarantee
    models: tuple[str, ...] = ()
    hold_s: float = 60.0
    when_exhausted: Literal["refuse", "show_marked"] = "refuse"
    retries: int = 1
    max_retry_delay_s: float = 2.0

    def __post_init__(self) -> None:
        require_range("hold_s", self.hold_s, 0.001, 3600)
        require_range("retries", self.retries, 0, 5)
        require_range("max_retry_delay_s", self.max_retry_delay_s, 0, 60)
        proof, named = self.certificate, self.models or self.certificate.models
        object.__setattr__(self, "models", named)
        if len(set(named)) != len(named) or tuple(map(_without_provider, named)) != tuple(
            map(_without_provider, proof.models),
        ):
            hint = f"use these, each as <provider>/<model>, or calibrate again: {', '.join(proof.models)}"
            raise ConfigError(f"`models` are {', '.join(named)}, but the certificate is for others", hint)
        if self.target.reference not in ("large", proof.large_model, named[-1]):
            hint = f"set target.reference to 'large', which is {named[-1]}"
            raise ConfigError(
                f"the target refers to {self.target.reference!r}, but the certificate to {proof.large_model!r}",
                hint,
            )
        if self.target.confidence > proof.confidence_level:
            hint = (
                f"calibrate with --confidence {self.target.confidence:g}, or set target.confidence to"
                f" {proof.confidence_level:g}"
            )
            raise ConfigError(
                f"the certificate has confidence {proof.confidence_level:g}, not {self.target.confidence:g}",
                hint,
            )
        if proof.guarantee_for(self.target.quality) is None:
            most = max((each.quality for each in proof.guarantees), default=0.0)
            hint = "calibrate on more prompts, or lower the target"
            raise ConfigError(f"the certificate guarantees at most {most:g}, not {self.target.quality:g}", hint)

    def route(self, features: RequestFeatures, candidates: Candidates) -> PolicyRun:
        known = {candidate.card.name: candidate for candidate in candidates}
        asked = {name: candidate.card for name, candidate in known.items()}
        large, small = asked.get(self.models[-1]), [asked.get(name) for name in self.models[:-1]]
        if large is None:
            why = f"{self.models[-1]} is not eligible, so no target applies; the best eligible model"
            others = sorted((each.card for each in candidates), key=strength, reverse=True)
            return (yield from with_fallbacks(features, tuple(others), why, self.retries, self.max_retry_delay_s))
        wished = self.target.quality if features.min_quality is None else features.min_quality
        kept = self.certificate.guarantee_for(wished)
        if (
            kept is None
            or features.abstention
            or _not_calibrated_reason(features)
            or None in small[: max(1, kept.ladder.max_small_calls)]
        ):
            return (yield from self._escalate(features, large, self._best_effort_reason(features, wished, kept)))
        held: list[tuple[AttemptOutcome, Verdict]] = []
        failed = ""
        worth = features.predicted_quality[large.name] - features.predicted_quality[self.models[0]]
        for place, stage in enumerate(kept.ladder.stages):
            choice = stage.action(worth)
            if choice == "give" and not place:
                why = (
                    f"{self._guarantee_text(kept)}; this prompt: {large.name} is predicted to answer better by "
                    f"{max(0.0, worth):.2f} only"
                )
                cards = tuple(each for each in (small[0], large) if each is not None)
                return (yield from with_fallbacks(features, cards, why, self.retries, self.max_retry_delay_s))
            if choice == "give":
                best, seen = held[held[-1][1].best_index][0], held[-1][1]
                return msgspec.structs.replace(best, why=f"{self._guarantee_text(kept)}; this answer: {seen.why}")
            card = small[place] if choice == "next" and place < len(small) else None
            if card is None:
                break
            if not with_time_to_escalate((known[card.name],), known[large.name], features.time_left_s):
                failed = no_time_to_judge(features.time_left_s, known[large.name])
                break
            first = "the answer is judged before it is shown" if not place else "a second opinion"
            why = f"{self._guarantee_text(kept)}; this prompt: {first}"
            got = yield from attempt(card, why, "hold", self.hold_s)
            if got.reply is None:
                failed = f"{card.name} failed ({got.error})"
                break
            replies = [each.reply for each, _ in held if each.reply is not None]
            seen = yield from judge(*replies, got.reply)
            held.append((got, seen))
            if seen.escalation_gain is None:
                break
            worth = seen.escalation_gain
        why = f"{self._guarantee_text(kept)}; this request: {failed or _escalation_reason(held, large, worth)}"
        return (yield from self._escalate(features, large, why, held))

    def _escalate(
        self,
        features: RequestFeatures,
        large: ModelCard,
        why: str,
        held: Sequence[tuple[AttemptOutcome, Verdict]] = (),
    ) -> PolicyRun:
        """Asks the large model. If it fails, the target cannot be kept: a held reply is returned only with
        `show_marked`.
        """
        got = yield from with_fallbacks(features, (large,), why, self.retries, self.max_retry_delay_s)
        if got.is_final or not held or self.when_exhausted == "refuse":
            return got
        best, seen = held[held[-1][1].best_index][0], held[-1][1]
        reason = f"trusted only at {seen.score or 0.0:.2f}, and {got.card.name} failed ({got.error})"
        return msgspec.structs.replace(best, degraded=reason, why=f"shown although {reason}")

    def _guarantee_text(self, ladder: CertifiedLadder) -> str:
        return (
            f"certified {ladder.quality:g} of {self.models[-1]}'s quality with confidence "
            f"{self.certificate.confidence_level:g}, on average over requests"
        )

    def _best_effort_reason(
        self,
        features: RequestFeatures,
        wanted_quality: float,
        ladder: CertifiedLadder | None,
    ) -> str:
        if ladder is None:
            return f"best effort: {wanted_quality:g} of {self.models[-1]} is not certified"
        return (
            features.abstention
            or _not_calibrated_reason(features)
            or "a small model of the certificate is not eligible"
        )


def _without_provider(name: str) -> str:
    return name.partition("/")[2] or name


def _not_calibrated_reason(features: RequestFeatures) -> str:
    """Why a request is not covered, in words: the outcomes of a calibration are single text answers."""
    if features.choice_count > 1 or features.tools or features.schema:
        return "requests with tools, a schema or several choices were not calibrated"
    return ""


def _escalation_reason(held: list[tuple[AttemptOutcome, Verdict]], large: ModelCard, worth: float) -> str:
    if not held:
        return f"{large.name} is predicted to answer better by {worth:.2f}"
    return f"{held[-1][0].card.name} was not trusted: {held[-1][1].why}"
