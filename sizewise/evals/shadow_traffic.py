"""Draws a share of routed requests by chance, has the other side asked too and both judged; the client waits for none.

A request is drawn when it is over, before anything in it is looked at, and all else is a task of its own that ends with
the server. Every question goes through the whole onion as a request of its own, so the class of data, the books and the
records hold for it as for any other. What it comes to are scores; words are dropped.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping

from sizewise.errors import Busy, ConfigError, SizewiseError, nearest
from sizewise.evals.daily_budget import Purse
from sizewise.evals.implicit_feedback import Implicit
from sizewise.evals.paired_answers import Compare, Pair
from sizewise.evals.quality_monitor import Watch, Watched
from sizewise.evals.shadow_requests import comparable
from sizewise.evals.tables import Sample
from sizewise.handler import Answerer, Ask, Send
from sizewise.messages import Reply
from sizewise.model_card import Card
from sizewise.routing.observation import Answered, Witnessed
from sizewise.settings.routing import Shadow as Wanted
from sizewise.telemetry.metrics import Metrics

log = logging.getLogger("sizewise.evals")

Tell = Callable[[str, Mapping[str, object], str], None]
"""An event, what is to be known of it, and whose it is."""
QUIET_S = 60.0
"""How long a question to a model of our own waits for a moment in which no client is being answered."""
LOOK_S = 0.02
TRIES = 5
"""How often such a question is begun, where clients keep coming while it is answered."""


class Shadows:
    """Comparisons under way and their purse; outlives Houses. For one thread: the event loop."""

    def __init__(
        self, watch: Watch, metrics: Metrics, clock: Callable[[], float] = time.time, tell: Tell | None = None
    ) -> None:
        """`tell` is told of a broken promise and never waits (Hooks.tell)."""
        self.tell = tell
        self.watch = watch
        self.metrics = metrics
        self.purse = Purse(watch.spent, clock)
        self.tasks: set[asyncio.Task[None]] = set()
        self.asking = 0  # questions of ours that are being answered
        self.implicit = Implicit(watch, clock)

    async def stop(self) -> None:
        await self.implicit.stop()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


class Shadow:
    """One House's. `answer` is its onion, set as soon as there is one; `witness` is None where nothing is drawn."""

    answer: Answerer

    def __init__(
        self,
        wanted: Wanted,
        watched: Mapping[str, Watched],
        judge: Card | None,
        compare: Compare,
        shadows: Shadows,
        chance: Callable[[], float],
    ) -> None:
        """`judge` is None only where there is no chat model. `chance` draws from 0..1."""
        draws = wanted.sample_rate and judge is not None
        self.witness = self._seen if draws or wanted.repeat_window_s else None
        self._wanted = wanted
        self._watched = watched
        self._judge = judge
        self._compare = compare
        self._shadows = shadows
        self._counts = shadows.metrics.shadows
        self._chance = chance
        shadows.purse.left(wanted.budget)  # looks up what this day has cost before anybody waits for it

    def _seen(self, seen: Witnessed) -> None:
        """Draws, and begins to compare. What came of each draw is counted."""
        if self._wanted.repeat_window_s:
            self._shadows.implicit.seen(seen, self._wanted.repeat_window_s)
        if self._judge is None or self._chance() >= self._wanted.sample_rate:
            return
        why = self._objection(seen)
        if why:
            self._counts[why] += 1
            return
        task = asyncio.get_running_loop().create_task(self._look(seen, round(time.time() * 1000)))
        self._shadows.tasks.add(task)
        task.add_done_callback(self._ended)

    def _objection(self, seen: Witnessed) -> str:
        """Why what was drawn is not looked at, in a word: its kind, or how things are just now. Empty: it is."""
        its, shadows = self._watched.get(seen.policy), self._shadows
        if its is None or not comparable(seen.ask) or its.large not in [each.card.name for each in seen.field]:
            return "unfit"  # where the large model may not answer, nothing was promised
        if shadows.watch.fallen(seen.ask.caller.tenant, seen.policy, its.version):
            return "fallen"
        if len(shadows.tasks) >= self._wanted.max_concurrent:
            return "busy"
        return "" if shadows.purse.left(self._wanted.budget) else "over_budget"

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._shadows.tasks.discard(task)
        if not task.cancelled() and (fault := task.exception()) is not None:
            self._counts["failed"] += 1
            log.error(
                "a comparison failed: %s", fault.code if isinstance(fault, SizewiseError) else type(fault).__name__
            )

    async def _look(self, seen: Witnessed, at: int) -> None:
        judge = self._judge
        assert judge is not None
        ours = "process" in {judge.place, *(each.card.place for each in seen.field)}
        if ours and not await self._quiet():
            self._counts["busy"] += 1
            return
        its, caller, wanted = self._watched[seen.policy], seen.ask.caller, self._wanted
        large = next(each.card for each in seen.field if each.card.name == its.large)
        given = next(each for each in seen.answered if each.given)
        small = _smaller(seen, large, given)
        pair = Pair(self._put, seen.ask, judge, self._compare, self._shadows.purse, self._most)
        worse, error = (0.0, "") if small is None else await pair.worse(seen.answered, small, large)
        sample = Sample(
            tenant=caller.tenant,
            project=caller.project,
            policy=seen.policy,
            version=its.version,
            meaning=its.meaning,
            trace=seen.ask.trace,
            at=at,
            given=given.card.name,
            small="" if small is None else small.name,
            large=large.name,
            trust=next((each.score for each in seen.answered if each.card is small), None),
            worse=worse,
            judge=judge.name if pair.judged else "",
            share=wanted.sample_rate,
            cost=pair.cost,
            error=error,
        )
        rang = await self._shadows.watch.sampled(sample, its.promise, wanted.confidence)
        self._counts["judged" if worse is not None else "unjudged"] += 1
        if rang:
            self._shadows.metrics.alarms[seen.policy] += 1
            if self._shadows.tell is not None and its.promise is not None:
                told = {"policy": seen.policy, "promised": its.promise.quality, "of": its.large}
                self._shadows.tell("target.missed", {**told, "trace": seen.ask.trace}, caller.tenant)

    def _most(self) -> int:
        """A part of what is left, so that several at once do not pass it together."""
        return self._shadows.purse.left(self._wanted.budget) // self._wanted.max_concurrent

    async def _put(self, ask: Ask, send: Send, card: Card) -> Reply:
        """A model of our own shares its cores with those that answer clients, so it is asked while nobody else is: it
        stops for a client and begins again. Raises Busy where it never comes to its end."""
        if card.place != "process":
            return await self._asked(ask, send)
        for _ in range(TRIES):
            if not await self._quiet():
                break
            reply = await self._between(self._asked(ask, send))
            if reply is not None:
                return reply
        raise Busy("clients were being answered all the time")

    async def _asked(self, ask: Ask, send: Send) -> Reply:
        self._shadows.asking += 1
        try:
            return await self.answer(ask, send)
        finally:
            self._shadows.asking -= 1

    async def _between(self, asking: Coroutine[None, None, Reply]) -> Reply | None:
        """None where a client came before the end."""
        task = asyncio.get_running_loop().create_task(asking)
        try:
            while not (await asyncio.wait({task}, timeout=LOOK_S))[0]:
                if self._clients():
                    return None
        finally:
            task.cancel()
            await asyncio.wait({task})
        return task.result()

    async def _quiet(self) -> bool:
        """Waits until no client is being answered."""
        until = time.monotonic() + QUIET_S
        while self._clients():
            if time.monotonic() > until:
                return False
            await asyncio.sleep(LOOK_S)
        return True

    def _clients(self) -> bool:
        return self._shadows.metrics.in_flight > self._shadows.asking


def _smaller(seen: Witnessed, large: Card, given: Answered) -> Card | None:
    """The other side of the pair: who was given, or else who answered before, or else the cheapest; None: nobody."""
    if given.card is not large:
        return given.card
    answered = [each.card for each in reversed(seen.answered) if each.card is not large]
    return next(iter([*answered, *(each.card for each in seen.field if each.card is not large)]), None)


def arbiter(name: str, cards: tuple[Card, ...], large: Card | None) -> Card | None:
    """The judge that the settings name; else `large`. Raises ConfigError for one that nobody has."""
    chats = {card.name: card for card in cards if card.task == "chat"}
    if name and name not in chats:
        hint = nearest(name, list(chats)) or f"known: {', '.join(chats) or 'none'}"
        raise ConfigError(f"`shadow.judge` names {name!r}, and there is no such chat model", hint)
    return chats[name] if name else large
