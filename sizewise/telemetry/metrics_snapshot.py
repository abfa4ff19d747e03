"""Metrics of several processes as one: a snapshot of each as bytes, and their sum."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import msgspec
from msgspec import Struct

from sizewise.telemetry.metrics import Metrics, ModelMetrics

GaugeValues = dict[tuple[str, str], dict[str, float]]
"""(metric name, help text) -> model -> value."""
LARGEST = frozenset({"sizewise_model_state", "sizewise_slots_predicted_wait_seconds"})
"""Gauges of which the largest counts; all others are added."""


class ModelSnapshot(Struct, frozen=True, array_like=True):
    results: dict[str, int]
    tokens: list[int]
    cost: int  # pico-dollars
    unpriced_attempts: int
    latency_counts: list[int]
    latency_sum: float
    first_token_counts: list[int]
    first_token_sum: float


class MetricsSnapshot(Struct, frozen=True, array_like=True):
    """`budgets`: organization, scope, window, spent share."""

    in_flight: int
    escalations: int
    requests: list[tuple[str, str, int, int]]
    models: dict[str, ModelSnapshot]
    rejections: dict[str, int]
    shadow_results: dict[str, int]
    drift_alarms: dict[str, int]
    findings: list[tuple[str, str, str, int]]
    records: tuple[int, int]  # waiting, dropped
    budgets: list[tuple[str, str, str, float]]
    body_bytes: int
    gauges: list[tuple[str, str, dict[str, float]]]

    def without_gauges(self) -> MetricsSnapshot:
        """What stays true of a process that has ended: its counters."""
        dropped = (0, self.records[1])
        return msgspec.structs.replace(self, in_flight=0, records=dropped, budgets=[], body_bytes=0, gauges=[])


def take_snapshot(metrics: Metrics, gauges: Mapping[tuple[str, str], Mapping[str, float]]) -> MetricsSnapshot:
    return MetricsSnapshot(
        in_flight=metrics.in_flight,
        escalations=metrics.escalations,
        requests=[(*key, count) for key, count in metrics.requests.items()],
        models={name: _model_snapshot(its) for name, its in metrics.models.items()},
        rejections=dict(metrics.rejections),
        shadow_results=dict(metrics.shadow_results),
        drift_alarms=dict(metrics.drift_alarms),
        findings=[(*key, count) for key, count in metrics.guardrail_findings.items()],
        records=metrics.record_queue(),
        budgets=list(metrics.budget_usage()),
        body_bytes=metrics.body_bytes(),
        gauges=[(name, words, dict(values)) for (name, words), values in gauges.items()],
    )


def encode_snapshot(snapshot: MetricsSnapshot) -> bytes:
    return msgspec.msgpack.encode(snapshot)


def decode_snapshot(data: bytes) -> MetricsSnapshot:
    return msgspec.msgpack.decode(data, type=MetricsSnapshot)


def merge_snapshots(snapshots: Iterable[MetricsSnapshot]) -> tuple[Metrics, GaugeValues]:
    """Their sum, to be rendered; nothing counts in it any more."""
    every = list(snapshots)
    budgets: dict[tuple[str, str, str], float] = {}
    for each in every:
        for tenant, scope, window, ratio in each.budgets:
            budgets[tenant, scope, window] = max(ratio, budgets.get((tenant, scope, window), 0.0))
    merged = Metrics(
        lambda: (sum(each.records[0] for each in every), sum(each.records[1] for each in every)),
        lambda: [(*key, ratio) for key, ratio in budgets.items()],
        lambda: sum(each.body_bytes for each in every),
    )
    gauges: GaugeValues = {}
    for each in every:
        _add(merged, each)
        for name, words, values in each.gauges:
            total = gauges.setdefault((name, words), {})
            for model, value in values.items():
                before = total.get(model, 0.0)
                total[model] = max(before, value) if name in LARGEST else before + value
    return merged, gauges


def _model_snapshot(its: ModelMetrics) -> ModelSnapshot:
    return ModelSnapshot(*(getattr(its, name) for name in ModelSnapshot.__struct_fields__))


def _add(merged: Metrics, each: MetricsSnapshot) -> None:
    merged.in_flight += each.in_flight
    merged.escalations += each.escalations
    for name, its in each.models.items():
        _add_model(merged.models.setdefault(name, ModelMetrics()), its)
    for model, policy, status, count in each.requests:
        merged.add_requests((model, policy, status), count)
    merged.rejections += Counter(each.rejections)
    merged.shadow_results += Counter(each.shadow_results)
    merged.drift_alarms += Counter(each.drift_alarms)
    for guard, kind, action, count in each.findings:
        merged.guardrail_findings[guard, kind, action] += count


def _add_model(total: ModelMetrics, its: ModelSnapshot) -> None:
    for result, count in its.results.items():
        total.results[result] = total.results.get(result, 0) + count
    total.tokens = [mine + its for mine, its in zip(total.tokens, its.tokens, strict=True)]
    total.cost += its.cost
    total.unpriced_attempts += its.unpriced_attempts
    total.latency_counts = [mine + its for mine, its in zip(total.latency_counts, its.latency_counts, strict=True)]
    total.latency_sum += its.latency_sum
    total.first_token_counts = [
        mine + its for mine, its in zip(total.first_token_counts, its.first_token_counts, strict=True)
    ]
    total.first_token_sum += its.first_token_sum
