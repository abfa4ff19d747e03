"""The `explain` field: the routing decision for a prompt, without a call to a model."""

from __future__ import annotations

import time
from typing import Literal

from sizewise.data_class import DataClass
from sizewise.graphql.ask import build_chat
from sizewise.graphql.context import RequestContext
from sizewise.graphql.model_type import FieldValues
from sizewise.handler import Request, RequestOptions
from sizewise.money import format_dollars
from sizewise.routing.explain import CandidateExplanation, DecisionStep, RoutingDecision

EXPLAIN_TRACE = "0" * 32
"""The trace id of a request that is not sent."""


async def explain(
    context: RequestContext,
    prompt: str | None = None,
    body: object = None,
    model: str = "auto",
    policy: str | None = None,
    max_tokens: int | None = None,
    max_cost_usd: int | None = None,
    max_ms: int | None = None,
    min_quality: float | None = None,
    data_class: DataClass | None = None,
    online: Literal["deny", "allow"] | None = None,
    session: str | None = None,
) -> FieldValues:
    """`max_cost_usd` is in pico-dollars: the scalar Dollars converts it. Raises BadBody, BadRequest, ModelNotFound."""
    what = build_chat(prompt, body, model, max_tokens)
    options = RequestOptions(
        policy=policy,
        max_cost=max_cost_usd,
        max_latency_ms=max_ms,
        min_quality=min_quality,
        data_class=data_class,
        online=online,
        session=session,
    )
    return _decision(
        await context.app.explain(
            Request(
                payload=what,
                principal=context.principal,
                trace_id=EXPLAIN_TRACE,
                started_at=time.perf_counter(),
                options=options,
            )
        )
    )


def _decision(decision: RoutingDecision) -> FieldValues:
    return {
        "requestedModel": decision.requested_model,
        "policy": decision.policy,
        "dataClass": decision.data_class,
        "tokens": decision.prompt_tokens,
        "why": decision.why,
        "reasons": list(decision.sentences),
        "error": decision.error,
        "language": decision.language,
        "freshness": decision.freshness,
        "candidates": [_candidate(each) for each in decision.candidates],
        "steps": [_step(each) for each in decision.steps],
    }


def _step(step: DecisionStep) -> FieldValues:
    return {
        "models": list(step.models),
        "action": step.how,
        "why": step.why,
        "threshold": step.threshold,
        "onAverage": step.average,
    }


def _candidate(seen: CandidateExplanation) -> FieldValues:
    return {
        "model": seen.model,
        "size": seen.size,
        "place": seen.place,
        "eligible": seen.eligible,
        "why": seen.why,
        "costUsd": None if seen.expected_cost is None else format_dollars(seen.expected_cost),
        "expectedS": seen.expected_s,
        "effort": seen.effort,
        "thinkingTokens": seen.thinking_tokens,
        "countedTokens": seen.counted_tokens,
    }
