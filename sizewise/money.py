"""Money in whole pico-dollars and what a token costs; the only place where a price is multiplied."""

from __future__ import annotations

from dataclasses import dataclass

PICO = 1_000_000_000_000
"""Pico-dollars in one US dollar. Micro-dollars per million tokens are exactly pico-dollars per token."""


@dataclass(frozen=True, slots=True)
class Price:
    """Micro-dollars per million tokens (= pico-dollars per token), by token class; None is *unknown*, 0 is free.

    A class without a price falls back as vendors bill it: cached and cache_write to input, reasoning to output.
    """

    input: int | None = None
    output: int | None = None
    cached: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None
    source: str = ""
    date: str = ""

    def of(self, input: int, output: int, cached: int = 0, cache_write: int = 0, reasoning: int = 0) -> int | None:
        """Whole pico-dollars for one attempt; None when any token class that occurs has no known price.

        `input` counts all prompt tokens, cached and cache_write included; `output` counts reasoning too.
        """
        if self.input is None or self.output is None:
            return None
        per_cached = self.input if self.cached is None else self.cached
        per_write = self.input if self.cache_write is None else self.cache_write
        per_thought = self.output if self.reasoning is None else self.reasoning
        fresh = max(0, input - cached - cache_write)
        said = max(0, output - reasoning)
        return (
            fresh * self.input
            + cached * per_cached
            + cache_write * per_write
            + said * self.output
            + reasoning * per_thought
        )


FREE = Price(input=0, output=0, source="runs on this machine; energy is not counted")
UNKNOWN = Price()


def per_million(dollars: str) -> int:
    """'0.15' (dollars per million tokens) -> 150_000, exactly; more than six decimals is an error (ValueError)."""
    whole, _, fraction = dollars.strip().partition(".")
    if len(fraction) > 6 or not (whole or fraction) or not (whole + fraction).isdigit():
        raise ValueError(f"{dollars!r} is not a price in dollars per million tokens with at most six decimals")
    return int(whole or "0") * 1_000_000 + int(fraction.ljust(6, "0"))


def dollars(pico: int | None) -> str:
    """Pico-dollars as an exact decimal in dollars, '0' for nothing and 'unknown' for None."""
    if pico is None:
        return "unknown"
    whole, rest = divmod(pico, PICO)
    return f"{whole}.{rest:012d}".rstrip("0").rstrip(".") if rest else str(whole)
