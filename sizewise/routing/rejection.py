"""A rejection: why a model may not answer a request, and the plan that says so when another model does."""

from __future__ import annotations

from dataclasses import replace

from msgspec import Struct

from sizewise.errors import SizewiseError
from sizewise.model_card import ModelCard
from sizewise.routing.model_aliases import RoutePlan
from sizewise.routing.move_reason import ReasonedPolicy


class Rejection(Struct, frozen=True):
    """Why a model may not answer: one sentence without its subject, and the error to raise if it is the only model."""

    card: ModelCard
    why: str
    error: type[SizewiseError]
    param: str | None = None
    hint: str = ""
    retry_after: float | None = None  # seconds, if it may answer later
    needed_s: float | None = None  # seconds that the model would take, if only time is missing
    decides: bool = False  # shown as part of the decision when another model answers


MAX_NAMED = 2
"""Models named in one reason."""


def with_exclusions(plan: RoutePlan, rejections: tuple[Rejection, ...], *, alone: bool) -> RoutePlan:
    """The plan; its first reason names the models that were left out although they could answer as well as others. If
    one model is left `alone`, it says why the others do not fit.
    """
    told = [each for each in rejections if each.decides or (alone and not plan.is_exact)]
    if not told:
        return plan
    named = [f"{each.card.name} {each.why}" for each in told[:MAX_NAMED]]
    more = [f"{len(told) - MAX_NAMED} more do not fit"] if len(told) > MAX_NAMED else []
    return replace(plan, policy=ReasonedPolicy(plan.policy, "; ".join([*named, *more])))
