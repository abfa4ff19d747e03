"""What policies saved, told in the words of schema.graphql; the sums are telemetry's, the curves a calibration's."""

from __future__ import annotations

import time

from sizewise.errors import BadRequest
from sizewise.graphql.context import Context
from sizewise.graphql.model_type import Told
from sizewise.money import dollars
from sizewise.routing.policies.certified import Promised
from sizewise.routing.policy import Policy
from sizewise.routing.strongest_fallback import reference
from sizewise.telemetry.savings import Saving, saving

DAY_S = 86_400
MOST_DAYS = 3_650


async def savings(context: Context, days: float = 30.0) -> list[Told]:
    """Of every policy that answered something. Raises BadRequest for `days` that are none."""
    context.whole("read_records")
    if not 0 < days <= MOST_DAYS:
        raise BadRequest(f"cannot report savings of {days!r} days", f"ask for up to {MOST_DAYS}", param="days")
    house, now = context.house, time.time()
    plans = house.names.choosing
    since = int((now - days * DAY_S) * 1_000)
    found = await house.means.keeper.spent(context.caller.tenant, since, tuple(plans))
    measuring = await house.means.keeper.watch.spent_by(context.caller.tenant, since)
    told = []
    for name, plan in plans.items():
        mine = [each for each in found if each.policy == name]
        if mine:
            large = reference(plan)
            its = saving(name, large.name, large.price.at(now, now), mine)
            told.append(_saving(its, plan.policy, measuring.get(name, 0)))
    return told


def _saving(its: Saving, policy: Policy, measuring: int) -> Told:
    proof = policy.certificate if isinstance(policy, Promised) else None
    return {
        "policy": its.policy,
        "large": its.large,
        "requests": its.requests,
        "small": its.small,
        "unpriced": its.unpriced,
        "spentUsd": dollars(its.spent),
        "baselineUsd": None if its.alone is None else dollars(its.alone),
        "savedUsd": None if its.saved is None else _signed(its.saved),
        "marginUsd": None if its.within is None else dollars(its.within),
        "evaluationUsd": dollars(measuring),
        "curves": None if proof is None else {name: list(map(list, curve)) for name, curve in proof.curves.items()},
    }


def _signed(pico: int) -> str:
    return dollars(pico) if pico >= 0 else f"-{dollars(-pico)}"
