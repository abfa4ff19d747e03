"""The `samples` field: the sampled score pairs of one policy, without any text."""

from __future__ import annotations

from sizewise.errors import BadRequest, did_you_mean
from sizewise.graphql.context import RequestContext
from sizewise.graphql.model_type import FieldValues
from sizewise.routing.strongest_fallback import reference_card

MOST = 5_000


async def samples(context: RequestContext, policy: str) -> FieldValues:
    """Raises BadRequest for an unknown policy, or one that does not choose between two models."""
    context.require_all_projects("read_records")
    app, plans = context.app, context.app.aliases.policy_plans
    plan = plans.get(policy)
    if plan is None:
        hint = did_you_mean(policy, list(plans)) or f"routing policies: {', '.join(plans) or 'none'}"
        raise BadRequest(f"{policy[:100]!r} is not a policy that routes between models", hint)
    large = reference_card(plan)
    others = [card.name for card in plan.cards if card is not large]
    if len(others) != 1:
        hint = f'set two models: models = ["{others[0]}", "{large.name}"]'
        raise BadRequest(
            f"the policy {policy!r} routes between {len(others) + 1} models, and only two can be compared", hint
        )
    meaning = app.monitored_policies[policy].trust_version
    found = await context.services.quality_monitor.recent_samples(context.principal.tenant, policy, meaning, MOST)
    mine = [its for its in found if (its.small, its.large) == (others[0], large.name)]
    return {
        "policy": policy,
        "small": others[0],
        "large": large.name,
        "judge": next((its.judge for its in reversed(mine) if its.judge), ""),
        "pairs": [[its.trust, its.worse] for its in mine],
    }
