"""Performs a policy's moves: the only place where attempts are begun and booked; does not know who should answer.

Kept whatever happens: an attempt is booked exactly once; what is held is not sent unless the policy returns it; nobody
begins again once the client has seen a word; a client that leaves stops every model. Only one attempt at a time has
the client's `send`, and the books are sent after all have ended, so no lock is needed around it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial
from time import perf_counter, time

import msgspec

from sizewise.answer import NO_WISHES, Answerer, Ask, Send, Wishes
from sizewise.cards import Card
from sizewise.chat import Chat, Embed, Reply
from sizewise.deadline import Deadline
from sizewise.egress import CLASSES, DataClass
from sizewise.errors import OverBudget, UpstreamSlow
from sizewise.money import dollars
from sizewise.routing.affinity import Affinity
from sizewise.routing.asking import Asking, Running, together, until
from sizewise.routing.attempts import Try, spent
from sizewise.routing.constraints import PER_TOKEN, Health, Need, expected, field, fits, need
from sizewise.routing.foresight import Foresight
from sizewise.routing.given import Given
from sizewise.routing.names import Plan
from sizewise.routing.offline import stands_in
from sizewise.routing.policy import (
    All,
    Attempt,
    Candidate,
    Field,
    Judge,
    Judging,
    Move,
    Outcome,
    Question,
    Race,
    Resume,
    Told,
    Verdict,
)
from sizewise.routing.refusing import permitted, refusal
from sizewise.routing.rewrite import marked, resumed
from sizewise.routing.safe import Fallen, safe
from sizewise.routing.schema import Promise, Schemas, corrected
from sizewise.routing.straight import straight
from sizewise.routing.terms import Given as Allowed
from sizewise.routing.terms import Terms
from sizewise.routing.verifier import doubted
from sizewise.routing.ways import FREE, Ways
from sizewise.routing.weighed import Mind
from sizewise.routing.witness import Witnessed, witnessed

MAX_PAUSE_S = 60.0  # before an attempt


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
        return await _Request(self._judge, plan, needed, candidates, ask, given, asking, self._ways).run(one)

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
        reply = await _Request(judge, plan, needed, candidates, ask, given, asking, self._ways).run()
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


class _Request:
    """One request under way, from the policy's first move to the books."""

    __slots__ = (
        *("_ask", "_asking", "_field", "_given", "_judge", "_left_early", "_need", "_over", "_plan", "_repaired"),
        "_ways",
    )

    def __init__(
        self,
        judge: Judging,
        plan: Plan,
        need: Need,
        field: Field,
        ask: Ask,
        given: Given,
        asking: Asking,
        ways: Ways,
    ) -> None:
        self._ways = ways
        self._judge = judge
        self._plan = plan
        self._need = need
        self._field = field
        self._ask = ask
        self._given = given
        self._asking = asking
        self._over: OverBudget | UpstreamSlow | None = None  # why an attempt was not made
        self._repaired = False  # the one repair of a request has been made
        self._left_early = False  # the client did not wait for the end

    async def run(self, made: Try | None = None) -> Reply:
        """`made`: what the policy's first move has come to, where that was made already."""
        route = self._plan.policy.route(self._need.question, self._field)
        told: Told | None = None
        try:
            if made is not None:
                next(route)
                told = self._outcome(made)
            while True:
                try:
                    move = route.send(told)  # type: ignore[arg-type]  # a generator is begun with None
                except StopIteration as stop:
                    outcome: Outcome = stop.value
                    break
                told = await self._perform(move)
            return await self._given.end(outcome, self._over)
        except asyncio.CancelledError:
            self._left_early = True
            raise
        finally:
            try:
                route.close()
            finally:
                await book(self._given, self._left_early)

    def _perform(self, move: Move) -> Awaitable[Told]:
        if isinstance(move, Judge):
            return self._judged(move)
        if isinstance(move, Resume):
            return self._resume(move)
        if self._given.shown is not None:
            raise self._given.over()
        if isinstance(move, Attempt):
            return self._attempt(move)
        if isinstance(move, Race):
            return self._race(move)
        if isinstance(move, All):
            return self._all(move)
        raise self._given.nonsense(f"yields a {type(move).__name__}, which is no move")

    # ---- moves ------------------------------------------------------------------------------------------------------

    async def _attempt(self, move: Attempt) -> Outcome:
        pause = move.after_s
        if move.spread_s > 0:
            pause += move.spread_s * self._ways.chance()
        failed = self._failed(move.card) if self._given.tries else None
        if failed is not None and pause >= self._asking.left():
            return self._outcome(failed)
        if pause > 0:
            await asyncio.sleep(min(pause, MAX_PAUSE_S, self._asking.left()))
        if failed is not None and not self._ways.spare(move.card):
            return self._outcome(failed)
        if self._barred(move.card):
            return self._unmade(move)
        one = self._begin(move.card, move.why)
        await self._asking(one, move)
        return self._outcome(one if one.breach is None else await self._repair(one, move))

    async def _all(self, move: All) -> tuple[Outcome, ...]:
        made = [None if self._barred(each.card) else self._begin(each.card, each.why) for each in move.attempts]
        pairs = list(zip(made, move.attempts, strict=True))
        held = [(one, msgspec.structs.replace(each, commit="hold")) for one, each in pairs if one is not None]
        await together([self._asking(one, each) for one, each in held])
        return tuple(self._unmade(each) if one is None else self._outcome(one) for one, each in pairs)

    async def _race(self, move: Race) -> Outcome:
        race = Running()
        last: Outcome | None = None
        try:
            async with asyncio.TaskGroup() as group:
                for each in move.attempts:
                    if self._barred(each.card):
                        last = self._unmade(each)
                        continue
                    one = self._begin(each.card, each.why)
                    race.running[group.create_task(self._asking(one, each, race))] = one
                    if move.after_s > 0:
                        await until(race, move.after_s)
                    if race.won.done():
                        break
        except BaseExceptionGroup as faults:
            raise faults.exceptions[0] from None
        if race.won.done():
            return self._outcome(race.won.result())
        if race.running:
            one = [*race.running.values()][-1]
            return self._outcome(one if one.breach is None else await self._repair(one, Attempt(one.card, one.why)))
        if last is None:
            raise self._given.nonsense("yields a Race of nobody")
        return last

    async def _resume(self, move: Resume) -> Outcome:
        broken, what = self._given.shown, self._ask.what
        allowed = broken is not None and broken.reply is None and self._need.question.plain and move.card.resumes
        if broken is None or not allowed or not isinstance(what, Chat) or move.said != broken.resumable:
            raise self._given.nonsense("yields a Resume where nothing that can be continued broke off")
        if self._barred(move.card):
            return self._outcome(broken)
        one = self._begin(move.card, move.why)
        one.prefix = move.said
        chat = resumed(what, move.said, len(move.said) // 4)
        await self._asking(one, Attempt(move.card, move.why), what=chat)
        return self._outcome(one)

    async def _judged(self, move: Judge) -> Verdict:
        """The verdict is noted at the attempts whose replies were shown to the judge."""
        verdict = self._judge(self._need.question, move.replies)
        if (by := move.by) is not None and verdict.score != 0:
            best = move.replies[verdict.best]
            verdict = doubted(verdict, await self._asking.opinion(by, best, partial(self._spare, by)))
        for one in self._given.tries:
            if any(one.reply is reply for reply in move.replies):
                one.score, one.verdict = verdict.score, verdict.why
        return verdict

    def _spare(self, card: Card) -> Try | None:
        return None if self._barred(card) else self._begin(card, "asked whether the answer is good")

    async def _repair(self, one: Try, move: Attempt) -> Try:
        """Shows a model what in its answer breaks the promise, and asks once more: once a request, within its limits.

        Returns the attempt that counts, which is the first where the second came to nothing either.
        """
        breach, what = one.breach, self._ask.what
        if breach is None or self._repaired or self._given.shown is one or not isinstance(what, Chat):
            return one
        more, question = breach.size // PER_TOKEN, self._need.question
        question = msgspec.structs.replace(question, tokens=question.tokens + more)
        if self._barred(one.card, question) or not fits(one.card, question):
            return one
        self._repaired = True
        again = self._begin(one.card, f"{one.card.name} broke the schema ({breach.rule}); asked once more")
        again.more = more
        await self._asking(again, move, what=corrected(what, breach))
        return one if again.error is not None else again

    # ---- one attempt ------------------------------------------------------------------------------------------------

    def _begin(self, card: Card, why: str) -> Try:
        for candidate in self._field:
            if candidate.card is card:
                break
        else:
            raise self._given.nonsense(f"asks {card.name}, which is not among the candidates")
        one = begun(card, why, self._given, self._ask)
        if card.price.apart:
            one.sees = self._need.sees
        return one

    # ---- the books --------------------------------------------------------------------------------------------------

    def _outcome(self, one: Try) -> Outcome:
        return one.outcome(self._need.question.tokens, self._given.shown is one or bool(one.prefix))

    def _failed(self, card: Card) -> Try | None:
        """The last attempt at `card`, where it has failed."""
        last = next((one for one in reversed(self._given.tries) if one.card is card), None)
        return last if last is not None and last.error is not None else None

    def _barred(self, card: Card, question: Question | None = None) -> bool:
        """Whether asking `card` too would come too late, or could pass what the request may cost."""
        if not self._given.tries:
            return False  # the constraints have seen to the first
        if self._asking.left() == 0:
            given = self._asking.until - self._ask.started
            self._over = UpstreamSlow(
                f"the {given:g} seconds of the request are over", "allow more, or try again later"
            )
            return True
        limit = self._need.max_cost
        if limit is None:
            return False
        sums = spent(self._given.tries, self._need.question)
        more = expected(card, question or self._need.question) or 0
        if sums + more <= limit:
            return False
        self._over = OverBudget(
            f"{dollars(sums)} dollars are spent, and asking {card.name} could cost {dollars(more)} more; "
            f"the request allows {dollars(limit)}",
            "allow more, or ask for fewer tokens",
        )
        return True

    def _unmade(self, move: Attempt) -> Outcome:
        assert self._over is not None
        return Outcome(move.card, error=self._over.code, message=self._over.message, why=move.why)


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


def begun(card: Card, why: str, given: Given, ask: Ask) -> Try:
    """A new attempt, in the books from now on."""
    one = Try(len(given.tries) + 1, card, why, perf_counter() - ask.started)
    if card.price.when:
        one.at = time()
    given.tries.append(one)
    return one


async def book(given: Given, left: bool) -> None:
    """One Tried for every attempt, whatever happened; a listener takes it without waiting for anything. `left`: the
    client did not wait for the end."""
    cancelled: asyncio.CancelledError | None = None
    for one in given.tries:
        if not one.asked:
            continue  # the race was over before it was its turn
        if one.result == "answered" and one is not given.shown:
            one.result = given.unused(one, left)
        try:
            await given.send(one.tried(given.prompt))
        except asyncio.CancelledError as error:
            cancelled = error  # the rest is booked all the same
    for one in given.tries:
        one.code = "" if one.error is None else one.error.code
        one.error = None  # its traceback knows us: all would wait for the collector
    if cancelled is not None:
        raise cancelled
