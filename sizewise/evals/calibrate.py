"""What may be promised on recorded outcomes, by which policy and threshold, and what it saves; needs numpy.

Half of the prompts teach, the other half proves: neither sees the other's scores. Two policies are tried, the chance of
error shared out between them: *prompt* chooses before anybody is asked, *cascade* after the small model has answered.
What certifies and saves most is chosen; nothing saves less than asking the large model always.
"""

from __future__ import annotations

from collections.abc import Sequence

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
    found = {
        "prompt": [gains(odds_of(asked, texts, taught, part)) for part in (taught, proved)],
        "cascade": _after(asked, texts, taught, proved, seed),
    }
    error = (1.0 - promise.sure) / len(found)
    always = {"prompt": 0.0, "cascade": ratio * (2.0 if second else 1.0)}
    kept = {"prompt": ratio, "cascade": 0.0}
    tried = tuple(
        _tried(name, asked, proved, before, worth, promise, error, always[name], kept[name])
        for name, (before, worth) in found.items()
    )
    best = max(tried, key=lambda each: each.saves)
    return Calibration(
        small,
        large,
        second,
        promise,
        len(taught),
        len(proved),
        float(asked.small[proved].mean()),
        float(asked.large[proved].mean()),
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


def _after(asked: Answered, texts: Sequence[str], taught: Ints, proved: Ints, seed: int) -> list[Floats]:
    """The worth of the large model, known after the small one's answer, of both halves."""
    known = crossed(asked, texts, taught, seed)
    learnt = combine(known, asked.small[taught].tolist(), asked.large[taught].tolist())
    odds = odds_of(asked, texts, taught, proved)
    new = [asked.signals(int(each), its) for each, its in zip(proved, odds, strict=True)]
    return [np.asarray([learnt.gain(each) for each in part]) for part in (known, new)]


def _tried(
    name: str,
    asked: Answered,
    proved: Ints,
    before: Floats,
    worth: Floats,
    promise: Promise,
    error: float,
    always: float,
    kept: float,
) -> Tried:
    grid = np.unique(np.quantile(-before, np.linspace(0.0, 1.0, GRID))).tolist()
    columns = (-worth, asked.small[proved], asked.large[proved])
    pairs = [Pair(*each) for each in zip(*(column.tolist() for column in columns), strict=True)]
    certified = certify(name, pairs, grid, promise, error=error)
    best = certified.best
    if best is None:
        return Tried(name, certified, 0.0, None, 0.0, wanted(certified, error))
    saves = max(0.0, (1.0 - kept) * best.served - always)
    return Tried(name, certified, best.served, best.quality, saves, wanted(certified, error))
