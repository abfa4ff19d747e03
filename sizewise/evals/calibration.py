"""What may be promised on recorded outcomes, by which policy and level, and what it saves; needs numpy.

Half of the prompts teach, the other half proves: neither sees the other's scores. Two policies are tried: *prompt*
chooses before anybody is asked; *cascade* may ask small models first, and stops where going on costs more than it is
worth. The chance of error is shared out between them, most of it to the one that saves more on the prompts that teach.
What certifies and saves most is chosen; nothing saves less than asking the large model always.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from sizewise.evals.cross_fitting import Answered, answered, crossed, gains
from sizewise.evals.outcomes import Outcomes
from sizewise.evals.threshold_search import GRID, levels
from sizewise.routing.guarantees.bounds import QUALITIES, Certified, Losses, Promise, Step, in_sequence, wanted
from sizewise.routing.guarantees.certificate import Kept, Origin, Proof
from sizewise.routing.guarantees.thresholds import Level, Stage
from sizewise.routing.quality.answer_signals import Combined
from sizewise.routing.quality.answer_signals import odds as log_odds
from sizewise.routing.quality.predictor import Predictor
from sizewise.routing.training.combiner import combine
from sizewise.routing.training.trainer import Floats, Ints, learn

SURE = 1.96  # standard errors of an interval of 95 %
Curves = Mapping[str, tuple[tuple[float, float], ...]]
"""(cost, quality) by rising cost, both of the large model's."""
POINTS = 50  # of the oracle's curve
FAVOURED = 0.8  # of the chance of error, for the policy that saved more where it was learnt
STRANGE = 10.0  # worth of the large model where the prompt is unlike all that taught


class Tried(Struct, frozen=True):
    """One policy: what it certified, and of it what saves most. Shares 0..1; `needs` pairs where nothing passed."""

    policy: str
    certified: Certified
    served: float
    quality: float | None  # as measured; None: nothing was certified
    saves: float  # of the cost of asking the large model always
    within: float  # half the width of its 95 % interval
    needs: int | None
    low: float | None = None  # 95 % interval of `quality`
    high: float | None = None


class Calibration(Struct, frozen=True):
    """`chosen` is None where no policy both keeps the promise and saves. `proof` holds whatever can be promised."""

    small: tuple[str, ...]
    large: str
    promise: Promise
    taught: int  # prompts that taught
    proved: int  # prompts that proved
    small_good: float  # mean scores of the latter, of the first small model
    large_good: float
    tried: tuple[Tried, ...]
    chosen: Tried | None
    proof: Proof | None
    curves: Curves  # of all that was tried, with the oracle and chance beside them


@dataclass(frozen=True)
class Ahead:
    """What is known of some prompts stage by stage: the worth of the large model, and who is best so far."""

    worth: list[Floats]
    best: list[Ints]


@dataclass(frozen=True)
class Played:
    """A level on the prompts that proved: what was given, 0..1, and what that cost, a large answer costing 1."""

    level: Level
    got: Floats
    cost: Floats
    served: float

    @property
    def saves(self) -> float:
        return 1.0 - float(self.cost.mean())

    @property
    def within(self) -> float:
        return SURE * float(self.cost.std()) / sqrt(len(self.cost))


@dataclass(frozen=True)
class Prepared:
    """Both policies, safe levels first, on the prompts that prove and on those that taught. `good`: scores of the
    former, (n, models); `large`: the large model's of the latter. `asking`: what each small answer costs."""

    predictor: Predictor
    after: tuple[Combined, ...]
    played: dict[str, list[Played]]
    good: Floats
    rehearsed: dict[str, list[Played]]
    large: Floats
    asking: tuple[float, ...]

    def shares(self, quality: float) -> dict[str, float]:
        """Of the chance of error, by policy; they sum to 1, and nothing that proves has a say in it."""
        saved = {
            name: max([each.saves for each in its if (quality * self.large - each.got).mean() <= 0.0], default=0.0)
            for name, its in self.rehearsed.items()
        }
        best = max(saved, key=lambda name: saved[name])
        return {name: FAVOURED if name == best else (1.0 - FAVOURED) / (len(saved) - 1) for name in saved}


def calibrate(
    outcomes: Outcomes,
    small: Sequence[str],
    large: str,
    promise: Promise,
    *,
    costs: Sequence[float] = (0.1, 0.1, 1.0),
    seed: int = 0,
    date: str = "",
    version: str = "",
    checker: str = "the scores of the outcomes",
    checker_error: float | None = None,
) -> Calibration:
    """`costs`: of one answer of each small model and of the large one, in any unit. Raises BadRequest."""
    asked = answered(outcomes, small, large, once=True)
    ready = prepared(asked, (*small, large), costs, seed, date, outcomes.digest, version)
    played, proved = ready.played, ready.good
    tried = {
        quality: [
            _tried(name, played[name], proved[:, -1], replace(promise, quality=quality), share)
            for name, share in ready.shares(quality).items()
        ]
        for quality in sorted({*QUALITIES, promise.quality})
    }
    origin = Origin(outcomes.digest, seed, date, len(ready.large), len(proved), checker, checker_error, version)
    curves = _curves(proved, ready.asking, played)
    kept = tuple(each for quality, its in tried.items() if (each := _kept(quality, its, played)) is not None)
    mine = tried[promise.quality]
    best = max(mine, key=lambda each: each.saves)
    return Calibration(
        tuple(small),
        large,
        promise,
        len(ready.large),
        len(proved),
        float(proved[:, 0].mean()),
        float(proved[:, -1].mean()),
        tuple(mine),
        best if best.saves > 0 else None,
        Proof(tuple(small), large, promise.confidence, kept, ready.predictor, ready.after, origin, curves)
        if kept
        else None,
        curves,
    )


def prepared(
    asked: Answered,
    names: tuple[str, ...],
    costs: Sequence[float],
    seed: int,
    date: str = "",
    data: str = "",
    version: str = "",
) -> Prepared:
    """What one half teaches, played on the other. Raises BadRequest where there is nothing to learn."""
    mixed = np.random.default_rng(seed).permutation(len(asked.prompts))
    taught, proved = np.sort(mixed[: len(mixed) // 2]), mixed[len(mixed) // 2 :]
    predictor, after, before = _taught(asked, names, taught, seed, date, data, version)
    new = _ahead(asked, proved, _foreseen(predictor, asked, names, proved), after)
    paid = tuple(cost / costs[-1] for cost in costs[: len(names) - 1])
    families = {
        "prompt": [Level((Stage(price, price),)) for price in _prices(before.worth[0])],
        "cascade": levels(before.worth, paid),
    }
    good, old = asked.good[proved], asked.good[taught]
    played = {name: [_play(each, new, good, paid) for each in its] for name, its in families.items()}
    rehearsed = {name: [_play(each, before, old, paid) for each in its] for name, its in families.items()}
    return Prepared(predictor, after, played, good, rehearsed, old[:, -1], paid)


def _prices(worth: Floats) -> list[float]:
    found: list[float] = np.unique(np.quantile(worth, np.linspace(0.0, 1.0, GRID))).tolist()
    return found


def _taught(
    asked: Answered, names: tuple[str, ...], taught: Ints, seed: int, date: str, data: str, version: str
) -> tuple[Predictor, tuple[Combined, ...], Ahead]:
    """The predictor by the prompt, what answers tell beside it, and what both say of the prompts that taught."""
    scores = {name: asked.good[taught, place].tolist() for place, name in enumerate(names)}
    predictor = learn(
        [asked.prompts[each] for each in taught],
        scores,
        small=names[0],
        large=names[-1],
        seed=seed,
        date=date,
        data=data,
        version=version,
        even=True,
    )
    odds = crossed(asked, asked.texts, taught, seed)
    after = []
    for count in range(1, len(names)):
        signals = [asked.signals(int(each), its, count) for each, its in zip(taught, odds, strict=True)]
        after.append(combine(signals, asked.good[taught][:, [*range(count), -1]]))
    # What it is worth is certified here, so it need not be surely better than chance by itself.
    return replace(predictor, abstains=""), tuple(after), _ahead(asked, taught, odds, tuple(after))


def _foreseen(predictor: Predictor, asked: Answered, names: tuple[str, ...], some: Ints) -> Floats:
    """Log-odds as they will be foreseen of new prompts, (n, models); nan where nothing is."""
    found = [predictor.predicted(asked.prompts[each]) for each in some]
    return np.asarray([[log_odds(its[name]) if its else np.nan for name in names] for its in found])


def _ahead(asked: Answered, some: Ints, odds: Floats, after: tuple[Combined, ...]) -> Ahead:
    worth: list[Floats] = [np.where(np.isnan(odds[:, 0]), STRANGE, gains(odds))]
    best: list[Ints] = [np.zeros(len(some), np.int64)]
    for count, combined in enumerate(after, 1):
        found = [
            (STRANGE, 0) if np.isnan(its[0]) else combined.worth(asked.signals(int(each), its, count))
            for each, its in zip(some, odds, strict=True)
        ]
        worth.append(np.asarray([its for its, _ in found], float))
        best.append(np.asarray([place for _, place in found], np.int64))
    return Ahead(worth, best)


def _play(level: Level, ahead: Ahead, good: Floats, asking: Sequence[float]) -> Played:
    """Everybody's way through the stages at once."""
    count = len(good)
    got, cost, small = good[:, -1].copy(), np.ones(count), np.zeros(count, bool)
    waiting, paid = np.ones(count, bool), 0.0
    for place, (stage, worth, best) in enumerate(zip(level.stages, ahead.worth, ahead.best, strict=False)):
        given, up = waiting & (worth <= stage.give), waiting & (worth > stage.up) & (worth > stage.give)
        got[given] = good[np.flatnonzero(given), best[given]]
        cost[given] = paid if place else asking[0]
        cost[up] = paid + 1.0
        small |= given
        waiting &= ~given & ~up
        paid += asking[place] if place < len(asking) else 0.0
    return Played(level, got, cost, float(small.mean()))


def _curves(good: Floats, asking: Sequence[float], played: Mapping[str, Sequence[Played]]) -> Curves:
    """Of each policy as the levels come; of chance, from all small to all large; of an oracle that takes the best small
    answer at the least cost, and asks the large model where that one is better."""
    reference = float(good[:, -1].sum()) or 1.0
    small = (asking[0], float(good[:, 0].sum()) / reference)
    best = good[:, :-1].max(axis=1)
    cost = np.where(good[:, :-1] == best[:, None], asking, np.inf).min(axis=1)
    order = np.argsort(best - good[:, -1], kind="stable")  # what gains most first
    gained = np.concatenate([[0.0], np.cumsum((good[:, -1] - best)[order])])
    paid = np.concatenate([[0.0], np.cumsum((1.0 - cost)[order])])
    asked = np.unique(np.linspace(0, int((good[:, -1] > best).sum()), POINTS).astype(int))
    oracle = [(float(cost.sum() + paid[up]) / len(good), float(best.sum() + gained[up]) / reference) for up in asked]
    found = {"oracle": oracle, "random": [small, (1.0, 1.0)]}
    for name, its in played.items():
        points = [(float(each.cost.mean()), float(each.got.sum()) / reference) for each in its]
        found[name] = sorted(set(points))
    return {name: tuple((round(cost, 4), round(quality, 4)) for cost, quality in its) for name, its in found.items()}


def _tries(played: Sequence[Played], large: Floats, promise: Promise) -> Iterator[tuple[Step, Losses]]:
    reference = float(large.sum()) or 1.0
    for place, its in enumerate(played):
        step = Step(float(place), its.served, float(its.got.sum()) / reference, its.saves)
        yield step, (promise.quality * large - its.got).tolist()


def _tried(name: str, played: Sequence[Played], large: Floats, promise: Promise, share: float) -> Tried:
    error = (1.0 - promise.confidence) * share
    certified = in_sequence(name, len(large), _tries(played, large, promise), promise, error=error)
    best, needs = certified.best, wanted(certified, error)
    if best is None:
        return Tried(name, certified, 0.0, None, 0.0, 0.0, needs)
    its = played[round(best.at)]
    spread = SURE * float((its.got - best.quality * large).std()) / sqrt(len(large)) / (float(large.mean()) or 1.0)
    low, high = best.quality - spread, best.quality + spread
    return Tried(name, certified, best.served, best.quality, max(0.0, its.saves), its.within, needs, low, high)


def _kept(quality: float, tried: Sequence[Tried], played: dict[str, list[Played]]) -> Kept | None:
    """The policy that saves most at this quality; None where none saves."""
    its = max(tried, key=lambda each: each.saves)
    best = its.certified.best
    if best is None or its.saves <= 0 or its.quality is None:
        return None
    level = played[its.policy][round(best.at)].level
    return Kept(quality, its.policy, level, its.quality, its.served, its.saves, its.within)
