"""Calibration of a judge on answers that people labeled: how often it errs, and what its verdicts mean. Pure.

    Rogan-Gladen  W. Rogan and B. Gladen 1978 (American Journal of Epidemiology 107): with specificity q0 and
                  sensitivity q1, the true rate is (p + q0 - 1) / (q0 + q1 - 1), and a true difference
                  d / (q0 + q1 - 1).
    kappa         J. Cohen 1960: agreement beyond what two independent raters with these rates would have.

The intervals take each end of what enters them, so they are wide, and wrong no more often than said.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from math import log1p, sqrt
from pathlib import Path
from statistics import NormalDist, fmean

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from sizewise.errors import BadRequest
from sizewise.evals.llm_judge import Proportion, wilson_interval
from sizewise.evals.runs.eval_spec import ScorerSpec
from sizewise.evals.runs.paired_statistics import ConfidenceInterval

MIN_LABELS = 100
"""Labels from which a judge may gate; from 200 on where nearly all answers are right."""
SURE_OF_LENGTH = 0.999
"""Confidence from which a preference for long answers keeps a judge from gating."""
MIN_OF_EACH = 20
"""Labels of right answers, and of wrong ones, at least."""


class JudgedLabel(Struct, frozen=True):
    """An answer that people labeled. `verdict`: the judge's; None: it could not be read. `chars`: of the answer."""

    label: bool
    verdict: bool | None
    chars: int


class JudgeCalibration(Struct, frozen=True, kw_only=True):
    """Counts of verdicts by label, kept in a file beside the eval. `judge`: digest of model, rubric and scale."""

    judge: str
    labels: int
    right_accepted: int
    right_rejected: int
    wrong_accepted: int
    wrong_rejected: int
    unreadable: int
    length_preference: float

    @property
    def sensitivity(self) -> Proportion:
        """Of right answers, those that the judge accepts."""
        return wilson_interval(self.right_accepted, self.right_accepted + self.right_rejected)

    @property
    def specificity(self) -> Proportion:
        """Of wrong answers, those that the judge rejects."""
        return wilson_interval(self.wrong_rejected, self.wrong_accepted + self.wrong_rejected)

    @property
    def kappa(self) -> float:
        """0 if it agrees by chance alone, 1 if always."""
        read = self.labels - self.unreadable
        if not read:
            return 0.0
        accepted = (self.right_accepted + self.wrong_accepted) / read
        right = (self.right_accepted + self.right_rejected) / read
        chance = accepted * right + (1 - accepted) * (1 - right)
        agreed = (self.right_accepted + self.wrong_rejected) / read
        return (agreed - chance) / (1 - chance) if chance < 1 else 0.0

    def objection(self, spec: ScorerSpec) -> str:
        """Why the judge may not gate; empty if it may."""
        if len(spec.scale) != 2:
            return "a judge with more than two words on its scale informs, and cannot gate"
        if self.judge != judge_digest(spec):
            return "it was calibrated with another model, rubric or scale"
        right, wrong = self.right_accepted + self.right_rejected, self.wrong_accepted + self.wrong_rejected
        if self.labels < MIN_LABELS or min(right, wrong) < MIN_OF_EACH:
            least = f"{MIN_LABELS} are needed, {MIN_OF_EACH} of each kind at least"
            return f"{self.labels} labels calibrate it, {right} right and {wrong} wrong: {least}"
        if self.sensitivity.low + self.specificity.low <= 1:
            return "it is not shown to be better than chance"
        if self.length_preference > notable_correlation(self.labels - self.unreadable, SURE_OF_LENGTH):
            return "it prefers long answers, so its errors are not those of other answers: correct it by `eval label`"
        return ""

    def corrected_rate(self, found: ConfidenceInterval) -> ConfidenceInterval:
        """The rate of right answers, from that of accepted ones."""
        q0, q1 = self._ends(found.error)
        estimate = (found.estimate + self.specificity.share - 1) / self._gain
        if q0[0] + q1[0] <= 1:  # at this confidence it may be no better than chance, and says nothing
            return self._within(found, estimate, (0.0, 1.0), 0.0)
        ends = [
            (rate + specificity - 1) / (specificity + sensitivity - 1)
            for rate in (found.low, found.high)
            for specificity in q0
            for sensitivity in q1
        ]
        return self._within(found, estimate, ends, 0.0)

    def corrected_difference(self, found: ConfidenceInterval) -> ConfidenceInterval:
        """The difference of two rates of right answers, from that of accepted ones."""
        q0, q1 = self._ends(found.error)
        estimate = found.estimate / self._gain
        if q0[0] + q1[0] <= 1:
            return self._within(found, estimate, (-1.0, 1.0), -1.0)
        gains = (q0[0] + q1[0] - 1, q0[1] + q1[1] - 1)
        ends = [end / gain for end in (found.low, found.high) for gain in gains]
        return self._within(found, estimate, ends, -1.0)

    def _within(
        self, found: ConfidenceInterval, estimate: float, ends: Sequence[float], lowest: float
    ) -> ConfidenceInterval:
        low, high = (min(1.0, max(lowest, end)) for end in (min(ends), max(ends)))
        return replace(
            found, estimate=min(high, max(low, estimate)), low=low, high=high, spread=found.spread / self._gain
        )

    @property
    def _gain(self) -> float:
        return self.sensitivity.share + self.specificity.share - 1

    def _ends(self, error: float) -> tuple[tuple[float, float], tuple[float, float]]:
        """Of specificity and sensitivity, each wrong with probability `error` at most."""
        level = 1 - 2 * error
        q0 = wilson_interval(self.wrong_rejected, self.wrong_accepted + self.wrong_rejected, level)
        q1 = wilson_interval(self.right_accepted, self.right_accepted + self.right_rejected, level)
        return (q0.low, q0.high), (q1.low, q1.high)


def read_calibration(file: Path) -> JudgeCalibration | None:
    """None if there is none. Raises BadRequest for a file that is none."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=JudgeCalibration)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"{file.name!r} is no calibration of a judge", "sizewise eval calibrate-judge") from error


def judge_digest(spec: ScorerSpec) -> str:
    return sha256(msgspec.json.encode([spec.model, spec.rubric.strip(), spec.scale])).hexdigest()[:16]


def calibrate_judge(spec: ScorerSpec, judged: Sequence[JudgedLabel]) -> JudgeCalibration:
    read = [each for each in judged if each.verdict is not None]
    return JudgeCalibration(
        judge=judge_digest(spec),
        labels=len(judged),
        right_accepted=sum(each.label and each.verdict is True for each in read),
        right_rejected=sum(each.label and each.verdict is False for each in read),
        wrong_accepted=sum(not each.label and each.verdict is True for each in read),
        wrong_rejected=sum(not each.label and each.verdict is False for each in read),
        unreadable=len(judged) - len(read),
        length_preference=length_preference(read),
    )


def length_preference(read: Sequence[JudgedLabel]) -> float:
    """Correlation, -1 to 1, of the answer's length (its logarithm) with the judge's error in favor of the answer. Above
    `notable_correlation` the judge likes long answers for their length.
    """
    errors = [float(bool(each.verdict)) - float(each.label) for each in read]
    lengths = [log1p(each.chars) for each in read]
    if len(read) < 3:
        return 0.0
    mean, middle = fmean(errors), fmean(lengths)
    spread = sqrt(sum((each - mean) ** 2 for each in errors) * sum((each - middle) ** 2 for each in lengths))
    shared = sum((one - mean) * (other - middle) for one, other in zip(errors, lengths, strict=True))
    return shared / spread if spread else 0.0


def notable_correlation(count: int, level: float = 0.975) -> float:
    """By chance alone exceeded with the probability 1 - `level`, 1 of 40 (R. Fisher's z)."""
    return NormalDist().inv_cdf(level) / sqrt(count) if count else 1.0
