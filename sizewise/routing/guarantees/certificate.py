"""What a calibration certified, as one file: who is asked until when, what that keeps, and how it is known; pure.

Written by `sizewise route calibrate --write`, read by the policy kind `certified`. It holds words of prompts, each
that stood in two of them.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from sizewise.errors import BadRequest
from sizewise.routing.guarantees.sampled_certificate import Sampled
from sizewise.routing.guarantees.thresholds import Level
from sizewise.routing.quality.answer_signals import Combined, Said, Signals, numbers
from sizewise.routing.quality.predictor import Predictor
from sizewise.routing.quality.predictor import whole as whole_predictor

FORMAT = 1
ANEW = "calibrate anew: sizewise route calibrate"


class Kept(Struct, frozen=True):
    """One promise that holds by itself: `quality` of the large model's. Shares 0..1."""

    quality: float
    policy: str
    level: Level
    measured: float  # quality on the prompts that proved
    served: float  # of them answered small
    saves: float  # of the cost of asking the large model always
    within: float  # half the width of its 95 % interval


class Origin(Struct, frozen=True):
    """Where it comes from; with it and the outcomes, it can be made again."""

    data: str  # sha256 of the outcomes
    seed: int
    date: str  # 2026-01-31
    taught: int  # prompts
    proved: int
    checker: str  # what scored the answers, by the user's word
    checker_error: float | None  # share of its scores that are wrong, 0..1; None: nobody measured it
    version: str = ""


class Proof(Struct, frozen=True, tag="outcomes"):
    """`small`: in the order of asking. `after`: what their answers tell, one more of them each. `kept`: rising."""

    small: tuple[str, ...]
    large: str
    sure: float
    kept: tuple[Kept, ...]
    predictor: Predictor
    after: tuple[Combined, ...]
    origin: Origin
    curves: Mapping[str, tuple[tuple[float, float], ...]] = {}  # (cost, quality) of the large model's, by policy
    format: int = FORMAT

    def __repr__(self) -> str:
        """What tells one proof from another: the rest is long, and follows from it."""
        return f"Proof({self.models}, {self.origin}, {self.kept})"

    @property
    def models(self) -> tuple[str, ...]:
        return (*self.small, self.large)

    def keeping(self, quality: float) -> Kept | None:
        """What keeps at least `quality`, as cheaply as is certified; None where nothing does."""
        return next((each for each in self.kept if each.quality >= quality - 1e-9), None)


def write(proof: Proof | Sampled) -> bytes:
    """The same proof is always the same bytes."""
    return msgspec.json.encode(proof, order="deterministic")


def read(written: bytes) -> Proof | Sampled:
    """Raises BadRequest for what `write` did not write."""
    try:
        proof = msgspec.json.decode(written, type=Proof | Sampled)
    except msgspec.DecodeError as why:
        raise BadRequest(f"this is no proof: {why}", ANEW) from why
    if proof.format != FORMAT or (isinstance(proof, Proof) and not _whole(proof)):
        raise BadRequest(f"this proof is of format {proof.format!r}, or was cut", ANEW)
    checked: Proof | Sampled = proof
    return checked


def _whole(proof: Proof) -> bool:
    """Whether every list is as long as what reads it: a cut file must not fail a request."""
    heads: Mapping[str, object] = proof.predictor.heads
    return (
        1 <= len(proof.small) <= 2
        and set(proof.models) <= set(heads)
        and whole_predictor(proof.predictor)
        and len(proof.after) == len(proof.small)
        and all(_fits(its, asked) for asked, its in enumerate(proof.after, 1))
        and all(1 <= len(each.level.stages) <= 1 + len(proof.small) for each in proof.kept)
        and [each.quality for each in proof.kept] == sorted(each.quality for each in proof.kept)
    )


def _fits(its: Combined, asked: int) -> bool:
    size = len(numbers(Signals((Said(),) * asked)))
    heads = all(len(head) == 1 + size for head in its.heads)
    return len(its.mean) == len(its.spread) == size and all(its.spread) and heads and len(its.heads) == asked + 1
