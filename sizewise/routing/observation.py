"""Observation: what the router shows to observers of a request after answering it, for later comparison."""

from __future__ import annotations

from msgspec import Struct

from sizewise.handler import Request
from sizewise.messages import Reply
from sizewise.model_card import ModelCard
from sizewise.routing.client_reply import ClientReply
from sizewise.routing.policy import Candidates


class ObservedReply(Struct, frozen=True):
    """An attempt with a reply. `score`: the judge's trust, 0..1, None if not judged."""

    card: ModelCard
    reply: Reply
    score: float | None
    was_delivered: bool  # to the client


class Observation(Struct, frozen=True):
    """One request that a policy answered. `candidates`: the models that could have answered, cheapest first.

    The data class in `request` is the one that the data policy decided.
    """

    request: Request
    policy: str
    candidates: Candidates
    replies: tuple[ObservedReply, ...]


def observe(
    request: Request,
    policy: str,
    candidates: Candidates,
    client_reply: ClientReply,
    reply: Reply,
) -> Observation:
    """`reply`: as the client got it, joined if a second model resumed it."""
    shown = client_reply.delivered
    answered = tuple(
        ObservedReply(one.card, reply if one is shown else one.reply, one.score, one is shown)
        for one in client_reply.attempts
        if one.reply is not None and not one.is_verification
    )
    return Observation(request, policy, candidates, answered)
