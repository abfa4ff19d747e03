"""What may be promised on recorded outcomes, by which policy and threshold, and what it saves; needs numpy.

Half of the prompts teach, the other half proves: neither sees the other's scores. Two policies are tried, the chance of
error shared out between them: *prompt* chooses before anybody is asked, *cascade* after the small model has answered.
What certifies and saves most is chosen; nothing saves less than asking the large model always.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from msgspec import Struct

from sizewise.errors import BadRequest
from sizewise.evals.crossed import Answered, crossed, gains, odds_of
from sizewise.evals.outcomes import Outcomes
from sizewise.routing.agreement import same
from sizewise.routing.combine import combine
from sizewise.routing.learn import FEWEST, Floats, Ints
from sizewise.routing.promise import Certified, Pair, Promise, certify, wanted

GRID = 40  # thresholds of a policy


class Tried(Struct, frozen=True):
    """One policy: what it certified, and of it what saves most. Shares 0..1; `needs` pairs where nothing passed."""

    policy: str
    certified: Certified
    served: float
    quality: float | None  # as measured; None: nothing was certified
    saves: float  # of the cost of asking the large model always
    needs: int | None


@dataclass(frozen=True)
class Way:
    """A policy on its way to be tried: the worth of the large model for the prompts that taught, which fix the grid,
    and for those that prove; what a request costs `always`, and beside that where it is `kept` small."""

    name: str
    taught: Floats
    proved: Floats
    always: float
    kept: float


class Calibration(Struct, frozen=True):
    """`chosen` is None where no policy both keeps the promise and saves."""

    small: str
    large: str
    second: str | None
    promise: Promise
    taught: int  # prompts that taught
    proved: int  # prompts that proved
    small_good: float  # mean scores of the latter
    large_good: float
    ratio: float
    tried: tuple[Tried, ...]
    chosen: Tried | None
    digest: str
    seed: int


def calibrate(
    outcomes: Outcomes,
    small: str,
    large: str,
    promise: Promise,
    *,
    second: str | None = None,
    ratio: float = 0.1,
    seed: int = 0,
) -> Calibration:
    """`ratio`: what an answer of a small model costs, where one of the large model costs 1. Raises BadRequest."""
    rows = outcomes.answered(small, large)
    if len(rows) < 2 * FEWEST:
        hint = f"label {2 * FEWEST - len(rows)} more: half of them teach, half prove"
        raise BadRequest(f"{len(rows)} prompts were answered by both {small!r} and {large!r}", hint)
    asked = answered(outcomes, small, large, rows, second)
    mixed = np.random.default_rng(seed).permutation(len(rows))
    taught, proved = np.sort(mixed[: len(rows) // 2]), mixed[len(rows) // 2 :]
    texts = asked.texts
    before, after = (gains(odds_of(asked, texts, taught, part)) for part in (taught, proved))
    ways = (
        Way("prompt", before, after, 0.0, ratio),
        Way("cascade", *_after(asked, texts, taught, proved, seed), ratio * (2.0 if second else 1.0), 0.0),
    )
    error = (1.0 - promise.sure) / len(ways)
    small_good, large_good = asked.small[proved], asked.large[proved]
    tried = tuple(_tried(way, small_good, large_good, promise, error) for way in ways)
    best = max(tried, key=lambda each: each.saves)
    return Calibration(
        small,
        large,
        second,
        promise,
        len(taught),
        len(proved),
        float(small_good.mean()),
        float(large_good.mean()),
        ratio,
        tried,
        best if best.saves > 0 else None,
        outcomes.digest,
        seed,
    )


def answered(outcomes: Outcomes, small: str, large: str, rows: Sequence[int], second: str | None) -> Answered:
    """Raises BadRequest for a model that nobody asked."""
    one, good = outcomes.column(small), outcomes.column(large)
    agrees: list[bool | None] = [None] * len(rows)
    if second is not None:
        other = outcomes.column(second)
        agrees = [same(one.answer[row], other.answer[row]) for row in rows]
    small_is, large_is = (np.asarray([column.score[row] for row in rows]) for column in (one, good))
    return Answered([outcomes.prompts[row] for row in rows], small_is, large_is, one, rows, agrees)


def _after(asked: Answered, texts: Sequence[str], taught: Ints, proved: Ints, seed: int) -> tuple[Floats, Floats]:
    """The worth of the large model, known after the small one's answer, of both halves."""
    known = crossed(asked, texts, taught, seed)
    learnt = combine(known, asked.small[taught].tolist(), asked.large[taught].tolist())
    odds = odds_of(asked, texts, taught, proved)
    new = [asked.signals(int(each), its) for each, its in zip(proved, odds, strict=True)]
    before, after = (np.asarray([learnt.gain(each) for each in part]) for part in (known, new))
    return before, after


def _tried(way: Way, small: Floats, large: Floats, promise: Promise, error: float) -> Tried:
    grid = np.unique(np.quantile(-way.taught, np.linspace(0.0, 1.0, GRID))).tolist()
    columns = (column.tolist() for column in (-way.proved, small, large))
    pairs = [Pair(*each) for each in zip(*columns, strict=True)]
    certified = certify(way.name, pairs, grid, promise, error=error)
    best, needs = certified.best, wanted(certified, error)
    if best is None:
        return Tried(way.name, certified, 0.0, None, 0.0, needs)
    saves = max(0.0, (1.0 - way.kept) * best.served - way.always)
    return Tried(way.name, certified, best.served, best.quality, saves, needs)
