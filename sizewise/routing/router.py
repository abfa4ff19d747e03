"""Who is asked, and by which way: straight to the one model that a name means, else by the moves of a policy."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping

import msgspec

from sizewise.data_class import CLASSES, DataClass
from sizewise.deadline import Deadline
from sizewise.handler import NO_WISHES, Answerer, Ask, Send, Wishes
from sizewise.messages import Chat, Embed, Reply
from sizewise.model_card import Card
from sizewise.routing.admission import permitted, refusal
from sizewise.routing.attempt_limits import FREE, Ways
from sizewise.routing.attempt_runner import Asking
from sizewise.routing.client_reply import Given
from sizewise.routing.constraints import Health, expected, field, need
from sizewise.routing.data_policy import Given as Allowed
from sizewise.routing.data_policy import Terms
from sizewise.routing.degraded import stands_in
from sizewise.routing.direct_route import straight
from sizewise.routing.executor import Request, begun, book
from sizewise.routing.learned_judge import Mind
from sizewise.routing.model_aliases import Plan
from sizewise.routing.observation import Witnessed, witnessed
from sizewise.routing.policy import Attempt, Candidate, Judging
from sizewise.routing.quality_prediction import Foresight
from sizewise.routing.request_rewrite import marked
from sizewise.routing.session_affinity import Affinity
from sizewise.routing.strongest_fallback import Fallen, safe
from sizewise.routing.structured_output import Promise, Schemas


def well(card: Card) -> str:
    """The health of whoever nobody watches."""
    return ""


class Routed:
    """An Answerer that asks others. `plan` says who is considered, `connect` makes an Answerer of a card.

    `terms` say how far data may go.
    `affinity` minds sessions; without it there are none. `foresight` tells policies how good answers would be; one of
    `minds` does so, and judges, for the policy of its name.
    `witness` sees each chat that a policy has answered, at once and without waiting. `fallen` policies are not asked.
    """

    __slots__ = (
        "_affinity",
        "_connect",
        "_fallen",
        "_foresight",
        "_health",
        "_judge",
        "_minds",
        "_plan",
        "_schemas",
        "_terms",
        "_total",
        "_ways",
        "_witness",
    )

    def __init__(
        self,
        plan: Callable[[Chat | Embed, str | None], Plan],
        connect: Callable[[Card], Answerer],
        judge: Judging,
        health: Health = well,
        terms: Terms | None = None,
        affinity: Affinity | None = None,
        ways: Ways = FREE,
        foresight: Foresight | None = None,
        minds: Mapping[str, Mind] | None = None,
        witness: Callable[[Witnessed], None] | None = None,
        fallen: Fallen | None = None,
    ) -> None:
        self._plan = plan
        self._witness = witness
        self._fallen = fallen
        self._foresight = foresight
        self._minds = minds or {}
        self._connect = connect
        self._judge = judge
        self._health = health
        self._terms = terms or Terms()
        self._affinity = affinity
        self._ways = ways
        self._total = Deadline(ways.total_s)
        self._schemas = Schemas()

    def __call__(self, ask: Ask, send: Send) -> Coroutine[object, object, Reply]:
        """Raises what `plan` and `permitted` raise, before there is anything to await."""
        plan = self._plan(ask.what, ask.wishes.policy)
        if (card := plan.only) is not None:
            allowed = self._terms.of(ask, plan.name)
            if prompt := straight(ask, plan, card, allowed, self._health):
                return self._straight(decided(ask, allowed), send, plan, card, allowed, prompt)
        permitted(ask, plan)
        return self._routed(ask, send, plan)

    async def _straight(self, ask: Ask, send: Send, plan: Plan, card: Card, allowed: Allowed, prompt: int) -> Reply:
        """The first move of every policy that has one model, without a policy; what fails goes on by it."""
        given = Given(send, plan.name, prompt, allowed)
        asking = self._asking(ask, given, None)
        one = begun(card, plan.why, given, ask)
        reply: Reply | None = None
        left = False
        try:
            await asking(one, Attempt(card, plan.why))
            if one.error is None:
                reply = await given.gives(one, plan.why)
        except asyncio.CancelledError:
            left = True
            raise
        finally:
            if one.error is None:
                await book(given, left)
        if reply is not None:
            return reply
        needed = need(ask, self._terms, plan.name)
        candidates = (Candidate(card, expected(card, needed.question), card.quality),)
        return await Request(self._judge, plan, needed, candidates, ask, given, asking, self._ways).run(one)

    async def _routed(self, ask: Ask, send: Send, plan: Plan) -> Reply:
        needed = need(ask, self._terms, plan.name)
        mind = None if plan.exact else self._minds.get(plan.name)
        foresight = self._foresight if mind is None else mind
        if foresight is not None and not plan.exact:
            needed = foresight(needed, ask.what)
        if isinstance(ask.what, Chat) and ask.what.schema:
            needed = msgspec.structs.replace(needed, promise=self._schemas(ask.what))
        candidates, against = field(plan, needed, self._health)
        if not candidates:
            raise refusal(plan, against, self._ways.left)
        ask = decided(ask, needed.given)
        turn = None if self._affinity is None else self._affinity.turn(ask)
        why = "" if self._fallen is None else self._fallen(ask.caller.tenant, plan.name)
        if why:
            plan = safe(plan, why)
        elif turn is not None:
            plan = turn.plan(plan, against)
        judge = self._judge if mind is None else mind.judge
        given = Given(send, plan.name, needed.question.tokens, needed.given)
        asking = self._asking(ask, given, needed.promise)
        reply = await Request(judge, plan, needed, candidates, ask, given, asking, self._ways).run()
        why = stands_in(plan, needed, candidates, against, given.tries, given.shown)
        if why and not reply.degraded:
            reply = marked(reply, why)
        if turn is not None:
            turn.remember(given, reply)
        if self._witness is not None and not plan.exact and isinstance(ask.what, Chat):
            self._witness(witnessed(ask, plan.name, candidates, given, reply))
        return reply

    def _asking(self, ask: Ask, given: Given, promise: Promise | None) -> Asking:
        wished, total_s = ask.wishes.max_ms, self._ways.total_s
        until = ask.started + (total_s if wished is None else min(total_s, wished / 1000))
        return Asking(self._connect, ask, given, promise, self._total, until, self._ways.purse)


UNSAID: Mapping[DataClass, Wishes] = {each: Wishes(data_class=each) for each in CLASSES}
"""What is wished by whoever wished nothing, once the class of the data is known."""


def decided(ask: Ask, allowed: Allowed) -> Ask:
    """`ask` as it goes to a model: with the class of its data, and the furthest place it may go to."""
    wishes, found = ask.wishes, allowed.data_class
    if wishes is NO_WISHES:
        wishes = UNSAID[found]
    elif wishes.data_class != found:
        wishes = msgspec.structs.replace(wishes, data_class=found)
    return msgspec.structs.replace(ask, wishes=wishes, reach=allowed.limit)
