"""Admission: rejects a request before any model is called, by key restrictions or because no model is eligible."""

from __future__ import annotations

from collections.abc import Callable

from sizewise.errors import Busy, ContextLengthExceeded, Forbidden, ModelUnavailable, NoModelFits, SizewiseError
from sizewise.handler import Request
from sizewise.model_card import ModelCard
from sizewise.routing.attempt_limits import unavailable_status, unknown_retry_after
from sizewise.routing.model_aliases import RoutePlan
from sizewise.routing.rejection import Rejection


def check_key_policies(request: Request, plan: RoutePlan) -> None:
    """Raises Forbidden if the key is limited to other policies; it can then name no model either."""
    scope = request.principal.scope
    if scope is not None and scope.policies and plan.policy_name not in scope.policies:
        hint = f"use auto:{scope.policies[0]}"
        raise Forbidden(
            f"the key {request.principal.key_id!r} does not allow the policy {plan.policy_name!r}",
            hint,
            param="model",
        )


def no_model_error(
    plan: RoutePlan,
    rejections: tuple[Rejection, ...],
    retry_after: Callable[[ModelCard], float] = unknown_retry_after,
    refusal_status: Callable[[ModelCard], int] = unavailable_status,
) -> SizewiseError:
    """The error if no model is left: with one model its own error, otherwise all reasons.

    `retry_after`: seconds until an unavailable model can be asked; the error carries the shortest.
    `refusal_status`: 429 where the model limits our rate, else 503.
    """
    ill = [each.card for each in rejections if each.error is ModelUnavailable]
    status = max(map(refusal_status, ill), default=None)
    waits = [seconds for card in ill if (seconds := retry_after(card)) > 0]
    waits += [each.retry_after for each in rejections if each.retry_after]
    wait = min(waits, default=None)
    if len(rejections) == 1 and plan.is_exact:
        only = rejections[0]
        words = f"{only.card.name} {only.why}"
        return only.error(words, only.hint, param=only.param, retry_after=wait, status=status)
    reasons = "; ".join(f"{each.card.name} {each.why}" for each in rejections)
    kinds = {each.error for each in rejections}
    if Busy in kinds and ModelUnavailable not in kinds:
        return Busy(f"no model can answer in time: {reasons}", "try again later, or allow more time", retry_after=wait)
    if wait is not None or kinds == {ModelUnavailable}:
        words, hint = f"no model is available: {reasons}", "try again later"
        return ModelUnavailable(words, hint, retry_after=wait, status=status)
    if kinds == {ContextLengthExceeded}:
        return ContextLengthExceeded(f"the request fits no model: {reasons}", "shorten the prompt", param="messages")
    late = [each for each in rejections if each.needed_s is not None]
    soonest = min(late, key=lambda each: each.needed_s or 0.0, default=None)
    hint = soonest.hint if soonest else "relax the request, or add a model that meets it"
    words = f"no model meets the request's constraints: {reasons}"
    return NoModelFits(words, hint, param="max_ms" if late else "model")
