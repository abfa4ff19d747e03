"""The `savings` field: what each policy saved, with interval and cost-quality curves."""

from __future__ import annotations

import time

from sizewise.energy import FACTOR, watt_hours
from sizewise.errors import BadRequest
from sizewise.graphql.context import RequestContext
from sizewise.graphql.model_type import FieldValues
from sizewise.money import format_dollars
from sizewise.routing.policies.certified import CertifiedPolicy
from sizewise.routing.policy import Policy
from sizewise.routing.strongest_fallback import reference_card
from sizewise.telemetry.savings import EnergySavings, PolicySavings, energy_savings, policy_savings

DAY_S = 86_400
MOST_DAYS = 3_650


async def savings(context: RequestContext, days: float = 30.0) -> list[FieldValues]:
    """The savings of every policy that answered a request. Raises BadRequest if `days` is out of range."""
    context.require_all_projects("read_records")
    if not 0 < days <= MOST_DAYS:
        raise BadRequest(
            f"cannot report savings of {days!r} days", f"use more than 0, at most {MOST_DAYS}", param="days"
        )
    app, now = context.app, time.time()
    plans = app.aliases.policy_plans
    since = int((now - days * DAY_S) * 1_000)
    found = await context.services.records.policy_usage(context.principal.tenant, since, tuple(plans))
    measuring = await context.services.quality_monitor.comparison_cost_by_policy(context.principal.tenant, since)
    told = list[FieldValues]()
    for name, plan in plans.items():
        mine = [each for each in found if each.policy == name]
        if mine:
            large = reference_card(plan)
            its = policy_savings(name, large.name, large.price.at(now, now), mine)
            energy = energy_savings(large.name, large.energy_per_token, mine)
            told.append({**_saving(its, plan.policy, measuring.get(name, 0)), "energy": _energy(energy)})
    return told


def _energy(its: EnergySavings) -> FieldValues:
    return {
        "requests": its.requests,
        "unknown": its.unknown,
        "tookWh": watt_hours(its.spent) if its.requests else None,
        "largeAloneWh": None if its.baseline is None or not its.requests else watt_hours(its.baseline),
        "how": f"estimated, {FACTOR}",
    }


def _saving(its: PolicySavings, policy: Policy, measuring: int) -> FieldValues:
    proof = policy.certificate if isinstance(policy, CertifiedPolicy) else None
    return {
        "policy": its.policy,
        "large": its.large_model,
        "requests": its.requests,
        "small": its.small_requests,
        "unpriced": its.unpriced_requests,
        "spentUsd": format_dollars(its.cost),
        "baselineUsd": None if its.baseline_cost is None else format_dollars(its.baseline_cost),
        "savedUsd": None if its.saved_cost is None else format_dollars(its.saved_cost),
        "marginUsd": None if its.margin is None else format_dollars(its.margin),
        "evaluationUsd": format_dollars(measuring),
        "curves": None if proof is None else {name: list(map(list, curve)) for name, curve in proof.curves.items()},
    }
