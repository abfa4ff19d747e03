"""What one worker holds of each limit, and what one attempt holds of that; plain sums at once, knows no store.

Invariant of a pot: what the worker has taken of the store and not given back is `free` + `held` + what it has spent.
Only `free` is spent from, and it is taken before: so all workers together never pass a limit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sizewise.budgets.limits import MONEY, Key, Unit, window
from sizewise.cards import Card
from sizewise.chat import Chat, Embed

PER_TOKEN = 4
"""Bytes of text in a token, on average. In the worst case every byte is one: no tokenizer makes more."""
PER_MESSAGE = 4
PER_MEDIUM, MEDIUM_MOST = 800, 3_200
"""Tokens of a picture or sound: on average, and of nearly all at most."""
ANSWER = 1_000
"""Tokens of an answer whose length nobody said, where only tokens a minute are counted."""


class Pot:
    """One window of one limit, as this worker holds it. `taken` and `spent` are the store's, as it was last `seen`."""

    __slots__ = ("busy", "free", "full", "held", "key", "limit", "seen", "since", "spent", "taken", "unsaid", "until")

    def __init__(self, key: Key, limit: int, since: int, until: int) -> None:
        self.key = key
        self.limit = limit
        self.since = since  # unix s
        self.until = until
        self.free = 0  # taken, and neither held nor spent; below 0: owed
        self.held = 0  # by attempts under way
        self.unsaid = 0  # spent since the store was last told
        self.taken = 0
        self.spent = 0
        self.seen = 0.0
        self.full = False  # something found no room since the store was last told
        self.busy = False  # was used since it was last looked at

    @property
    def left(self) -> int:
        """What is left of the limit for new attempts of this worker, as far as it knows."""
        return max(0, self.limit - self.taken + self.free)


class Meter:
    """One limit; `pot` is its window of the moment."""

    __slots__ = ("counts", "key", "limit", "money", "pot")

    def __init__(self, key: Key, limit: int, now: float) -> None:
        self.key = key
        self.limit = limit
        unit: Unit = key[2]
        self.money = unit in MONEY
        self.counts = unit == "requests/minute"
        self.pot = self.opened(now)

    def opened(self, now: float) -> Pot:
        return Pot(self.key, self.limit, *window(self.key[2], now))


Held = tuple[Pot, int, Meter]
"""What an attempt holds of which window."""


def take(
    meters: Iterable[Meter], money: int, tokens: int, now: float, roll: Callable[[Meter, float], Pot]
) -> list[Held] | None:
    """Holds so much of each; None, and nothing is held, where one has too little. `roll` opens the window of `now`.

    Tokens that are more than a whole minute wait for a whole one.
    """
    held: list[Held] = []
    for meter in meters:
        pot = meter.pot
        if now >= pot.until:
            pot = roll(meter, now)
        need = money if meter.money else 1 if meter.counts else tokens if tokens < meter.limit else meter.limit
        if pot.free < need:
            return None
        held.append((pot, need, meter))
    for pot, need, _ in held:
        pot.free -= need
        pot.held += need
        pot.busy = True
    return held


class Load:
    """What an attempt may come to. `most`: tokens that the answer may have, where the client said nothing of it."""

    __slots__ = ("_card", "_choices", "_estimate", "_out", "_prompt", "meters", "money", "most", "tokens", "unpriced")

    def __init__(self, meters: tuple[Meter, ...], card: Card, what: Chat | Embed, answer: int) -> None:
        """`answer`: tokens of an answer whose length the client left open."""
        self.meters = meters
        self._card = card
        self._prompt, self._estimate = measured(what)
        if card.context is not None:
            self._prompt = min(self._prompt, card.context)
        self._choices, self._out = (what.n, what.max_tokens) if isinstance(what, Chat) else (1, 0)
        paid = any(meter.money for meter in meters)
        self.most = None
        self.money: int | None = 0
        if paid:
            longest = answer if card.max_output is None else min(answer, card.max_output)
            self.money = self.worst(longest if self._out is None else self._out)
            if self._out is None and self.money:
                self.most = longest
        self.unpriced = self.money is None
        out = self._out if self._out is not None else ANSWER if self.most is None else self.most
        self.tokens = self._estimate + out * self._choices

    def worst(self, out: int) -> int | None:
        """Pico-dollars at most, where each answer has at most so many tokens; None: nobody knows."""
        return self._card.price.bound(self._prompt, out * self._choices)

    def beyond(self) -> Meter | None:
        """The limit of tokens a minute that the prompt alone passes, where there is one."""
        rates = (each for each in self.meters if not (each.money or each.counts))
        return next((each for each in rates if self._estimate > each.limit), None)

    def shorten(self, room: int, least: int) -> bool:
        """Makes the answer so short that it costs no more than `room`; False where it then had fewer than `least`."""
        if self.most is None or self.most <= least or (self.worst(least) or 0) > room:
            return False
        low, high = least, self.most
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if (self.worst(middle) or 0) <= room else (low, middle - 1)
        self.tokens -= (self.most - low) * self._choices
        self.most, self.money = low, self.worst(low)
        return True


def measured(what: Chat | Embed) -> tuple[int, int]:
    """Tokens of the prompt: at most, and estimated. What pictures and files come to, nobody knows exactly."""
    if isinstance(what, Embed):
        most = sum(len(each.encode()) if isinstance(each, str) else len(each) for each in what.inputs)
        estimate = sum(len(each) // PER_TOKEN + 1 if isinstance(each, str) else len(each) for each in what.inputs)
        return most, estimate
    around = PER_MESSAGE * len(what.messages)
    if not what.sees():
        size = what.size()
        return size, size // PER_TOKEN + around
    tools, media = what.fields.get("tools"), 0
    size = 0 if tools is None else len(bytes(tools))
    for message in what.messages:
        size += len(message.text.encode("utf-8", "surrogatepass"))
        if isinstance(message.content, list):
            media += sum(1 for part in message.content if part.type not in ("text", "refusal"))
    return size + around + MEDIUM_MOST * media, size // PER_TOKEN + around + PER_MEDIUM * media


def settle(held: Iterable[Held], cost: int | None, tokens: int) -> None:
    """What an attempt has come to. An unknown cost is what was held."""
    for pot, amount, meter in held:
        came = (amount if cost is None else cost) if meter.money else 1 if meter.counts else tokens
        pot.held -= amount
        pot.free += amount - came
        pot.unsaid += came
        pot.busy = True
