"""Why a request is refused before anybody is asked: its key is confined, or the constraints leave nobody; pure."""

from __future__ import annotations

from collections.abc import Callable

from sizewise.errors import Forbidden, ModelUnavailable, NoModelFits, SizewiseError, TooLong
from sizewise.handler import Ask
from sizewise.model_card import Card
from sizewise.routing.attempt_limits import unknown
from sizewise.routing.constraints import Against
from sizewise.routing.model_aliases import Plan


def permitted(ask: Ask, plan: Plan) -> None:
    """Raises Forbidden where the key is confined to other policies; then it can name no model either."""
    scope = ask.caller.scope
    if scope is not None and scope.policies and plan.name not in scope.policies:
        hint = f"ask for auto:{scope.policies[0]}"
        raise Forbidden(f"the key {ask.caller.key!r} is not good for the policy {plan.name!r}", hint, param="model")


def refusal(plan: Plan, against: tuple[Against, ...], left: Callable[[Card], float] = unknown) -> SizewiseError:
    """The error when nobody is left: of a single model its own, of several all reasons.

    `left`: seconds until an ill model may be asked; where waiting helps, the error says for how long.
    """
    ill = [each.card for each in against if each.error is ModelUnavailable]
    wait = min((seconds for card in ill if (seconds := left(card)) > 0), default=None)
    if len(against) == 1 and plan.exact:
        only = against[0]
        return only.error(f"{only.card.name} {only.why}", only.hint, param=only.param, retry_after=wait)
    reasons = "; ".join(f"{each.card.name} {each.why}" for each in against)
    kinds = {each.error for each in against}
    if wait is not None or kinds == {ModelUnavailable}:
        return ModelUnavailable(f"no model can answer now: {reasons}", "try again later", retry_after=wait)
    if kinds == {TooLong}:
        return TooLong(f"no model fits: {reasons}", "shorten the prompt", param="messages")
    return NoModelFits(f"no model fits: {reasons}", "ask for less, or add a model that can do it", param="model")
