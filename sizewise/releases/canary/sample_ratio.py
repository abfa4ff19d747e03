"""Sample-ratio mismatch: whether the canary has as many of the units as its share says. Pure; valid at any time.

Where it has not, requests of one arm are lost before they are recorded, and no comparison of the rest means anything
(Fabijan et al. 2019). A bet on each side, as in betting.py; its use for this: Lindon and Malek 2022, arXiv:2011.03567.
"""

from __future__ import annotations

from msgspec import Struct

from sizewise.routing.guarantees.drift import INITIAL_DRIFT, DriftState, place_bets, wealth

ERROR = 0.001
"""Probability that a canary is stopped as broken though no unit is lost; beside the error of its guards."""


class SampleRatio(Struct, frozen=True):
    """`more`, `fewer`: bets on more and on fewer units of the canary than its share."""

    more: DriftState = INITIAL_DRIFT
    fewer: DriftState = INITIAL_DRIFT

    @property
    def wealth(self) -> float:
        return (wealth(self.more) + wealth(self.fewer)) / 2

    @property
    def is_broken(self) -> bool:
        return self.wealth * ERROR >= 1.0


def count_unit(before: SampleRatio, *, is_canary: bool, share: float) -> SampleRatio:
    """`share`: the canary's when the unit entered, above 0 and below 1."""
    excess = is_canary - share
    return SampleRatio(place_bets(before.more, excess / share), place_bets(before.fewer, -excess / (1.0 - share)))
