"""Counts what happened since the start, for Prometheus; knows model and policy names only from the configuration.

Hot: plain integers and lists, two microseconds a request. They become prometheus_client's families only when somebody
scrapes. Labels are bounded: a name that a client made up is never one, and beyond `MOST` names all share `other`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from sizewise.answer import Guarded, Tried
from sizewise.money import PICO

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
"""Upper bounds of the buckets: from a cached word to a long thought."""
MOST = 500
CLASSES = ("input", "output", "cached", "cache_write", "reasoning")


Gauges = Mapping[tuple[str, str], Mapping[str, float]]
"""(name, meaning) -> model -> value."""
NO_GAUGES: Mapping[tuple[str, str], Mapping[str, float]] = {}


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
        self.requests: dict[tuple[str, str, int], int] = {}
        self.models: dict[str, Tally] = {}
        self.refusals: Counter[str] = Counter()
        self.shadows: Counter[str] = Counter()  # by what came of a request that was drawn for comparison
        self.alarms: Counter[str] = Counter()  # by policy
        self.guards: Counter[tuple[str, str, str]] = Counter()  # by guard, kind and what was done
        self.records = records
        self.budgets: Callable[[], Iterable[tuple[str, str, str, float]]] = (
            no_budgets  # (organisation, scope, day or month, share that is spent) of each
        )
        self._registry = CollectorRegistry()
        self._registry.register(Scraped(self))
        ProcessCollector(registry=self._registry)

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
        key = (model, policy, status)
        requests = self.requests
        if key in requests:
            requests[key] += 1
        else:
            self._new_request(key)
        answered = self.models.get(model) or self._new_model(model)
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

    def _new_request(self, key: tuple[str, str, int]) -> None:
        if len(self.requests) >= MOST:
            key = ("other", "other", key[2])
        self.requests[key] = self.requests.get(key, 0) + 1

    def _new_model(self, name: str) -> Tally:
        if len(self.models) >= MOST:
            name = "other"
        return self.models.setdefault(name, Tally())

    def text(self, gauges: Gauges = NO_GAUGES) -> bytes:
        """Everything in Prometheus' text format 0.0.4, and `gauges`, which somebody else has read off just now."""
        beside = CollectorRegistry()
        beside.register(Beside(gauges))
        return generate_latest(self._registry) + generate_latest(beside)


class Beside(Collector):
    """Values of models that others keep, as gauges."""

    def __init__(self, gauges: Gauges) -> None:
        self._gauges = gauges

    def collect(self) -> Iterator[Metric]:
        for (name, words), values in self._gauges.items():
            family = GaugeMetricFamily(name, words, labels=["model"])
            for model, value in values.items():
                family.add_metric([model], value)
            yield family


class Scraped(Collector):
    """The plain numbers as families, made anew at each scrape."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        yield from self._requests()
        yield from self._attempts()
        refused = CounterMetricFamily("sizewise_refused", "Requests turned away at the door.", labels=["code"])
        for code, count in self._metrics.refusals.items():
            refused.add_metric([code], count)
        yield refused
        drawn = CounterMetricFamily("sizewise_shadows", "Requests drawn for comparison.", labels=["result"])
        for result, count in self._metrics.shadows.items():
            drawn.add_metric([result], count)
        yield drawn
        alarms = CounterMetricFamily("sizewise_drift_alarms", "Promises found broken.", labels=["policy"])
        for policy, count in self._metrics.alarms.items():
            alarms.add_metric([policy], count)
        yield alarms
        found = CounterMetricFamily("sizewise_guards", "What guards found.", labels=["guard", "kind", "done"])
        for labels, count in self._metrics.guards.items():
            found.add_metric(labels, count)
        yield found
        yield self._histogram("sizewise_request_seconds", "From the door to the last word.", "seconds")
        yield self._histogram("sizewise_first_token_seconds", "From the door to the first word.", "first")
        yield self._budgets()
        pending, dropped = self._metrics.records()
        yield GaugeMetricFamily("sizewise_requests_in_flight", "Requests being answered.", self._metrics.in_flight)
        yield GaugeMetricFamily("sizewise_records_pending", "Records waiting to be written.", pending)
        yield CounterMetricFamily("sizewise_records_dropped", "Records lost because the store was ill.", dropped)
        escalations = self._metrics.escalations
        yield CounterMetricFamily("sizewise_escalations", "Requests that went on after a distrusted one.", escalations)

    def _budgets(self) -> Metric:
        labels = ["organisation", "scope", "window"]
        family = GaugeMetricFamily("sizewise_budget_spent_ratio", "Share of a budget that is spent.", labels=labels)
        for tenant, scope, window, ratio in islice(self._metrics.budgets(), MOST):
            family.add_metric([tenant, scope, window], ratio)
        return family

    def _requests(self) -> Iterator[Metric]:
        labels = ["model", "policy", "status"]
        requests = CounterMetricFamily("sizewise_requests", "Requests by who answered.", labels=labels)
        for (model, policy, status), count in self._metrics.requests.items():
            requests.add_metric([model, policy, str(status)], count)
        yield requests

    def _attempts(self) -> Iterator[Metric]:
        attempts = CounterMetricFamily("sizewise_attempts", "Attempts and how they ended.", labels=["model", "result"])
        words = "Tokens; input includes cached and cache_write, output includes reasoning."
        tokens = CounterMetricFamily("sizewise_tokens", words, labels=["model", "class"])
        cost = CounterMetricFamily("sizewise_cost_dollars", "Money spent where the price is known.", labels=["model"])
        unpriced = CounterMetricFamily("sizewise_unpriced_attempts", "Attempts of unknown cost.", labels=["model"])
        for model, tally in self._metrics.models.items():
            for result, count in tally.results.items():
                attempts.add_metric([model, result], count)
            for name, count in zip(CLASSES, tally.tokens, strict=True):
                tokens.add_metric([model, name], count)
            cost.add_metric([model], tally.cost / PICO)
            unpriced.add_metric([model], tally.unpriced)
        yield from (attempts, tokens, cost, unpriced)

    def _histogram(self, name: str, words: str, which: str) -> Metric:
        family = HistogramMetricFamily(name, words, labels=["model"])
        for model, tally in self._metrics.models.items():
            counts, total = (tally.seconds, tally.seconds_sum) if which == "seconds" else (tally.first, tally.first_sum)
            family.add_metric([model], cumulated(counts), total)
        return family


def cumulated(counts: Sequence[int]) -> list[tuple[str, float]]:
    """Counts by bucket as Prometheus wants them: each with all below it, the last up to infinity."""
    bounds = [*(str(bound) for bound in SECONDS), "+Inf"]
    below = 0
    buckets: list[tuple[str, float]] = []
    for bound, count in zip(bounds, counts, strict=True):
        below += count
        buckets.append((bound, float(below)))
    return buckets
