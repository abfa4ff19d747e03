"""How many tokens a prompt has for a named model: exact, or refused; asks no model for an answer and books nothing."""

from __future__ import annotations

from msgspec.structs import replace

from sizewise.app.application import House
from sizewise.app.routing_config import terms
from sizewise.errors import BadRequest
from sizewise.handler import Ask
from sizewise.messages import Chat
from sizewise.routing.admission import permitted
from sizewise.routing.constraints import need, objection
from sizewise.routing.policy import Question


async def counted(house: House, ask: Ask) -> int:
    """An estimate would be taken for the truth, so there is none. Raises what asking that model would raise.

    Limits count it as a request. The prompt goes nowhere that the question itself might not go; how long or dear it is
    does not matter here.
    """
    waits = house.means.keeper.budgets.knock(ask.caller)
    if waits is not None:
        await waits
    ask = house.post.passed(ask)
    plan = house.names(ask.what, ask.wishes.policy)
    permitted(ask, plan)
    counts = house.connections.counts(plan.cards[0]) if plan.exact else None
    if counts is None or not isinstance(ask.what, Chat):
        raise BadRequest(
            f"the tokens of {ask.what.model[:200]!r} cannot be counted exactly here",
            "name one model that runs on this machine or whose vendor counts, or read `usage` in the reply",
            param="model",
        )
    needed = need(ask, terms(house.settings), plan.name)
    needed = replace(needed, size=0, max_cost=None, question=Question(0))
    against = objection(plan.cards[0], needed, True, house.connections.health)
    if against is not None:
        raise against.error(f"{against.card.name} {against.why}", against.hint, param=against.param)
    seen = house.post.seen_by(plan.cards[0], ask)
    assert isinstance(seen, Chat)
    return await counts(seen, needed.data_class)
