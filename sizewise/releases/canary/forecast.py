"""Forecast of a canary: units and days until its guards would find a fault, or certify that there is none. Pure.

A bet's wealth grows by the mean of log(1 + bet x gain) a unit (Kelly 1956), so the units that evidence needs are about
log(needed) / growth of the best bet. A forecast of the median within a factor of about 2, and never a bound.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, log

from sizewise.releases.canary.betting import ArmContrast, of_unit
from sizewise.routing.guarantees.drift import BET_SHARES

DAY_MS = 86_400_000


def units_to_find(loss: float, worse: float, margin: float, share: float, needed: float) -> int | None:
    """Units of both arms until a canary that loses `worse` where stable loses `loss` (0..1) is found; None: never.

    `needed`: evidence of one bet.
    """
    seen = list(_seen(loss, worse, margin, share))
    return _units([(chance, each.value / -each.lowest) for chance, each in seen], needed)


def units_to_certify(loss: float, margin: float, share: float, needed: float) -> int | None:
    """Units of both arms until a canary that is as good as stable is certified."""
    seen = list(_seen(loss, loss, margin, share))
    return _units([(chance, -each.value / each.highest) for chance, each in seen], needed)


def days(units: int | None, entered: int, elapsed_ms: int) -> float | None:
    """Until `units` more have entered, at the pace of those that did. None: never, or no pace is known."""
    return None if units is None or not entered else units * elapsed_ms / entered / DAY_MS


def _seen(stable: float, canary: float, margin: float, share: float) -> Iterator[tuple[float, ArmContrast]]:
    """Each possible observation of one unit, with its probability."""
    for is_canary, chance, rate in ((True, share, canary), (False, 1.0 - share, stable)):
        for loss, probability in ((1.0, rate), (0.0, 1.0 - rate)):
            yield (
                chance * probability,
                of_unit(loss, is_canary=is_canary, share=share, expected=stable, margin=margin),
            )


def _units(gains: list[tuple[float, float]], needed: float) -> int | None:
    growth = max(sum(chance * log(1.0 + bet * gain) for chance, gain in gains) for bet in BET_SHARES)
    return ceil(log(needed * len(BET_SHARES)) / growth) if growth > 0 else None
