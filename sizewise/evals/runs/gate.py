"""The gate: rules on a run, or on two, with a verdict each: pass, fail, or unclear with what would decide. Pure.

Fails closed: a run that is not whole, lacks scores, or was made with other data or scorers does not pass.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from math import ceil
from statistics import fmean
from types import MappingProxyType
from typing import Literal

from sizewise.errors import BadRequest
from sizewise.evals.runs.answer_labels import Labels, count_labels, labeled_differences, labeled_values
from sizewise.evals.runs.comparison import ItemScores, compare_runs, paired_values
from sizewise.evals.runs.eval_spec import RIGHT_OR_WRONG, EvalSpec, GateRule
from sizewise.evals.runs.item_scorers import Score
from sizewise.evals.runs.judge_calibration import JudgeCalibration
from sizewise.evals.runs.judge_correction import corrected_mean, labels_objection
from sizewise.evals.runs.paired_statistics import (
    ConfidenceInterval,
    difference_interval,
    mean_interval,
    unbounded_interval,
)
from sizewise.evals.runs.run_file import EvalRun

MAX_MISSING = 0.02
"""Share of the planned results that may lack a score."""
BOOTSTRAPS = 400
MIN_TIMED = 20
"""Clusters from which latencies are compared. Simulated at the limit itself, 1 passes in 50 %, 10 in up to 15 %, and 20
in up to 6 %, of 5 % allowed.
"""
Verdict = Literal["pass", "fail", "unclear"]


@dataclass(frozen=True)
class RuleResult:
    """`rule`: in words. `needed`: items that would decide, where that can be said."""

    rule: str
    score: str
    verdict: Verdict
    why: str
    needed: int | None = None


@dataclass(frozen=True)
class GateResult:
    verdict: Verdict
    rules: tuple[RuleResult, ...]
    problems: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """The verdict with its first reason."""
        wrong = [each.why for each in self.rules if each.verdict == self.verdict != "pass"]
        first = next(iter([*self.problems, *wrong]), "every rule holds")
        return f"{self.verdict.upper()}: {first}"


def check_gate(
    spec: EvalSpec,
    head: EvalRun,
    base: EvalRun | None = None,
    judges: Mapping[str, JudgeCalibration] = MappingProxyType({}),
    *,
    data: str,
    labels: Labels = MappingProxyType({}),
) -> GateResult:
    """`judges`: of scores by a judge, which are corrected for its errors. `data`: digest of the eval's items. `labels`:
    by score and `answer_ref`, of people on answers of these runs; they correct a judge instead.

    Raises BadRequest if there is no rule, a rule needs a base, or the two runs are one or cannot be compared.
    """
    if not spec.gate:
        raise BadRequest("the eval has no `gate`", "add rules: docs/how-to/evals.md")
    if base is None and any(each.needs_base for each in spec.gate):
        raise BadRequest("a rule compares with a base", "name the base's run: --base RUN")
    if base is not None:
        if (base.head, base.results) == (head.head, head.results):
            raise BadRequest(f"{base.name!r} is the run to check and its base", "name two runs: --head and --base")
        compare_runs(base, head)
    gate = _Gate(ItemScores(head), None if base is None else ItemScores(base), judges, labels)
    rules = tuple(_by_judge(spec, rule, judges, labels) or gate.check(rule) for rule in spec.gate)
    problems = [*_stale(spec, head, data), *_problems(spec, head, "the run")]
    if base is not None:
        problems += [*_problems(spec, base, "the base"), *_unpaired(spec, base, head)]
    verdicts = {each.verdict for each in rules}
    verdict: Verdict = "fail" if "fail" in verdicts else "unclear" if problems or "unclear" in verdicts else "pass"
    return GateResult(verdict, rules, tuple(problems))


def _stale(spec: EvalSpec, head: EvalRun, data: str) -> Iterator[str]:
    """What has changed in the eval since the run."""
    changed = [("data", head.head.data != data), ("scorers or repeats", head.head.scoring != spec.scoring_digest)]
    for what, is_other in changed:
        if is_other:
            yield f"the run has other {what} than the eval has now: run it again"


def _unpaired(spec: EvalSpec, base: EvalRun, head: EvalRun) -> Iterator[str]:
    one, other = ItemScores(base).results, ItemScores(head).results
    lacking = len(other.keys() - one.keys())
    if lacking > MAX_MISSING * len(other) and any(rule.needs_base for rule in spec.gate):
        yield f"the base lacks {lacking} of the run's {len(other)} items: run the base again on the same data"


def _problems(spec: EvalSpec, run: EvalRun, who: str) -> list[str]:
    found = list[str]()
    if not run.is_whole:
        found.append(f"{who} has {len(run.answered)} of {run.head.planned} answers: run it again to continue")
    scores, allowed = ItemScores(run), MAX_MISSING * run.head.planned
    for name in dict.fromkeys(rule.score for rule in spec.gate if rule.score):
        lacking = scores.missing(name)
        if lacking > allowed:
            found.append(f"{who} lacks {lacking} of {run.head.planned} values of {name!r}")
    return found


def _by_judge(
    spec: EvalSpec, rule: GateRule, judges: Mapping[str, JudgeCalibration], labels: Labels
) -> RuleResult | None:
    """Unclear if the score is by a judge that may not gate; None otherwise, and where labels correct it."""
    scorer = spec.scorers.get(rule.score)
    if scorer is None or scorer.kind != "judge" or rule.score in labels:
        return None
    calibration = judges.get(rule.score)
    why = "it is not calibrated" if calibration is None else calibration.objection(scorer)
    return (
        RuleResult("a judge that may gate", rule.score, "unclear", f"the judge of {rule.score!r}: {why}")
        if why
        else None
    )


class _Gate:
    def __init__(
        self, head: ItemScores, base: ItemScores | None, judges: Mapping[str, JudgeCalibration], labels: Labels
    ) -> None:
        self._head, self._base, self._judges, self._labels = head, base, judges, labels

    def check(self, rule: GateRule) -> RuleResult:
        if rule.every is not None:
            return self._every(rule, rule.every["tags"])
        if rule.latency:
            return self._latency(rule, rule.ratio_at_most or 0.0)
        if rule.at_least is not None:
            return self._at_least(rule, rule.at_least)
        if rule.not_worse_by is not None:
            return self._not_worse(rule, rule.not_worse_by)
        return self._ratio(rule, rule.ratio_at_most or 0.0)

    def _at_least(self, rule: GateRule, limit: float) -> RuleResult:
        words = f"at least {limit:g}"
        values = list(self._head.values(rule.score).values())
        if not values:
            return _no_values(rule, words)
        naive = found = mean_interval(values, 1 - rule.sure)
        if rule.score in self._labels:
            judged = labeled_values(self._head, rule.score, self._labels[rule.score])
            count = count_labels(judged)
            why = labels_objection(count, None)
            found = naive if why else corrected_mean(judged, 1 - rule.sure)
            if why := why or labels_objection(count, found.estimate):
                return RuleResult(words, rule.score, "unclear", f"the judge of {rule.score!r}: {why}")
        elif rule.score in self._judges:
            found = self._judges[rule.score].corrected_rate(found)
        shown = f"{rule.score} is {_percent(found.estimate)} ({_range(found)}){_beside(found, naive)}"
        if found.low >= limit:
            return RuleResult(words, rule.score, "pass", shown)
        if found.high < limit:
            return RuleResult(words, rule.score, "fail", f"{shown}: below {limit:g}")
        needed = found.items_needed(abs(found.estimate - limit))
        return RuleResult(words, rule.score, "unclear", f"{shown}: {limit:g} lies within", needed=needed)

    def _not_worse(self, rule: GateRule, margin: float) -> RuleResult:
        words = f"not worse by {100 * margin:g} points"
        assert self._base is not None
        base, head = self._base.values(rule.score), self._head.values(rule.score)
        values = paired_values(base, head, lambda before, after: after - before)
        if not values:
            return _no_values(rule, words)
        if not any(each[digest].value for each in (base, head) for digest in base.keys() & head.keys()):
            why = f"{rule.score} is 0 on all {len(values)} items of both runs: it cannot fall, so the rule says nothing"
            hint = "look at the answers, fix the scorer or the data, or add a rule `at_least`"
            return RuleResult(words, rule.score, "unclear", f"{why}; {hint}")
        naive = found = difference_interval(values, 1 - rule.sure)
        if rule.score in self._labels:
            judged = labeled_differences(self._base, self._head, rule.score, self._labels[rule.score])
            if why := labels_objection(count_labels(judged), None):
                return RuleResult(words, rule.score, "unclear", f"the judge of {rule.score!r}: {why}")
            found = corrected_mean(judged, 1 - rule.sure, -1.0)
        elif rule.score in self._judges:
            found = self._judges[rule.score].corrected_difference(found)
        moved = "fell" if found.estimate < 0 else "rose"
        shown = (
            f"{rule.score} {moved} by {abs(100 * found.estimate):.1f} points ({_range(found)}){_beside(found, naive)}"
        )
        if found.low > -margin:
            return RuleResult(words, rule.score, "pass", shown)
        if found.high < 0:
            why = f"{shown}: worse, and not shown to be within the {100 * margin:g} allowed"
            return RuleResult(words, rule.score, "fail", why)
        needed = found.items_needed(margin)
        return RuleResult(words, rule.score, "unclear", f"{shown}: too few items to tell", needed=needed)

    def _ratio(self, rule: GateRule, limit: float) -> RuleResult:
        words = f"at most {limit:g} x the base"
        assert self._base is not None
        base, head = self._base.values(rule.score), self._head.values(rule.score)
        values = paired_values(base, head, lambda before, after: after - limit * before)
        shared = [digest for digest in head if digest in base]
        if not shared:
            return _no_values(rule, words)
        weights = [head[digest].weight for digest in shared]
        before, after = (fmean([each[digest].value for digest in shared], weights) for each in (base, head))
        shown = f"{rule.score} is {_ratio(after, before)} the base's"
        if after <= limit * before == 0:
            return RuleResult(words, rule.score, "pass", shown)
        found = unbounded_interval(values, 1 - rule.sure)
        if found.high <= 0:
            return RuleResult(words, rule.score, "pass", shown)
        if found.low > 0:
            return RuleResult(words, rule.score, "fail", f"{shown}: above {limit:g}")
        needed = found.items_needed(abs(found.estimate))
        return RuleResult(words, rule.score, "unclear", f"{shown}: {limit:g} lies within the noise", needed=needed)

    def _latency(self, rule: GateRule, limit: float) -> RuleResult:
        words = f"{rule.latency} latency at most {limit:g} x the base"
        assert self._base is not None
        items = self._base.results.keys() & self._head.results.keys()
        before, after = (_seconds_by_cluster(each, items) for each in (self._base, self._head))
        shared = [cluster for cluster in after if cluster in before]
        if not shared:
            return RuleResult(words, "latency", "unclear", "no item has a latency in both runs")
        measured = _quantile_ratio(before, after, shared, rule.latency)
        shown = f"the {rule.latency} latency is {measured:.2f} x the base's"
        if len(shared) < MIN_TIMED:
            why = f"{shown}: of {len(shared)} clusters alone, {MIN_TIMED} are needed"
            return RuleResult(words, "latency", "unclear", why, needed=MIN_TIMED)
        chance = random.Random(0)
        drawn = sorted(
            _quantile_ratio(before, after, chance.choices(shared, k=len(shared)), rule.latency)
            for _ in range(BOOTSTRAPS)
        )
        low, high = drawn[int((1 - rule.sure) * BOOTSTRAPS)], drawn[min(BOOTSTRAPS - 1, int(rule.sure * BOOTSTRAPS))]
        if high <= limit:
            return RuleResult(words, "latency", "pass", shown)
        if low > limit:
            return RuleResult(words, "latency", "fail", f"{shown}: above {limit:g}")
        return RuleResult(words, "latency", "unclear", f"{shown}: {limit:g} lies within {low:.2f} to {high:.2f}")

    def _every(self, rule: GateRule, tags: Sequence[str]) -> RuleResult:
        words = f"every item tagged {', '.join(tags)}"
        names = [rule.score] if rule.score else [name for name in self._head.run.head.scorers if self._is_score(name)]
        if not names:
            return RuleResult(words, rule.score, "unclear", "no scorer says whether an answer is right")
        wrong, count = list[str](), 0
        for its in self._head.results.values():
            for each in its:
                if not set(tags) & set(each.tags):
                    continue
                count += 1
                if not _is_right([each.scores.get(name) for name in names]):
                    wrong.append(each.item)
        wrong += [each.item for each in self._head.failed if set(tags) & set(each.tags)]
        if wrong:
            shown = ", ".join(f"#{each}" for each in list(dict.fromkeys(wrong))[:3])
            return RuleResult(words, rule.score, "fail", f"{len(set(wrong))} items that must be right are not: {shown}")
        if not count:
            return RuleResult(words, rule.score, "unclear", f"no item is tagged {', '.join(tags)}")
        return RuleResult(words, rule.score, "pass", f"all {count} answers are right")

    def _is_score(self, name: str) -> bool:
        return self._head.run.head.scorers[name] in RIGHT_OR_WRONG


def _is_right(scores: Sequence[Score | None]) -> bool:
    """Each is 1, or none of the item's, and there is one."""
    return all(each is not None and not each.is_wrong for each in scores) and not all(
        each is not None and each.skipped for each in scores
    )


def _no_values(rule: GateRule, words: str) -> RuleResult:
    return RuleResult(words, rule.score, "unclear", f"no item has a value of {rule.score!r}")


def _seconds_by_cluster(scores: ItemScores, items: Set[str]) -> dict[str, list[float]]:
    """Of `items`, by digest; without those whose seconds are unknown (0)."""
    found = dict[str, list[float]]()
    for digest, its in scores.results.items():
        if digest in items and (known := [each.seconds for each in its if each.seconds > 0]):
            found.setdefault(its[0].cluster, []).extend(known)
    return found


def _quantile_ratio(
    before: dict[str, list[float]], after: dict[str, list[float]], clusters: Sequence[str], which: str
) -> float:
    one, other = (sorted(seconds for cluster in clusters for seconds in its[cluster]) for its in (before, after))
    return _statistic(other, which) / _statistic(one, which)


def _statistic(ordered: Sequence[float], which: str) -> float:
    if which == "mean":
        return fmean(ordered)
    share = 0.5 if which == "p50" else 0.95
    return ordered[max(0, ceil(share * len(ordered)) - 1)]


def _beside(found: ConfidenceInterval, naive: ConfidenceInterval) -> str:
    """What the judge alone says, where it was corrected."""
    return "" if found is naive else f", by the judge alone {_percent(naive.estimate)} ({_range(naive)})"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _range(found: ConfidenceInterval) -> str:
    level = 100 * (1 - 2 * found.error)
    return f"{level:.0f} %: {100 * found.low:.1f} to {100 * found.high:.1f}"


def _ratio(after: float, before: float) -> str:
    return "0 and" if not after and not before else "far above" if not before else f"{after / before:.2f} x"
