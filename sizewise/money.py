"""Prices and costs in whole pico-dollars; the only place that multiplies tokens and other units by a price."""

from __future__ import annotations

from dataclasses import dataclass

PICO_PER_DOLLAR = 1_000_000_000_000
"""Pico-dollars in one US dollar. Micro-dollars per million tokens are exactly pico-dollars per token."""
DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class MediaUnits:
    """What a request for audio or images uses besides tokens. `audio_ms`: milliseconds; None: not known."""

    audio_ms: int | None = 0
    characters: int = 0
    images: int = 0
    image_kind: str = ""  # size of the images, after their quality if it has a price of its own: "hd 1024x1024"


@dataclass(frozen=True, slots=True)
class UnitRates:
    """Pico-dollars per unit other than tokens; None: this unit has no price. `image_kinds`: per image of a kind, in
    place of `image`.
    """

    second: int | None = None
    character: int | None = None
    image: int | None = None
    request: int | None = None
    image_kinds: tuple[tuple[str, int], ...] = ()

    def cost(self, units: MediaUnits) -> int | None:
        """Whole pico-dollars, a part of a second rounded to the nearest; None if a unit with a price is not known."""
        total = self.request or 0
        if self.second is not None:
            if units.audio_ms is None:
                return None
            total += (self.second * units.audio_ms + 500) // 1000
        if self.character is not None:
            total += self.character * units.characters
        if units.images and (self.image is not None or self.image_kinds):
            each = self._image_rate(units.image_kind)
            if each is None:
                return None
            total += each * units.images
        return total

    def _image_rate(self, kind: str) -> int | None:
        """The price of its size and quality, else of its size, else of any image."""
        kinds = dict(self.image_kinds)
        return kinds.get(kind, kinds.get(kind.rpartition(" ")[2], self.image))


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
    units: UnitRates | None = None
    """Prices of other units, in addition to those of tokens."""

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

    def media_cost(self, units: MediaUnits, input: int, output: int, cached: int = 0) -> int | None:
        """Whole pico-dollars of a request for audio or images. None if nothing of it has a known price, or if tokens
        have a price and the upstream has counted none.
        """
        per_token = self.input is not None or self.output is not None
        if self.units is None and not per_token:
            return None
        fixed = 0 if self.units is None else self.units.cost(units)
        if not per_token or fixed is None:
            return fixed
        tokens = self.cost(input, output, cached) if input or output else None
        return None if tokens is None else tokens + fixed

    def media_upper_bound(self, units: MediaUnits, context: int | None, max_output: int | None) -> int | None:
        """Whole pico-dollars that a request of at most these units cannot exceed; None if unknown. `context` and
        `max_output` bound its tokens.
        """
        fixed = 0 if self.units is None else self.units.cost(units)
        if self.input is None and self.output is None:
            return None if self.units is None else fixed
        if fixed is None or context is None:
            return None
        tokens = self.upper_bound(context, max_output or context)
        return None if tokens is None else tokens + fixed

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


def parse_pico_dollars(dollars: str) -> int:
    """'0.0001' (dollars per second, character, image or request) -> 100_000_000, exactly; more than twelve decimals is
    an error (ValueError).
    """
    whole, _, fraction = dollars.strip().partition(".")
    if len(fraction) > 12 or not (whole or fraction) or not (whole + fraction).isdecimal():
        raise ValueError(f"{dollars!r} is not a price: use dollars per unit, with at most twelve decimals")
    return int(whole or "0") * PICO_PER_DOLLAR + int(fraction.ljust(12, "0"))


def format_dollars(pico: int | None) -> str:
    """Pico-dollars as an exact decimal in dollars, '0' for nothing and 'unknown' for None."""
    if pico is None:
        return "unknown"
    if pico < 0:
        return f"-{format_dollars(-pico)}"
    whole, rest = divmod(pico, PICO_PER_DOLLAR)
    return f"{whole}.{rest:012d}".rstrip("0").rstrip(".") if rest else str(whole)


def short_dollars(pico: int) -> str:
    """As people read them: cents from a dollar on, else three digits that count, cut off: $1,204.50, $0.000123, -$3."""
    sign, amount = "-" if pico < 0 else "", abs(pico)
    whole, rest = divmod(amount, PICO_PER_DOLLAR)
    digits = f"{rest:012d}"
    kept = digits[:2] if whole else digits[: max(2, 12 - len(str(rest)) + 3)].rstrip("0").ljust(2, "0")
    return f"{sign}${whole:,}.{kept}".removesuffix(".00")
