"""Prices and costs in whole pico-dollars; the only place that multiplies tokens by a price."""

from __future__ import annotations

from dataclasses import dataclass

PICO_PER_DOLLAR = 1_000_000_000_000
"""Pico-dollars in one US dollar. Micro-dollars per million tokens are exactly pico-dollars per token."""
DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Price:
    """Micro-dollars per million tokens (= pico-dollars per token), by token class; None is *unknown*, 0 is free.

    A class without a price falls back as vendors bill it: cached and cache_write to input, reasoning to output.
    cache_write_1h has no fallback, because caching for an hour costs more than for minutes.
    """

    input: int | None = None
    output: int | None = None
    cached: int | None = None
    cache_write: int | None = None
    cache_write_1h: int | None = None
    reasoning: int | None = None
    source: str = ""
    date: str = ""
    tiers: tuple[tuple[int, Price], ...] = ()
    """(tokens, price), rising: in a prompt of more tokens, this is the price of *all* tokens."""
    schedule: tuple[PriceWindow, ...] = ()
    """Time-dependent prices; if several apply, the last wins."""
    unpriced_modalities: frozenset[str] = frozenset()
    """Modalities with another token price, which is not recorded here."""

    def cost(
        self,
        input: int,
        output: int,
        cached: int = 0,
        cache_write: int = 0,
        reasoning: int = 0,
        cache_write_1h: int = 0,
    ) -> int | None:
        """Whole pico-dollars for one attempt; None if any token class that occurs has no known price.

        `input` counts all prompt tokens, cached and cache_write included; cache_write includes cache_write_1h; `output`
        includes reasoning. Ignores `schedule`: see `at`.
        """
        for tokens, dearer in reversed(self.tiers):
            if input > tokens:
                return dearer.cost(input, output, cached, cache_write, reasoning, cache_write_1h)
        if (self.input is None and input) or (self.output is None and output):
            return None
        per_input, per_output = self.input or 0, self.output or 0
        per_hour = self.cache_write_1h
        if per_hour is None:
            if cache_write_1h:
                return None
            per_hour = 0
        per_cached = per_input if self.cached is None else self.cached
        per_write = per_input if self.cache_write is None else self.cache_write
        per_thought = per_output if self.reasoning is None else self.reasoning
        fresh = max(0, input - cached - cache_write)
        said = max(0, output - reasoning)
        return (
            fresh * per_input
            + cached * per_cached
            + max(0, cache_write - cache_write_1h) * per_write
            + cache_write_1h * per_hour
            + said * per_output
            + reasoning * per_thought
        )

    def at(self, start: float, end: float) -> Price:
        """The price of an attempt from `start` to `end`, in unix seconds; UNKNOWN_PRICE if it changed in between.

        Vendors differ in whether the start or the end counts.
        """
        first, last = self._at_moment(start), self._at_moment(end)
        return first if first is last else UNKNOWN_PRICE

    def max_cost(self, input: int, output: int) -> int | None:
        """Whole pico-dollars at the dearest time, as a bound; None if any of the prices is unknown."""
        if not self.schedule:
            return self.cost(input, output)
        costs = [price.cost(input, output) for price in (self, *(window.price for window in self.schedule))]
        known = [cost for cost in costs if cost is not None]
        return max(known) if len(known) == len(costs) else None

    def upper_bound(self, input: int, output: int) -> int | None:
        """Whole pico-dollars that an attempt of at most so many tokens cannot exceed, whatever the token classes and
        the time; None if one of the prices is unknown.
        """
        if (self.input is None and input) or (self.output is None and output):
            return None
        read, said = self._highest_rates()
        most = input * read + output * said
        others = [dearer for tokens, dearer in self.tiers if input > tokens]
        for price in (*others, *(window.price for window in self.schedule)):
            other = price.upper_bound(input, output)
            if other is None:
                return None
            most = max(most, other)
        return most

    def flat_rates(self) -> tuple[int, int] | None:
        """The highest pico-dollars per input and per output token; None if `upper_bound` depends on more."""
        plain = self.input is not None and self.output is not None and not self.tiers and not self.schedule
        return self._highest_rates() if plain else None

    def _highest_rates(self) -> tuple[int, int]:
        read = max(self.input or 0, self.cached or 0, self.cache_write or 0, self.cache_write_1h or 0)
        return read, max(self.output or 0, self.reasoning or 0)

    def _at_moment(self, moment: float) -> Price:
        return next((window.price for window in reversed(self.schedule) if window.contains(moment)), self)


@dataclass(frozen=True, slots=True)
class PriceWindow:
    """A price from `since` on (unix seconds), within a daily window in UTC seconds.

    `end_second` may be smaller than `start_second`: the window then spans midnight. Equal: all day.
    """

    price: Price
    since: int = 0
    start_second: int = 0
    end_second: int = 0

    def contains(self, moment: float) -> bool:
        if moment < self.since:
            return False
        second = moment % DAY_S
        if self.start_second <= self.end_second:
            return self.start_second == self.end_second or self.start_second <= second < self.end_second
        return second >= self.start_second or second < self.end_second


FREE = Price(input=0, output=0, source="runs on this machine; energy is not counted")
UNKNOWN_PRICE = Price()


def parse_micro_dollars(dollars: str) -> int:
    """'0.15' (dollars per million tokens) -> 150_000, exactly; more than six decimals is an error (ValueError)."""
    whole, _, fraction = dollars.strip().partition(".")
    if len(fraction) > 6 or not (whole or fraction) or not (whole + fraction).isdigit():
        raise ValueError(f"{dollars!r} is not a price: use dollars per million tokens, with at most six decimals")
    return int(whole or "0") * 1_000_000 + int(fraction.ljust(6, "0"))


def format_dollars(pico: int | None) -> str:
    """Pico-dollars as an exact decimal in dollars, '0' for nothing and 'unknown' for None."""
    if pico is None:
        return "unknown"
    whole, rest = divmod(pico, PICO_PER_DOLLAR)
    return f"{whole}.{rest:012d}".rstrip("0").rstrip(".") if rest else str(whole)
