"""The option without a language model: a classifier on sentence vectors, for tasks with fixed answers."""

from __future__ import annotations

from fractions import Fraction

from sizewise.advisor.assumptions import TASKS, Assumptions
from sizewise.advisor.latency import MONTH_S, LatencyEstimate, input_tokens
from sizewise.advisor.placements import Placement
from sizewise.advisor.quality_estimates import QualityEstimate, normalized_quality
from sizewise.advisor.workload import Workload
from sizewise.catalog.model_info import ModelInfo
from sizewise.money import PICO_PER_DOLLAR

FIXED_ANSWER_TASKS = frozenset({"classify"})


def classifier_objection(encoder: ModelInfo, workload: Workload, assumptions: Assumptions) -> tuple[str, str] | None:
    """Why no classifier can be trained on the vectors of `encoder`: (reason, example)."""
    if workload.task not in FIXED_ANSWER_TASKS:
        return "the answers of this task are not from a fixed list", workload.task
    if workload.images:
        return "a classifier on sentence vectors sees no images", f"{workload.images} per request"
    if workload.labels < assumptions["least-labels"]:
        least = int(assumptions["least-labels"])
        return f"fewer than {least} examples are too few to train and evaluate", f"{workload.labels} available"
    for each in workload.languages:
        if encoder.languages is not None and each not in encoder.languages.value:
            return f"the model of its sentence vectors does not list the language {each!r}", encoder.name
    return None


def classifier_placement(encoder: ModelInfo, workload: Workload, assumptions: Assumptions) -> Placement:
    """Reads the whole text in windows of `encoder`; runs on the CPU of this machine."""
    task, labels = TASKS[workload.task], workload.labels
    gap = assumptions["classifier-best"] - task.chance_accuracy
    share = task.chance_accuracy + gap * labels / (labels + assumptions["classifier-labels"])
    operations = 2 * (encoder.parameters.value if encoder.parameters else 0) * input_tokens(workload, assumptions)
    seconds = operations / (assumptions["flops-cpu"] * 10**12)
    numbers = (*assumptions.numbers("flops-cpu"), workload.number("tokens-in"))
    energy = assumptions["watts-cpu"] * seconds / 3_600_000 * assumptions["electricity"] * PICO_PER_DOLLAR
    return Placement(
        model=encoder,
        quality_estimate=QualityEstimate(share, "assumed", "assumptions classifier-best and classifier-labels"),
        accuracy=share,
        quality=normalized_quality(share, task),
        latency=LatencyEstimate(seconds, seconds, MONTH_S * assumptions["busy"] / seconds, numbers),
        request_cost=Fraction(energy),
        is_classifier=True,
    )
