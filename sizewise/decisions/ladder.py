"""Ladder of one question: exact text, near copy, head, small model; what each would answer, and what is certified.

The ladder is taught on one part of the reference's answers and certified on the rest, which it never saw. What is
certified is the share of all inputs on which a rung answers something else than the reference: at most 1 - quality,
also counting those that go up, which lose nothing. Rungs and thresholds are one fixed sequence from the safest on,
tested as in routing/guarantees/bounds.py, so that the choice among thresholds costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import exp, lgamma, log, log1p

import numpy as np

from sizewise.decisions.calibration import AS_IT_IS, TrustCalibration, fit_calibration
from sizewise.decisions.certificate import (
    LadderCertificate,
    ModelRungName,
    Rung,
    RungAnswer,
    is_taught,
    look_error,
)
from sizewise.decisions.head import Decided, Doubles, Flags, Floats, Integers, KernelHead, fit_head_unseen
from sizewise.decisions.model_rung import Joined, ModelRung, fit_model_rung
from sizewise.routing.guarantees.bounds import CertificationStep, Losses, QualityGuarantee, fixed_sequence_test

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
MIN_FRESH = 60
"""Taught inputs that the small model was not trained on, to which its rung is fitted."""
MAX_NEAR_ERROR = 0.01
"""Of near copies among the taught examples themselves: a first sieve, before the certification."""


@dataclass(frozen=True, slots=True)
class SmallModel:
    """`shares`: its probability of each option, a row for each answer of the reference. `seen`: on which of them it was
    trained: what it says there tells nothing of how good it is.
    """

    name: ModelRungName
    model: str
    shares: Doubles
    seen: Flags


@dataclass(frozen=True, slots=True)
class Ladder:
    """`exact`: option by digest of the text, where all answers agreed. `near_cosine`: None if near copies are off.

    Thresholds are of the trust as it was certified; the probability that an answer shows is the calibrated one.
    """

    head: KernelHead
    exact: Mapping[str, int]
    near_cosine: float | None
    certificate: LadderCertificate
    model_rung: ModelRung | None = None
    calibration: TrustCalibration = AS_IT_IS
    model_calibration: TrustCalibration = AS_IT_IS

    @property
    def asks(self) -> str:
        return "" if self.model_rung is None else self.model_rung.model

    def answer_with(self, vector: Sequence[float], shares: Sequence[float]) -> RungAnswer | None:
        """As in ReadyLadder."""
        threshold, rung = self.certificate.threshold, self.model_rung
        decided = self.head.decide(np.asarray([vector], np.float32))
        is_near = self.near_cosine is not None and decided.similarity[0] >= self.near_cosine
        if threshold is None or rung is None or is_near or len(shares) != len(self.head.bias):
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
        if trust < threshold:
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


def build_ladder(
    numbers: Sequence[int],
    digests: Sequence[str],
    vectors: Floats,
    options: Integers,
    option_count: int,
    guarantee: QualityGuarantee,
    look: int = 0,
    model: SmallModel | None = None,
) -> Ladder | None:
    """By the reference's answers in the order in which they came, each with its number. `model`: what a small model
    says of the same inputs. None if there are too few, or all are equal.
    """
    taught = np.array([is_taught(number) for number in numbers], bool)
    if taught.sum() < 10 or (~taught).sum() < 10 or len(set(options[taught].tolist())) < 2:
        return None
    head, unseen = fit_head_unseen(vectors[taught], options[taught], option_count)
    rung = None if model is None else _fitted(model, taught, options, unseen)
    near = near_cosine(head)
    exact = _unanimous([digest for digest, is_in in zip(digests, taught, strict=True) if is_in], options[taught])
    rest = [digest for digest, is_in in zip(digests, taught, strict=True) if not is_in]
    decided = head.decide(vectors[~taught])
    choices = rung_choices(head, exact, near, rest, decided)
    joined = None if rung is None or model is None else (rung, rung.join(decided, model.shares[~taught]))
    right = (decided.option == options[~taught]).astype(np.float64)
    seen_right = (unseen.option == options[taught]).astype(np.float64)
    shown = fit_calibration(np.concatenate([decided.trust, unseen.trust]), np.concatenate([right, seen_right]))
    told = shown(decided.trust)
    certificate = _certify(len(head.examples), choices, told, right, joined, options[~taught], guarantee, look)
    return Ladder(
        head=head,
        exact=exact,
        near_cosine=near,
        certificate=certificate,
        model_rung=rung,
        calibration=shown,
        model_calibration=AS_IT_IS if joined is None else _joined_calibration(joined[1], options[~taught]),
    )


def _joined_calibration(joined: Joined, options: Integers) -> TrustCalibration:
    return fit_calibration(joined.trust, (joined.option == options).astype(np.float64))


def _fitted(model: SmallModel, taught: Flags, options: Integers, unseen: Decided) -> ModelRung | None:
    """The rung, fitted to taught inputs that the model was not trained on. None if they are few, or it adds little."""
    fresh = ~model.seen[taught]
    if fresh.sum() < MIN_FRESH:
        return None
    truth, shares = options[taught][fresh], model.shares[taught][fresh]
    return fit_model_rung(model.name, model.model, truth, unseen.only(fresh), shares)


def near_cosine(head: KernelHead) -> float | None:
    """The lowest cosine from which the nearest other example has nearly always the same option; None: too few."""
    cosines = head.examples @ head.examples.T
    np.fill_diagonal(cosines, -1.0)
    nearest = cosines.argmax(1)
    best, same = cosines.max(1), head.options[nearest] == head.options
    found: float | None = None
    for cosine in NEAR_COSINES:
        count, wrong = int((best >= cosine).sum()), int(((best >= cosine) & ~same).sum())
        if wrong > MAX_NEAR_ERROR * max(count, 1):
            break
        found = cosine if count >= MIN_NEAR_EXAMPLES else found
    return found


def _unanimous(digests: Sequence[str], options: Integers) -> dict[str, int]:
    """Texts whose answers were all the same: one that was answered both ways is no exact match for anything."""
    answers: dict[str, set[int]] = {}
    for digest, option in zip(digests, options.tolist(), strict=True):
        answers.setdefault(digest, set()).add(option)
    return {digest: next(iter(found)) for digest, found in answers.items() if len(found) == 1}


def rung_choices(
    head: KernelHead, exact: Mapping[str, int], near: float | None, digests: Sequence[str], decided: Decided
) -> list[tuple[Rung, int, float]]:
    """The rung of each input, its option, and its place in the sequence of thresholds."""
    found = list[tuple[Rung, int, float]]()
    for at, digest in enumerate(digests):
        if digest in exact:
            found.append(("exact", exact[digest], EXACT_TRUST))
        elif near is not None and decided.similarity[at] >= near:
            found.append(("near copy", int(head.options[decided.nearest[at]]), NEAR_TRUST))
        else:
            found.append(("head", int(decided.option[at]), float(decided.trust[at])))
    return found


def with_model(
    choices: Sequence[tuple[Rung, int, float]], joined: tuple[ModelRung, Joined] | None, threshold: float
) -> list[tuple[Rung, int, float]]:
    """The choices at one threshold: where the head is not trusted so far, the small model is asked."""
    if joined is None:
        return list(choices)
    rung, said = joined
    return [
        each if each[2] >= threshold else (rung.name, int(option), float(trust))
        for each, option, trust in zip(choices, said.option, said.trust, strict=True)
    ]


def _certify(
    taught: int,
    choices: Sequence[tuple[Rung, int, float]],
    shown: Doubles,
    right: Doubles,
    joined: tuple[ModelRung, Joined] | None,
    options: Integers,
    guarantee: QualityGuarantee,
    look: int,
) -> LadderCertificate:
    """`shown`: the head's calibrated trust in each input, `right`: whether it was right, 1 or 0."""
    truth, count = options.tolist(), max(1, len(options))

    def steps() -> Iterator[tuple[CertificationStep, Losses]]:
        before = 0.0
        for threshold in THRESHOLDS:
            at = with_model(choices, joined, threshold)
            wrong = [trust >= threshold and said != right for (_, said, trust), right in zip(at, truth, strict=True)]
            served = sum(trust >= threshold for _, _, trust in at) / count
            if served > before:
                before, losses = served, [each - (1.0 - guarantee.quality) for each in wrong]
                yield CertificationStep(threshold, served, 1.0 - sum(wrong) / count, served), losses

    error = look_error(look, 1.0 - guarantee.confidence)
    result = fixed_sequence_test("ladder", len(truth), steps(), guarantee, error=error, risk_test=disagreement_test)
    step = result.best_step
    counts: dict[str, int] = {}
    if step is not None:
        for rung, _, trust in with_model(choices, joined, step.threshold):
            counts[rung] = counts.get(rung, 0) + (trust >= step.threshold)
    asked = joined[0].model if joined is not None else ""
    return LadderCertificate(
        quality=guarantee.quality,
        error=error,
        look=look,
        taught=taught,
        certified_on=len(truth),
        threshold=None if step is None else step.threshold,
        share=0.0 if step is None else step.small_share,
        agreement=1.0 if step is None else step.quality,
        rungs={rung: count for rung, count in counts.items() if count},
        calibration_error=calibration_error(shown.tolist(), (right > 0.5).tolist()),
        model=asked,
    )


def disagreement_test(losses: Losses, max_loss: float, error: float) -> bool:
    """Exact binomial test, for losses that are each -eps (agrees, or goes up) or 1 - eps: the most powerful there is
    for a fixed number of inputs. A RiskTest.
    """
    allowed = 1.0 - max_loss
    count = len(losses)
    wrong = round(sum(losses) + allowed * count)
    return count > 0 and binomial_tail(wrong, count, allowed) <= error


def binomial_tail(most: int, count: int, chance: float) -> float:
    """Probability of at most `most` hits in `count` draws."""
    whole = lgamma(count + 1)
    return sum(
        exp(whole - lgamma(hits + 1) - lgamma(count - hits + 1) + hits * log(chance) + (count - hits) * log1p(-chance))
        for hits in range(most + 1)
    )


def calibration_error(chances: Sequence[float], right: Sequence[bool], bins: int = 10) -> float:
    """Expected calibration error: the mean distance of chance and frequency over bins of equal width."""
    sums = [[0.0, 0.0] for _ in range(bins)]
    for chance, hit in zip(chances, right, strict=True):
        place = sums[min(bins - 1, int(chance * bins))]
        place[0] += chance
        place[1] += hit
    return sum(abs(chance - hits) for chance, hits in sums) / max(1, len(chances))
