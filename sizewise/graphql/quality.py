"""How good answers were, told in the words of schema.graphql, and what people say of them; measures nothing itself."""

from __future__ import annotations

from sizewise.errors import BadRequest, nearest
from sizewise.evals.quality_monitor import Quality, Watched
from sizewise.evals.tables import Opinion, Verdict
from sizewise.graphql.context import Context
from sizewise.graphql.model_type import Told


async def quality(context: Context, policy: str | None = None) -> list[Told]:
    """Raises BadRequest for a policy that nobody has."""
    context.whole("read_records")
    house = context.house
    now = house.watched if policy is None else {policy: _watched(context, policy)}
    watch, sure = house.means.keeper.watch, house.settings.shadow.confidence
    return [_quality(each) for each in await watch.quality(context.caller.tenant, now, sure)]


async def feedback(context: Context, trace: str, score: float, kind: str = "user") -> list[Told]:
    """Raises BadRequest, and UnknownPath where the key got no answer under this trace."""
    return [
        _verdict(each) for each in await context.house.means.keeper.watch.feedback(context.caller, trace, score, kind)
    ]


async def restore_policy(context: Context, policy: str) -> Told:
    """Raises BadRequest for a policy that nobody has."""
    context.whole("manage_policies")
    version = _watched(context, policy).version
    fell = await context.house.means.keeper.watch.trust_again(context.caller.tenant, policy, version)
    return {"policy": policy, "wasViolated": fell}


def _watched(context: Context, policy: str) -> Watched:
    known = context.house.watched
    if policy not in known:
        hint = nearest(policy, list(known)) or f"known: {', '.join(known)}"
        raise BadRequest(f"there is no policy named {policy[:100]!r}", hint, param="policy")
    return known[policy]


def _quality(its: Quality) -> Told:
    found = its.estimate
    return {
        "policy": its.policy,
        "certified": its.promised,
        "samples": found.samples,
        "unjudged": found.unjudged,
        "loss": found.lost,
        "lossLow": found.low,
        "lossHigh": found.high,
        "since": its.since,
        "violated": its.alarm,
        "feedback": [_opinion(each) for each in its.feedback],
    }


def _opinion(its: Opinion) -> Told:
    return {"model": its.model, "kind": its.kind, "count": its.count, "mean": its.mean}


def _verdict(its: Verdict) -> Told:
    return {"trace": its.trace, "policy": its.policy, "model": its.model, "kind": its.kind, "score": its.score}
