"""Metrics of alert rules of neither records nor scores: quality targets, canaries, budgets, ends of models, storage."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from functools import partial

from sizewise.alerts.evaluator import MeasureMetric
from sizewise.alerts.record_metrics import Measured, encode_labels
from sizewise.alerts.rules import AlertRule
from sizewise.alerts.series_state import SeriesValue
from sizewise.app.model_uses import ModelUses
from sizewise.auth.permissions import DEFAULT_TENANT
from sizewise.catalog.retirements import retirements
from sizewise.evals.quality_monitor import MonitoredPolicy, QualityMonitor, monitored_policies
from sizewise.limits.rate_limiter import Limiter
from sizewise.limits.rules import ALL_TENANTS, forecast, window_bounds
from sizewise.limits.tables import money_windows
from sizewise.money import format_dollars
from sizewise.releases.canary.canary_view import evidence_line
from sizewise.releases.canary.tables import OPEN_STATES, Canary, newest_canaries
from sizewise.routing.model_aliases import RoutePlan
from sizewise.settings.load import Settings
from sizewise.settings.routing import PolicySettings
from sizewise.storage.database import Database


def alert_metrics(
    settings: Settings,
    monitor: QualityMonitor,
    limiter: Limiter,
    database: Database,
    uses: ModelUses,
    plans: Mapping[str, RoutePlan],
) -> Mapping[str, MeasureMetric]:
    """By name in [alerts.NAME]. `plans`: of policies that choose among models, by name."""
    models = {name: _named_models(each) for name, each in settings.policies.items()}
    models |= {name: frozenset(card.name for card in plan.cards) for name, plan in plans.items()}
    describe = partial(uses.describe, policies=models, default_policy=settings.router.policy)
    return {
        "quality_target": partial(_quality_targets, monitor, monitored_policies(plans)),
        "canary": partial(_canaries, database),
        "budget_forecast": partial(_budget_forecasts, limiter, database),
        "model_retires": partial(_model_ends, settings, describe),
        "storage_bytes": partial(_storage_bytes, database),
    }


def _named_models(policy: PolicySettings) -> frozenset[str]:
    named = policy.options.get("models")
    return frozenset(each for each in named if isinstance(each, str)) if isinstance(named, list) else frozenset()


def _quality_targets(
    monitor: QualityMonitor, policies: Mapping[str, MonitoredPolicy], rule: AlertRule, now: int
) -> Measured:
    """1 for each policy that missed its target, 0 for the others that were measured."""
    return {
        (tenant, encode_labels({"policy": policy})): SeriesValue(float(missed))
        for tenant, policy, missed in monitor.target_states(policies)
    }


def _storage_bytes(database: Database, rule: AlertRule, now: int) -> Measured:
    return {(DEFAULT_TENANT, "{}"): SeriesValue(float(database.size_bytes()))}


def _canaries(database: Database, rule: AlertRule, now: int) -> Measured:
    """Of each environment, that of its newest canary; one that was rolled back counts for a window."""
    return {
        (each.tenant, encode_labels({"project": each.project, "environment": each.environment})): _canary(each)
        for each in database.read_transaction(newest_canaries)
        if each.ended is None or now - each.ended < rule.window_s * 1_000
    }


def _canary(canary: Canary) -> SeriesValue:
    if canary.state in OPEN_STATES:
        share = canary.progress.guards.rollback().value / canary.needed
        return SeriesValue(min(share, 1.0), reason=evidence_line(canary))
    return SeriesValue(float(canary.state == "rolled_back"), reason=canary.reason)


def _budget_forecasts(limiter: Limiter, database: Database, rule: AlertRule, now: int) -> Measured:
    """Of each dollar budget that was used in its present day or month."""
    at = now / 1_000
    month, _ = window_bounds("usd/month", at)
    found: Measured = {}
    for key, starts_at, spent in database.read_transaction(partial(money_windows, since=month)):
        tenant, scope, unit = key
        limit, (present, ends_at) = limiter.limit_of(key), window_bounds(unit, at)
        if limit and starts_at == present:
            expected = forecast(spent, starts_at, ends_at, at)
            reason = f"${format_dollars(spent)} of ${format_dollars(limit)} is spent"
            labels = encode_labels({"scope": scope, "window": unit.partition("/")[2]})
            place = DEFAULT_TENANT if tenant == ALL_TENANTS else tenant
            found[place, labels] = SeriesValue(expected / limit, reason=reason)
    return found


def _model_ends(settings: Settings, describe: Callable[[str], str], rule: AlertRule, now: int) -> Measured:
    """Days until each model ends, and what uses it."""
    today = datetime.fromtimestamp(now / 1_000, UTC).date()
    found: Measured = {}
    for each in retirements(settings, today):
        used = describe(each.name)
        reason = f"{each}; used by {used}" if used else f"{each}; no policy and no flow uses it"
        days = float((_last_day(each.ends) - today).days)
        found[DEFAULT_TENANT, encode_labels({"model": each.name})] = SeriesValue(days, reason=reason)
    return found


def _last_day(ends: str) -> date:
    """`ends`: YYYY-MM-DD, or without the day or the month: then the first one."""
    year, month, day = (*ends.split("-"), "1", "1")[:3]
    return date(int(year), int(month), int(day))
