"""Fields of measured answer quality, feedback, and restoring a policy after an alarm."""

from __future__ import annotations

from sizewise.errors import BadRequest, did_you_mean
from sizewise.evals.quality_monitor import MonitoredPolicy, PolicyQuality
from sizewise.evals.scores.score_draft import ScoreDraft
from sizewise.evals.tables import Feedback, FeedbackSummary
from sizewise.graphql.context import RequestContext
from sizewise.graphql.model_type import FieldValues


async def quality(context: RequestContext, policy: str | None = None) -> list[FieldValues]:
    """Raises BadRequest for an unknown policy."""
    context.require_all_projects("read_records")
    app = context.app
    now = app.monitored_policies if policy is None else {policy: monitored_policy(context, policy)}
    watch, sure = context.services.quality_monitor, app.settings.shadow.confidence
    return [_quality(each) for each in await watch.policy_quality(context.principal.tenant, now, sure)]


async def feedback(
    context: RequestContext, trace: str, score: float, kind: str = "user", comment: str | None = None
) -> list[FieldValues]:
    """Raises BadRequest, and PathNotFound if the trace has no answer that the caller may rate."""
    draft = ScoreDraft(trace=trace, value=score, name=kind, comment=comment)
    _, found = await context.services.scores.add(context.principal, draft)
    return [_verdict(each) for each in found]


async def restore_policy(context: RequestContext, policy: str) -> FieldValues:
    """Raises BadRequest for an unknown policy."""
    context.require_all_projects("manage_policies")
    version = monitored_policy(context, policy).version
    fell = await context.services.quality_monitor.restore_policy(
        context.principal.tenant,
        policy,
        version,
    )
    return {"policy": policy, "wasViolated": fell}


def monitored_policy(context: RequestContext, policy: str) -> MonitoredPolicy:
    known = context.app.monitored_policies
    if policy not in known:
        hint = did_you_mean(policy, list(known)) or f"known: {', '.join(known)}"
        raise BadRequest(f"there is no policy named {policy[:100]!r}", hint, param="policy")
    return known[policy]


def _quality(its: PolicyQuality) -> FieldValues:
    found = its.estimate
    return {
        "policy": its.policy,
        "certified": its.guaranteed_quality,
        "samples": found.sample_count,
        "unjudged": found.undecided,
        "loss": found.mean_loss,
        "lossLow": found.low,
        "lossHigh": found.high,
        "since": its.since,
        "violated": its.alarm_at,
        "feedback": [_opinion(each) for each in its.feedback],
    }


def _opinion(its: FeedbackSummary) -> FieldValues:
    return {"model": its.model, "kind": its.kind, "count": its.count, "mean": its.mean}


def _verdict(its: Feedback) -> FieldValues:
    return {"trace": its.trace, "policy": its.policy, "model": its.model, "kind": its.kind, "score": its.score}
