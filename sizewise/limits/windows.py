"""What one worker holds of each limit, and what one attempt holds of that; plain sums at once, knows no store.

Invariant of a pot: what the worker has taken of the store and not given back is `free` + `held` + what it has spent.
Only `free` is spent from, and it is taken before: so all workers together never pass a limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from sizewise.limits.rules import MONEY, MOST_COUNT, Key, Unit, window
from sizewise.messages import Chat, Embed

PER_TOKEN = 4
"""Bytes of text in a token, on average. In the worst case every byte is one: no tokenizer makes more."""
PER_MESSAGE = 4
PER_MEDIUM, MEDIUM_MOST = 800, 3_200
"""Tokens of a picture or sound: on average, and of nearly all at most."""


class Pot:
    """One window of one limit, as this worker holds it. `taken` and `spent` are the store's, as it was last `seen`."""

    __slots__ = (
        *("busy", "free", "full", "got", "key", "limit", "said", "seen", "since", "spent", "taken", "unsaid", "until"),
    )

    def __init__(self, key: Key, limit: int, since: int, until: int) -> None:
        self.key = key
        self.limit = limit
        self.since = since  # unix s
        self.until = until
        self.got = 0  # all that was taken, less what went back
        self.free = 0  # of that, what is neither held nor spent; below 0: owed
        self.unsaid = 0  # spent since the store was last told
        self.said = 0  # spent before
        self.taken = 0
        self.spent = 0
        self.seen = 0.0
        self.full = False  # something found no room since the store was last told
        self.busy = False  # was used since it was last looked at

    @property
    def held(self) -> int:
        """By attempts under way."""
        return self.got - self.free - self.said - self.unsaid

    def gets(self, more: int) -> None:
        """From the store; below 0: gives back."""
        self.got += more
        self.free += more

    def says(self, spent: int) -> None:
        """To the store; below 0: it has not arrived."""
        self.said += spent
        self.unsaid -= spent

    @property
    def left(self) -> int:
        """What is left of the limit for new attempts of this worker, as far as it knows."""
        return max(0, self.limit - self.taken + self.free)


class Meter:
    """One limit; `pot` is its window of the moment."""

    __slots__ = ("counts", "key", "limit", "money", "pot", "rate")

    def __init__(self, key: Key, limit: int, now: float) -> None:
        self.key = key
        self.limit = limit
        unit: Unit = key[2]
        self.money = unit in MONEY
        self.counts = unit == "requests/minute"
        self.rate = unit == "tokens/minute"
        self.pot = self.opened(now)

    def opened(self, now: float) -> Pot:
        return Pot(self.key, self.limit, *window(self.key[2], now))


class Pots:
    """The windows of all limits that hold for the same attempts or requests, by kind.

    What is spent is summed here, and told to each pot by `share`; until then its own sum of it counts as held.
    """

    __slots__ = ("_cost", "_lowest", "_made", "_tokens", "_touched", "_used", "counting", "paid", "rates")

    def __init__(self, its: Sequence[Meter], touched: list[Pots]) -> None:
        """`touched`: whoever has something to share adds itself there."""
        self.paid = tuple(each.pot for each in its if each.money)
        self.rates = tuple(each.pot for each in its if each.rate)
        self.counting = tuple(each.pot for each in its if each.counts)
        self._lowest = min((pot.limit for pot in self.rates), default=MOST_COUNT)
        self._touched = touched
        self._used = False
        self._cost = self._tokens = self._made = 0

    def take(self, money: int, tokens: int) -> bool:
        """Holds so much of each; False, and nothing is held, where one has too little.

        Tokens that are more than a whole minute wait for a whole one.
        """
        for pot in self.paid:
            if pot.free < money:
                return False
        for pot in self.rates:
            if pot.free < tokens and (tokens <= pot.limit or pot.free < pot.limit):
                return False
        for pot in self.counting:
            if pot.free < 1:
                return False
        for pot in self.paid:
            pot.free -= money
        if tokens > self._lowest:
            for pot in self.rates:
                pot.free -= min(tokens, pot.limit)
        else:
            for pot in self.rates:
                pot.free -= tokens
        for pot in self.counting:
            pot.free -= 1
        if not self._used:
            self._used = True
            self._touched.append(self)
        return True

    def settle(self, money: int, tokens: int, cost: int | None, used: int) -> None:
        """What an attempt has come to that held so much money and so many tokens. An unknown cost is what was held."""
        if cost is None:
            cost = money
        back = money - cost
        for pot in self.paid:
            pot.free += back
        if tokens > self._lowest:
            for pot in self.rates:
                pot.free += min(tokens, pot.limit) - used
        else:
            back = tokens - used
            for pot in self.rates:
                pot.free += back
        self._cost += cost
        self._tokens += used
        self._made += 1
        if not self._used:
            self._used = True
            self._touched.append(self)

    def count(self) -> bool:
        """Spends one of each at once; False, and nothing is spent, where one has none. For those that only count."""
        for pot in self.counting:
            if pot.free < 1:
                return False
        for pot in self.counting:
            pot.free -= 1
        self._made += 1
        if not self._used:
            self._used = True
            self._touched.append(self)
        return True

    def share(self) -> None:
        """Tells each what was spent of it, and that it was used."""
        for pots, spent in ((self.paid, self._cost), (self.rates, self._tokens), (self.counting, self._made)):
            for pot in pots:
                pot.unsaid += spent
                pot.busy = True
        self._cost = self._tokens = self._made = 0
        self._used = False


class Meters:
    """All that limit the same attempts or requests. Their `pots` last `until`, in unix seconds."""

    __slots__ = ("_touched", "all", "pots", "until")

    def __init__(self, all: Sequence[Meter], touched: list[Pots]) -> None:
        self.all = tuple(all)
        self._touched = touched
        self.renew()

    def renew(self) -> None:
        """Takes the windows of the moment."""
        self.pots = Pots(self.all, self._touched)
        self.until = min((float(each.pot.until) for each in self.all), default=inf)


def measured(what: Chat | Embed) -> tuple[int, int]:
    """Tokens of the prompt: at most, and estimated. What pictures and files come to, nobody knows exactly."""
    if isinstance(what, Embed):
        most = sum(len(each.encode()) if isinstance(each, str) else len(each) for each in what.inputs)
        estimate = sum(len(each) // PER_TOKEN + 1 if isinstance(each, str) else len(each) for each in what.inputs)
        return most, estimate
    around, sees = PER_MESSAGE * len(what.messages), False
    for message in what.messages:
        if type(message.content) is list:
            sees = bool(what.sees())
            break
    if not sees:
        size = what.size()
        return size, size // PER_TOKEN + around
    tools, media = what.fields.get("tools"), 0
    size = 0 if tools is None else len(bytes(tools))
    for message in what.messages:
        size += len(message.text.encode("utf-8", "surrogatepass"))
        if isinstance(message.content, list):
            media += sum(1 for part in message.content if part.type not in ("text", "refusal"))
    return size + around + MEDIUM_MOST * media, size // PER_TOKEN + around + PER_MEDIUM * media
