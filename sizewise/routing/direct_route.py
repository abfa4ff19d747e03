"""Whether a request can go straight to the one model that its name means, with nothing to weigh; pure, asks nobody."""

from __future__ import annotations

from sizewise.data_class import reaches
from sizewise.handler import Ask
from sizewise.messages import Chat
from sizewise.model_card import Card
from sizewise.principal import within
from sizewise.routing.constraints import PER_MESSAGE, PER_TOKEN, PER_TOKEN_MOST, Health
from sizewise.routing.data_policy import Given
from sizewise.routing.model_aliases import Plan
from sizewise.routing.session_store import FIELDS


def straight(ask: Ask, plan: Plan, card: Card, given: Given, health: Health) -> int:
    """Tokens of the prompt, estimated, where `constraints` have nothing to say against `card`, and there is no promise
    to keep, no session to mind and no time or money wished for; else 0.

    It never says yes where they say no: a request that could be refused goes the long way, which knows the words.
    """
    what, wishes, scope = ask.what, ask.wishes, ask.caller.scope
    if type(what) is not Chat or what.n != 1 or what.tools or what.schema or what.logprobs or what.sees():
        return 0
    if wishes.max_cost is not None or wishes.max_ms is not None or wishes.min_window is not None:
        return 0
    if wishes.session is not None or not FIELDS.isdisjoint(what.fields):
        return 0
    if scope is not None and (scope.policies or not within(card.name, scope.models)):
        return 0
    limit, size = given.limit, what.size()
    if limit is None or not reaches(limit, card.place) or card.task != "chat" or plan.only is not card:
        return 0
    if card.context is not None and size // PER_TOKEN_MOST > card.context:
        return 0
    return 0 if health(card) else size // PER_TOKEN + PER_MESSAGE * len(what.messages)
