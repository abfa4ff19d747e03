"""Sampled pairs of one policy, told in the words of schema.graphql: scores alone, as nothing else was kept."""

from __future__ import annotations

from sizewise.errors import BadRequest, nearest
from sizewise.graphql.context import Context
from sizewise.graphql.model_type import Told
from sizewise.routing.strongest_fallback import reference

MOST = 5_000


async def samples(context: Context, policy: str) -> Told:
    """Raises BadRequest for a policy that is not there, or does not choose between two models."""
    context.whole("read_records")
    house, plans = context.house, context.house.names.choosing
    plan = plans.get(policy)
    if plan is None:
        hint = nearest(policy, list(plans)) or f"those that choose: {', '.join(plans) or 'none'}"
        raise BadRequest(f"no policy {policy[:100]!r} chooses among models", hint)
    large = reference(plan)
    others = [card.name for card in plan.cards if card is not large]
    if len(others) != 1:
        hint = f'name two in its `models`, as in models = ["{others[0]}", "{large.name}"]'
        raise BadRequest(f"the policy {policy!r} chooses among {len(others) + 1} models", hint)
    meaning = house.watched[policy].meaning
    found = await house.means.keeper.watch.samples(context.caller.tenant, policy, meaning, MOST)
    mine = [its for its in found if (its.small, its.large) == (others[0], large.name)]
    return {
        "policy": policy,
        "small": others[0],
        "large": large.name,
        "judge": next((its.judge for its in reversed(mine) if its.judge), ""),
        "pairs": [[its.trust, its.worse] for its in mine],
    }
