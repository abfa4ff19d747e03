"""Measured pace of models, by load: predicts when an answer would be complete. Reads no clock and calls no model.

An attempt costs the hot path one append; figures are made of it when someone asks for them. Older attempts count less:
after seven further ones half as much.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from types import MappingProxyType

from msgspec import Struct

from sizewise.handler import AttemptFinished
from sizewise.routing.pace_figures import DECAY, PROMPT_TOKEN_SHARE, LoadPace, PaceFigures

NEWEST_KEPT = 64  # attempts of a model that wait to be counted; more than this many decay to nothing anyway
DEVIATIONS = 2.0  # mean deviations above the mean that a prediction allows for
OUTLIER = 3.0
"""An attempt counts as at most so many times slower than predicted: one outlier refuses nobody, several do. One that is
so many times faster replaces what was known: the model can do it."""
TIMED_OUT = "upstream_timeout"
PROBE_EVERY = 25
"""Of so many requests that a prediction would refuse one is admitted, so that a model that became faster is noticed."""


class PredictedTime(Struct, frozen=True):
    """When the answer of one model would be complete, in seconds from now.

    `seconds` is what few answers exceed, `expected_s` the middle; both include `wait_s` in the model's queue.
    `output_tokens`: the length that `seconds` allows for.
    """

    seconds: float
    expected_s: float
    wait_s: float
    output_tokens: int

    @property
    def sentence(self) -> str:
        """For example `would take about 12.3 s (2.0 s of them in its queue)`, without its subject."""
        queued = f", {self.wait_s:.1f} s of them in its queue" if self.wait_s >= 0.05 else ""
        return f"would take about {self.seconds:.1f} s for up to {self.output_tokens} tokens{queued}"


class ModelPace:
    """The pace of one model. `finished` takes its attempts as they end; every reading counts them first."""

    __slots__ = ("_figures", "_refused", "finished")

    def __init__(self, figures: PaceFigures | None = None) -> None:
        self.finished: deque[AttemptFinished] = deque(maxlen=NEWEST_KEPT)
        self._figures = figures or PaceFigures()
        self._refused = 0  # requests since the last attempt

    def figures(self) -> PaceFigures:
        while self.finished:
            self._observe(self.finished.popleft())
        return self._figures

    def by_load(self) -> Mapping[int, LoadPace]:
        """The measured pace by the number of requests that the model worked on."""
        return self.figures().loads

    @property
    def is_measured(self) -> bool:
        """Whether there may be a prediction; counts no attempt."""
        return bool(self.finished or self._figures.loads)

    def predict(self, prompt_tokens: int, max_tokens: int | None, load: int, wait_s: float) -> PredictedTime | None:
        """For a prompt with an answer of at most `max_tokens` tokens, at this load; None before the first attempt."""
        known = self.by_load()
        if not known:
            return None
        pace, slower = _at_load(known, load)
        its = self._figures
        likely, longest = its.length, its.length + DEVIATIONS * its.length_deviation
        if max_tokens is not None:
            likely, longest = min(likely, max_tokens), min(longest, max_tokens)
        expected, late = pace.all_seconds(prompt_tokens, likely, longest)
        late = slower * late * (1 + DEVIATIONS * its.deviation)
        return PredictedTime(wait_s + late, wait_s + slower * expected, wait_s, math.ceil(longest))

    def takes_probe(self) -> bool:
        """Whether this request, which a prediction is against, is admitted to measure the model anew."""
        self._refused += 1
        return self._refused % PROBE_EVERY == 0

    def _observe(self, attempt: AttemptFinished) -> None:
        seconds = attempt.end_s - attempt.start_s - attempt.wait_s
        first = None
        if attempt.first_token_s is not None:
            first = max(0.0, attempt.first_token_s - attempt.start_s - attempt.wait_s)
        self._refused = 0
        used, load, its = attempt.usage, max(1, attempt.load), self._figures
        if attempt.error_code or attempt.result == "cancelled":
            self._observe_part(attempt, load, seconds, first)
            return
        fresh = max(1, used.input - used.cached)
        pace = its.loads.get(load)
        known = 0.0 if pace is None else pace.seconds(fresh, used.output)
        if pace is None or not pace.answers or seconds * OUTLIER < known:
            pace = its.loads[load] = LoadPace(0 if pace is None else pace.attempts)
            known = 0.0
        elif seconds > 0:
            its.deviation += (1 - DECAY) * (min(abs(known - seconds) / seconds, 1.0) - its.deviation)
            if seconds > OUTLIER * known > 0:
                first = None if first is None else first * OUTLIER * known / seconds
                seconds = OUTLIER * known
        pace.attempts += 1
        pace.answers += 1
        if first is None:
            pace.whole.add(used.output + PROMPT_TOKEN_SHARE * fresh, seconds)
        else:
            pace.first.add(fresh, first)
            if used.output > 1:
                pace.rest.add(used.output - 1, seconds - first)
        its.thinking = (
            used.reasoning if not its.length else its.thinking + (1 - DECAY) * (used.reasoning - its.thinking)
        )
        self._observe_length(used.output)

    def _observe_part(self, attempt: AttemptFinished, load: int, seconds: float, first: float | None) -> None:
        """Counts an attempt that was stopped: it shows a pace as far as it came, or that the model is slower still."""
        used, its = attempt.usage, self._figures
        pace = its.loads.get(load) or LoadPace()
        fresh = max(1, used.input - used.cached)
        known = pace.seconds(fresh, its.length)
        if first is not None and used.output > 1:
            pace.first.add(fresh, first)
            pace.rest.add(used.output - 1, seconds - first)
        elif attempt.error_code == TIMED_OUT and seconds > known:
            least = min(seconds, OUTLIER * known) if pace.answers else seconds
            pace.whole.add(max(its.length, 1) + PROMPT_TOKEN_SHARE * fresh, least)
        else:
            return
        pace.attempts += 1
        its.loads[load] = pace
        if used.output > its.length:
            self._observe_length(used.output)

    def _observe_length(self, tokens: int) -> None:
        its = self._figures
        if not its.length:
            its.length, its.length_deviation = float(tokens), tokens / 2
            return
        missed = tokens - its.length
        its.length += (1 - DECAY) * missed
        its.length_deviation += (1 - DECAY) * (abs(missed) - its.length_deviation)


def _at_load(known: Mapping[int, LoadPace], load: int) -> tuple[LoadPace, float]:
    """The pace at the nearest measured load, and how many times slower this load may be: requests share the model."""
    if (same := known.get(load)) is not None:
        return same, 1.0
    below = [each for each in known if each <= load]
    if below:
        nearest = max(below)
        return known[nearest], max(1, load) / nearest
    return known[min(known)], 1.0


class ModelPaces(dict[str, ModelPace]):
    """The pace of every model by name, a new one where none is known. Outlives a reload of the settings."""

    def __init__(self, earlier: Mapping[str, PaceFigures] = MappingProxyType({})) -> None:
        """`earlier`: figures from before a restart."""
        super().__init__({name: ModelPace(figures.discounted()) for name, figures in earlier.items()})

    def __missing__(self, name: str) -> ModelPace:
        pace = self[name] = ModelPace()
        return pace

    def figures(self) -> Mapping[str, PaceFigures]:
        """Of every model that was measured, by name."""
        found = {name: pace.figures() for name, pace in self.items()}
        return {name: each for name, each in found.items() if each.loads}
