"""What a tuning run has come to, in one sentence: the same in the studio and at the command line. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from sizewise.tuning.gate import needless
from sizewise.tuning.run_store import TuningRun

BASELINES: Mapping[str, str] = {"prompting": "the base as it is", "head": "a head on vectors"}


def sentence(run: TuningRun) -> str:
    its = run.estimate
    if run.refused:
        return f"It may not answer: {run.refused}."
    if run.tuned is None and (enough := needless(run)):
        share = f"{run.baselines[enough].share:.1%}"
        return f"You do not need tuning: {BASELINES[enough]} gives {share} right answers."
    if run.state == "planned":
        return f"Planned: {its.steps:,} steps on {run.train_count:,} examples."
    if run.tuned is None:
        return f"In training: {run.step:,} of {its.steps:,} steps are done."
    answers = f"It answers as {run.model}: " if run.model else "It may answer: "
    return answers + ", ".join([f"{run.tuned.share:.1%} right answers", *_gains(run)]) + "."


def _gains(run: TuningRun) -> list[str]:
    """Against each baseline, on the same prompts."""
    assert run.tuned is not None  # it was measured
    found = list[str]()
    for name, what in BASELINES.items():
        if name in run.baselines:
            pairs = list(zip(run.tuned.right, run.baselines[name].right, strict=True))
            gained, lost = sum(new and not old for new, old in pairs), sum(old and not new for new, old in pairs)
            found.append(f"{gained} gained and {lost} lost against {what}")
    return found
