"""Measured pace of models, by load: predicts when an answer would be complete. Reads no clock and calls no model.

An attempt costs the hot path one append; figures are made of it when someone asks for them. Older attempts count less:
after seven further ones half as much.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping

from msgspec import Struct, field

from sizewise.handler import AttemptFinished

DECAY = 0.9  # weight of all earlier attempts after each further one
NEWEST_KEPT = 64  # attempts of a model that wait to be counted; more than this many decay to nothing anyway
MIN_SPREAD = 0.2  # standard deviation of the lengths seen, per mean, from which a slope is fitted
PROMPT_TOKEN_SHARE = 0.1
"""Time of a prompt token per output token, where only the whole answer was timed: read in parallel, written in turn."""
DEVIATIONS = 2.0  # mean deviations above the mean that a prediction allows for
FIRST_DEVIATION = 0.25  # assumed relative error of a prediction before the second attempt
OUTLIER = 3.0
"""An attempt counts as at most so many times slower than predicted: one outlier refuses nobody, several do. One that is
so many times faster replaces what was known: the model can do it."""
TIMED_OUT = "upstream_timeout"
PROBE_EVERY = 25
"""Of so many requests that a prediction would refuse one is admitted, so that a model that became faster is noticed."""


class DecayedLine(Struct):
    """Seconds as a line over a length in tokens, base and slope at least 0, fitted to decayed observations.

    While all lengths were alike, base and slope cannot be told apart: then seconds grow with the root of the length.
    """

    weight: float = 0.0
    x: float = 0.0
    y: float = 0.0
    xx: float = 0.0
    xy: float = 0.0

    def add(self, x: float, y: float) -> None:
        self.weight = self.weight * DECAY + 1
        self.x = self.x * DECAY + x
        self.y = self.y * DECAY + y
        self.xx = self.xx * DECAY + x * x
        self.xy = self.xy * DECAY + x * y

    def at(self, x: float) -> float:
        """Predicted seconds for a length of `x` tokens; 0 before the first observation."""
        if not self.weight:
            return 0.0
        mean_x, mean_y = self.x / self.weight, self.y / self.weight
        variance = self.xx / self.weight - mean_x * mean_x
        if variance < (MIN_SPREAD * mean_x) ** 2 or not mean_x:
            return mean_y * math.sqrt(x / mean_x) if mean_x else mean_y
        slope = (self.xy / self.weight - mean_x * mean_y) / variance
        slope = min(max(slope, 0.0), mean_y / mean_x)
        return mean_y + slope * (x - mean_x)

    @property
    def mean(self) -> float:
        return self.y / self.weight if self.weight else 0.0

    @property
    def per_second(self) -> float | None:
        """Tokens per second, averaged over the tokens; None if unknown."""
        return self.x / self.y if self.y > 0 and self.x > 0 else None


class LoadPace(Struct):
    """The pace of one model while it works on a number of requests at once.

    `first`: prompt tokens -> seconds to the first token; `rest`: further tokens -> seconds after it. `whole`: weighted
    tokens -> seconds of answers whose first token was not seen.
    """

    attempts: int = 0
    answers: int = 0  # attempts that were not stopped
    first: DecayedLine = field(default_factory=DecayedLine)
    rest: DecayedLine = field(default_factory=DecayedLine)
    whole: DecayedLine = field(default_factory=DecayedLine)

    def seconds(self, prompt_tokens: float, output_tokens: float) -> float:
        """Predicted seconds from the start to the last token."""
        if self.first.weight >= self.whole.weight:
            rate = self.rest.per_second
            return self.first.at(prompt_tokens) + (max(0.0, output_tokens - 1) / rate if rate else 0.0)
        return self.whole.at(output_tokens + PROMPT_TOKEN_SHARE * prompt_tokens)

    @property
    def output_per_second(self) -> float | None:
        return self.rest.per_second or self.whole.per_second


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

    __slots__ = ("_deviation", "_length", "_length_deviation", "_loads", "_refused", "finished")

    def __init__(self) -> None:
        self.finished: deque[AttemptFinished] = deque(maxlen=NEWEST_KEPT)
        self._loads: dict[int, LoadPace] = {}
        self._length = 0.0  # output tokens of an answer
        self._length_deviation = 0.0
        self._deviation = FIRST_DEVIATION  # mean error of the predictions, relative
        self._refused = 0  # requests since the last attempt

    def by_load(self) -> Mapping[int, LoadPace]:
        """The measured pace by the number of requests that the model worked on."""
        while self.finished:
            self._observe(self.finished.popleft())
        return self._loads

    def predict(self, prompt_tokens: int, max_tokens: int | None, load: int, wait_s: float) -> PredictedTime | None:
        """For a prompt with an answer of at most `max_tokens` tokens, at this load; None before the first attempt."""
        known = self.by_load()
        if not known:
            return None
        pace, slower = _at_load(known, load)
        likely, longest = self._length, self._length + DEVIATIONS * self._length_deviation
        if max_tokens is not None:
            likely, longest = min(likely, max_tokens), min(longest, max_tokens)
        expected = slower * pace.seconds(prompt_tokens, likely)
        late = slower * pace.seconds(prompt_tokens, longest) * (1 + DEVIATIONS * self._deviation)
        return PredictedTime(wait_s + late, wait_s + expected, wait_s, math.ceil(longest))

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
        used, load = attempt.usage, max(1, attempt.load)
        if attempt.error_code or attempt.result == "cancelled":
            self._observe_part(attempt, load, seconds, first)
            return
        fresh = max(1, used.input - used.cached)
        pace = self._loads.get(load)
        known = 0.0 if pace is None else pace.seconds(fresh, used.output)
        if pace is None or not pace.answers or seconds * OUTLIER < known:
            pace = self._loads[load] = LoadPace(0 if pace is None else pace.attempts)
            known = 0.0
        elif seconds > 0:
            self._deviation += (1 - DECAY) * (min(abs(known - seconds) / seconds, 1.0) - self._deviation)
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
        self._observe_length(used.output)

    def _observe_part(self, attempt: AttemptFinished, load: int, seconds: float, first: float | None) -> None:
        """Counts an attempt that was stopped: it shows a pace as far as it came, or that the model is slower still."""
        used, pace = attempt.usage, self._loads.get(load) or LoadPace()
        fresh = max(1, used.input - used.cached)
        known = pace.seconds(fresh, self._length)
        if first is not None and used.output > 1:
            pace.first.add(fresh, first)
            pace.rest.add(used.output - 1, seconds - first)
        elif attempt.error_code == TIMED_OUT and seconds > known:
            least = min(seconds, OUTLIER * known) if pace.answers else seconds
            pace.whole.add(max(self._length, 1) + PROMPT_TOKEN_SHARE * fresh, least)
        else:
            return
        pace.attempts += 1
        self._loads[load] = pace
        if used.output > self._length:
            self._observe_length(used.output)

    def _observe_length(self, tokens: int) -> None:
        if not self._length:
            self._length, self._length_deviation = float(tokens), tokens / 2
            return
        missed = tokens - self._length
        self._length += (1 - DECAY) * missed
        self._length_deviation += (1 - DECAY) * (abs(missed) - self._length_deviation)


def _at_load(known: Mapping[int, LoadPace], load: int) -> tuple[LoadPace, float]:
    """The pace at the nearest measured load, and how many times slower this load may be: requests share the model."""
    below = [each for each in known if each <= load]
    if below:
        nearest = max(below)
        return known[nearest], max(1, load) / nearest
    return known[min(known)], 1.0


class ModelPaces:
    """The pace of every model by name. Outlives a reload of the settings; starts empty with the process."""

    __slots__ = ("_models",)

    def __init__(self) -> None:
        self._models: dict[str, ModelPace] = {}

    def __getitem__(self, name: str) -> ModelPace:
        pace = self._models.get(name)
        if pace is None:
            pace = self._models[name] = ModelPace()
        return pace
