"""Ladder of one question: exact text, near copy, head, small model; what each would answer. Certifies nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from sizewise.decisions.calibration import AS_IT_IS, TrustCalibration
from sizewise.decisions.certificate import LadderCertificate, Rung, RungAnswer
from sizewise.decisions.head import Decided, Doubles, Floats, Integers, KernelHead
from sizewise.decisions.model_rung import ModelRung

EXACT_TRUST, NEAR_TRUST = 3.0, 2.0
"""Beyond the trust of a head, which is at most 1: so these rungs come first in the sequence."""
THRESHOLDS: Sequence[float] = (
    EXACT_TRUST,
    NEAR_TRUST,
    0.995,
    0.99,
    *(round(0.98 - 0.02 * step, 2) for step in range(43)),
)
NEAR_COSINES = (0.99, 0.97, 0.95, 0.93, 0.91, 0.89, 0.87, 0.85)
MIN_NEAR_EXAMPLES = 30
MOST_TRUST = 0.999
MAX_NEAR_ERROR = 0.01
"""Of near copies among the taught examples themselves: a first sieve, before the certification."""
FAR_SHARE = 0.02
"""Of the taught examples, those that are farthest from all others. An input that is farther than these is of another
kind, of which no certificate says anything."""
FAR_TRUST = 0.0
"""Below every threshold: such an input goes up."""


@dataclass(frozen=True, slots=True)
class Ladder:
    """`exact`: option by digest of the text, where all answers agreed. `near_cosine`: None if near copies are off.
    `far_cosine`: an input whose nearest example is farther goes up.

    Thresholds are of the trust as it was certified; the probability that an answer shows is the calibrated one.
    """

    head: KernelHead
    exact: Mapping[str, int]
    near_cosine: float | None
    certificate: LadderCertificate
    model_rung: ModelRung | None = None
    calibration: TrustCalibration = AS_IT_IS
    model_calibration: TrustCalibration = AS_IT_IS
    far_cosine: float = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "far_cosine", far_cosine(self.head))

    @property
    def asks(self) -> str:
        return "" if self.model_rung is None else self.model_rung.model

    def answer_with(self, vector: Sequence[float], shares: Sequence[float]) -> RungAnswer | None:
        """As in ReadyLadder."""
        threshold, rung = self.certificate.threshold, self.model_rung
        decided = self.head.decide(np.asarray([vector], np.float32))
        is_near = self.near_cosine is not None and decided.similarity[0] >= self.near_cosine
        is_far = decided.similarity[0] < self.far_cosine
        if threshold is None or rung is None or is_near or is_far or len(shares) != len(self.head.bias):
            return None
        joined = rung.join(decided, np.asarray([shares], np.float64))
        trust = min(MOST_TRUST, float(joined.trust[0]))
        if trust < threshold:
            return None
        shown = float(self.model_calibration(joined.trust)[0])
        return self._answer(rung.name, int(joined.option[0]), trust, shown, joined.probabilities[0])

    def answer(self, digest: str, vector: Sequence[float] | None, *, confidential: bool = False) -> RungAnswer | None:
        """As in ReadyLadder."""
        threshold = self.certificate.threshold
        if threshold is None:
            return None
        known = self.exact.get(digest)
        if known is not None:
            return None if confidential else self._answer("exact", known, MOST_TRUST, MOST_TRUST)
        if vector is None:
            return None
        decided = self.head.decide(np.asarray([vector], np.float32))
        trust = min(MOST_TRUST, float(decided.trust[0]))
        if self.near_cosine is not None and decided.similarity[0] >= self.near_cosine:
            if confidential or threshold > NEAR_TRUST:
                return None
            near = 1.0 - MAX_NEAR_ERROR
            return self._answer("near copy", int(self.head.options[decided.nearest[0]]), near, near)
        if trust < threshold or decided.similarity[0] < self.far_cosine:
            return None
        shown = float(self.calibration(decided.trust)[0])
        return self._answer("head", int(decided.option[0]), trust, shown, decided.probabilities[0])

    def _answer(self, rung: Rung, option: int, trust: float, shown: float, shares: Doubles | None = None) -> RungAnswer:
        """`shown`: the probability of the chosen option; the others share the rest as the head says."""
        rest = np.ones(len(self.head.bias)) if shares is None else shares.copy()
        rest[option] = 0.0
        rest *= (1.0 - shown) / max(float(rest.sum()), 1e-12)
        rest[option] = shown
        return RungAnswer(rung, option, trust, tuple(rest.tolist()))


def near_cosine(head: KernelHead) -> float | None:
    """The lowest cosine from which the nearest other example has nearly always the same option; None: too few."""
    nearest, best = _nearest_others(head)
    same = head.options[nearest] == head.options
    found: float | None = None
    for cosine in NEAR_COSINES:
        count, wrong = int((best >= cosine).sum()), int(((best >= cosine) & ~same).sum())
        if wrong > MAX_NEAR_ERROR * max(count, 1):
            break
        found = cosine if count >= MIN_NEAR_EXAMPLES else found
    return found


def far_cosine(head: KernelHead) -> float:
    """The cosine that all but FAR_SHARE of the examples have to their nearest other one."""
    return float(np.quantile(_nearest_others(head)[1], FAR_SHARE))


def _nearest_others(head: KernelHead) -> tuple[Integers, Floats]:
    """Of each example the nearest other one, and its cosine."""
    cosines = head.examples @ head.examples.T
    np.fill_diagonal(cosines, -1.0)
    return cosines.argmax(1), cosines.max(1)


def unanimous(digests: Sequence[str], options: Integers) -> dict[str, int]:
    """Texts whose answers were all the same: one that was answered both ways is no exact match for anything."""
    answers: dict[str, set[int]] = {}
    for digest, option in zip(digests, options.tolist(), strict=True):
        answers.setdefault(digest, set()).add(option)
    return {digest: next(iter(found)) for digest, found in answers.items() if len(found) == 1}


def rung_choices(
    head: KernelHead, exact: Mapping[str, int], near: float | None, digests: Sequence[str], decided: Decided
) -> list[tuple[Rung, int, float]]:
    """The rung of each input, its option, and its place in the sequence of thresholds."""
    found, far = list[tuple[Rung, int, float]](), far_cosine(head)
    for at, digest in enumerate(digests):
        if digest in exact:
            found.append(("exact", exact[digest], EXACT_TRUST))
        elif near is not None and decided.similarity[at] >= near:
            found.append(("near copy", int(head.options[decided.nearest[at]]), NEAR_TRUST))
        else:
            trust = FAR_TRUST if decided.similarity[at] < far else float(decided.trust[at])
            found.append(("head", int(decided.option[at]), trust))
    return found
