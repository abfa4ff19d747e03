"""What sampled pairs certified of a cascade, as one file: from which trust on a small answer is given; pure.

Written by `sizewise route calibrate --policy NAME --write`, read by the policy kind `cascade`. No word of a prompt is
in it.
"""

from __future__ import annotations

from msgspec import Struct

from sizewise.errors import ConfigError
from sizewise.routing.guarantees.bounds import QUALITIES, Pair, Promise, certify, wanted

GRID = tuple(round(0.02 * step, 2) for step in range(1, 51))
"""Thresholds of trust, fixed before anything was seen."""


class Trusted(Struct, frozen=True):
    """One promise that holds by itself. Shares 0..1."""

    quality: float
    trust: float
    measured: float  # quality on the pairs
    served: float  # share of requests answered small


class Sampled(Struct, frozen=True, tag="sampled"):
    """`kept`: rising. `judge`: who compared the pairs, each in both orders; what nobody could judge counts as lost."""

    small: str
    large: str
    sure: float
    kept: tuple[Trusted, ...]
    judge: str
    pairs: int
    unjudged: int
    date: str  # 2026-01-31
    votes: int = 1  # trust was of so many answers
    verifier: str = ""  # and of this model's opinion
    version: str = ""
    format: int = 1

    @property
    def models(self) -> tuple[str, ...]:
        return self.small, self.large

    def keeping(self, quality: float) -> Trusted | None:
        """What keeps at least `quality`, as cheaply as is certified; None where nothing does."""
        return next((each for each in self.kept if each.quality >= quality - 1e-9), None)


def holding(proof: Sampled | None, promise: Promise | None, models: tuple[str, ...], votes: int, verifier: str) -> None:
    """Raises ConfigError where the proof does not hold the promise or is of other models, or one of them is missing."""
    if promise is None or proof is None:
        hint = "sizewise route calibrate --policy NAME --write makes both"
        raise ConfigError("`target` and `certificate` go together: one of the two is missing", hint)
    if models != proof.models:
        said, known = ", ".join(models) or "none", ", ".join(proof.models)
        raise ConfigError(f"`models` are {said}, and the proof is of {known}", "name these, or calibrate anew")
    if (votes, verifier) != (proof.votes, proof.verifier):
        asked = f"{proof.votes} votes and {proof.verifier or 'no'} verifier"
        raise ConfigError(f"the proof is of {asked}, and trust means something else here", "calibrate anew")
    if promise.reference not in ("large", proof.large):
        raise ConfigError(f"the promise is of {promise.reference!r}, and the proof of {proof.large!r}", "say 'large'")
    if promise.confidence > proof.sure or proof.keeping(promise.quality) is None:
        most = max((each.quality for each in proof.kept), default=0.0)
        hint = "calibrate when there are more samples, or promise less"
        raise ConfigError(f"the proof keeps {most:g} at most, sure {proof.sure:g}", hint)


class Held(Struct, frozen=True):
    """One sampled request: the trust in its small answer, 0..1, None where no judge had any (then it is given), and how
    much worse it was than the large model's, 0..1, None where nobody could tell."""

    trust: float | None
    worse: float | None


class Found(Struct, frozen=True):
    """`needs`: pairs that the promise would about take, where it cannot be made yet; None where none can be told."""

    kept: tuple[Trusted, ...]
    needs: int | None


def certified(held: list[Held], promise: Promise) -> Found:
    """`held` in the order of time. The large model's answers are the standard, and better than that counts as equal."""
    pairs = [
        Pair(1.0 if its.trust is None else its.trust, 1.0 - (1.0 if its.worse is None else its.worse), 1.0)
        for its in held
    ]
    kept, needs = list[Trusted](), None
    for quality in sorted({*QUALITIES, promise.quality}):
        found = certify("cascade", pairs, GRID, Promise(quality, promise.confidence, promise.reference))
        if found.best is not None:
            kept.append(Trusted(quality, found.best.at, found.best.quality, found.best.served))
        elif quality == promise.quality:
            needs = wanted(found, 1.0 - promise.confidence)
    return Found(tuple(kept), needs)
