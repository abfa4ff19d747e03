"""Certification of a ladder: teaches its rungs, and tests them on answers that taught them nothing. Pure.

Up to CROSSED_ANSWERS each fifth is tested by heads that learned the rest, and the ladder in use learns from all; of
more, or with a tuned model, one part teaches and the rest tests. What is certified is the share of
all inputs on which a rung answers something else than the reference: at most 1 - quality, also counting those that go
up, which lose nothing, and also where one answer comes more often (label_shift.py). Rungs and thresholds are one fixed
sequence from the safest on, tested as in routing/guarantees/bounds.py, so that the choice among thresholds is free.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from msgspec import structs

from sizewise.decisions.calibration import AS_IT_IS, fit_calibration
from sizewise.decisions.certificate import (
    CROSSED_ANSWERS,
    FOLDS,
    LadderCertificate,
    ModelRungName,
    Rung,
    fold_of,
    is_taught,
    look_error,
)
from sizewise.decisions.head import Decided, Doubles, Flags, Floats, Integers, KernelHead, fit_head_unseen
from sizewise.decisions.label_shift import shift_test
from sizewise.decisions.ladder import FAR_TRUST, THRESHOLDS, Ladder, near_cosine, rung_choices, unanimous
from sizewise.decisions.model_rung import Joined, ModelRung, fit_model_rung
from sizewise.routing.guarantees.bounds import CertificationStep, Losses, QualityGuarantee, fixed_sequence_test

MIN_FRESH = 60
"""Taught inputs that the small model was not trained on, to which its rung is fitted."""


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
class Answers:
    """The reference's, in the order in which they came. `model`: what a small model says of the same inputs."""

    digests: Sequence[str]
    vectors: Floats
    options: Integers
    option_count: int
    model: SmallModel | None


@dataclass(frozen=True, slots=True)
class Taught:
    """Rungs, and what the head says of each example that taught it, without it."""

    head: KernelHead
    exact: Mapping[str, int]
    near: float | None
    rung: ModelRung | None
    unseen: Decided


@dataclass(frozen=True, slots=True)
class Tested:
    """What rungs that learned nothing of some inputs say of them. `joined`: with the small model; None if it is not
    asked. `taught`: answers that they learned.
    """

    taught: int
    choices: list[tuple[Rung, int, float]]
    decided: Decided
    truth: Integers
    joined: Joined | None


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
    answers = Answers(digests=digests, vectors=vectors, options=options, option_count=option_count, model=model)
    is_crossed = len(numbers) <= CROSSED_ANSWERS and (model is None or model.name != "tuned")
    folds = np.array([fold_of(number) if is_crossed else not is_taught(number) for number in numbers])
    tested_folds = range(FOLDS) if is_crossed else (1,)
    parts = [(folds != fold, folds == fold) for fold in tested_folds]
    if any(not _is_enough(options, taught, tested) for taught, tested in parts):
        return None
    teachers = [_teach(answers, taught) for taught, _ in parts]
    results = [_test(answers, teacher, tested) for teacher, (_, tested) in zip(teachers, parts, strict=True)]
    whole = _teach(answers, np.ones(len(options), bool)) if is_crossed else teachers[0]
    if any(result.joined is None for result in results):  # where a part is not asked nothing is known of it
        whole = replace(whole, rung=None)
    candidate = "" if model is None else model.model
    return _certified(whole, results, guarantee, look, candidate=candidate, with_unseen=not is_crossed)


def _is_enough(options: Integers, taught: Flags, tested: Flags) -> bool:
    return min(int(taught.sum()), int(tested.sum())) >= 10 and len(set(options[taught].tolist())) > 1


def _teach(answers: Answers, taught: Flags) -> Taught:
    options = answers.options[taught]
    head, unseen = fit_head_unseen(answers.vectors[taught], options, answers.option_count)
    rung = None if answers.model is None else _fitted(answers.model, taught, answers.options, unseen)
    digests = [digest for digest, is_in in zip(answers.digests, taught, strict=True) if is_in]
    return Taught(head=head, exact=unanimous(digests, options), near=near_cosine(head), rung=rung, unseen=unseen)


def _test(answers: Answers, by: Taught, tested: Flags) -> Tested:
    digests = [digest for digest, is_in in zip(answers.digests, tested, strict=True) if is_in]
    decided = by.head.decide(answers.vectors[tested])
    joined = None
    if by.rung is not None and answers.model is not None:
        joined = by.rung.join(decided, answers.model.shares[tested])
    choices = rung_choices(by.head, by.exact, by.near, digests, decided)
    taught, truth = len(by.head.examples), answers.options[tested]
    return Tested(taught=taught, choices=choices, decided=decided, truth=truth, joined=joined)


def _certified(
    whole: Taught,
    results: Sequence[Tested],
    guarantee: QualityGuarantee,
    look: int,
    *,
    candidate: str,
    with_unseen: bool,
) -> Ladder:
    """`with_unseen`: the examples that taught calibrate too."""
    truth = np.concatenate([each.truth for each in results])
    trust = np.concatenate([each.decided.trust for each in results])
    right = (np.concatenate([each.decided.option for each in results]) == truth).astype(np.float64)
    unseen, calibration = whole.unseen, (trust, right)
    if with_unseen:
        seen_right = (unseen.option == whole.head.options).astype(np.float64)
        calibration = np.concatenate([trust, unseen.trust]), np.concatenate([right, seen_right])
    shown = fit_calibration(*calibration)
    joined, of_model = None, AS_IT_IS
    if whole.rung is not None:
        parts = [each.joined for each in results if each.joined is not None]
        said = Joined(
            np.concatenate([each.option for each in parts]),
            np.concatenate([each.trust for each in parts]),
            np.concatenate([each.probabilities for each in parts]),
        )
        joined = whole.rung, said
        of_model = fit_calibration(said.trust, (said.option == truth).astype(np.float64))
    taught = min(each.taught for each in results)
    choices = [each for result in results for each in result.choices]
    certificate = _certify(taught, choices, shown(trust), right, joined, truth, len(whole.head.bias), guarantee, look)
    return Ladder(
        head=whole.head,
        exact=whole.exact,
        near_cosine=whole.near,
        certificate=structs.replace(certificate, candidate=candidate),
        model_rung=whole.rung,
        calibration=shown,
        model_calibration=of_model,
    )


def _fitted(model: SmallModel, taught: Flags, options: Integers, unseen: Decided) -> ModelRung | None:
    """The rung, fitted to taught inputs that the model was not trained on. None if they are few, or it adds little."""
    fresh = ~model.seen[taught]
    if fresh.sum() < MIN_FRESH:
        return None
    truth, shares = options[taught][fresh], model.shares[taught][fresh]
    return fit_model_rung(model.name, model.model, truth, unseen.only(fresh), shares)


def with_model(
    choices: Sequence[tuple[Rung, int, float]], joined: tuple[ModelRung, Joined] | None, threshold: float
) -> list[tuple[Rung, int, float]]:
    """The choices at one threshold: where the head is not trusted so far, the small model is asked. What is far from
    all that was learned goes up without it.
    """
    if joined is None:
        return list(choices)
    rung, said = joined
    return [
        each if each[2] >= threshold or each[2] <= FAR_TRUST else (rung.name, int(option), float(trust))
        for each, option, trust in zip(choices, said.option, said.trust, strict=True)
    ]


def _certify(
    taught: int,
    choices: Sequence[tuple[Rung, int, float]],
    shown: Doubles,
    right: Doubles,
    joined: tuple[ModelRung, Joined] | None,
    options: Integers,
    option_count: int,
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
    result = fixed_sequence_test(
        "ladder", len(truth), steps(), guarantee, error=error, risk_test=shift_test(options, option_count)
    )
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


def calibration_error(chances: Sequence[float], right: Sequence[bool], bins: int = 10) -> float:
    """Expected calibration error: the mean distance of chance and frequency over bins of equal width."""
    sums = [[0.0, 0.0] for _ in range(bins)]
    for chance, hit in zip(chances, right, strict=True):
        place = sums[min(bins - 1, int(chance * bins))]
        place[0] += chance
        place[1] += hit
    return sum(abs(chance - hits) for chance, hits in sums) / max(1, len(chances))
