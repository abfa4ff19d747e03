"""Fine-tuning of a model for a workload: whether it is possible, its work by model size, and the tuned placement."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from sizewise.advisor.assumptions import TASKS, Assumptions
from sizewise.advisor.placements import Placement
from sizewise.advisor.quality_estimates import accuracy_after_tuning, normalized_quality
from sizewise.advisor.workload import Workload
from sizewise.catalog.memory_estimate import format_bytes
from sizewise.catalog.model_info import ModelInfo


def tuning_hours(model: ModelInfo, assumptions: Assumptions) -> Fraction:
    """Hours of work; grows with the size of the model. Of a model of undisclosed size the vendor does what grows."""
    if model.parameters is None:
        return assumptions["hours-tune"]
    billions = model.parameters.value / 10**9
    return assumptions["hours-tune"] * Fraction(round(1000 * billions ** float(assumptions["tune-growth"])), 1000)


def tuning_objection(placement: Placement, workload: Workload, assumptions: Assumptions) -> tuple[str, str, int] | None:
    """Why the model cannot be tuned: (reason, example, bytes of memory for training)."""
    model = placement.model
    room = round((model.weights_bytes("BF16") or 0) * assumptions["tune-room"])
    if not TASKS[workload.task].tuning_gain:
        return "tuning on examples does not help with this task", workload.task, room
    if workload.labels < assumptions["least-labels"]:
        least = int(assumptions["least-labels"])
        why = f"fewer than {least} examples are too few to tune and evaluate a model"
        return why, f"{workload.labels} available", room
    if workload.team == "none":
        why = "the team has no experience in tuning and evaluating models"
        return why, f"team {workload.team}", room
    if workload.privacy == "confidential" and placement.fit is not None and room > max(workload.memory, workload.gpu):
        why = "confidential data must not leave this machine, and training does not fit here"
        return why, f"{model.name}: {format_bytes(room)}", room
    return None


def tuned_placement(placement: Placement, workload: Workload, assumptions: Assumptions) -> Placement:
    task = TASKS[workload.task]
    share = accuracy_after_tuning(placement.accuracy, task, workload.labels, assumptions)
    return replace(placement, accuracy=share, quality=normalized_quality(share, task), fine_tuned=True)
