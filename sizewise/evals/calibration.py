"""Calibration: which guarantees recorded outcomes certify, by which policy, and what they save. Needs numpy.

Some of the prompts train, the others certify: near copies lie in one part, neither part uses the other's scores, and
the texts decide which part a prompt is in (evidence_split.py). Two policies are tried: *prompt* chooses a model before
any call; *cascade* may call small models first, and stops when continuing costs more than it gains. The allowed error
is split between them, most of it to the one that saves more on the training prompts. The result is the certified policy
that saves most, if any saves compared with always calling the large model.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, sqrt
from typing import TypedDict, Unpack

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from sizewise.errors import BadRequest
from sizewise.evals.calibration_batches import (
    CertifyTarget,
    certify_in_batches,
    compare_in_batches,
    fit_in_batches,
    predict_in_batches,
)
from sizewise.evals.cross_fitting import halves
from sizewise.evals.evidence_split import TRAINING_SHARE, split_groups
from sizewise.evals.labeled_prompts import LabeledPrompts, labeled_prompts
from sizewise.evals.ladder_replay import (
    Z_95,
    Curves,
    LadderReplay,
    ScoredPrompts,
    StageEstimates,
    cost_quality_curves,
    replay_ladder,
)
from sizewise.evals.missing_answers import (
    MissingAnswers,
    find_missing,
    missing_against_small,
    missing_as_wrong,
    require_answers,
)
from sizewise.evals.outcomes import OutcomeDataset
from sizewise.evals.prompt_groups import seed_of
from sizewise.evals.threshold_search import LADDER_COUNT, search_ladders
from sizewise.jobs.cpu_batches import CpuSteps, run_here
from sizewise.routing.guarantees.bounds import (
    STANDARD_QUALITIES,
    CertificationResult,
    QualityGuarantee,
    samples_needed,
)
from sizewise.routing.guarantees.certificate import Certificate, CertificateProvenance, CertifiedLadder
from sizewise.routing.guarantees.thresholds import StageThresholds, ThresholdLadder
from sizewise.routing.quality.answer_signals import SignalCombiner
from sizewise.routing.quality.predictor import Predictor
from sizewise.routing.quality.prompt_sketch import sketch_prompts
from sizewise.routing.training.combiner import train_combiner
from sizewise.routing.training.trainer import (
    Floats,
    Ints,
    cross_validation_splits,
    numbered,
    quality_gain,
    train_predictor,
)

FAVORED_ERROR_SHARE = 0.8  # of the allowed error, for the policy that saves more on the training prompts
UNFAMILIAR_GAIN = 10.0  # for a prompt on which the predictor abstains: above every threshold, so it escalates


class PolicyCalibration(Struct, frozen=True):
    """One policy: its certification, and the figures of its best certified level. Shares are 0..1. `samples_needed`:
    estimated prompts in all, for training too, until the level that failed would pass; None if unknown."""

    policy: str
    certification: CertificationResult
    small_share: float
    quality: float | None  # measured; None if nothing was certified
    savings: float  # share of the cost of always calling the large model
    savings_margin: float  # half the width of its 95 % interval
    samples_needed: int | None
    low: float | None = None  # 95 % interval of `quality`
    high: float | None = None
    request_quality: float | None = None  # measured with each row counted, repeated ones too


class Calibration(Struct, frozen=True):
    """`best` is None if no policy meets the target and saves. `certificate` holds every target that was certified."""

    small_models: tuple[str, ...]
    large_model: str
    guarantee: QualityGuarantee
    training_prompts: int
    certification_prompts: int
    small_score: float  # mean score of the first small model on the certification prompts
    large_score: float
    policies: tuple[PolicyCalibration, ...]
    best: PolicyCalibration | None
    certificate: Certificate | None
    curves: Curves  # of every level tried, plus the oracle and random routing
    missing: MissingAnswers = MissingAnswers(0, 0, {}, 0)  # counted as wrong, or as right for the large model
    row_count: int = 0  # rows that all models answered; of near copies and declared groups all count as one prompt


class CalibrationOptions(TypedDict, total=False):
    """As the parameters of `calibration_steps`."""

    costs: Sequence[float]
    date: str
    version: str
    scorer: str
    scorer_error: float | None
    missing_is_wrong: bool
    per_request: bool
    training_share: float


@dataclass(frozen=True)
class CalibrationData:
    """All levels of both policies, safest first, replayed on the certification prompts and on the training prompts.

    `scores`: (groups, models), of the certification prompts, `certifying`: the same by prompt. `small_costs`: of one
    answer of each small model, where a large answer costs 1. `seed`: of what needed random numbers.
    """

    predictor: Predictor
    combiners: tuple[SignalCombiner, ...]
    replays: dict[str, list[LadderReplay]]
    scores: Floats
    training_replays: dict[str, list[LadderReplay]]
    large_training_scores: Floats
    small_costs: tuple[float, ...]
    certifying: ScoredPrompts
    seed: int
    repeats: Floats  # rows of the dataset in each certifying group

    def error_shares(self, quality: float) -> dict[str, float]:
        """Each policy's share of the allowed error. The shares sum to 1 and depend on training prompts alone."""
        saved = {
            name: max(
                [each.savings for each in its if (quality * self.large_training_scores - each.score).mean() <= 0.0],
                default=0.0,
            )
            for name, its in self.training_replays.items()
        }
        best = max(saved, key=lambda name: saved[name])
        return {
            name: FAVORED_ERROR_SHARE if name == best else (1.0 - FAVORED_ERROR_SHARE) / (len(saved) - 1)
            for name in saved
        }


def calibrate(
    dataset: OutcomeDataset,
    small_models: Sequence[str],
    large_model: str,
    guarantee: QualityGuarantee,
    **options: Unpack[CalibrationOptions],
) -> Calibration:
    """As `calibration_steps`, in this process. Raises BadRequest."""
    return run_here(calibration_steps(dataset, small_models, large_model, guarantee, **options))


def calibration_steps(
    dataset: OutcomeDataset,
    small_models: Sequence[str],
    large_model: str,
    guarantee: QualityGuarantee,
    *,
    costs: Sequence[float] = (0.1, 0.1, 1.0),
    date: str = "",
    version: str = "",
    scorer: str = "the scores of the outcomes",
    scorer_error: float | None = None,
    missing_is_wrong: bool = False,
    per_request: bool = False,
    training_share: float = TRAINING_SHARE,
) -> CpuSteps[Calibration]:
    """`costs`: of one answer of each small model, then of the large one, in any unit.

    A small model that did not answer a prompt which another one answered counts as wrong, and the large one as right;
    `missing_is_wrong`: the large one as wrong too, and however many are missing. `per_request`: the rows are a random
    sample of requests, and the guarantee is of requests; otherwise it is of questions, each of which counts once.
    Raises BadRequest, also if many answers are missing, or if the large model is never right.
    """
    names = (*small_models, large_model)
    missing = find_missing(dataset, names)
    if missing_is_wrong:
        dataset = missing_as_wrong(dataset, names)
    else:
        require_answers(missing)
        dataset = missing_against_small(dataset, names, large_model)
    asked = labeled_prompts(dataset, small_models, large_model, grouped=not per_request)
    _require_right_answers(asked.large_scores, large_model)
    ready = yield from preparation_steps(asked, names, costs, date, dataset.digest, version, training_share)
    _require_right_answers(ready.scores[:, -1], large_model)
    played, proved = ready.replays, ready.scores
    per_pair = 1 + len(ready.large_training_scores) / len(proved)
    targets = {
        f"certification of {name} at {quality:g}": CertifyTarget(
            name, replace(guarantee, quality=quality), (1.0 - guarantee.confidence) * share
        )
        for quality in sorted({*STANDARD_QUALITIES, guarantee.quality})
        for name, share in ready.error_shares(quality).items()
    }
    certified = yield from certify_in_batches(played, proved[:, -1], targets)
    tried: dict[float, list[PolicyCalibration]] = {}
    for name, target in targets.items():
        its = _policy_calibration(ready, certified[name], target.error, per_pair)
        tried.setdefault(target.guarantee.quality, []).append(its)
    origin = CertificateProvenance(
        dataset_digest=dataset.digest,
        seed=ready.seed,
        date=date,
        training_prompts=len(ready.large_training_scores),
        certification_prompts=len(proved),
        scorer=scorer,
        scorer_error=scorer_error,
        version=version,
        missing_as_wrong=missing.incomplete,
        prompt_sketch=sketch_prompts(asked.prompts),
        unit="request" if per_request else "question",
    )
    curves = cost_quality_curves(ready.certifying, ready.small_costs, played)
    kept = tuple(
        each for quality, its in tried.items() if (each := _certified_ladder(quality, its, played)) is not None
    )
    mine = tried[guarantee.quality]
    best = max(mine, key=lambda each: each.savings)
    return Calibration(
        small_models=tuple(small_models),
        large_model=large_model,
        guarantee=guarantee,
        training_prompts=len(ready.large_training_scores),
        certification_prompts=len(proved),
        small_score=float(proved[:, 0].mean()),
        large_score=float(proved[:, -1].mean()),
        policies=tuple(mine),
        best=best if best.savings > 0 else None,
        certificate=Certificate(
            small_models=tuple(small_models),
            large_model=large_model,
            confidence_level=guarantee.confidence,
            guarantees=kept,
            predictor=ready.predictor,
            combiners=ready.combiners,
            provenance=origin,
            curves=curves,
        )
        if kept
        else None,
        curves=curves,
        row_count=asked.row_count,
        missing=missing,
    )


def _require_right_answers(large_scores: Floats, large_model: str) -> None:
    """Raises BadRequest if all scores of the large model are 0: no quality is relative to them."""
    if not large_scores.any():
        hint = "check the scores of the outcomes, or use a large model that is right sometimes"
        raise BadRequest(f"{large_model!r} is never right on {len(large_scores)} prompts: it is no reference", hint)


def prepare_data(labeled: LabeledPrompts, names: tuple[str, ...], costs: Sequence[float]) -> CalibrationData:
    """As `preparation_steps`, in this process. Raises BadRequest."""
    return run_here(preparation_steps(labeled, names, costs))


def preparation_steps(
    labeled: LabeledPrompts,
    names: tuple[str, ...],
    costs: Sequence[float],
    date: str = "",
    dataset_digest: str = "",
    version: str = "",
    training_share: float = TRAINING_SHARE,
) -> CpuSteps[CalibrationData]:
    """Trains on one part of the prompts and replays all levels on both parts. Raises BadRequest if there is nothing to
    train on."""
    texts, group_of = labeled.split_texts, labeled.group_of
    seed = seed_of(texts)
    taught, proved = split_groups(texts, group_of, training_share)
    labeled = dataclasses.replace(labeled, agreements=(yield from compare_in_batches(labeled.small_answers)))
    predictor, after, before = yield from _train(labeled, names, taught, seed, date, dataset_digest, version)
    odds = yield from predict_in_batches(predictor, [labeled.prompts[each] for each in proved], names)
    new = _estimate_stages(labeled, proved, odds, after)
    paid = tuple(cost / costs[-1] for cost in costs[: len(names) - 1])
    families = {
        "prompt": [ThresholdLadder((StageThresholds(price, price),)) for price in _prices(before.escalation_gain[0])],
        "cascade": search_ladders(before.escalation_gain, paid),
    }
    good, old = (
        ScoredPrompts(labeled.scores[part], numbered([group_of[row] for row in part])) for part in (proved, taught)
    )
    played = {name: [replay_ladder(each, new, good, paid) for each in its] for name, its in families.items()}
    rehearsed = {name: [replay_ladder(each, before, old, paid) for each in its] for name, its in families.items()}
    repeats = [labeled.repeats[row] if labeled.repeats else 1.0 for row in proved]
    return CalibrationData(
        predictor=predictor,
        combiners=after,
        replays=played,
        scores=good.group_means,
        training_replays=rehearsed,
        large_training_scores=old.group_means[:, -1],
        small_costs=paid,
        certifying=good,
        seed=seed,
        repeats=np.bincount(good.groups, repeats).astype(np.float64),  # typed as integers before numpy 2.5
    )


def _prices(worth: Floats) -> list[float]:
    found: list[float] = np.unique(np.quantile(worth, np.linspace(0.0, 1.0, LADDER_COUNT))).tolist()
    return found


def _train(
    labeled: LabeledPrompts,
    names: tuple[str, ...],
    training_rows: Ints,
    seed: int,
    date: str,
    data: str,
    version: str,
) -> CpuSteps[tuple[Predictor, tuple[SignalCombiner, ...], StageEstimates]]:
    """The predictor from the prompt alone, a combiner per number of small answers, and the training estimates."""
    groups, every = [labeled.group_of[each] for each in training_rows], tuple(range(len(names)))
    texts = labeled.folded_texts
    folds = {f"fold {at}": (*split, (0, every[-1])) for at, split in enumerate(cross_validation_splits(groups, seed))}
    parts = {f"half {at}": (*split, every) for at, split in enumerate(halves(groups, seed))}
    fitted = yield from fit_in_batches(
        [texts[each] for each in training_rows], labeled.scores[training_rows], {**folds, **parts}
    )
    gain, odds = np.zeros(len(training_rows)), np.zeros((len(training_rows), len(names)))
    for name, (_, some, _) in folds.items():
        gain[some] = quality_gain(fitted[name])
    for name, (_, some, _) in parts.items():
        odds[some] = fitted[name]
    scores = {name: labeled.scores[training_rows, place].tolist() for place, name in enumerate(names)}
    predictor = train_predictor(
        [labeled.prompts[each] for each in training_rows],
        scores,
        small_model=names[0],
        large_model=names[-1],
        seed=seed,
        date=date,
        dataset_digest=data,
        version=version,
        allow_no_gap=True,
        groups=groups,
        cross_validated_gain=gain,
    )
    after = []
    for count in range(1, len(names)):
        signals = [labeled.answer_signals(int(each), its, count) for each, its in zip(training_rows, odds, strict=True)]
        after.append(train_combiner(signals, labeled.scores[training_rows][:, [*range(count), -1]]))
    # Certification decides what it is worth, so the predictor need not beat chance by itself.
    learned = replace(predictor.provenance, prompt_sketch=())  # the certificate has one of all prompts
    taught = replace(predictor, abstention="", provenance=learned)
    return taught, tuple(after), _estimate_stages(labeled, training_rows, odds, tuple(after))


def _estimate_stages(
    labeled: LabeledPrompts,
    rows: Ints,
    odds: Floats,
    combiners: tuple[SignalCombiner, ...],
) -> StageEstimates:
    worth: list[Floats] = [np.where(np.isnan(odds[:, 0]), UNFAMILIAR_GAIN, quality_gain(odds))]
    best: list[Ints] = [np.zeros(len(rows), np.int64)]
    for count, combined in enumerate(combiners, 1):
        found = [
            (UNFAMILIAR_GAIN, 0)
            if np.isnan(its[0])
            else combined.escalation_gain(labeled.answer_signals(int(each), its, count))
            for each, its in zip(rows, odds, strict=True)
        ]
        worth.append(np.asarray([its for its, _ in found], float))
        best.append(np.asarray([place for _, place in found], np.int64))
    return StageEstimates(worth, best)


def _policy_calibration(
    ready: CalibrationData, certified: CertificationResult, error: float, prompts_per_pair: float
) -> PolicyCalibration:
    """`prompts_per_pair`: prompts in all for each one that certifies. `error`: as it was certified with."""
    large_scores = ready.scores[:, -1]
    best, pairs = certified.best_step, samples_needed(certified, error)
    needs = None if pairs is None else ceil(pairs * prompts_per_pair)
    if best is None:
        return PolicyCalibration(
            policy=certified.policy,
            certification=certified,
            small_share=0.0,
            quality=None,
            savings=0.0,
            savings_margin=0.0,
            samples_needed=needs,
        )
    its = ready.replays[certified.policy][round(best.threshold)]
    spread = (
        Z_95
        * float((its.score - best.quality * large_scores).std())
        / sqrt(len(large_scores))
        / (float(large_scores.mean()) or 1.0)
    )
    low, high = best.quality - spread, best.quality + spread
    return PolicyCalibration(
        policy=certified.policy,
        certification=certified,
        small_share=best.small_share,
        quality=best.quality,
        savings=max(0.0, its.savings),
        savings_margin=its.savings_margin,
        samples_needed=needs,
        low=low,
        high=high,
        request_quality=float(ready.repeats @ its.score) / (float(ready.repeats @ large_scores) or 1.0),
    )


def _certified_ladder(
    quality: float,
    calibrations: Sequence[PolicyCalibration],
    replays: dict[str, list[LadderReplay]],
) -> CertifiedLadder | None:
    """The level of the policy that saves most at this quality; None if none saves."""
    its = max(calibrations, key=lambda each: each.savings)
    best = its.certification.best_step
    if best is None or its.savings <= 0 or its.quality is None:
        return None
    level = replays[its.policy][round(best.threshold)].ladder
    return CertifiedLadder(
        quality=quality,
        policy=its.policy,
        ladder=level,
        measured_quality=its.quality,
        small_share=its.small_share,
        savings=its.savings,
        savings_margin=its.savings_margin,
    )
