"""In-process metrics with bounded label cardinality; model and policy names come from the settings only.

The hot path uses plain integers and lists and costs two microseconds per request; prometheus.py converts them at each
scrape. Labels are bounded: names made up by clients are never labels, and beyond MAX_SERIES further names are counted
as `other`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from sizewise.handler import AttemptFinished, GuardrailTriggered

LATENCY_BUCKETS_S = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
    120.0,
    300.0,
)
"""Upper bounds of the buckets in seconds, from a cached reply to long reasoning."""
MAX_SERIES = 500
TOKEN_CLASSES = ("input", "output", "cached", "cache_write", "reasoning")


class ModelMetrics:
    """Counts of one model. `latency_counts`, `first_token_counts`: requests per bucket, the last beyond all bounds."""

    __slots__ = (
        "cost",
        "first_token_counts",
        "first_token_sum",
        "latency_counts",
        "latency_sum",
        "results",
        "tokens",
        "unpriced_attempts",
    )

    def __init__(self) -> None:
        self.results: dict[str, int] = {}
        self.tokens = [0] * len(TOKEN_CLASSES)
        self.cost = 0  # pico-dollars
        self.unpriced_attempts = 0
        self.latency_counts = [0] * (len(LATENCY_BUCKETS_S) + 1)
        self.latency_sum = 0.0
        self.first_token_counts = [0] * (len(LATENCY_BUCKETS_S) + 1)
        self.first_token_sum = 0.0


class RequestCounter:
    """Requests of one model, policy and status, and the metrics of that model."""

    __slots__ = ("model_metrics", "requests")

    def __init__(self, tally: ModelMetrics) -> None:
        self.requests = 0
        self.model_metrics = tally


def no_pending_records() -> tuple[int, int]:
    return 0, 0


def no_budget_usage() -> Iterable[tuple[str, str, str, float]]:
    return ()


def no_body_bytes() -> int:
    return 0


class Metrics:
    """One per process; outlives a reload of the application. Not thread-safe: for the event loop only."""

    def __init__(
        self,
        record_queue: Callable[[], tuple[int, int]] = no_pending_records,
        budget_usage: Callable[[], Iterable[tuple[str, str, str, float]]] = no_budget_usage,
        body_bytes: Callable[[], int] = no_body_bytes,
    ) -> None:
        """`record_queue`: records waiting to be written, and dropped. `budget_usage`: organization, scope, `day` or
        `month`, and spent share of each budget. `body_bytes`: of request bodies held.
        """
        self.in_flight = 0
        self.escalations = 0
        self._counters: dict[tuple[str, str, int], RequestCounter] = {}
        self.models: dict[str, ModelMetrics] = {}
        self.rejections: Counter[str] = Counter()
        self.shadow_results: Counter[str] = Counter()  # by result of the sampled request
        self.drift_alarms: Counter[str] = Counter()  # by policy
        self.guardrail_findings: Counter[tuple[str, str, str]] = Counter()  # guardrail, kind, action
        self.record_queue = record_queue
        self.budget_usage = budget_usage
        self.body_bytes = body_bytes

    @property
    def requests(self) -> dict[tuple[str, str, int], int]:
        """Requests by model, policy and status."""
        return {key: line.requests for key, line in self._counters.items()}

    def add_requests(self, key: tuple[str, str, int], count: int) -> None:
        """Requests by model, policy and status that another process has counted."""
        line = self._counters.get(key) or self._counters.setdefault(key, RequestCounter(ModelMetrics()))
        line.requests += count

    def count_rejection(self, code: str) -> None:
        """Counts a request rejected before routing; `code`: a code of errors.py."""
        self.rejections[code] += 1

    def count_findings(self, event: GuardrailTriggered) -> None:
        """Counts guardrail findings. Kinds come from guardrails and settings, never from clients."""
        for guard, kind, count in event.findings:
            key = (guard, kind, event.action)
            if key not in self.guardrail_findings and len(self.guardrail_findings) >= MAX_SERIES:
                key = ("other", "other", event.action)
            self.guardrail_findings[key] += count

    def count_request(
        self,
        model: str,
        policy: str,
        status: int,
        total_s: float,
        first_token_s: float | None,
        attempts: Sequence[AttemptFinished],
    ) -> None:
        """Counts a request. `model`: the one that answered, or ""; both names must come from the settings."""
        line = self._counters.get((model, policy, status))
        if line is None:
            answered = self._new_counter(model, policy, status)
        else:
            line.requests += 1
            answered = line.model_metrics
        answered.latency_counts[bisect_left(LATENCY_BUCKETS_S, total_s)] += 1
        answered.latency_sum += total_s
        if first_token_s is not None:
            answered.first_token_counts[bisect_left(LATENCY_BUCKETS_S, first_token_s)] += 1
            answered.first_token_sum += first_token_s
        distrusted = False
        for attempt in attempts:
            if attempt.model != model:
                self._count_attempt(self.models.get(attempt.model) or self._new_model(attempt.model), attempt)
            else:
                self._count_attempt(answered, attempt)
            distrusted = distrusted or attempt.result == "distrusted"
        if distrusted and len(attempts) > 1:
            self.escalations += 1

    def _count_attempt(self, tally: ModelMetrics, attempt: AttemptFinished) -> None:
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
            tally.unpriced_attempts += 1
        else:
            tally.cost += attempt.cost

    def _new_counter(self, model: str, policy: str, status: int) -> ModelMetrics:
        tally = self.models.get(model) or self._new_model(model)
        key = (model, policy, status) if len(self._counters) < MAX_SERIES else ("other", "other", status)
        self._counters.setdefault(key, RequestCounter(tally)).requests += 1
        return tally

    def _new_model(self, name: str) -> ModelMetrics:
        if len(self.models) >= MAX_SERIES:
            name = "other"
        return self.models.setdefault(name, ModelMetrics())
