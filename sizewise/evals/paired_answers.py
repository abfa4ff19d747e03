"""Two models' answers to one request, asked for where they are not there yet, and which is worse; draws nothing."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from sizewise.errors import OverBudget, SizewiseError
from sizewise.evals.daily_budget import Purse
from sizewise.evals.shadow_requests import again, judging
from sizewise.handler import Ask, Event, Send, Tried
from sizewise.messages import Chat, Reply
from sizewise.model_card import Card
from sizewise.routing.observation import Answered
from sizewise.routing.text.transcript import question, words


class Found(Protocol):
    """What a judge found: how much worse the first answer is than the second, 0..1; None where it cannot tell, and
    nothing where it contradicts itself when their order is turned."""

    @property
    def worse(self) -> float | None: ...
    @property
    def swapped(self) -> bool: ...


Put = Callable[[Ask, Send, Card], Awaitable[Reply]]
"""Puts a request to the one model that it names."""
Say = Callable[[str], Awaitable[str]]
Compare = Callable[[Say, str, str, str], Awaitable[Found]]
"""(how to ask a judge, the question, one answer, the other) -> what the judge found."""


class Pair:
    """One comparison. `cost` is what it has taken so far, in pico-dollars, unknown prices as nothing; `judged`: a judge
    was asked."""

    def __init__(
        self, put: Put, ask: Ask, judge: Card, compare: Compare, purse: Purse, most: Callable[[], int]
    ) -> None:
        """`most`: what one question may cost now, in pico-dollars, where its price is known."""
        self._put = put
        self._ask = ask
        self._judge = judge
        self._compare = compare
        self._purse = purse
        self._most = most
        self.cost = 0
        self.judged = False

    async def worse(self, answered: tuple[Answered, ...], small: Card, large: Card) -> tuple[float | None, str]:
        """How much worse the small answer is, 0..1; or None and the code of why nobody can tell."""
        assert isinstance(self._ask.what, Chat)
        try:
            one = await self._words(answered, small)
            other = await self._words(answered, large)
            found = await self._compare(self._say, question(self._ask.what), one, other)
        except SizewiseError as error:
            if isinstance(error, OverBudget):
                self._purse.close()
            return None, error.code
        if found.swapped:
            return None, "contradicted"
        return found.worse, "" if found.worse is not None else "undecided"

    async def _words(self, answered: tuple[Answered, ...], card: Card) -> str:
        there = next((each.reply for each in answered if each.card is card), None)
        if there is None:
            asked = again(self._ask, card.name, time.perf_counter(), self._limit(card))
            there = await self._put(asked, self._hear, card)
        return words(there)

    async def _say(self, prompt: str) -> str:
        self.judged = True
        asked = judging(self._ask, self._judge.name, prompt, time.perf_counter(), self._limit(self._judge))
        return (await self._put(asked, self._hear, self._judge)).text

    def _limit(self, card: Card) -> int | None:
        return self._most() if card.price.most(1, 1) is not None else None

    async def _hear(self, event: Event) -> None:
        if isinstance(event, Tried) and event.cost is not None:
            self.cost += event.cost
            self._purse.book(event.cost)
