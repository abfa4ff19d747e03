"""What a request or attempt holds while it goes, and what is said where it may not; settled once, however it ended."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from sizewise.errors import Busy, OverBudget, SizewiseError
from sizewise.limits.quota_leases import Short, Slices
from sizewise.limits.rules import EVERYONE, MOST_COUNT, amount
from sizewise.limits.windows import Meter, Meters, Pots, measured
from sizewise.messages import Chat, Embed
from sizewise.model_card import Card
from sizewise.settings.limits import Budgets as Rules

LEAST = 16
"""Tokens; an answer that could not even have so many is not asked for."""
ANSWER = 1_000
"""Tokens of an answer whose length nobody said, where only tokens a minute are counted."""


class Entry:
    """One request at the door. It is spent as soon as it is held."""

    __slots__ = ("_its", "_slices")

    def __init__(self, slices: Slices, counting: Meters) -> None:
        self._slices = slices
        self._its = counting

    @property
    def meters(self) -> tuple[Meter, ...]:
        return self._its.all

    def need(self, each: Meter) -> int:
        return 1

    def at_once(self, now: float) -> bool:
        self._slices.renew(self._its, now)
        return self._its.pots.count()

    def shorten(self, short: Short) -> None:
        """Raises Busy."""
        raise refusal(short, self._slices.clock())


class Fare:
    """What attempts of a caller at a model are limited by, and what they cost: worked out once."""

    __slots__ = ("allowed", "card", "flat", "its", "longest", "paid", "rate")

    def __init__(self, its: Meters, card: Card, rules: Rules) -> None:
        self.its = its
        self.paid = any(each.money for each in its.all)
        self.rate = min((each.limit for each in its.all if each.rate), default=MOST_COUNT)  # the lowest, tokens
        self.card = card
        self.flat = card.price.flat()
        self.longest = (
            rules.default_max_tokens if card.max_output is None else min(rules.default_max_tokens, card.max_output)
        )
        self.allowed = rules.unpriced == "allow"

    def worst(self, prompt: int, out: int) -> int | None:
        """Pico-dollars at most; None: nobody knows."""
        if self.flat is None:
            return self.card.price.bound(prompt, out)
        read, said = self.flat
        return prompt * read + out * said


class Lease:
    """The right to make one attempt. `held()`, or else `await hold()`, before it; `settle` when it has ended, however
    it ended.

    `tokens` are what it may need, `money` what it may cost at most in pico-dollars; None: nobody knows. `most`: tokens
    that the answer may have, where the client did not say; None: as many as it likes.
    """

    __slots__ = ("_choices", "_estimate", "_fare", "_pots", "_prompt", "_slices", "money", "most", "tokens")

    def __init__(self, slices: Slices, fare: Fare, what: Chat | Embed) -> None:
        self._slices = slices
        self._fare = fare
        self._pots: Pots | None = None  # what it is held of
        prompt, estimate = measured(what)
        context = fare.card.context
        if context is not None and context < prompt:
            prompt = context
        self._prompt = prompt
        self._estimate = estimate
        choices, out = (what.n, what.max_tokens) if isinstance(what, Chat) else (1, 0)
        self._choices = choices
        self.most: int | None = None
        self.money: int | None = 0
        if fare.paid:
            self.money = fare.worst(prompt, choices * (fare.longest if out is None else out))
            if out is None and self.money:
                self.most = fare.longest
        if out is None:
            out = ANSWER if self.most is None else self.most
        self.tokens = estimate + out * choices

    @property
    def meters(self) -> tuple[Meter, ...]:
        return self._fare.its.all

    def held(self) -> bool:
        """Whether it is held now. Where it is not, `hold` says why or asks the store."""
        fare = self._fare
        if self._estimate > fare.rate or (self.money is None and not fare.allowed):
            return False
        slices, its = self._slices, fare.its
        now = slices.clock()
        if now >= its.until:
            slices.renew(its, now)
        pots = its.pots
        if not pots.take(self.money or 0, self.tokens):
            return False
        self._pots = pots
        return True

    async def hold(self) -> None:
        """Raises OverBudget, Busy, or StoreFailed where nobody can tell."""
        if self.held():
            return
        if self.money is None and not self._fare.allowed:
            whose, model = next(_whose(*each.key[:2]) for each in self.meters if each.money), self.model
            raise OverBudget(
                f"{model} has no known price, and {whose} has a budget",
                f'say its price under [models."{model}".price], or `unpriced = "allow"` in [budgets]',
            )
        if (beyond := self.beyond()) is not None:
            raise refusal(Short(beyond, 0), self._slices.clock(), self)
        await self._slices.hold(self)

    def need(self, each: Meter) -> int:
        return self.money or 0 if each.money else 1 if each.counts else min(self.tokens, each.limit)

    def at_once(self, now: float) -> bool:
        self._slices.renew(self._fare.its, now)
        return self.held()

    def shorten(self, short: Short) -> None:
        """Asks for a shorter answer where that can be paid. Raises OverBudget or Busy where it cannot."""
        if not short.meter.money or not self._shortened(short.left):
            raise refusal(short, self._slices.clock(), self)

    def _shortened(self, room: int) -> bool:
        """Makes the answer so short that it costs no more than `room`; False where it then had fewer than LEAST."""
        if self.most is None or self.most <= LEAST or (self.worst(LEAST) or 0) > room:
            return False
        low, high = LEAST, self.most
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if (self.worst(middle) or 0) <= room else (low, middle - 1)
        self.tokens -= (self.most - low) * self._choices
        self.most, self.money = low, self.worst(low)
        return True

    def settle(self, cost: int | None, tokens: int) -> None:
        """What it came to: pico-dollars, None where nobody knows, and tokens read and said. At once, and once."""
        pots = self._pots
        if pots is not None:
            self._pots = None
            pots.settle(self.money or 0, self.tokens, cost, tokens)

    def worst(self, out: int) -> int | None:
        """Pico-dollars at most, where each answer has at most so many tokens; None: nobody knows."""
        return self._fare.worst(self._prompt, out * self._choices)

    def beyond(self) -> Meter | None:
        """The limit of tokens a minute that the prompt alone passes, where there is one."""
        return next((each for each in self.meters if each.rate and self._estimate > each.limit), None)

    @property
    def model(self) -> str:
        return self._fare.card.name


def refusal(short: Short, now: float, lease: Lease | None = None) -> SizewiseError:
    """Why a request, or an attempt at a model, is not made: whose limit, what is left, when it renews."""
    its, pot = short.meter, short.meter.pot
    tenant, scope, unit = its.key
    whose = _whose(tenant, scope)
    wait = max(1, math.ceil(pot.until - now))
    limit = amount(unit, its.limit)
    if its.counts:
        return Busy(f"{whose} may make {limit} requests a minute", "wait for the next minute", retry_after=wait)
    if lease is None or not its.money:
        if lease is not None and lease.beyond() is its:
            hint = "shorten the prompt, or have the limit raised"
            return Busy(f"{whose} may use {limit} tokens a minute, and this prompt alone has more", hint)
        need = "" if lease is None else f" for a request that may need {lease.tokens}"
        words = f"{whose} may use {limit} tokens a minute, and {amount(unit, short.left)} are left{need}"
        return Busy(words, "wait for the next minute, or ask for fewer tokens", retry_after=wait)
    every = unit.partition("/")[2]
    spent, held = pot.spent + pot.unsaid, max(0, pot.taken - pot.free - pot.spent - pot.unsaid)
    stood = "" if tenant == EVERYONE else f"{amount(unit, spent)} are spent and {amount(unit, held)} reserved, and "
    least = amount(unit, (lease.worst(LEAST) if lease.most is not None else lease.money) or 0)
    return OverBudget(
        f"{whose} may spend {limit} dollars a {every}: {stood}asking {lease.model} could cost {least}; "
        f"it renews at {told_time(pot.until)}",
        "ask for fewer tokens or of a cheaper model, or have the budget raised",
    )


def told_time(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _whose(tenant: str, scope: str) -> str:
    kind, _, name = scope.partition(":")
    if kind == "organization":
        return f"the organization {tenant!r}"
    all = " of everyone together" if tenant == EVERYONE else ""
    return f"the {kind} {name!r}{all}"
