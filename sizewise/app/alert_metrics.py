"""Metrics of alert rules that are not of request records: quality targets, ends of models, the size of the database."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from functools import partial

from sizewise.alerts.evaluator import MeasureMetric
from sizewise.alerts.record_metrics import Measured, encode_labels
from sizewise.alerts.series_state import SeriesValue
from sizewise.auth.permissions import DEFAULT_TENANT
from sizewise.catalog.retirements import retirements
from sizewise.evals.quality_monitor import MonitoredPolicy, QualityMonitor
from sizewise.settings.load import Settings
from sizewise.storage.database import Database


def alert_metrics(
    settings: Settings, monitor: QualityMonitor, database: Database, policies: Mapping[str, MonitoredPolicy]
) -> Mapping[str, MeasureMetric]:
    """By name in [alerts.NAME]."""
    return {
        "quality_target": partial(_quality_targets, monitor, policies),
        "model_retires": partial(_model_ends, settings),
        "storage_bytes": partial(_storage_bytes, database),
    }


def _quality_targets(monitor: QualityMonitor, policies: Mapping[str, MonitoredPolicy], now: int) -> Measured:
    """1 for each policy that missed its target, 0 for the others that were measured."""
    return {
        (tenant, encode_labels({"policy": policy})): SeriesValue(float(missed))
        for tenant, policy, missed in monitor.target_states(policies)
    }


def _storage_bytes(database: Database, now: int) -> Measured:
    return {(DEFAULT_TENANT, "{}"): SeriesValue(float(database.size_bytes()))}


def _model_ends(settings: Settings, now: int) -> Measured:
    """Days until each model ends, by the day."""
    today = datetime.fromtimestamp(now / 1_000, UTC).date()
    return {
        (DEFAULT_TENANT, encode_labels({"model": each.name})): SeriesValue(
            float((_last_day(each.ends) - today).days), reason=f"{each}"
        )
        for each in retirements(settings, today)
    }


def _last_day(ends: str) -> date:
    """`ends`: YYYY-MM-DD, or without the day or the month: then the first one."""
    year, month, day = (*ends.split("-"), "1", "1")[:3]
    return date(int(year), int(month), int(day))
