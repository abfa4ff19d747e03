"""Deadlines: who can answer in time by predicted time, and when a model must leave the rest to the next one. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from sizewise.errors import Busy, NoModelFits
from sizewise.handler import Request
from sizewise.model_card import ModelCard
from sizewise.routing.pace import ModelPaces, PredictedTime
from sizewise.routing.policy import Attempt, Candidate, RequestFeatures
from sizewise.routing.rejection import Rejection
from sizewise.routing.strength import strength

UNKNOWN_SHARE = 0.5
"""Share of the time left that a held model gets, where nothing is known of the model that may have to follow."""
LEAST_SHARE = 0.1
"""Share of the time left that the model which may have to follow gets at least, however quick it is."""
SLOWER = 1.5
"""So many times later than the strongest model of the same cost, a weaker one is not asked before it."""
NOTICED_S = 0.1
"""A smaller difference changes no order: people do not notice it, and measurements differ by more."""


class Queue(Protocol):
    """The queue in front of a model with slots."""

    @property
    def in_use(self) -> int: ...

    def predicted_wait_s(self, key: str, *, background: bool = False) -> float: ...


QueueOf = Callable[[ModelCard], Queue | None]
"""The queue in front of a model; None if it takes any number of requests."""


def no_queue(card: ModelCard) -> Queue | None:
    return None


class TimeForecast(Struct, frozen=True):
    """Predicts when each model would have answered one request. `left_s`: seconds until its deadline; None: none.

    `key`: whose turn in the queues counts. `probes`: whether a request that a prediction is against may be admitted to
    measure a model anew.
    """

    paces: ModelPaces
    queue_of: QueueOf = no_queue
    key: str = ""
    background: bool = False
    left_s: float | None = None
    probes: bool = False

    def __call__(self, card: ModelCard, features: RequestFeatures) -> PredictedTime | None:
        """None if no request has measured the model yet."""
        queue = self.queue_of(card)
        load, wait_s = 1, 0.0
        if queue is not None:
            load = min(queue.in_use + 1, card.slots or queue.in_use + 1)
            wait_s = queue.predicted_wait_s(self.key, background=self.background)
        return self.paces[card.name].predict(features.prompt_tokens, features.max_tokens, load, wait_s)

    def is_measured(self, card: ModelCard) -> bool:
        """Whether there may be a prediction for the model."""
        pace = self.paces.get(card.name)
        return pace is not None and pace.is_measured

    def is_too_late(self, card: ModelCard, predicted: PredictedTime) -> bool:
        """Whether the prediction for `card` is beyond the deadline, and this request is none that measures it anew."""
        if self.left_s is None or predicted.seconds <= self.left_s:
            return False
        return not (self.probes and not predicted.wait_s and self.paces[card.name].takes_probe())


class Forecaster(Struct, frozen=True):
    """Makes the forecast of each request, from the measured paces and the queues."""

    paces: ModelPaces
    queue_of: QueueOf = no_queue

    def for_request(self, request: Request, now: float, *, probes: bool = True) -> TimeForecast:
        """`now`: time.perf_counter()."""
        limit_ms = request.options.max_latency_ms
        return TimeForecast(
            paces=self.paces,
            queue_of=self.queue_of,
            key=request.principal.key_id,
            background=request.background,
            left_s=None if limit_ms is None else limit_ms / 1_000 - (now - request.started_at),
            probes=probes,
        )


def with_time_left(features: RequestFeatures, forecast: TimeForecast) -> RequestFeatures:
    return features if forecast.left_s is None else replace(features, time_left_s=forecast.left_s)


def check_time(card: ModelCard, late: PredictedTime | None, forecast: TimeForecast) -> Rejection | None:
    """Rejects a model that is predicted (`late`) to answer after the request's deadline."""
    if late is None or not forecast.is_too_late(card, late):
        return None
    left = forecast.left_s or 0.0
    why = f"{late.sentence}, and the request has {left:.1f} s"
    if late.seconds - late.wait_s <= left:
        hint = f"try again in about {math.ceil(late.wait_s)} s, or allow more time"
        wait = max(1.0, math.ceil(late.wait_s))
        return Rejection(card, why, Busy, param="max_ms", hint=hint, retry_after=wait, decides=True)
    hint = f"allow {math.ceil(late.seconds) * 1_000} ms, set a lower `max_tokens`, or use a faster model"
    return Rejection(card, why, NoModelFits, param="max_ms", hint=hint, needed_s=late.seconds, decides=True)


def with_times(candidates: list[Candidate], forecast: TimeForecast, features: RequestFeatures) -> list[Candidate]:
    """The candidates, with their predicted times where cost leaves the order open; with a deadline they have them.

    Among models of the same cost, a weaker one that would answer much later than the strongest comes after it: asking
    it first would save neither money nor time.
    """
    costs = [each.expected_cost for each in candidates]
    if len(set(costs)) == len(costs):
        return candidates
    timed = candidates
    if forecast.left_s is None:
        if sum(forecast.is_measured(each.card) for each in candidates) < 2:
            return candidates
        timed = [with_time(each, forecast(each.card, features)) for each in candidates]
    ordered: list[Candidate] = []
    for cost in dict.fromkeys(costs):
        alike = [each for each, its in zip(timed, costs, strict=True) if its == cost]
        strongest = max(alike, key=lambda each: strength(each.card))
        late = [each for each in alike if _is_slower(each, strongest)]
        ordered += [*(each for each in alike if each not in late), *late]
    return ordered


def with_time(candidate: Candidate, predicted: PredictedTime | None) -> Candidate:
    if predicted is None:
        return candidate
    return replace(candidate, expected_s=predicted.expected_s, latest_s=predicted.seconds)


def _is_slower(candidate: Candidate, strongest: Candidate) -> bool:
    mine, its = candidate.expected_s, strongest.expected_s
    return mine is not None and its is not None and mine > SLOWER * its and mine - its > NOTICED_S


def time_limit(
    move: Attempt,
    others: Iterable[Candidate],
    remaining_s: float,
    forecast: TimeForecast,
    features: RequestFeatures,
) -> float | None:
    """Seconds that the attempt may take before it must leave the rest of the request's time to one of `others`.

    None: no other model is left, or the rest would not suffice for it. A held answer may be distrusted, so the
    strongest must have time to follow; a streamed one is only replaced when it fails, by the quickest.
    """
    left = list(others)
    if not left:
        return None
    least = LEAST_SHARE * remaining_s
    if move.stream_mode == "hold":
        follows = forecast(max(left, key=lambda each: strength(each.card)).card, features)
        if follows is None:
            return remaining_s * UNKNOWN_SHARE
        return remaining_s - max(least, follows.seconds) if follows.seconds < remaining_s else None
    known = [each.seconds for one in left if (each := forecast(one.card, features)) is not None]
    own = forecast(move.card, features)
    if not known or min(known) >= remaining_s:
        return None
    limit = remaining_s - max(least, min(known))
    return limit if own is None or own.expected_s <= limit else None
