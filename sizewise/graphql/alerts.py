"""Fields of alert rules, their states, silences and tests of receivers."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from functools import partial

import msgspec

from sizewise.alerts import tables
from sizewise.alerts.rules import AlertRule
from sizewise.alerts.series_state import Series
from sizewise.alerts.silences import covers
from sizewise.alerts.tables import Silence
from sizewise.auth.api_keys import audit_event
from sizewise.auth.authorization import Resource, require_permission
from sizewise.auth.permissions import DEFAULT_TENANT
from sizewise.errors import BadRequest, PathNotFound, SizewiseError, did_you_mean
from sizewise.graphql.context import RequestContext
from sizewise.graphql.model_type import FieldValues
from sizewise.notifications.alert_message import EVENT, AlertMessage, AlertSeries, encode_message
from sizewise.notifications.outbox import alert_receiver
from sizewise.notifications.tables import OutboxMessage

MAX_STATES = 200
"""Series of a rule that are shown."""
POLL_S = 1.0
"""Between two looks for a change."""
REREAD_S = 10.0
"""After which values are read again that changed no state."""
ORDER = ("firing", "pending", "resolved", "ok")


async def alerts(context: RequestContext, rule: str | None = None) -> list[FieldValues]:
    """Raises PathNotFound for an unknown rule."""
    rules = _rules(context, rule)
    tenant = context.principal.tenant
    found = await context.services.storage.database.read_in_thread(
        lambda c: {name: tables.series_of(c, name, tenant) for name in rules}
    )
    silenced = await context.services.silences.list(tenant)
    return [_alert(context, each, found[name], silenced) for name, each in rules.items()]


async def alert_changed(context: RequestContext, rule: str | None = None) -> AsyncGenerator[FieldValues, None]:
    """Each rule now, and each time that it has changed. Raises PathNotFound for an unknown rule."""
    _rules(context, rule)
    return _changes(context, rule)


async def _changes(context: RequestContext, rule: str | None) -> AsyncGenerator[FieldValues, None]:
    """Reads all series again only after a change of a state or a silence, or REREAD_S."""
    shown, before, due = dict[str, FieldValues](), None, 0.0
    database, tenant = context.services.storage.database, context.principal.tenant
    while True:
        newest = await database.read_in_thread(partial(tables.newest_transition, tenant=tenant))
        now = (newest, await context.services.silences.list(tenant))
        if now != before or time.monotonic() >= due:
            before, due = now, time.monotonic() + REREAD_S
            for each in await alerts(context, rule):
                name = str(each["name"])
                if shown.get(name) != each:
                    shown[name] = each
                    yield {"alertChanged": each}
        await asyncio.sleep(POLL_S)


async def alert_states(
    context: RequestContext, rule: str | None = None, last: int = 50, before: int | None = None
) -> list[FieldValues]:
    """Raises BadRequest if `last` is too many."""
    _require_read(context)
    context.charge_rows(last)
    read = partial(
        tables.history, tenant=context.principal.tenant, rule=rule or "", before=before or 0, limit=max(0, last)
    )
    found = await context.services.storage.database.read_in_thread(read)
    names = ("number", "rule", "state", "value", "at", "reason")
    return [{**{name: getattr(each, name) for name in names}, "labels": _labels(each.labels)} for each in found]


async def silences(context: RequestContext) -> list[FieldValues]:
    _require_read(context)
    found = await context.services.silences.list(context.principal.tenant)
    series = await _all_series(context)
    return [_silence(each, series) for each in found]


async def check_alerts(context: RequestContext, rule: str | None = None) -> list[FieldValues]:
    """Raises PathNotFound for an unknown rule."""
    rules, now = _rules(context, rule), time.time_ns() // 1_000_000
    evaluator, tenant, found = context.services.alerts, context.principal.tenant, list[FieldValues]()
    for name, each in rules.items():
        measured = await asyncio.to_thread(evaluator.measure, each, now)
        mine = sorted((labels, value) for (owner, labels), value in measured.items() if owner == tenant)
        context.charge_rows(len(mine))
        found += [
            {
                "rule": name,
                "labels": _labels(labels),
                "value": value.value,
                "severity": each.severity(value.level),
                "reason": value.reason,
            }
            for labels, value in mine
        ]
    return found


async def silence_alert(
    context: RequestContext,
    hours: float,
    reason: str,
    rule: str | None = None,
    labels: object = None,
) -> FieldValues:
    """Raises BadRequest, and PathNotFound for an unknown rule."""
    context.require_all_projects("manage_alerts")
    if rule:
        _rules(context, rule)
    try:
        wanted = msgspec.convert(labels or {}, dict[str, str])
    except msgspec.ValidationError:
        raise BadRequest("labels are no strings by name", 'write them as {"model": "a/b"}', param="labels") from None
    made = await context.services.silences.start(context.principal, rule or "", wanted, hours, reason)
    return _silence(made, await _all_series(context))


async def expire_silence(context: RequestContext, id: str) -> FieldValues:
    """Raises PathNotFound."""
    context.require_all_projects("manage_alerts")
    await context.services.silences.end(context.principal, id)
    return {"id": id}


async def test_alert(context: RequestContext, receiver: str) -> FieldValues:
    """Raises PathNotFound for an unknown receiver."""
    principal, known = context.principal, context.app.settings.receivers
    require_permission(principal, "manage_alerts", Resource(DEFAULT_TENANT))
    if receiver not in known:
        hint = did_you_mean(receiver, list(known)) or "add a [receivers.NAME] table to the settings"
        raise PathNotFound(f"there is no receiver {receiver[:100]!r}", hint)
    event = audit_event(principal, principal.tenant, "alert.test", f"receiver:{receiver}")
    await context.services.audit_log.append(event)
    try:
        await context.services.deliveries.send_now(_test_message(receiver))
    except SizewiseError as error:
        return {"receiver": receiver, "delivered": False, "error": error.message, "hint": error.hint}
    return {"receiver": receiver, "delivered": True, "error": "", "hint": ""}


def _test_message(receiver: str) -> OutboxMessage:
    now = time.time_ns() // 1_000_000
    series = AlertSeries(
        labels={"receiver": receiver},
        status="firing",
        severity="warning",
        since=now,
        reason="a test: nothing is wrong",
    )
    message = AlertMessage(
        rule="test",
        metric="test",
        tenant=DEFAULT_TENANT,
        window_s=60,
        renotify_s=0,
        at=now,
        count=1,
        series=[series],
        test=True,
    )
    return OutboxMessage(
        number=0,
        tenant=DEFAULT_TENANT,
        receiver=alert_receiver(receiver),
        id=f"alert_{secrets.token_hex(16)}",
        event=EVENT,
        body=encode_message(message),
        attempts=0,
    )


def _require_read(context: RequestContext) -> None:
    context.require_all_projects("read_records")


def _rules(context: RequestContext, rule: str | None) -> Mapping[str, AlertRule]:
    _require_read(context)
    known = context.services.alerts.rules
    if rule is None:
        return known
    if rule not in known:
        hint = did_you_mean(rule, list(known)) or "`sizewise alerts list` shows those of the settings"
        raise PathNotFound(f"there is no alert rule {rule[:100]!r}", hint)
    return {rule: known[rule]}


async def _all_series(context: RequestContext) -> list[Series]:
    rules, tenant = list(context.services.alerts.rules), context.principal.tenant
    return await context.services.storage.database.read_in_thread(
        lambda c: [each for name in rules for each in tables.series_of(c, name, tenant)]
    )


def _alert(
    context: RequestContext, rule: AlertRule, series: Sequence[Series], silenced: Sequence[Silence]
) -> FieldValues:
    shown = sorted(series, key=lambda each: (ORDER.index(each.state), each.labels))[:MAX_STATES]
    return {
        "name": rule.name,
        "metric": rule.metric,
        "by": list(rule.by),
        "windowS": rule.window_s,
        "warning": rule.warning,
        "alert": rule.alert,
        "receivers": list(rule.to),
        "problem": context.services.alerts.problem(rule.name),
        "states": [_series(rule, each, silenced) for each in shown],
    }


def _series(rule: AlertRule, series: Series, silenced: Iterable[Silence]) -> FieldValues:
    return {
        "labels": _labels(series.labels),
        "state": series.state,
        "severity": rule.severity(series.level),
        "value": series.value,
        "since": series.since,
        "reason": series.reason,
        "sent": series.sent or None,
        "silencedUntil": max((each.ends for each in silenced if covers(each, series)), default=None),
    }


def _silence(silence: Silence, series: Iterable[Series]) -> FieldValues:
    names = ("id", "rule", "created", "ends", "author", "reason")
    found = {name: getattr(silence, name) for name in names}
    return {**found, "labels": _labels(silence.labels), "covers": sum(covers(silence, each) for each in series)}


def _labels(text: str) -> list[FieldValues]:
    return [{"name": name, "value": value} for name, value in msgspec.json.decode(text, type=dict[str, str]).items()]
