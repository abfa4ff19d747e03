"""Stratified sample: units drawn with known probabilities, so that weighted means estimate the whole. Pure.

allocation   M. D. Bankier 1988 (The American Statistician 42), power allocation with exponent 1/2: draws in proportion
             to the square root of a stratum's size, so that small strata are oversampled.
draw         simple random sampling without replacement within a stratum: each unit has the probability n_h / N_h.
estimate     J. Hajek 1971: the mean weighted by 1 / probability, which is the stratified mean. Its interval in
             runs/paired_statistics.py is the linearization of a ratio with clusters drawn with replacement (Sarndal,
             Swensson and Wretman 1992, 5.7 and 2.9); ignoring strata and the finite whole makes it wider, not narrower.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from random import Random

from sizewise.errors import BadRequest

LEAST = 2
"""Units of a stratum at least: one alone says nothing of how it varies."""


@dataclass(frozen=True)
class SampledUnit:
    """`place`: in the frame. `probability`: of its inclusion."""

    place: int
    stratum: str
    probability: float


def allocate_sample(sizes: Mapping[str, int], count: int, factors: Mapping[str, float]) -> dict[str, int]:
    """Units to draw of each stratum, `count` together, or all if there are fewer. `factors`: by stratum, 1 by default;
    2 draws about twice as many. Raises BadRequest if `count` is too small for the strata.
    """
    drawn = {name: min(size, LEAST) for name, size in sizes.items()}
    if sum(drawn.values()) > count:
        hint = f"use --items {sum(drawn.values())} or more, or fewer strata: --by result"
        raise BadRequest(f"{count} items are too few for {len(sizes)} strata", hint)
    share = {name: factors.get(name, 1.0) * sqrt(size) for name, size in sizes.items()}
    waiting = [(-share[name] / (drawn[name] + 0.5), name) for name, size in sizes.items() if size > drawn[name]]
    heapq.heapify(waiting)
    left = count - sum(drawn.values())
    while waiting and left:  # the divisor method of Sainte-Lague
        _, name = heapq.heappop(waiting)
        drawn[name] += 1
        left -= 1
        if drawn[name] < sizes[name]:
            heapq.heappush(waiting, (-share[name] / (drawn[name] + 0.5), name))
    return drawn


def draw_sample(strata: Sequence[str], drawn: Mapping[str, int], seed: int) -> list[SampledUnit]:
    """`strata`: of each unit of the frame. In random order, so that the first of them are a sample as well."""
    chance, places = Random(seed), defaultdict[str, list[int]](list)
    for place, stratum in enumerate(strata):
        places[stratum].append(place)
    found = [
        SampledUnit(place, stratum, drawn[stratum] / len(its))
        for stratum, its in places.items()
        for place in chance.sample(its, drawn[stratum])
    ]
    chance.shuffle(found)
    return found


def adjust_for_missing(sample: Sequence[SampledUnit], sizes: Mapping[str, int]) -> list[SampledUnit]:
    """What was drawn and could be read, with probabilities as if no more had been drawn: within a stratum, what is
    missing counts as what is not (weighting class adjustment; Oh and Scheuren 1983).
    """
    read = defaultdict[str, int](int)
    for each in sample:
        read[each.stratum] += 1
    return [SampledUnit(each.place, each.stratum, read[each.stratum] / sizes[each.stratum]) for each in sample]
