"""What a request or attempt holds while it goes, and what is said where it may not; settled once, however it ended."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from sizewise.budgets import meter as meters
from sizewise.budgets.limits import EVERYONE, amount
from sizewise.budgets.meter import Held, Load, Meter
from sizewise.budgets.slices import Short, Slices
from sizewise.cards import Card
from sizewise.chat import Chat, Embed
from sizewise.errors import Busy, OverBudget, SizewiseError
from sizewise.settings.spending import Budgets as Rules

LEAST = 16
"""Tokens; an answer that could not even have so many is not asked for."""


class Entry:
    """One request at the door."""

    __slots__ = ("_slices", "meters")

    def __init__(self, slices: Slices, counting: tuple[Meter, ...]) -> None:
        self._slices = slices
        self.meters = counting

    def need(self, each: Meter) -> int:
        return 1

    def at_once(self) -> bool:
        """It is spent as soon as it is held."""
        held = self._slices.take(self.meters, 0, 0)
        meters.settle(held or (), 0, 0)
        return held is not None

    def shorten(self, short: Short) -> None:
        """Raises Busy."""
        raise refusal(short, self._slices.clock())


class Lease:
    """The right to make one attempt. `await hold()` before it, `settle` when it has ended, however it ended."""

    __slots__ = ("_held", "_load", "_model", "_priced", "_slices", "meters")

    def __init__(self, slices: Slices, its: tuple[Meter, ...], card: Card, what: Chat | Embed, rules: Rules) -> None:
        self._slices = slices
        self.meters = its
        self._load = Load(its, card, what, rules.answer_tokens)
        self._priced = not self._load.unpriced or rules.unpriced == "allow"
        self._model = card.name
        self._held: list[Held] = []

    @property
    def most(self) -> int | None:
        """Tokens that the answer may have, where the client did not say; None: as many as it likes."""
        return self._load.most

    async def hold(self) -> None:
        """Raises OverBudget, Busy, or StoreFailed where nobody can tell."""
        if not self._priced:
            whose = next(_whose(*each.key[:2]) for each in self._load.meters if each.money)
            raise OverBudget(
                f"{self._model} has no known price, and {whose} has a budget",
                f'say its price under [models."{self._model}".price], or `unpriced = "allow"` in [budgets]',
            )
        if (beyond := self._load.beyond()) is not None:
            raise refusal(Short(beyond, 0), self._slices.clock(), self._load, self._model)
        if not self.at_once():
            await self._slices.hold(self)

    def need(self, each: Meter) -> int:
        load = self._load
        return load.money or 0 if each.money else 1 if each.counts else min(load.tokens, each.limit)

    def at_once(self) -> bool:
        held = self._slices.take(self.meters, self._load.money or 0, self._load.tokens)
        self._held = held or []
        return held is not None

    def shorten(self, short: Short) -> None:
        """Asks for a shorter answer where that can be paid. Raises OverBudget or Busy where it cannot."""
        load = self._load
        if not short.meter.money or not load.shorten(short.left, LEAST):
            raise refusal(short, self._slices.clock(), load, self._model)

    def settle(self, cost: int | None, tokens: int) -> None:
        """What it came to: pico-dollars, None where nobody knows, and tokens read and said. At once, and once."""
        held, self._held = self._held, []
        meters.settle(held, cost, tokens)


def refusal(short: Short, now: float, load: Load | None = None, model: str = "") -> SizewiseError:
    """Why a request, or an attempt at a model, is not made: whose limit, what is left, when it renews."""
    its, pot = short.meter, short.meter.pot
    tenant, scope, unit = its.key
    whose = _whose(tenant, scope)
    wait = max(1, math.ceil(pot.until - now))
    limit = amount(unit, its.limit)
    if its.counts:
        return Busy(f"{whose} may make {limit} requests a minute", "wait for the next minute", retry_after=wait)
    if load is None or not its.money:
        if load is not None and load.beyond() is its:
            hint = "shorten the prompt, or have the limit raised"
            return Busy(f"{whose} may use {limit} tokens a minute, and this prompt alone has more", hint)
        need = "" if load is None else f" for a request that may need {load.tokens}"
        words = f"{whose} may use {limit} tokens a minute, and {amount(unit, short.left)} are left{need}"
        return Busy(words, "wait for the next minute, or ask for fewer tokens", retry_after=wait)
    every = unit.partition("/")[2]
    spent, held = pot.spent + pot.unsaid, max(0, pot.taken - pot.free - pot.spent - pot.unsaid)
    stood = "" if tenant == EVERYONE else f"{amount(unit, spent)} are spent and {amount(unit, held)} reserved, and "
    least = amount(unit, (load.worst(LEAST) if load.most is not None else load.money) or 0)
    return OverBudget(
        f"{whose} may spend {limit} dollars a {every}: {stood}asking {model} could cost {least}; "
        f"it renews at {told_time(pot.until)}",
        "ask for fewer tokens or of a cheaper model, or have the budget raised",
    )


def told_time(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _whose(tenant: str, scope: str) -> str:
    kind, _, name = scope.partition(":")
    if kind == "organisation":
        return f"the organisation {tenant!r}"
    all = " of everyone together" if tenant == EVERYONE else ""
    return f"the {kind} {name!r}{all}"
