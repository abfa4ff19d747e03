"""The batches of a calibration: pure functions, with their inputs and results as bytes. Needs numpy.

Floats are written as they are in memory, so that a result does not depend on where its batch ran.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence

import msgspec
import numpy as np
from msgspec import Struct

from sizewise.evals.ladder_replay import LadderReplay
from sizewise.jobs.cpu_batches import CpuBatches
from sizewise.offload.job import Work
from sizewise.routing.guarantees.bounds import (
    CertificationResult,
    CertificationStep,
    QualityGuarantee,
    fixed_sequence_test,
)
from sizewise.routing.quality.answer_signals import log_odds, recorded_agreement
from sizewise.routing.quality.predictor import Predictor
from sizewise.routing.training.trainer import Floats, Ints, transfer_log_odds

Results = Mapping[str, bytes]
RANGE = 500
"""Prompts in a batch that works on each by itself."""


class FitData(Struct, frozen=True):
    texts: tuple[str, ...]  # folded
    scores: bytes  # (n, models)


class FitSplit(Struct, frozen=True):
    """Rows to train on and rows to predict, and the models."""

    training: bytes
    rows: bytes
    models: tuple[int, ...]


class ReplayedLevels(Struct, frozen=True):
    """The levels of a policy, safest first, with the scores of each by group."""

    scores: bytes  # (levels, groups)
    small_shares: tuple[float, ...]
    savings: tuple[float, ...]


class CertifyData(Struct, frozen=True):
    policies: dict[str, ReplayedLevels]
    large_scores: bytes


class CertifyTarget(Struct, frozen=True):
    policy: str
    guarantee: QualityGuarantee
    error: float  # this policy's part of the allowed error


def fit_in_batches(
    texts: Sequence[str],
    scores: Floats,
    splits: Mapping[str, tuple[Ints, Ints, tuple[int, ...]]],
) -> Generator[CpuBatches, Results, dict[str, Floats]]:
    """`transfer_log_odds` of each split: rows to train on, rows to predict, models."""
    inputs = {
        name: _encode(FitSplit(training.tobytes(), rows.tobytes(), models))
        for name, (training, rows, models) in splits.items()
    }
    found = yield CpuBatches(fit_batch, _encode(FitData(tuple(texts), scores.tobytes())), inputs)
    return {name: _floats(found[name]).reshape(-1, len(models)) for name, (_, _, models) in splits.items()}


def fit_batch(setup: bytes) -> Work:
    data = msgspec.msgpack.decode(setup, type=FitData)
    scores = _floats(data.scores).reshape(len(data.texts), -1)

    def fit(batch: bytes) -> list[bytes | memoryview]:
        split = msgspec.msgpack.decode(batch, type=FitSplit)
        columns = np.ascontiguousarray(scores[:, split.models])
        return [transfer_log_odds(data.texts, columns, _ints(split.training), _ints(split.rows)).tobytes()]

    return fit


def predict_in_batches(
    predictor: Predictor, prompts: Sequence[str], names: Sequence[str]
) -> Generator[CpuBatches, Results, Floats]:
    """Predicted log-odds by model, (n, models); nan where the predictor abstains."""
    inputs = {f"prediction {at}": _encode(prompts[at : at + RANGE]) for at in range(0, len(prompts), RANGE)}
    found = yield CpuBatches(predict_batch, _encode((predictor, names)), inputs)
    return np.concatenate([_floats(found[each]) for each in inputs]).reshape(-1, len(names))


def predict_batch(setup: bytes) -> Work:
    predictor, names = msgspec.msgpack.decode(setup, type=tuple[Predictor, tuple[str, ...]])
    unknown = [float("nan")] * len(names)

    def predict(batch: bytes) -> list[bytes | memoryview]:
        found = [predictor.predict(prompt) for prompt in msgspec.msgpack.decode(batch, type=list[str])]
        rows = [[log_odds(its[name]) for name in names] if its else unknown for its in found]
        return [np.asarray(rows, float).tobytes()]

    return predict


def compare_in_batches(
    answers: Sequence[tuple[str | None, ...]],
) -> Generator[CpuBatches, Results, tuple[bool | None, ...]]:
    """Whether the second small answer to each prompt agrees with the first, as `recorded_agreement`."""
    inputs = {f"comparison {at}": _encode(answers[at : at + RANGE]) for at in range(0, len(answers), RANGE)}
    found = yield CpuBatches(compare_batch, b"", inputs)
    return tuple(each for name in inputs for each in msgspec.msgpack.decode(found[name], type=list[bool | None]))


def compare_batch(setup: bytes) -> Work:
    def compare(batch: bytes) -> list[bytes | memoryview]:
        answers = msgspec.msgpack.decode(batch, type=list[tuple[str | None, ...]])
        return [_encode([recorded_agreement(each) for each in answers])]

    return compare


def certify_in_batches(
    replays: Mapping[str, Sequence[LadderReplay]],
    large_scores: Floats,
    targets: Mapping[str, CertifyTarget],
) -> Generator[CpuBatches, Results, dict[str, CertificationResult]]:
    """What each target can guarantee, by name."""
    levels = {
        name: ReplayedLevels(
            b"".join([each.score.tobytes() for each in its]),
            tuple(each.small_share for each in its),
            tuple(each.savings for each in its),
        )
        for name, its in replays.items()
    }
    setup = _encode(CertifyData(levels, large_scores.tobytes()))
    found = yield CpuBatches(certify_batch, setup, {name: _encode(each) for name, each in targets.items()})
    return {name: msgspec.msgpack.decode(data, type=CertificationResult) for name, data in found.items()}


def certify_batch(setup: bytes) -> Work:
    data = msgspec.msgpack.decode(setup, type=CertifyData)
    large_scores = _floats(data.large_scores)
    reference = float(large_scores.sum()) or 1.0

    def certify(batch: bytes) -> list[bytes | memoryview]:
        target = msgspec.msgpack.decode(batch, type=CertifyTarget)
        levels = data.policies[target.policy]
        scores = _floats(levels.scores).reshape(-1, len(large_scores))
        tries = (
            (
                CertificationStep(float(at), small_share, float(score.sum()) / reference, savings),
                (target.guarantee.quality * large_scores - score).tolist(),
            )
            for at, (score, small_share, savings) in enumerate(
                zip(scores, levels.small_shares, levels.savings, strict=True)
            )
        )
        found = fixed_sequence_test(target.policy, len(large_scores), tries, target.guarantee, error=target.error)
        return [_encode(found)]

    return certify


def _encode(value: object) -> bytes:
    return msgspec.msgpack.encode(value, order="deterministic")


def _floats(data: bytes) -> Floats:
    return np.frombuffer(data, np.float64)


def _ints(data: bytes) -> Ints:
    return np.frombuffer(data, np.int64)
