"""Exact token count of a prompt for a named model; refuses to estimate, calls no model and records no cost."""

from __future__ import annotations

from msgspec.structs import replace

from sizewise.app.application import Application
from sizewise.app.routing_config import build_data_policy
from sizewise.errors import BadRequest
from sizewise.handler import Request
from sizewise.messages import ChatRequest
from sizewise.routing.admission import check_key_policies
from sizewise.routing.constraints import find_rejection
from sizewise.routing.policy import RequestFeatures
from sizewise.routing.requirements import requirements_of


async def count_prompt_tokens(app: Application, request: Request) -> int:
    """Exact, or an error: an estimate would be mistaken for a count. Raises the errors of a request to that model.

    Counts as a request in the limits. Data class and egress hold as for the request itself; its size and cost are not
    checked.
    """
    waits = app.resources.services.limiter.count_request(request.principal)
    if waits is not None:
        await waits
    request = await app.guardrails.check_offloaded(request)
    plan = app.aliases(request.payload, request.options.policy)
    check_key_policies(request, plan)
    counts = app.connections.token_counter(plan.cards[0]) if plan.is_exact else None
    if counts is None or not isinstance(request.payload, ChatRequest):
        raise BadRequest(
            f"the tokens of {request.payload.model[:200]!r} cannot be counted exactly here",
            "name an embedded model, or one whose provider counts tokens; or read `usage` in the response",
            param="model",
        )
    needed = requirements_of(request, build_data_policy(app.settings), plan.policy_name)
    needed = replace(needed, size=0, max_cost=None, features=RequestFeatures(0))
    against = find_rejection(plan.cards[0], needed, True, app.connections.unavailable_reason)
    if against is not None:
        raise against.error(f"{against.card.name} {against.why}", against.hint, param=against.param)
    seen = await app.guardrails.view_offloaded(plan.cards[0], request)
    assert isinstance(seen, ChatRequest)
    return await counts(seen, needed.data_class)
