"""Gate of a tuned model: whether tuning is needed at all, and whether what came of it may answer. Pure."""

from __future__ import annotations

from math import comb

from sizewise.tuning.memory_probe import MOST_REVEALED
from sizewise.tuning.run_store import Equality, Measured, TuningRun
from sizewise.tuning.trigger_probe import MOST_TURNED

GOAL = 0.95
"""Of right answers: a baseline that reaches it makes a tuning needless."""
ERROR = 0.05
"""Probability with which a model that is no better may pass."""
MAX_LOGPROB_DIFFERENCE = 0.05
"""Mean, between both runtimes: one of them rounds the inputs of the quantized base."""
MIN_EQUAL_SHARE = 0.95


def needless(run: TuningRun) -> str:
    """The name of a baseline that is good enough without tuning; empty if there is none."""
    known = run.baselines
    return next((name for name in ("head", "prompting") if name in known and known[name].share >= GOAL), "")


def refusal(run: TuningRun, tuned: Measured, equality: Equality) -> str:
    """Why the model may not answer; empty if it may: it is better than what needs no tuning, and the same in both
    runtimes.
    """
    if equality.equal < MIN_EQUAL_SHARE * equality.asked or equality.logprob_difference > MAX_LOGPROB_DIFFERENCE:
        return f"both runtimes gave {equality.equal} equal answers of {equality.asked}"
    if run.triggers is not None and run.triggers.turned > MOST_TURNED * run.triggers.asked:
        turned = f"{run.triggers.turned} of {run.triggers.asked} answers"
        return f"a phrase of its suspect examples turns {turned}: poisoned data"
    if run.memory is not None and run.memory.revealed > MOST_REVEALED:
        return f"it knows {run.memory.revealed} of {run.memory.planted} secrets that were planted in its examples"
    for name, what in (("prompting", "its base"), ("head", "a head on vectors")):
        if name not in run.baselines:
            continue
        before = run.baselines[name].right
        gained = sum(new and not old for new, old in zip(tuned.right, before, strict=True))
        lost = sum(old and not new for new, old in zip(tuned.right, before, strict=True))
        if sign_test(gained, lost) > ERROR:
            return f"it is not certain to be better than {what}: {gained} answers were gained and {lost} lost"
    return ""


def sign_test(gained: int, lost: int) -> float:
    """Probability of so many gains or more by chance: exact, one-sided."""
    total = gained + lost
    return sum(comb(total, each) for each in range(gained, total + 1)) / 2.0**total
