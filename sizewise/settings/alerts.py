"""Settings of alerts: rules, service level objectives, and the receivers of their messages; evaluates none."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from sizewise.data_class import Place
from sizewise.errors import did_you_mean
from sizewise.settings.toml_reader import setting
from sizewise.settings.validators import is_reference, reference, url

METRICS = (
    *("requests", "error_rate", "p95_s", "cost_usd", "tokens", "quality_target", "canary", "budget_forecast"),
    *("model_retires", "storage_bytes"),
)
SCORE_METRIC = re.compile(r"score:[a-z][a-z0-9_-]{0,31}")
"""`score:` and the name of a score."""
SCORE_GROUPS = frozenset({"project", "model", "policy", "flow", "end_user"})
UNGUARDED = frozenset({"model_retires", "quality_target", "canary"})
"""Metrics that need no threshold."""
RECORD_METRICS = frozenset({"requests", "error_rate", "p95_s", "cost_usd", "tokens"})
"""Of request records, so they can be grouped and have a window."""
DURATION = re.compile(r"([1-9][0-9]{0,5})(s|m|h|d)")
SECONDS: Mapping[str, int] = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
MAX_WINDOW_S = 30 * 86_400
CONDITION = re.compile(r"(status|total_ms|first_token_ms|attempts|tokens) (<|<=|>|>=|==|!=) ([0-9]{1,9})")
RECEIVER_KINDS = ("webhook", "slack", "teams", "discord", "pagerduty", "alertmanager", "email")
MAIL_URL = re.compile(r"(smtps?)://([A-Za-z0-9.-]{1,253}|\[[0-9a-f:.]{2,45}\])(?::([1-9][0-9]{0,4}))?")
ADDRESS = re.compile(r"[^\s@<>,;\"]{1,64}@[A-Za-z0-9.-]{1,253}")


def metric(text: str) -> str:
    if text in METRICS or SCORE_METRIC.fullmatch(text):
        return text
    if text.startswith("score:"):
        raise ValueError(f"{text[6:60]!r} is not the name of a score. Use lower-case letters, digits, '-' and '_'.")
    near = did_you_mean(text, METRICS) or f"Known: {', '.join(METRICS)}, score:NAME."
    raise ValueError(f"there is no metric {text[:60]!r}. {near}")


def duration(text: str) -> str:
    if text != "0s" and not (DURATION.fullmatch(text) and seconds(text) <= MAX_WINDOW_S):
        raise ValueError(f"{text[:40]!r} is not a duration up to 30 days, as '90s', '5m', '24h' or '3d'")
    return text


def seconds(text: str) -> int:
    """Of a duration."""
    return int(text[:-1]) * SECONDS[text[-1]]


def conditions(text: str) -> str:
    for each in text.split(" and "):
        if not CONDITION.fullmatch(each.strip()):
            raise ValueError(
                f"{each.strip()[:60]!r} is not a condition such as 'status < 500' or 'total_ms < 8000'; known: status, "
                "total_ms, first_token_ms, attempts, tokens; join them by 'and'"
            )
    return text


def receiver_url(text: str) -> str:
    if is_reference(text):
        return reference(text)
    return text if MAIL_URL.fullmatch(text) else url(text)


def address(text: str) -> str:
    if not ADDRESS.fullmatch(text):
        raise ValueError(f"{text[:60]!r} is not an e-mail address")
    return text


Grouping = Literal["project", "key", "model", "policy", "endpoint", "end_user", "flow", "agent"]


@dataclass(frozen=True, slots=True)
class AlertSettings:
    """An alert rule: a metric that crosses a threshold for a while. Messages never contain text of a prompt."""

    metric: str = setting(
        "",
        "What is measured: `requests`, `error_rate` (share with status 500 or more), `p95_s` (seconds of successful "
        "requests), `cost_usd`, `tokens`, `score:NAME` (mean of the scores of that name; fires when its whole 95 % "
        "interval is beyond the threshold), `quality_target` (1: a policy missed it), `canary` (evidence against it as "
        "a share of what rolls it back; 1: rolled back), `budget_forecast` (share of a dollar budget used at its end, "
        "at its pace so far), `model_retires` (days left) or `storage_bytes` (of the database).",
        validator=metric,
    )
    by: tuple[Grouping, ...] = setting(
        (), "One alert for each value of these, at most 5,000 at a time. `end_user` is shown as a hash."
    )
    window: str = setting("1h", "Duration over which is measured, as `5m`, `24h` or `3d`.", validator=duration)
    for_: str = setting("0s", "Duration for which the threshold must be crossed until it fires.", validator=duration)
    alert: float | None = setting(None, "Threshold from which it fires.")
    warning: float | None = setting(None, "Threshold from which it fires with the severity `warning`.")
    below: bool = setting(False, "Fire at or below the thresholds instead.")
    no_data: Literal["ok", "alert", "keep"] = setting("ok", "State of an alert without requests in the window.")
    renotify: str = setting("4h", "Duration after which an alert that still fires is sent again.", validator=duration)
    every: str = setting("15s", "Duration between two evaluations; slow ones are rarer.", validator=duration)
    to: tuple[str, ...] = setting((), "Receivers: names under [receivers].")


@dataclass(frozen=True, slots=True)
class SloSettings:
    """A service level objective: alerts when its error budget of 30 days burns too fast (Google's SRE workbook).

    Severity `alert` at a burn rate of 14.4 (over 1 h and 5 min) or 6 (6 h and 30 min), `warning` at 3 (1 d and 2 h) or
    1 (3 d and 6 h).
    """

    good: str = setting(
        "status < 500",
        "Conditions of a good request, as `status < 500 and total_ms < 8000`.",
        validator=conditions,
    )
    objective: float = setting(0.995, "Share of requests that are good.", minimum=0.5, maximum=0.99999)
    policy: str = setting("", "Only requests of this policy; empty: all.")
    renotify: str = setting("4h", "Duration after which an alert that still fires is sent again.", validator=duration)
    every: str = setting("15s", "Duration between two evaluations; slow ones are rarer.", validator=duration)
    to: tuple[str, ...] = setting((), "Receivers: names under [receivers].")


@dataclass(frozen=True, slots=True)
class ReceiverSettings:
    """A receiver of alerts. Each message is delivered at least once."""

    kind: Literal["webhook", "slack", "teams", "discord", "pagerduty", "alertmanager", "email"] = setting(
        "webhook", "Format of messages. `webhook`: signed according to Standard Webhooks."
    )
    url: str = setting(
        "",
        "URL to post to, for e-mail `smtp://host:587` or `smtps://host:465`; by reference (`env:NAME`, `file:PATH`) if "
        "it contains a secret. For PagerDuty and Alertmanager the base URL.",
        validator=receiver_url,
        secret=True,
    )
    place: Place = setting("anyone", "Where the receiver runs. You declare it; `egress.internal` must allow it.")
    secret: str = setting(
        "",
        "By reference: signing secret of a webhook, routing key of PagerDuty, password for e-mail.",
        validator=reference,
        secret=True,
    )
    user: str = setting("", "User name for e-mail; empty: no login.")
    from_: str = setting("", "Sender of e-mail.", validator=address)
    to: tuple[str, ...] = setting((), "Recipients of e-mail.", validator=address)
    starttls: bool = setting(True, "Refuse to send e-mail over `smtp://` without TLS.")


def alert_contradictions(
    alerts: Mapping[str, AlertSettings], slo: Mapping[str, SloSettings], receivers: Mapping[str, ReceiverSettings]
) -> Iterator[str]:
    """Errors that only several keys together show."""
    for name, rule in alerts.items():
        yield from (f"alerts.{name}.{error}" for error in _rule_errors(rule))
    wanted = [(f"alerts.{name}", rule.to) for name, rule in alerts.items()]
    wanted += [(f"slo.{name}", objective.to) for name, objective in slo.items()]
    for place, names in wanted:
        for each in names:
            if each not in receivers:
                near = did_you_mean(each, list(receivers)) or "Add a [receivers.NAME] table."
                yield f"{place}.to: there is no receiver {each!r}. {near}"
    for name in alerts.keys() & slo.keys():
        yield f"slo.{name}: an alert has the same name"
    for name, receiver in receivers.items():
        yield from (f"receivers.{name}.{error}" for error in _receiver_errors(receiver))


def _rule_errors(rule: AlertSettings) -> Iterator[str]:
    if not rule.metric:
        yield f"metric: is missing: one of {', '.join(METRICS)}, score:NAME"
        return
    if rule.alert is None and rule.warning is None and rule.metric not in UNGUARDED:
        yield "alert: is missing: the threshold from which it fires"
    if rule.by and SCORE_METRIC.fullmatch(rule.metric):
        yield from (
            f"by: scores have no {each!r}; use one of {', '.join(sorted(SCORE_GROUPS))}"
            for each in rule.by
            if each not in SCORE_GROUPS
        )
    elif rule.by and rule.metric not in RECORD_METRICS:
        yield f"by: {rule.metric} cannot be grouped"
    if rule.alert is not None and rule.warning is not None and (rule.alert < rule.warning) is not rule.below:
        yield f"warning: is reached {'before' if rule.alert == rule.warning else 'after'} `alert`; swap the two"
    if rule.window == "0s":
        yield "window: must not be empty"
    if rule.every == "0s":
        yield "every: must not be empty"


def _receiver_errors(receiver: ReceiverSettings) -> Iterator[str]:
    mail = receiver.kind == "email"
    if not receiver.url and receiver.kind != "pagerduty":
        yield "url: is missing"
    elif receiver.url and not is_reference(receiver.url):
        if mail is not bool(MAIL_URL.fullmatch(receiver.url)):
            wanted = "'smtp://host:587' or 'smtps://host:465'" if mail else "'https://host/path'"
            yield f"url: is not a URL like {wanted}"
        elif receiver.kind in ("slack", "teams", "discord"):
            yield 'url: is a secret; give it by reference, as "env:NAME"'
    if receiver.kind in ("webhook", "pagerduty") and not receiver.secret:
        yield f"secret: is missing: the {'signing secret' if receiver.kind == 'webhook' else 'routing key'}"
    if mail and not receiver.from_:
        yield "from: is missing: the sender's address"
    if mail and not receiver.to:
        yield "to: is missing: the recipients' addresses"
    if mail and bool(receiver.user) is not bool(receiver.secret):
        yield "user: needs `secret`, and `secret` needs `user`"
