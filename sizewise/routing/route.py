"""Performs a policy's moves: the only place where attempts are made and booked; does not know who should answer.

Kept whatever happens: an attempt is booked exactly once; what is held is not sent unless the policy returns it; nobody
begins again once the client has seen a word; a client that leaves stops every model. Only one attempt at a time has
the client's `send`, and the books are sent after all have ended, so no lock is needed around it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial
from time import perf_counter
from types import MappingProxyType

import msgspec

from sizewise.answer import Answerer, Ask, Send
from sizewise.cards import Card
from sizewise.chat import Chat, Embed, Reply
from sizewise.egress import DataClass, Place
from sizewise.errors import OverBudget, SizewiseError, UpstreamSlow
from sizewise.money import dollars
from sizewise.routing.attempts import Try, spent
from sizewise.routing.constraints import Health, Need, expected, field, need, refusal
from sizewise.routing.given import Given
from sizewise.routing.names import Plan
from sizewise.routing.policy import All, Attempt, Field, Judge, Judging, Move, Outcome, Race, Resume, Told, Verdict
from sizewise.routing.relay import keeping, noting, passing
from sizewise.routing.rewrite import resumed, with_logprobs

MAX_PAUSE_S = 60.0  # before an attempt

EVERYWHERE: Mapping[DataClass, Place] = MappingProxyType(
    {"public": "anyone", "internal": "anyone", "confidential": "machine"}
)


def well(card: Card) -> str:
    """The health of whoever nobody watches."""
    return ""


class Routed:
    """An Answerer that asks others. `plan` says who is considered, `connect` makes an Answerer of a card.

    `reach` is the furthest place each class of data may go to, `unsaid` the class of data that nobody classified.
    """

    __slots__ = ("_connect", "_health", "_judge", "_plan", "_reach", "_unsaid")

    def __init__(
        self,
        plan: Callable[[Chat | Embed, str | None], Plan],
        connect: Callable[[Card], Answerer],
        judge: Judging,
        health: Health = well,
        reach: Mapping[DataClass, Place] = EVERYWHERE,
        unsaid: DataClass = "internal",
    ) -> None:
        self._plan = plan
        self._connect = connect
        self._judge = judge
        self._health = health
        self._reach = reach
        self._unsaid = unsaid

    async def __call__(self, ask: Ask, send: Send) -> Reply:
        plan = self._plan(ask.what, ask.wishes.policy)
        needed = need(ask, self._reach, self._unsaid)
        candidates, against = field(plan, needed, self._health)
        if not candidates:
            raise refusal(plan, against)
        if ask.wishes.data_class != needed.data_class:
            wishes = msgspec.structs.replace(ask.wishes, data_class=needed.data_class)
            ask = Ask(ask.what, ask.caller, ask.trace, ask.started, wishes, ask.door)
        return await _Request(self._connect, self._judge, plan, needed, candidates, ask, send).run()


class _Race:
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


class _Request:
    """One request under way, from the policy's first move to the books."""

    __slots__ = ("_ask", "_connect", "_field", "_given", "_judge", "_left_early", "_need", "_over", "_plan", "_streams")

    def __init__(
        self,
        connect: Callable[[Card], Answerer],
        judge: Judging,
        plan: Plan,
        need: Need,
        field: Field,
        ask: Ask,
        send: Send,
    ) -> None:
        self._connect = connect
        self._judge = judge
        self._plan = plan
        self._need = need
        self._field = field
        self._ask = ask
        self._streams = isinstance(ask.what, Chat) and ask.what.stream
        self._given = Given(send, plan.name, need.question.tokens)
        self._over: OverBudget | None = None  # why an attempt was not made
        self._left_early = False  # the client did not wait for the end

    async def run(self) -> Reply:
        route = self._plan.policy.route(self._need.question, self._field)
        told: Told | None = None
        try:
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
                await self._book()

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
        if move.after_s > 0:
            await asyncio.sleep(min(move.after_s, MAX_PAUSE_S))
        if self._too_dear(move.card):
            return self._unmade(move)
        one = self._begin(move.card, move.why)
        await self._make(one, move)
        return self._outcome(one)

    async def _all(self, move: All) -> tuple[Outcome, ...]:
        made = [None if self._too_dear(each.card) else self._begin(each.card, each.why) for each in move.attempts]
        pairs = list(zip(made, move.attempts, strict=True))
        held = [(one, msgspec.structs.replace(each, commit="hold")) for one, each in pairs if one is not None]
        await _together([self._make(one, each) for one, each in held])
        return tuple(self._unmade(each) if one is None else self._outcome(one) for one, each in pairs)

    async def _race(self, move: Race) -> Outcome:
        race = _Race()
        last: Outcome | None = None
        try:
            async with asyncio.TaskGroup() as group:
                for each in move.attempts:
                    if self._too_dear(each.card):
                        last = self._unmade(each)
                        continue
                    one = self._begin(each.card, each.why)
                    race.running[group.create_task(self._make(one, each, race))] = one
                    if move.after_s > 0:
                        await _until(race, move.after_s)
                    if race.won.done():
                        break
        except BaseExceptionGroup as faults:
            raise faults.exceptions[0] from None
        if race.won.done():
            return self._outcome(race.won.result())
        if race.running:
            return self._outcome([*race.running.values()][-1])
        if last is None:
            raise self._given.nonsense("yields a Race of nobody")
        return last

    async def _resume(self, move: Resume) -> Outcome:
        broken, what = self._given.shown, self._ask.what
        allowed = broken is not None and broken.reply is None and self._need.question.plain and move.card.resumes
        if broken is None or not allowed or not isinstance(what, Chat) or move.said != broken.resumable:
            raise self._given.nonsense("yields a Resume where nothing that can be continued broke off")
        if self._too_dear(move.card):
            return self._outcome(broken)
        one = self._begin(move.card, move.why)
        one.prefix = move.said
        chat = resumed(what, move.said, len(move.said) // 4)
        await self._make(one, Attempt(move.card, move.why), what=chat)
        return self._outcome(one)

    async def _judged(self, move: Judge) -> Verdict:
        """The verdict is noted at the attempts whose replies were shown to the judge."""
        verdict = self._judge(self._need.question, move.replies)
        for one in self._given.tries:
            if any(one.reply is reply for reply in move.replies):
                one.score, one.verdict = verdict.score, verdict.why
        return verdict

    # ---- one attempt ------------------------------------------------------------------------------------------------

    def _begin(self, card: Card, why: str) -> Try:
        for candidate in self._field:
            if candidate.card is card:
                break
        else:
            raise self._given.nonsense(f"asks {card.name}, which is not among the candidates")
        one = Try(len(self._given.tries) + 1, card, why, perf_counter() - self._ask.started)
        self._given.tries.append(one)
        return one

    async def _make(self, one: Try, move: Attempt, race: _Race | None = None, what: Chat | None = None) -> None:
        """Asks once. Notes a failure and how it went; raises only what is no failure of the model."""
        ask, held, clock = self._ask, move.commit == "hold", None
        one.asked, one.result = True, "failed"  # until it is known better
        if held and one.card.logprobs and isinstance(ask.what, Chat) and not ask.what.logprobs:
            what, one.lent = with_logprobs(ask.what), True
        if what is not None:
            ask = Ask(what, ask.caller, ask.trace, ask.started, ask.wishes, ask.door)
        limit = self._limit(move)
        try:
            answerer = self._connect(one.card)
            if limit is None:
                one.reply = await answerer(ask, self._relay(one, held, race))
            else:
                async with asyncio.timeout(limit) as clock:
                    lifted = clock if move.commit == "first_word" and self._left() is None else None
                    one.reply = await answerer(ask, self._relay(one, held, race, lifted))
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
            one.error = UpstreamSlow(f"{one.card.name} had not answered after {limit:g} seconds", "try again later")
            one.error.__cause__ = error
        except asyncio.CancelledError:
            one.result = "lost_race" if race is not None and race.lost(one) else "cancelled"
            raise
        finally:
            one.ended = perf_counter() - self._ask.started

    def _limit(self, move: Attempt) -> float | None:
        """Seconds until an attempt without an end has failed: the policy's for a hold, the asker's for everything."""
        left = self._left()
        if move.commit == "stream":
            return left
        return move.hold_s if left is None else min(left, move.hold_s)

    def _left(self) -> float | None:
        wished = self._ask.wishes.max_ms
        return None if wished is None else max(0.0, wished / 1000 + self._ask.started - perf_counter())

    def _relay(self, one: Try, held: bool, race: _Race | None, lifted: asyncio.Timeout | None = None) -> Send:
        begins, send = partial(self._begins, one, race, lifted), self._given.send
        if not self._streams:
            return noting(one, begins, send)
        return keeping(one, begins, send) if held else passing(one, begins, self._given.show, send)

    def _begins(self, one: Try, race: _Race | None, lifted: asyncio.Timeout | None) -> None:
        """Notes the time of the first word, and who is first in a race: a loser has nothing more to say."""
        if one.first is None:
            one.first = perf_counter() - self._ask.started
            if lifted is not None:
                lifted.reschedule(None)
        if race is not None and not race.claims(one):
            raise asyncio.CancelledError

    # ---- the books --------------------------------------------------------------------------------------------------

    def _outcome(self, one: Try) -> Outcome:
        return one.outcome(self._need.question.tokens, self._given.shown is one or bool(one.prefix))

    def _too_dear(self, card: Card) -> bool:
        """Whether asking `card` too could pass what the request may cost; what is spent already counts."""
        limit = self._need.max_cost
        if limit is None or not self._given.tries:
            return False  # the constraints have seen to the first
        sums = spent(self._given.tries, self._need.question)
        more = expected(card, self._need.question) or 0
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

    async def _book(self) -> None:
        """One Tried for every attempt, whatever happened; a listener takes it without waiting for anything."""
        given, prompt = self._given, self._need.question.tokens
        cancelled: asyncio.CancelledError | None = None
        for one in given.tries:
            if not one.asked:
                continue  # the race was over before it was its turn
            if one.result == "answered" and one is not given.shown:
                one.result = given.unused(one, self._left_early)
            try:
                await given.send(one.tried(prompt))
            except asyncio.CancelledError as error:
                cancelled = error  # the rest is booked all the same
        if cancelled is not None:
            raise cancelled


async def _until(race: _Race, seconds: float) -> None:
    """Until somebody has won, somebody has failed, or it is time for the next."""
    running = [task for task in race.running if not task.done()]
    if running:
        first: set[asyncio.Future[Try] | asyncio.Task[None]] = {race.won, *running}
        await asyncio.wait(first, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)


async def _together(works: list[Coroutine[None, None, None]]) -> None:
    """All at once. When one is faulty or we are cancelled, the others are cancelled and awaited first."""
    try:
        async with asyncio.TaskGroup() as group:
            for work in works:
                group.create_task(work)
    except BaseExceptionGroup as faults:
        raise faults.exceptions[0] from None
