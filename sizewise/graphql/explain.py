"""The router's decision without the call, told in the words of schema.graphql; decides nothing itself."""

from __future__ import annotations

import time
from typing import Literal

from sizewise.data_class import DataClass
from sizewise.graphql.ask import chat
from sizewise.graphql.context import Context
from sizewise.graphql.model_type import Told
from sizewise.handler import Ask, Wishes
from sizewise.money import dollars
from sizewise.routing.explain import Considered, Decision

NOBODY = "0" * 32
"""The trace of a question that is not asked."""


async def explain(
    context: Context,
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
) -> Told:
    """`max_cost_usd` comes in as pico-dollars. Raises BadBody, BadRequest, UnknownModel."""
    what = chat(prompt, body, model, max_tokens)
    wishes = Wishes(policy, max_cost_usd, max_ms, min_quality, data_class, online, session)
    return _decision(context.house.explain(Ask(what, context.caller, NOBODY, time.perf_counter(), wishes)))


def _decision(decision: Decision) -> Told:
    return {
        "requestedModel": decision.asked,
        "policy": decision.policy,
        "dataClass": decision.data_class,
        "tokens": decision.tokens,
        "why": decision.why,
        "reasons": list(decision.sentences),
        "error": decision.error,
        "candidates": [_candidate(each) for each in decision.candidates],
        "steps": [{"models": list(step.models), "action": step.how, "why": step.why} for step in decision.steps],
    }


def _candidate(seen: Considered) -> Told:
    return {
        "model": seen.model,
        "size": seen.size,
        "place": seen.place,
        "eligible": seen.may,
        "why": seen.why,
        "costUsd": None if seen.cost is None else dollars(seen.cost),
    }
