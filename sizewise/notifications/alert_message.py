"""The message of an alert: what receivers of every kind get, and its plain text; never text of a prompt."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

import msgspec
from msgspec import Struct

EVENT = "alert"
SHOWN = 20
"""Series that a text lists."""

OF_NO_WINDOW = frozenset(
    {"model_retires", "quality_target", "canary", "budget_forecast", "storage_bytes", "burn_rate"},
)
"""Metrics whose text names no duration."""
AlertStatus = Literal["firing", "resolved"]


class AlertSeries(Struct, frozen=True):
    """One series. `since`: unix ms. `value`: None without data."""

    labels: dict[str, str]
    status: AlertStatus
    severity: str
    value: float | None = None
    threshold: float | None = None
    since: int = 0
    reason: str = ""


class AlertMessage(Struct, frozen=True):
    """Series of one rule and organization that fire or are over, at most `MAX_SERIES` of `count`. `at`: unix ms."""

    rule: str
    metric: str
    tenant: str
    window_s: int
    renotify_s: int
    at: int
    count: int
    series: Sequence[AlertSeries]
    test: bool = False

    @property
    def status(self) -> AlertStatus:
        return "firing" if any(each.status == "firing" for each in self.series) else "resolved"

    @property
    def severity(self) -> str:
        """The worst of those that fire; empty if none does."""
        found = {each.severity for each in self.series if each.status == "firing"}
        return "alert" if "alert" in found else "warning" if found else ""


MAX_SERIES = 500
"""Series of one message."""


def encode_message(message: AlertMessage) -> str:
    return msgspec.json.encode(message).decode()


def decode_message(body: str) -> AlertMessage:
    return msgspec.json.decode(body, type=AlertMessage)


def title(message: AlertMessage) -> str:
    """One line."""
    test = "[TEST] " if message.test else ""
    many = f" ({message.count:,})" if message.count > 1 else ""
    where = "" if message.tenant == "local" else f" in {message.tenant}"
    return f"{test}[{(message.severity or message.status).upper()}] {message.rule}: {_what(message)}{many}{where}"


def lines(message: AlertMessage) -> list[str]:
    """One for each series, and one for those that are not listed."""
    found = [_line(each) for each in message.series[:SHOWN]]
    if message.count > len(found):
        found.append(f"and {message.count - len(found):,} more: sizewise alerts list")
    return found


def _what(message: AlertMessage) -> str:
    if message.metric in OF_NO_WINDOW:
        return message.metric
    hours, minutes = divmod(message.window_s, 3_600)
    return f"{message.metric} over {f'{hours} h' if hours and not minutes else f'{message.window_s // 60} min'}"


def _line(series: AlertSeries) -> str:
    labels = ", ".join(f"{name}={value or 'none'}" for name, value in series.labels.items()) or "all"
    value = "no data" if series.value is None else f"{series.value:,.6g}"
    limit = "" if series.threshold is None else f" (threshold {series.threshold:,.6g})"
    since = f" since {datetime.fromtimestamp(series.since / 1_000, UTC):%Y-%m-%d %H:%M} UTC" if series.since else ""
    why = f"; {series.reason}" if series.reason and series.reason != "no data" else ""
    state = "resolved" if series.status == "resolved" else series.severity
    return f"{state}: {labels}: {value}{limit}{since}{why}"
