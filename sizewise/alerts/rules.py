"""Alert rules as they are evaluated, from the settings: [alerts.NAME] and [slo.NAME] as one kind; reads no database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from msgspec import Struct

from sizewise.settings.alerts import AlertSettings, SloSettings, seconds
from sizewise.settings.root import FileSettings

Severity = Literal["", "warning", "alert"]
"""Empty: no threshold is crossed."""

RETIREMENT_DAYS = (90, 30, 7)
"""Days before the end of a model at which its alert is sent; the last has the severity `alert`."""
ENDS_EVERY_S = 600
"""Seconds between two looks at the ends of models, at least. Each of RETIREMENT_DAYS is sent once."""
BURN_WINDOWS: Sequence[tuple[float, int, int, Severity]] = (
    (14.4, 3_600, 300, "alert"),
    (6.0, 21_600, 1_800, "alert"),
    (3.0, 86_400, 7_200, "warning"),
    (1.0, 259_200, 21_600, "warning"),
)
"""Burn rate, long and short window in seconds, severity: Google's SRE workbook, chapter 5, for a budget of 30 days."""


class AlertRule(Struct, frozen=True):
    """Durations in seconds. `good` and `objective`: of a service level objective, else empty and 0."""

    name: str
    metric: str
    by: tuple[str, ...]
    window_s: int
    pending_s: int
    alert: float | None
    warning: float | None
    below: bool
    no_data: Literal["ok", "alert", "keep"]
    renotify_s: int
    every_s: int
    to: tuple[str, ...]
    good: str = ""
    objective: float = 0.0
    policy: str = ""

    def level(self, value: float) -> int:
        """How far `value` has crossed the thresholds; 0: none of them. A higher level is sent at once."""
        if self.metric == "model_retires":
            return sum(value <= days for days in RETIREMENT_DAYS)
        if self.metric == "quality_target":
            return 2 if value else 0
        crossed = [
            level
            for level, threshold in ((1, self.warning), (2, self.alert))
            if threshold is not None and (value <= threshold if self.below else value >= threshold)
        ]
        return max(crossed, default=0)

    def severity(self, level: int) -> Severity:
        if not level:
            return ""
        return "alert" if level >= (3 if self.metric == "model_retires" else 2) else "warning"

    def threshold(self, level: int) -> float | None:
        """That of `level`."""
        if self.metric == "model_retires":
            return float(RETIREMENT_DAYS[level - 1]) if level else None
        return self.alert if level == 2 else self.warning


def build_rules(settings: FileSettings) -> Mapping[str, AlertRule]:
    """By name, in the order of the settings."""
    rules = {name: _rule(name, each) for name, each in settings.alerts.items()}
    return rules | {name: _slo(name, each) for name, each in settings.slo.items()}


def _rule(name: str, given: AlertSettings) -> AlertRule:
    ends = given.metric == "model_retires"
    by_default = 1.0 if given.metric == "canary" else None  # 1: it is rolled back
    return AlertRule(
        name=name,
        metric=given.metric,
        by=given.by,
        window_s=seconds(given.window),
        pending_s=seconds(given.for_),
        alert=by_default if given.alert is None else given.alert,
        warning=given.warning,
        below=given.below,
        no_data=given.no_data,
        renotify_s=0 if ends else seconds(given.renotify),
        every_s=max(seconds(given.every), ENDS_EVERY_S if ends else 0),
        to=given.to,
    )


def _slo(name: str, given: SloSettings) -> AlertRule:
    """Its thresholds are factors of the burn rate's own: 1 is reached where one of BURN_WINDOWS is."""
    return AlertRule(
        name=name,
        metric="burn_rate",
        by=(),
        window_s=max(long for _, long, _, _ in BURN_WINDOWS),
        pending_s=0,
        alert=None,
        warning=None,
        below=False,
        no_data="ok",
        renotify_s=seconds(given.renotify),
        every_s=seconds(given.every),
        to=given.to,
        good=given.good,
        objective=given.objective,
        policy=given.policy,
    )
