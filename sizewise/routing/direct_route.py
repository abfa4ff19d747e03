"""Direct route: whether a request can go to the one model that its name means without running a policy."""

from __future__ import annotations

from sizewise.data_class import is_within
from sizewise.handler import Request
from sizewise.messages import ChatRequest
from sizewise.model_card import ModelCard
from sizewise.principal import matches_any
from sizewise.routing.constraints import HealthCheck
from sizewise.routing.data_policy import DataPolicyDecision
from sizewise.routing.model_aliases import RoutePlan
from sizewise.routing.requirements import BYTES_PER_TOKEN, MAX_BYTES_PER_TOKEN, TOKENS_PER_MESSAGE
from sizewise.routing.session_store import SESSION_FIELDS


def direct_prompt_tokens(
    request: Request,
    plan: RoutePlan,
    card: ModelCard,
    data_decision: DataPolicyDecision,
    health_check: HealthCheck,
) -> int:
    """Estimated prompt tokens if the constraints cannot reject `card` and the request has no output schema, session,
    time limit or cost limit; else 0.

    It errs on the side of 0: a request that might be rejected takes the full route, which produces the error.
    """
    what, options, scope = request.payload, request.options, request.principal.scope
    if (
        type(what) is not ChatRequest
        or what.n != 1
        or what.tools
        or what.schema
        or what.logprobs
        or what.input_modalities()
    ):
        return 0
    if options.max_cost is not None or options.max_latency_ms is not None or options.min_context_tokens is not None:
        return 0
    if options.session is not None or not SESSION_FIELDS.isdisjoint(what.fields):
        return 0
    if scope is not None and (scope.policies or not matches_any(card.name, scope.models)):
        return 0
    limit, size = data_decision.limit, what.prompt_bytes()
    if limit is None or not is_within(limit, card.place) or card.task != "chat" or plan.direct_card is not card:
        return 0
    if card.effort is not None:  # the request may ask for another
        return 0
    if card.context is not None and size // MAX_BYTES_PER_TOKEN > card.context:
        return 0
    return 0 if health_check(card) else size // BYTES_PER_TOKEN + TOKENS_PER_MESSAGE * len(what.messages)
