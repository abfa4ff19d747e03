"""Formats of receivers: an alert as Slack, Teams, Discord, PagerDuty, Alertmanager and webhooks take it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import msgspec

from sizewise.notifications.alert_message import AlertMessage, AlertSeries, lines, title

RESOLVE_AFTER_S = 3_600
"""Seconds after `renotify` at which Alertmanager takes an alert that was not sent again for resolved."""
ONCE_LASTS_S = 100 * 86_400
"""The same for an alert that is sent once."""
DISCORD_LENGTH = 2_000


def slack(message: AlertMessage) -> bytes:
    """For an incoming webhook. `&`, `<` and `>` are escaped, so that no label can mention anyone."""
    text = "\n".join([f"*{_escaped(title(message))}*", *(f"• {_escaped(each)}" for each in lines(message))])
    return msgspec.json.encode({"text": text})


def teams(message: AlertMessage) -> bytes:
    """An Adaptive Card, for a webhook of Power Automate."""
    blocks = [{"type": "TextBlock", "text": title(message), "weight": "Bolder", "wrap": True}]
    blocks += [{"type": "TextBlock", "text": each, "wrap": True} for each in lines(message)]
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": blocks,
    }
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "content": card}
    return msgspec.json.encode({"type": "message", "attachments": [attachment]})


def discord(message: AlertMessage) -> bytes:
    """For a webhook; nobody is mentioned."""
    text = "\n".join([f"**{title(message)}**", *lines(message)])
    return msgspec.json.encode({"content": text[:DISCORD_LENGTH], "allowed_mentions": {"parse": []}})


def pagerduty(message: AlertMessage, routing_key: str) -> bytes:
    """Events API v2: one incident for a rule and organization."""
    event: dict[str, object] = {
        "routing_key": routing_key,
        "event_action": "trigger" if message.status == "firing" else "resolve",
        "dedup_key": f"sizewise/{message.tenant}/{message.rule}",
    }
    if message.status == "firing":
        severity = "critical" if message.severity == "alert" else "warning"
        details = {"series": lines(message)}
        event["payload"] = {
            "summary": title(message)[:1_024],
            "source": "sizewise",
            "severity": severity,
            "custom_details": details,
        }
    return msgspec.json.encode(event)


def alertmanager(message: AlertMessage) -> bytes:
    """API v2. One that fires ends by itself if it is not sent again."""
    return msgspec.json.encode([_alertmanager_alert(message, each) for each in message.series])


def _alertmanager_alert(message: AlertMessage, series: AlertSeries) -> dict[str, object]:
    labels = {
        "alertname": message.rule,
        "service": "sizewise",
        "organization": message.tenant,
        **{name: value for name, value in series.labels.items() if value},
    }
    if message.test:
        labels["test"] = "true"
    lasts_s = message.renotify_s + RESOLVE_AFTER_S if message.renotify_s else ONCE_LASTS_S
    ends = message.at if series.status == "resolved" else message.at + lasts_s * 1_000
    return {
        "labels": labels,
        "annotations": {"summary": title(message), "description": series.reason, "severity": series.severity},
        "startsAt": _time(min(series.since or message.at, message.at)),
        "endsAt": _time(ends),
    }


def webhook(message: AlertMessage) -> bytes:
    """Standard Webhooks: type, timestamp, data."""
    return msgspec.json.encode(
        {
            "type": f"alert.{message.status}",
            "timestamp": _time(message.at),
            "tenant": message.tenant,
            "data": message,
        }
    )


FORMATS: Mapping[str, Callable[[AlertMessage], bytes]] = {
    "slack": slack,
    "teams": teams,
    "discord": discord,
    "alertmanager": alertmanager,
    "webhook": webhook,
}
PATHS: Mapping[str, str] = {"pagerduty": "/v2/enqueue", "alertmanager": "/api/v2/alerts"}
"""Below the base URL of a kind."""


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _time(at: int) -> str:
    return datetime.fromtimestamp(at / 1_000, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
