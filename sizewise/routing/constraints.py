"""Constraints: which models may answer a request, and for each other model the reason for its rejection.

With `is_exact` there is no other model to choose, so only known facts reject it; the model itself rejects the rest.
With several models, an unknown fact rejects.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from sizewise.data_class import is_within
from sizewise.errors import BadRequest, BudgetExceeded, Forbidden, ModelUnavailable
from sizewise.model_card import MODEL_KINDS, ModelCard
from sizewise.money import format_dollars
from sizewise.principal import matches_any
from sizewise.routing.context_fit import check_context, check_min_window, only_estimated
from sizewise.routing.data_policy import DataPolicyDecision
from sizewise.routing.deadlines import TimeForecast, check_time, with_time, with_times
from sizewise.routing.effort import check_effort, with_measured_tokens
from sizewise.routing.languages import without_foreign
from sizewise.routing.model_aliases import RoutePlan
from sizewise.routing.policy import Candidate, Candidates
from sizewise.routing.rejection import Rejection
from sizewise.routing.requirements import Requirements, expected_cost
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
        predicted = None
        if why is None and forecast is not None and forecast.left_s is not None:
            predicted = forecast(card, requirements.features)
            why = check_time(card, predicted, forecast)
        if why is None:
            quality = good.get(card.name) if good else card.quality
            may.append(with_time(Candidate(card, expected_cost(card, requirements.features), quality), predicted))
        else:
            against.append(why)
    if not may and not plan.is_exact and requirements.margin > 1 and only_estimated(requirements, against):
        return eligible_models(plan, replace(requirements, margin=1.0), health_check, forecast)
    if len(may) > 1 and not plan.is_exact:
        may = without_foreign(may, requirements.features, against)
    if len(may) > 1:
        if forecast is not None:
            may = with_measured_tokens(may, forecast.paces, requirements.features)
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
        (check_min_window(card, requirements, is_exact) if requirements.min_window is not None else None)
        or (check_context(card, requirements, is_exact) if card.context is not None else None)
        or _check_capabilities(card, requirements, is_exact)
        or (check_effort(card, requirements, is_exact) if card.efforts or card.effort else None)
        or (_check_cost(card, requirements) if requirements.max_cost is not None else None)
        or _check_health(card, health_check)
    )


def _check_reach(card: ModelCard, data_decision: DataPolicyDecision) -> Rejection:
    limit = "nowhere" if data_decision.reach is None else f"no further than {data_decision.reach!r}"
    why = f"is at place {card.place!r}, and {data_decision.reach_reason} may go {limit}"
    return Rejection(card, why, Forbidden, hint="use a nearer model, or widen [egress] in sizewise.toml")


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
    limit, cost = requirements.max_cost, expected_cost(card, requirements.features)
    assert limit is not None
    if cost is None:
        return Rejection(card, "has no known price, and the request sets a maximum cost", BudgetExceeded)
    if cost > limit:
        why = f"could cost {format_dollars(cost)} dollars, and the request allows {format_dollars(limit)}"
        return Rejection(card, why, BudgetExceeded, hint="raise the maximum cost, or request fewer tokens")
    return None


def _check_health(card: ModelCard, health_check: HealthCheck) -> Rejection | None:
    words = health_check(card)
    return Rejection(card, words, ModelUnavailable, hint="try again later, or use another model") if words else None
