"""What one worker holds of each limit, and what one attempt holds of that; plain sums at once, knows no store.

Invariant of a pot: what the worker has taken of the store and not given back is `free` + `held` + what it has spent.
Only `free` is spent from, and it is taken before: so all workers together never pass a limit.
"""

from __future__ import annotations

from collections.abc import Iterable

from sizewise.budgets.limits import MONEY, Key, Unit, window
from sizewise.chat import Chat, Embed

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


Pots = tuple[tuple[Pot, ...], tuple[Pot, ...], tuple[Pot, ...]]
"""Of money, of tokens a minute, of requests a minute."""


class Meters:
    """All that limit the same attempts or requests, and their `pots` of the moment: until `until`, in unix seconds, no
    window of theirs ends."""

    __slots__ = ("all", "pots", "until")

    def __init__(self, all: Iterable[Meter]) -> None:
        self.all = tuple(all)
        self.until = 0
        self.pots: Pots = ((), (), ())

    def take(self, money: int, tokens: int) -> Pots | None:
        """Holds so much of each; None, and nothing is held, where one has too little.

        Tokens that are more than a whole minute wait for a whole one.
        """
        paid, rates, counting = self.pots
        for pot in paid:
            if pot.free < money:
                return None
        for pot in rates:
            if pot.free < (tokens if tokens < pot.limit else pot.limit):
                return None
        for pot in counting:
            if pot.free < 1:
                return None
        for pot in paid:
            pot.free -= money
            pot.busy = True
        for pot in rates:
            pot.free -= tokens if tokens < pot.limit else pot.limit
            pot.busy = True
        for pot in counting:
            pot.free -= 1
            pot.busy = True
        return self.pots

    def count(self) -> bool:
        """Spends one of each at once; False, and nothing is spent, where one has none. For those that only count."""
        _, _, counting = self.pots
        for pot in counting:
            if pot.free < 1:
                return False
        for pot in counting:
            pot.free -= 1
            pot.unsaid += 1
            pot.busy = True
        return True


def settle(pots: Pots, money: int, tokens: int, cost: int | None, used: int) -> None:
    """What an attempt has come to that held so much money and so many tokens. An unknown cost is what was held."""
    paid, rates, counting = pots
    if cost is None:
        cost = money
    back = money - cost
    for pot in paid:
        pot.free += back
        pot.unsaid += cost
        pot.busy = True
    for pot in rates:
        pot.free += (tokens if tokens < pot.limit else pot.limit) - used
        pot.unsaid += used
        pot.busy = True
    for pot in counting:
        pot.unsaid += 1
        pot.busy = True


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
