"""Performs a policy's moves, from the first to the books: one request under way; does not know who should answer.

Kept whatever happens: an attempt is booked exactly once; what is held is not sent unless the policy returns it; nobody
begins again once the client has seen a word; a client that leaves stops every model. Only one attempt at a time has
the client's `send`, and the books are sent after all have ended, so no lock is needed around it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from functools import partial
from time import perf_counter, time

import msgspec

from sizewise.errors import OverBudget, UpstreamSlow
from sizewise.handler import Ask
from sizewise.messages import Chat, Reply
from sizewise.model_card import Card
from sizewise.money import dollars
from sizewise.routing.attempt_limits import Ways
from sizewise.routing.attempt_record import Try, spent
from sizewise.routing.attempt_runner import Asking, Running, together, until
from sizewise.routing.client_reply import Given
from sizewise.routing.constraints import PER_TOKEN, Need, expected, fits
from sizewise.routing.llm_verifier import doubted
from sizewise.routing.model_aliases import Plan
from sizewise.routing.policy import (
    All,
    Attempt,
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
from sizewise.routing.request_rewrite import resumed
from sizewise.routing.structured_output import corrected

MAX_PAUSE_S = 60.0  # before an attempt


class Request:
    """One request under way."""

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
