"""The state of one series of an alert rule: ok, pending, firing, resolved, and when its receivers hear of it; pure."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from sizewise.alerts.rules import AlertRule

AlertState = Literal["ok", "pending", "firing", "resolved"]


SEEN_MS = 3_600_000
"""How exact `seen` is: a series that does not change is not written each time."""


class SeriesValue(Struct, frozen=True):
    """What was measured. `value`: None without data. `level`: of AlertRule.level. `reason`: more, in words."""

    value: float | None
    level: int = 0
    reason: str = ""


class Series(Struct, frozen=True):
    """`labels`: JSON with sorted keys. Times in unix ms; `since`: of the state. `sent_level`: what the receivers know,
    0: nothing, or that it was resolved; `sent`: when they heard of it, 0: never.
    """

    tenant: str
    rule: str
    labels: str
    state: AlertState = "ok"
    level: int = 0
    value: float | None = None
    since: int = 0
    reason: str = ""
    sent: int = 0
    sent_level: int = 0
    seen: int = 0


def next_state(series: Series, found: SeriesValue | None, rule: AlertRule, now: int) -> Series:
    """`found`: None if the series was not measured. `now`: unix ms."""
    if found is None or found.value is None:
        if rule.no_data == "keep":
            return replace(series, reason="no data", value=None)
        level = 2 if rule.no_data == "alert" else 0
        found = SeriesValue(None, level, "no data")
    state = _next(series, found.level, rule, now)
    return replace(
        series,
        state=state,
        since=series.since if state == series.state and series.since else now,
        level=found.level if state in ("pending", "firing") else 0,
        value=found.value,
        reason=found.reason,
        seen=now if found.value is not None and now - series.seen >= SEEN_MS else series.seen,
    )


def _next(series: Series, level: int, rule: AlertRule, now: int) -> AlertState:
    if not level:
        return "resolved" if series.state in ("firing", "resolved") else "ok"
    if series.state == "firing":
        return "firing"
    begun = series.since if series.state == "pending" else now
    return "firing" if now - begun >= rule.pending_s * 1_000 else "pending"


def is_due(series: Series, rule: AlertRule, now: int) -> bool:
    """Whether its receivers are to hear of it now: it fires, fires worse, still fires after `renotify`, or is over."""
    if series.state == "firing":
        again = rule.renotify_s and now - series.sent >= rule.renotify_s * 1_000
        return series.level > series.sent_level or not series.sent_level or bool(again)
    return series.state in ("resolved", "ok") and series.sent_level > 0


def mark_sent(series: Series, now: int) -> Series:
    return replace(series, sent=now, sent_level=series.level if series.state == "firing" else 0)
