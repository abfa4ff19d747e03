"""Token count of a prompt for a named model: exact where that can be had, else an estimate; answers no prompt."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from sizewise.app.application import Application
from sizewise.app.routing_config import build_data_policy
from sizewise.errors import BadRequest
from sizewise.handler import Request
from sizewise.messages import ChatRequest
from sizewise.model_card import ModelCard
from sizewise.prompts.prompt_expansion import expand
from sizewise.routing.admission import check_key_policies, no_model_error
from sizewise.routing.constraints import HealthCheck, eligible_models
from sizewise.routing.policy import RequestFeatures
from sizewise.routing.requirements import requirements_of


class PromptTokenCount(Struct, frozen=True):
    """`is_estimate`: by the length of the prompt, because no tokenizer of the model is at hand."""

    tokens: int
    is_estimate: bool


async def count_prompt_tokens(app: Application, request: Request) -> PromptTokenCount:
    """By the model's tokenizer or its upstream; an estimate if neither counts, or several models could answer.

    Raises the errors of a request to that model. Counts as a request in the limits. Data class and egress hold as for
    the request itself; its size and cost are not checked.
    """
    waits = app.resources.services.limiter.count_request(request.principal)
    if waits is not None:
        await waits
    request = await app.guardrails.check_offloaded(expand(request, app.resources.prompts))
    plan = app.aliases(request.payload, request.options.policy)
    check_key_policies(request, plan)
    if not isinstance(request.payload, ChatRequest):
        raise BadRequest("only prompts of chat models are counted", "name a chat model", param="model")
    counts = app.connections.token_counter(plan.cards[0]) if plan.is_exact else None
    needed = requirements_of(request, build_data_policy(app.settings), plan.policy_name)
    estimate = PromptTokenCount(needed.features.prompt_tokens, is_estimate=True)
    health: HealthCheck = _always_healthy if counts is None else app.connections.unavailable_reason
    needed = replace(needed, size=0, max_cost=None, features=RequestFeatures(0))
    candidates, rejections = eligible_models(plan, needed, health)
    if not candidates:
        raise no_model_error(plan, rejections)
    if counts is None:
        return estimate
    seen = await app.guardrails.view_offloaded(plan.cards[0], request)
    assert isinstance(seen, ChatRequest)
    exact = await counts(seen, needed.data_class)
    return estimate if exact is None else PromptTokenCount(exact, is_estimate=False)


def _always_healthy(card: ModelCard) -> str:
    """An estimate asks no model, so that none has to be up."""
    return ""
