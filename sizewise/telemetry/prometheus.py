"""Prometheus exporter: renders the metrics in text format at each scrape."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from sizewise.jobs.periodic_tasks import TaskStatus
from sizewise.money import PICO_PER_DOLLAR
from sizewise.telemetry.metrics import LATENCY_BUCKETS_S, MAX_SERIES, TOKEN_CLASSES, Metrics
from sizewise.telemetry.stored_sizes import StoredSize

GaugeValues = Mapping[tuple[str, str], Mapping[str, float]]
"""(metric name, help text) -> model -> value."""
NO_GAUGES: Mapping[tuple[str, str], Mapping[str, float]] = {}


def render_metrics(metrics: Metrics, gauges: GaugeValues = NO_GAUGES) -> bytes:
    """All metrics and `gauges`, in Prometheus text format 0.0.4."""
    ours, beside = CollectorRegistry(), CollectorRegistry()
    ours.register(PrometheusCollector(metrics))
    ProcessCollector(registry=ours)
    beside.register(GaugeCollector(gauges))
    return generate_latest(ours) + generate_latest(beside)


def render_task_metrics(tasks: Sequence[TaskStatus], is_leader: bool) -> bytes:
    """The periodic tasks of this process, in the same format."""
    registry = CollectorRegistry()
    registry.register(TaskCollector(tasks, is_leader))
    return generate_latest(registry)


def render_size_metrics(sizes: Sequence[StoredSize]) -> bytes:
    """What is stored of requests, in the same format."""
    registry = CollectorRegistry()
    registry.register(SizeCollector(sizes))
    return generate_latest(registry)


class SizeCollector(Collector):
    """Rows, bytes and the oldest row of records, spans and contents: of the leader, every five minutes."""

    def __init__(self, sizes: Sequence[StoredSize]) -> None:
        self._sizes = sizes

    def collect(self) -> Iterator[Metric]:
        rows = GaugeMetricFamily("sizewise_stored_rows", "Stored rows.", labels=["kind"])
        size = GaugeMetricFamily("sizewise_stored_bytes", "About how many bytes they take.", labels=["kind"])
        words = "When the oldest of them was stored, in Unix seconds."
        oldest = GaugeMetricFamily("sizewise_stored_oldest_seconds", words, labels=["kind"])
        for each in self._sizes:
            rows.add_metric([each.kind], each.rows)
            size.add_metric([each.kind], each.bytes)
            if each.oldest is not None:
                oldest.add_metric([each.kind], each.oldest / 1_000)
        yield from (rows, size, oldest)


def render_export_metrics(exported: int, dropped: int, lag_s: float) -> bytes:
    """The OTLP export of this server, in the same format."""
    registry = CollectorRegistry()
    registry.register(ExportCollector(exported, dropped, lag_s))
    return generate_latest(registry)


class ExportCollector(Collector):
    """Spans that were exported to the OTLP collector, those that were not, and how far the export is behind."""

    def __init__(self, exported: int, dropped: int, lag_s: float) -> None:
        self._exported = exported
        self._dropped = dropped
        self._lag_s = lag_s

    def collect(self) -> Iterator[Metric]:
        yield CounterMetricFamily("sizewise_otlp_spans_exported", "Spans exported by OTLP.", self._exported)
        words = "Spans that the OTLP collector refused, or that it was away for too long to get."
        yield CounterMetricFamily("sizewise_otlp_spans_dropped", words, self._dropped)
        words = "Seconds since the end of the oldest request that waits for its export; 0: none waits."
        yield GaugeMetricFamily("sizewise_otlp_lag_seconds", words, self._lag_s)


class TaskCollector(Collector):
    """The last run of each periodic task, its failures, and whether this server does those of the leader."""

    def __init__(self, tasks: Sequence[TaskStatus], is_leader: bool) -> None:
        self._tasks = tasks
        self._is_leader = is_leader

    def collect(self) -> Iterator[Metric]:
        words = "Whether this server does the periodic work that one server of a database does."
        yield GaugeMetricFamily("sizewise_leader", words, int(self._is_leader))
        words = "When a periodic task last ended, in Unix seconds; 0: never here."
        ended = GaugeMetricFamily("sizewise_periodic_task_last_run_seconds", words, labels=["task"])
        failed = CounterMetricFamily("sizewise_periodic_task_failures", "Failed runs.", labels=["task"])
        for task in self._tasks:
            ended.add_metric([task.name], task.last_run)
            failed.add_metric([task.name], task.failures)
        yield ended
        yield failed


class GaugeCollector(Collector):
    """Gauges per model, from values read at the scrape."""

    def __init__(self, gauges: GaugeValues) -> None:
        self._gauges = gauges

    def collect(self) -> Iterator[Metric]:
        for (name, words), values in self._gauges.items():
            family = GaugeMetricFamily(name, words, labels=["model"])
            for model, value in values.items():
                family.add_metric([model], value)
            yield family


class PrometheusCollector(Collector):
    """`Metrics` as Prometheus metric families."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        yield from self._requests()
        yield from self._attempts()
        refused = CounterMetricFamily(
            "sizewise_requests_rejected",
            "Requests rejected before routing.",
            labels=["code"],
        )
        for code, count in self._metrics.rejections.items():
            refused.add_metric([code], count)
        yield refused
        drawn = CounterMetricFamily("sizewise_shadow_requests", "Requests sampled for comparison.", labels=["result"])
        for result, count in self._metrics.shadow_results.items():
            drawn.add_metric([result], count)
        yield drawn
        alarms = CounterMetricFamily("sizewise_drift_alarms", "Certificates found violated.", labels=["policy"])
        for policy, count in self._metrics.drift_alarms.items():
            alarms.add_metric([policy], count)
        yield alarms
        found = CounterMetricFamily(
            "sizewise_guardrail_findings",
            "Guardrail findings.",
            labels=["guardrail", "kind", "action"],
        )
        for labels, count in self._metrics.guardrail_findings.items():
            found.add_metric(labels, count)
        yield found
        yield self._histogram("sizewise_request_seconds", "Duration of requests.", "seconds")
        yield self._histogram("sizewise_first_token_seconds", "Time to first token.", "first")
        yield self._budgets()
        pending, dropped = self._metrics.record_queue()
        yield GaugeMetricFamily("sizewise_requests_in_flight", "Requests in progress.", self._metrics.in_flight)
        words = "Bytes of request bodies held, except small ones."
        yield GaugeMetricFamily("sizewise_request_body_bytes", words, self._metrics.body_bytes())
        yield GaugeMetricFamily("sizewise_records_pending", "Records not written yet.", pending)
        yield CounterMetricFamily(
            "sizewise_records_dropped",
            "Records lost while the database was unavailable.",
            dropped,
        )
        escalations = self._metrics.escalations
        yield CounterMetricFamily("sizewise_escalations", "Requests escalated to a larger model.", escalations)

    def _budgets(self) -> Metric:
        labels = ["organization", "scope", "window"]
        family = GaugeMetricFamily("sizewise_budget_spent_ratio", "Share of a budget that is spent.", labels=labels)
        for tenant, scope, window, ratio in islice(self._metrics.budget_usage(), MAX_SERIES):
            family.add_metric([tenant, scope, window], ratio)
        return family

    def _requests(self) -> Iterator[Metric]:
        labels = ["model", "policy", "status"]
        requests = CounterMetricFamily("sizewise_requests", "Requests by model that answered.", labels=labels)
        for (model, policy, status), count in self._metrics.requests.items():
            requests.add_metric([model, policy, str(status)], count)
        yield requests

    def _attempts(self) -> Iterator[Metric]:
        attempts = CounterMetricFamily("sizewise_attempts", "Attempts by result.", labels=["model", "result"])
        words = "Tokens; input includes cached and cache_write, output includes reasoning."
        tokens = CounterMetricFamily("sizewise_tokens", words, labels=["model", "class"])
        cost = CounterMetricFamily(
            "sizewise_cost_dollars",
            "Cost of attempts with a known price, in US dollars.",
            labels=["model"],
        )
        unpriced = CounterMetricFamily("sizewise_unpriced_attempts", "Attempts of unknown cost.", labels=["model"])
        for model, tally in self._metrics.models.items():
            for result, count in tally.results.items():
                attempts.add_metric([model, result], count)
            for name, count in zip(TOKEN_CLASSES, tally.tokens, strict=True):
                tokens.add_metric([model, name], count)
            cost.add_metric([model], tally.cost / PICO_PER_DOLLAR)
            unpriced.add_metric([model], tally.unpriced_attempts)
        yield from (attempts, tokens, cost, unpriced)

    def _histogram(self, name: str, words: str, which: str) -> Metric:
        family = HistogramMetricFamily(name, words, labels=["model"])
        for model, tally in self._metrics.models.items():
            counts, total = (
                (tally.latency_counts, tally.latency_sum)
                if which == "seconds"
                else (tally.first_token_counts, tally.first_token_sum)
            )
            family.add_metric([model], cumulative_buckets(counts), total)
        return family


def cumulative_buckets(counts: Sequence[int]) -> list[tuple[str, float]]:
    """Cumulative counts per bucket, as Prometheus expects them; the last bound is infinity."""
    bounds = [*(str(bound) for bound in LATENCY_BUCKETS_S), "+Inf"]
    below = 0
    buckets: list[tuple[str, float]] = []
    for bound, count in zip(bounds, counts, strict=True):
        below += count
        buckets.append((bound, float(below)))
    return buckets
