"""What a router lets others see of a request that it has answered, to compare answers later; pure, compares none."""

from __future__ import annotations

from msgspec import Struct

from sizewise.handler import Ask
from sizewise.messages import Reply
from sizewise.model_card import Card
from sizewise.routing.client_reply import Given
from sizewise.routing.policy import Field


class Answered(Struct, frozen=True):
    """An attempt that came to a reply. `score` is the judge's trust, 0..1, None where nobody judged it."""

    card: Card
    reply: Reply
    score: float | None
    given: bool  # to the client


class Witnessed(Struct, frozen=True):
    """One request by a policy, ended with a reply. `field` are the models that might have answered, cheapest first.

    The data class in `ask` is the strictest of what anybody said.
    """

    ask: Ask
    policy: str
    field: Field
    answered: tuple[Answered, ...]


def witnessed(ask: Ask, policy: str, field: Field, given: Given, reply: Reply) -> Witnessed:
    """`reply` is what the client got, whole where two models said a part of it each."""
    shown = given.shown
    answered = tuple(
        Answered(one.card, reply if one is shown else one.reply, one.score, one is shown)
        for one in given.tries
        if one.reply is not None and not one.judges
    )
    return Witnessed(ask, policy, field, answered)
