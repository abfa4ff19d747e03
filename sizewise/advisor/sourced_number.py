"""Numbers with provenance (fact, input, default, assumption, estimate, measurement) and number formatting."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from sizewise.catalog.model_info import Fact
from sizewise.money import PICO_PER_DOLLAR

NumberKind = Literal["fact", "input", "default", "assumed", "estimate", "measured"]
"""`default`: an input that was not given. `estimate`: derived from facts by a rule that the source names.
`measured`: on this machine, now.
"""


@dataclass(frozen=True, slots=True)
class SourcedNumber:
    name: str
    value: str
    kind: NumberKind
    source: str


def fact_number(name: str, fact: Fact[int], unit: str = "") -> SourcedNumber:
    return SourcedNumber(name, f"{fact.value:,} {unit}".rstrip(), "fact", str(fact))


def format_number(value: Fraction | int, digits: int = 2) -> str:
    """A decimal without trailing zeros: 0.5, 12, 1,234.57."""
    rounded = round(Fraction(value), digits)
    if rounded.denominator == 1:
        return f"{rounded.numerator:,}"
    return f"{float(rounded):,.{digits}f}".rstrip("0").rstrip(".")


def format_usd(pico: Fraction | int) -> str:
    """Dollars from 100 dollars, cents from one cent, below that two significant digits."""
    amount = Fraction(pico) / PICO_PER_DOLLAR
    if amount == 0 or abs(amount) >= 100:
        return f"${round(amount):,}"
    if abs(amount) >= Fraction(1, 100):
        return f"${float(round(amount, 2)):,.2f}"
    return f"${float(amount):.2g}" if abs(amount) >= Fraction(1, 10_000) else f"${float(amount):.1e}"


def format_seconds(time: Fraction) -> str:
    return f"{round(time * 1000)} ms" if time < 1 else f"{format_number(time, 1)} s"
