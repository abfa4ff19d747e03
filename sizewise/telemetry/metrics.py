"""Counts what happened since the start, for Prometheus; knows model and policy names only from the configuration.

Hot: plain integers and lists, two microseconds a request. They become prometheus_client's families in scraped.py, when
somebody scrapes. Labels are bounded: a name that a client made up is never one, and beyond `MOST` names all share
`other`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from sizewise.handler import Guarded, Tried

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
"""Upper bounds of the buckets: from a cached word to a long thought."""
MOST = 500
CLASSES = ("input", "output", "cached", "cache_write", "reasoning")


class Tally:
    """What one model did. `seconds` and `first` count requests by bucket, the last one beyond all bounds."""

    __slots__ = ("cost", "first", "first_sum", "results", "seconds", "seconds_sum", "tokens", "unpriced")

    def __init__(self) -> None:
        self.results: dict[str, int] = {}
        self.tokens = [0] * len(CLASSES)
        self.cost = 0  # pico-dollars
        self.unpriced = 0  # attempts of unknown cost
        self.seconds = [0] * (len(SECONDS) + 1)
        self.seconds_sum = 0.0
        self.first = [0] * (len(SECONDS) + 1)
        self.first_sum = 0.0


class Line:
    """The requests of one model, policy and status, and where what the model did is told."""

    __slots__ = ("requests", "tally")

    def __init__(self, tally: Tally) -> None:
        self.requests = 0
        self.tally = tally


def none_waiting() -> tuple[int, int]:
    return 0, 0


def no_budgets() -> Iterable[tuple[str, str, str, float]]:
    return ()


class Metrics:
    """One per process, outlives Houses. For one thread: the event loop."""

    def __init__(self, records: Callable[[], tuple[int, int]] = none_waiting) -> None:
        """`records`: how many wait to be written, and how many were dropped."""
        self.in_flight = 0
        self.escalations = 0
        self._lines: dict[tuple[str, str, int], Line] = {}
        self.models: dict[str, Tally] = {}
        self.refusals: Counter[str] = Counter()
        self.shadows: Counter[str] = Counter()  # by what came of a request that was drawn for comparison
        self.alarms: Counter[str] = Counter()  # by policy
        self.guards: Counter[tuple[str, str, str]] = Counter()  # by guard, kind and what was done
        self.records = records
        self.budgets: Callable[[], Iterable[tuple[str, str, str, float]]] = (
            no_budgets  # (organisation, scope, day or month, share that is spent) of each
        )

    @property
    def requests(self) -> dict[tuple[str, str, int], int]:
        """How many by model, policy and status."""
        return {key: line.requests for key, line in self._lines.items()}

    def refused(self, code: str) -> None:
        """Books a request that was turned away at the door, before it was a question: `code` is of errors.py."""
        self.refusals[code] += 1

    def guarded(self, event: Guarded) -> None:
        """Books what guards found. Kinds are theirs, and topics the configuration's: no client makes one up."""
        for guard, kind, count in event.found:
            key = (guard, kind, event.done)
            if key not in self.guards and len(self.guards) >= MOST:
                key = ("other", "other", event.done)
            self.guards[key] += count

    def request(
        self, model: str, policy: str, status: int, total_s: float, first_s: float | None, tried: Sequence[Tried]
    ) -> None:
        """Books one request. `model` answered (empty: none did); both names must come from the configuration."""
        line = self._lines.get((model, policy, status))
        if line is None:
            answered = self._new_line(model, policy, status)
        else:
            line.requests += 1
            answered = line.tally
        answered.seconds[bisect_left(SECONDS, total_s)] += 1
        answered.seconds_sum += total_s
        if first_s is not None:
            answered.first[bisect_left(SECONDS, first_s)] += 1
            answered.first_sum += first_s
        distrusted = False
        for attempt in tried:
            if attempt.model != model:
                self._attempt(self.models.get(attempt.model) or self._new_model(attempt.model), attempt)
            else:
                self._attempt(answered, attempt)
            distrusted = distrusted or attempt.result == "distrusted"
        if distrusted and len(tried) > 1:
            self.escalations += 1

    def _attempt(self, tally: Tally, attempt: Tried) -> None:
        results, usage, tokens = tally.results, attempt.usage, tally.tokens
        results[attempt.result] = results.get(attempt.result, 0) + 1
        tokens[0] += usage.input
        tokens[1] += usage.output
        if usage.cached:
            tokens[2] += usage.cached
        if usage.cache_write:
            tokens[3] += usage.cache_write
        if usage.reasoning:
            tokens[4] += usage.reasoning
        if attempt.cost is None:
            tally.unpriced += 1
        else:
            tally.cost += attempt.cost

    def _new_line(self, model: str, policy: str, status: int) -> Tally:
        tally = self.models.get(model) or self._new_model(model)
        key = (model, policy, status) if len(self._lines) < MOST else ("other", "other", status)
        self._lines.setdefault(key, Line(tally)).requests += 1
        return tally

    def _new_model(self, name: str) -> Tally:
        if len(self.models) >= MOST:
            name = "other"
        return self.models.setdefault(name, Tally())
