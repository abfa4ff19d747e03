"""Asks a model once: within its time, its words held back or passed on; books nothing and does not know who is next.

The one file beside route.py, whose part it is, that may use the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from time import perf_counter

import msgspec

from sizewise.deadline import Deadline
from sizewise.errors import SizewiseError, UpstreamSlow
from sizewise.handler import Answerer, Ask, Send
from sizewise.messages import Chat, Reply
from sizewise.model_card import Card
from sizewise.routing.attempt_limits import Lease, Purse
from sizewise.routing.attempt_record import Try
from sizewise.routing.client_reply import Given
from sizewise.routing.llm_verifier import opinion, question_about
from sizewise.routing.policy import Attempt, Verdict
from sizewise.routing.request_rewrite import capped, with_logprobs
from sizewise.routing.stream_relay import keeping, noting, passing
from sizewise.routing.structured_output import Promise

USUAL_S = 1.0  # from the door to the first attempt; who needed longer has a clock of its own


class Running:
    """Attempts that run against each other; the first with a word to show wins and stops the rest."""

    __slots__ = ("running", "won")

    def __init__(self) -> None:
        self.running: dict[asyncio.Task[None], Try] = {}
        self.won: asyncio.Future[Try] = asyncio.get_running_loop().create_future()

    def claims(self, one: Try) -> bool:
        if not self.won.done():
            self.won.set_result(one)
            for task, other in self.running.items():
                if other is not one:
                    task.cancel()
        return self.won.result() is one

    def lost(self, one: Try) -> bool:
        return self.won.done() and self.won.result() is not one


class Asking:
    """`await asking(one, move)` makes the attempt `one`. `until` is time.perf_counter() at the end of the request;
    `total` the clock that first attempts share. `promise`: of JSON, which every reply is checked against. `purse`
    pays: what an attempt can cost at most is held before it, and settled by what is booked, however it ended.
    """

    __slots__ = ("_ask", "_connect", "_given", "_promise", "_purse", "_streams", "_total", "until")

    def __init__(
        self,
        connect: Callable[[Card], Answerer],
        ask: Ask,
        given: Given,
        promise: Promise | None,
        total: Deadline,
        until: float,
        purse: Purse,
    ) -> None:
        self._purse = purse
        self._connect = connect
        self._ask = ask
        self._given = given
        self._promise = promise
        self._streams = isinstance(ask.what, Chat) and ask.what.stream
        self._total = total
        self.until = until

    def __call__(
        self, one: Try, move: Attempt, race: Running | None = None, what: Chat | None = None
    ) -> Coroutine[object, object, None]:
        """Asks once. Notes a failure and how it went; raises only what is no failure of the model."""
        lease = self._purse.lease(self._ask.caller, one.card, what or self._ask.what)
        if lease is None:
            return self._once(one, move, race, what)
        return self._leased(lease, one, move, race, what)

    async def _leased(self, lease: Lease, one: Try, move: Attempt, race: Running | None, what: Chat | None) -> None:
        try:
            if not lease.held():
                await lease.hold()
        except SizewiseError as error:
            one.error = error  # it is not made, so it is no attempt in the books
            return
        asked = what or self._ask.what
        if lease.most is not None and isinstance(asked, Chat):
            what = capped(asked, lease.most)
        try:
            await self._once(one, move, race, what)
        finally:
            usage, cost = one.booked(self._given.prompt)
            lease.settle(cost, usage.input + usage.output)

    async def _once(self, one: Try, move: Attempt, race: Running | None, what: Chat | None) -> None:
        ask, held, clock = self._ask, move.commit == "hold", None
        one.asked, one.result = True, "failed"  # until it is known better
        asked = what or ask.what
        if held and one.card.logprobs and isinstance(asked, Chat) and not asked.logprobs:
            what, one.lent = with_logprobs(asked), True
        if what is not None:
            ask = msgspec.structs.replace(ask, what=what)
        limit = self._limit(one, move)
        if limit is None:
            self._total.begin(self._ask.started)
        try:
            answerer = self._connect(one.card)
            if limit is None:
                one.reply = await answerer(ask, self._relay(one, held, race))
            else:
                async with asyncio.timeout(limit) as clock:
                    lifted = clock if move.commit == "first_word" else None
                    one.reply = await answerer(ask, self._relay(one, held, race, lifted))
            if self._promise is not None and not one.judges:
                self._check(one, self._promise)
            one.result = "answered"
            if race is not None and not race.claims(one):
                one.result = "lost_race"
            elif not held:
                self._given.shown = one
        except SizewiseError as error:
            one.error = error
        except TimeoutError as error:
            if clock is None or not clock.expired():
                raise  # not our clock: a fault of the answerer
            one.error = self._late(one, move)
            one.error.__cause__ = error
        except asyncio.CancelledError as error:
            if limit is None and self._total.passed():
                one.error = self._late(one, move)
                one.error.__cause__ = error
                return
            one.result = "lost_race" if race is not None and race.lost(one) else "cancelled"
            raise
        finally:
            if limit is None:
                self._total.end()
            one.ended = perf_counter() - self._ask.started

    async def opinion(self, by: Card, reply: Reply, begin: Callable[[], Try | None]) -> Verdict:
        """What `by` thinks of `reply`, asked in both orders of the verdicts. `begin` makes an attempt where it may."""
        what, said = self._ask.what, list[Reply | None]()
        for turned in (False, True):
            one = begin() if isinstance(what, Chat) else None
            if one is None:
                break
            one.judges = True
            assert isinstance(what, Chat)
            await self(one, Attempt(by, one.why, "hold"), what=question_about(what, reply, turned))
            if one.reply is None:
                break
            one.result = "judged"
            said.append(one.reply)
        first, second, *_ = (*said, None, None)
        return opinion(by.name, first, second)

    def _check(self, one: Try, promise: Promise) -> None:
        """Raises InvalidOutput where the reply is not the JSON that was asked for."""
        assert one.reply is not None
        one.breach = promise.breach(one.reply, one.events)
        if one.breach is not None:
            one.result = "failed" if self._given.shown is one else "distrusted"
            raise one.breach.error(one.card)

    def _limit(self, one: Try, move: Attempt) -> float | None:
        """Seconds until an attempt without an end has failed: of a hold or a first word the policy's, and the request's
        own. None: nothing is asked but the usual total, which one clock keeps for all first attempts."""
        if move.commit != "stream":
            return min(self.left(), move.hold_s)
        usual = one.number == 1 and one.began < USUAL_S and self._ask.wishes.max_ms is None
        return None if usual else self.left()

    def left(self) -> float:
        return max(0.0, self.until - perf_counter())

    def _late(self, one: Try, move: Attempt) -> UpstreamSlow:
        if move.commit == "stream" or self.left() == 0:
            words = f"had not finished when the {self.until - self._ask.started:g} seconds of the request were over"
        else:
            words = f"had not answered after {move.hold_s:g} seconds"
        return UpstreamSlow(f"{one.card.name} {words}", "try again later")

    def _relay(self, one: Try, held: bool, race: Running | None, lifted: asyncio.Timeout | None = None) -> Send:
        promise, what = self._promise, self._ask.what
        if promise is not None and isinstance(what, Chat) and not one.judges and not promise.kept_by(one.card, what):
            held, race = True, None  # until it has been checked: who wins a race is known then
        begins, send = partial(self._begins, one, race, lifted), self._given.send
        if not self._streams:
            return noting(one, begins, send)
        return keeping(one, begins, send) if held else passing(one, begins, self._given.show, send)

    def _begins(self, one: Try, race: Running | None, lifted: asyncio.Timeout | None) -> None:
        """Notes the time of the first word, and who is first in a race: a loser has nothing more to say."""
        if one.first is None:
            one.first = perf_counter() - self._ask.started
            if lifted is not None:
                lifted.reschedule(asyncio.get_running_loop().time() + self.left())
        if race is not None and not race.claims(one):
            raise asyncio.CancelledError


async def until(race: Running, seconds: float) -> None:
    """Until somebody has won, somebody has failed, or it is time for the next."""
    running = [task for task in race.running if not task.done()]
    if running:
        first: set[asyncio.Future[Try] | asyncio.Task[None]] = {race.won, *running}
        await asyncio.wait(first, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)


async def together(works: list[Coroutine[object, object, None]]) -> None:
    """All at once. When one is faulty or we are cancelled, the others are cancelled and awaited first."""
    try:
        async with asyncio.TaskGroup() as group:
            for work in works:
                group.create_task(work)
    except BaseExceptionGroup as faults:
        raise faults.exceptions[0] from None
