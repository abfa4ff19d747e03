"""Changes of alert states, and the messages about them, in one transaction: a message is sent at least once."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection

from sizewise.alerts import tables
from sizewise.alerts.record_metrics import Measured
from sizewise.alerts.rules import AlertRule
from sizewise.alerts.series_state import Series, is_due, mark_sent, next_state
from sizewise.alerts.silences import is_silenced
from sizewise.auth.permissions import DEFAULT_TENANT
from sizewise.notifications.alert_message import EVENT, MAX_SERIES, AlertMessage, AlertSeries, encode_message
from sizewise.notifications.outbox import Outbox, alert_receiver

GROUP_S = 30.0
"""Seconds between two messages about a rule."""

ChangedSeries = dict[tuple[str, str], Series]
"""By organization and labels."""


def change_states(connection: Connection, rule: AlertRule, found: Measured, now: int, outbox: Outbox) -> None:
    """`found`: what was measured at `now` (unix ms)."""
    known = {(each.tenant, each.labels): each for each in tables.series_of(connection, rule.name)}
    silences = tables.silences(connection, now)
    changed: ChangedSeries = {}
    always = {(DEFAULT_TENANT, "{}")} if rule.no_data == "alert" and not rule.by else set()
    for place in known.keys() | found.keys() | always:
        before = known.get(place) or Series(place[0], rule.name, place[1])
        changed[place] = next_state(before, found.get(place), rule, now)
    for tenant in {place[0] for place in changed}:
        sent = _mark_due(rule, tenant, silences, changed, now)
        if sent and rule.to:
            message = _message(rule, sent, now)
            receivers = [alert_receiver(name) for name in rule.to]
            id = f"alert_{secrets.token_hex(16)}"
            outbox.message(id, EVENT, encode_message(message), tenant, receivers)(connection)
    changes = [(known.get(place), series) for place, series in changed.items() if series != known.get(place)]
    tables.save_series(connection, changes)


def _mark_due(
    rule: AlertRule, tenant: str, silences: Sequence[tables.Silence], changed: ChangedSeries, now: int
) -> list[Series]:
    """The series that receivers hear of now, marked so in `changed`; what ends while it is silenced is never sent."""
    mine = [each for each in changed.values() if each.tenant == tenant]
    due = [each for each in mine if is_due(each, rule, now)]
    heard = [each for each in due if not is_silenced(each, silences)]
    for each in due:
        if each.state != "firing" and each not in heard:
            changed[tenant, each.labels] = mark_sent(each, each.sent)
    if not heard or now - max(each.sent for each in mine) < GROUP_S * 1_000:
        return []
    sent = sorted(heard, key=lambda each: (each.state != "firing", -each.level, each.labels))
    for each in sent[:MAX_SERIES]:
        changed[tenant, each.labels] = mark_sent(each, now)
    return sent


def _message(rule: AlertRule, series: Sequence[Series], now: int) -> AlertMessage:
    return AlertMessage(
        rule=rule.name,
        metric=rule.metric,
        tenant=series[0].tenant,
        window_s=rule.window_s,
        renotify_s=rule.renotify_s,
        at=now,
        count=len(series),
        series=[_series(rule, each) for each in series[:MAX_SERIES]],
    )


def _series(rule: AlertRule, series: Series) -> AlertSeries:
    return AlertSeries(
        labels=msgspec.json.decode(series.labels, type=dict[str, str]),
        status="firing" if series.state == "firing" else "resolved",
        severity=rule.severity(series.level),
        value=series.value,
        threshold=rule.threshold(series.level),
        since=series.since,
        reason=series.reason,
    )
