"""Constraints: which models may answer a request, and for each other model the reason for its rejection.

With `is_exact` there is no other model to choose, so only known facts reject it; the model itself rejects the rest.
With several models, an unknown fact rejects.
"""

from __future__ import annotations

from collections.abc import Callable

from sizewise.data_class import is_within
from sizewise.errors import (
    BadRequest,
    BudgetExceeded,
    ContextLengthExceeded,
    Forbidden,
    ModelUnavailable,
    NoModelFits,
)
from sizewise.model_card import MODEL_KINDS, ModelCard
from sizewise.money import format_dollars
from sizewise.principal import matches_any
from sizewise.routing.data_policy import DataPolicyDecision
from sizewise.routing.deadlines import TimeForecast, check_time, with_times
from sizewise.routing.languages import without_foreign
from sizewise.routing.model_aliases import RoutePlan
from sizewise.routing.policy import Candidate, Candidates, RequestFeatures
from sizewise.routing.rejection import Rejection
from sizewise.routing.requirements import MAX_BYTES_PER_TOKEN, Requirements, expected_cost
from sizewise.routing.strength import strength

HealthCheck = Callable[[ModelCard], str]
"""Why a model is unavailable now, in words; empty if it is available."""

CAPABILITY_HINT = "remove it, or use a model that supports it"
MAX_CHOICE_CALLS = 16
"""Calls of one request to a model that makes one choice per call."""


def eligible_models(
    plan: RoutePlan,
    requirements: Requirements,
    health_check: HealthCheck,
    forecast: TimeForecast | None = None,
) -> tuple[Candidates, tuple[Rejection, ...]]:
    """Candidates, cheapest first, and a Rejection for every other model.

    Ties: weakest first, but none before a stronger one that is predicted to answer much sooner (`forecast`).
    """
    may: list[Candidate] = []
    against: list[Rejection] = []
    good = requirements.features.predicted_quality
    for card in plan.cards:
        why = find_rejection(card, requirements, plan.is_exact, health_check)
        if why is None and forecast is not None:
            why = check_time(card, requirements.features, forecast)
        if why is None:
            quality = good.get(card.name) if good else card.quality
            may.append(Candidate(card, expected_cost(card, requirements.features), quality))
        else:
            against.append(why)
    if len(may) > 1 and not plan.is_exact:
        may = without_foreign(may, requirements.features, against)
    if len(may) > 1:
        may.sort(key=cost_order)
        if forecast is not None:
            may = with_times(may, forecast, requirements.features)
    return tuple(may), tuple(against)


def cost_order(candidate: Candidate) -> tuple[bool, int, float]:
    return (candidate.expected_cost is None, candidate.expected_cost or 0, strength(candidate.card))


def find_rejection(
    card: ModelCard,
    requirements: Requirements,
    is_exact: bool,
    health_check: HealthCheck,
) -> Rejection | None:
    """The first reason against `card`, the principal's limits before the model's state; None if it may answer."""
    given, place = requirements.data_decision, card.endpoint.place
    if requirements.allowed_models and not matches_any(card.name, requirements.allowed_models):
        return Rejection(
            card, "is not among the models that this key allows", Forbidden, hint="use a key that allows it"
        )
    if given.reach is None or not is_within(given.reach, place):
        return _check_reach(card, given)
    if given.offline_source and ((limit := given.limit) is None or not is_within(limit, place)):
        return Rejection(card, f"is at place {place!r}, and {given.offline_source} denies online models", Forbidden)
    if card.task != requirements.task:
        return Rejection(
            card=card,
            why=f"is {MODEL_KINDS[card.task]}",
            error=BadRequest,
            param="model",
            hint="use another model, or the API endpoint of this one",
        )
    return (
        (_check_min_window(card, requirements, is_exact) if requirements.min_window is not None else None)
        or (_check_context(card, requirements, is_exact) if card.context is not None else None)
        or _check_capabilities(card, requirements, is_exact)
        or (_check_cost(card, requirements) if requirements.max_cost is not None else None)
        or _check_health(card, health_check)
    )


def _check_reach(card: ModelCard, data_decision: DataPolicyDecision) -> Rejection:
    limit = "nowhere" if data_decision.reach is None else f"no further than {data_decision.reach!r}"
    why = f"is at place {card.place!r}, and {data_decision.reach_reason} may go {limit}"
    return Rejection(card, why, Forbidden, hint="use a nearer model, or widen [egress] in sizewise.toml")


def _check_min_window(card: ModelCard, requirements: Requirements, is_exact: bool) -> Rejection | None:
    """Rejects a context window below the requested minimum, however short this prompt is."""
    if requirements.min_window is None or requirements.task != "chat" or (card.context is None and is_exact):
        return None
    if card.context is None:
        why = f"has an unknown context window, and the request requires {requirements.min_window} tokens"
    elif card.context < requirements.min_window:
        why = f"has a context window of {card.context} tokens, and the request requires {requirements.min_window}"
    else:
        return None
    hint = "use a model with a larger context window, or raise `context` in [local] for an embedded one"
    return Rejection(card=card, why=why, error=NoModelFits, param="min_window", hint=hint)


def _check_context(card: ModelCard, requirements: Requirements, is_exact: bool) -> Rejection | None:
    context = card.context
    if context is None or (requirements.size <= context and not requirements.features.max_tokens):
        return None  # no prompt has more tokens than bytes
    if is_exact:
        least = requirements.size // MAX_BYTES_PER_TOKEN
        if least <= context:
            return None  # exact counting is left to the model
        why = (
            f"accepts at most {context} prompt tokens, and this prompt has about {requirements.features.prompt_tokens}"
        )
    else:
        room = context - (requirements.features.max_tokens or 0)
        if requirements.features.prompt_tokens <= room:
            return None
        needed = context - room + requirements.features.prompt_tokens
        why = f"has a context window of {context} tokens, and this request needs about {needed}"
    return Rejection(
        card=card,
        why=why,
        error=ContextLengthExceeded,
        param="messages",
        hint="shorten the prompt, or use a model with a larger context window",
    )


def fits_context(card: ModelCard, features: RequestFeatures) -> bool:
    """Whether its context window, if known, holds the prompt and the longest answer requested."""
    return card.context is None or features.prompt_tokens + (features.max_tokens or 0) <= card.context


def _check_capabilities(card: ModelCard, requirements: Requirements, is_exact: bool) -> Rejection | None:
    asked, dropped = requirements.features, card.endpoint.dropped_fields
    if (
        requirements.modalities
        and not requirements.modalities <= card.input_modalities
        and (not is_exact or card.weights or "input_modalities" in card.facts)
    ):
        blind = ", ".join(sorted(requirements.modalities - card.input_modalities))
        return Rejection(
            card=card, why=f"does not accept {blind}", error=BadRequest, param="messages", hint=CAPABILITY_HINT
        )
    if asked.tools and "tools" not in dropped and not card.tools and (not is_exact or card.tools is False):
        why = "does not support tool calls" if card.tools is False else "is not known to support tool calls"
        return Rejection(card=card, why=why, error=BadRequest, param="tools", hint=CAPABILITY_HINT)
    if asked.logprobs and "logprobs" not in dropped and not card.logprobs and (not is_exact or card.logprobs is False):
        why = (
            "does not support log-probabilities"
            if card.logprobs is False
            else "is not known to support log-probabilities"
        )
        return Rejection(card=card, why=why, error=BadRequest, param="logprobs", hint=CAPABILITY_HINT)
    if asked.choice_count > MAX_CHOICE_CALLS and card.makes_single_choices:
        return Rejection(
            card=card,
            why=f"makes one choice per call, in at most {MAX_CHOICE_CALLS} calls, and `n` is {asked.choice_count}",
            error=BadRequest,
            param="n",
            hint=f"ask for at most {MAX_CHOICE_CALLS} choices, or use another model",
        )
    if not is_exact and card.max_output is not None and (asked.max_tokens or 0) > card.max_output:
        why = f"can output at most {card.max_output} tokens, and the request asks for {asked.max_tokens}"
        return Rejection(card, why, BadRequest, "max_tokens")
    return None


def _check_cost(card: ModelCard, requirements: Requirements) -> Rejection | None:
    limit = requirements.max_cost
    assert limit is not None
    cost = expected_cost(card, requirements.features)
    if cost is None:
        return Rejection(card, "has no known price, and the request sets a maximum cost", BudgetExceeded)
    if cost > limit:
        why = f"could cost {format_dollars(cost)} dollars, and the request allows {format_dollars(limit)}"
        return Rejection(card, why, BudgetExceeded, hint="raise the maximum cost, or request fewer tokens")
    return None


def _check_health(card: ModelCard, health_check: HealthCheck) -> Rejection | None:
    words = health_check(card)
    return Rejection(card, words, ModelUnavailable, hint="try again later, or use another model") if words else None
