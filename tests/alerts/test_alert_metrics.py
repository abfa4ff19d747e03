"""Alerts on scores, budgets and canaries through the front door: what a receiver gets, and what it does not get."""

from __future__ import annotations

import json
import time
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from sizewise.limits.rules import forecast, window_bounds
from tests.fakes.webhook_receiver import WebhookReceiver, receiving
from tests.graphql.graphql_client import graphql
from tests.releases.canary_upstream import upstream
from tests.releases.test_environments import live, run
from tests.running_server import ECHO, Served, serving, until
from tests.stories.test_canary_stories import SETTINGS, ask

RULE = """
[alerts.watched]
metric = "{metric}"
every = "1s"
to = ["chat"]
{more}
[receivers.chat]
kind = "slack"
url = "env:SLACK_URL"
place = "machine"
"""
CHECK = "{ checkAlerts { severity value reason labels { name value } } }"


def check(server: Served) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = graphql(server, CHECK).data["checkAlerts"]
    return found


def labels(series: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each["value"] for each in series["labels"]}


def first_text(receiver: WebhookReceiver) -> str:
    until(receiver.heard)
    text: str = json.loads(receiver.came[0][1])["text"]
    return text


def rate(server: Served, value: float, times: int) -> None:
    for _ in range(times):
        body = {"model": "echo/small", "messages": [{"role": "user", "content": "Hello"}]}
        trace = server.ask("/v1/chat/completions", body).headers["x-sizewise-trace"]
        assert server.ask("/v1/scores", {"trace": trace, "name": "resolved", "value": value}).status == 200


@pytest.mark.long
def test_a_score_alert_waits_until_its_whole_interval_is_below_the_threshold(tmp_path: Path) -> None:
    rule = RULE.format(metric="score:resolved", more='alert = 0.8\nbelow = true\nwindow = "7d"\nby = ["model"]')
    with receiving(200) as slack, serving(tmp_path, ECHO + rule, SLACK_URL=slack.url) as server:
        assert check(server) == [], "no score is no alarm"
        rate(server, 0.0, 3)
        (few,) = check(server)
        assert (few["value"], few["severity"]) == (0.0, ""), "three bad answers are too few to tell"
        rate(server, 0.1, 20)
        text = first_text(slack)
        (many,) = check(server)
    assert text.startswith("*[ALERT] watched: score:resolved over 168 h*\n• alert: model=echo/small: 0.")
    assert "95 % interval 0." in text and "scores" in text
    assert many["severity"] == "alert" and 0.0 < many["value"] < 0.1 and labels(many) == {"model": "echo/small"}


BUDGET = """
[models."echo/small".price]
input = "10"
output = "10"
[limits.organization]
usd_per_day = "0.01"
"""


@pytest.mark.long
def test_a_budget_alert_tells_what_will_be_spent_at_the_present_pace(tmp_path: Path) -> None:
    rule = RULE.format(metric="budget_forecast", more="alert = 0.05")
    with receiving(200) as slack, serving(tmp_path, ECHO + BUDGET + rule, SLACK_URL=slack.url) as server:
        assert check(server) == [], "nothing is spent"
        body = {"model": "echo/small", "messages": [{"role": "user", "content": "word " * 60}], "max_tokens": 5}
        assert server.ask("/v1/chat/completions", body).status == 200
        text = first_text(slack)
        (found,) = check(server)
    assert labels(found) == {"scope": "organization", "window": "day"} and found["severity"] == "alert"
    spent = float(found["reason"].split()[0].strip("$"))
    assert 0 < spent < 0.01 and found["reason"].endswith("of $0.01 is spent") and found["reason"] in text
    elapsed = max(time.time() % 86_400, 3_600)
    assert found["value"] == pytest.approx(spent / 0.01 * 86_400 / elapsed, rel=0.1)


@pytest.mark.parametrize(
    ("hours", "spent", "expected"),
    [(12, 5, 10), (24, 5, 5), (0.001, 1, 24), (1, 1, 24), (2, 1, 12)],
)
def test_a_forecast_trusts_no_pace_of_the_first_minutes(hours: float, spent: int, expected: float) -> None:
    start, end = window_bounds("usd/day", 1_780_000_000)
    assert forecast(spent, start, end, start + hours * 3_600) == pytest.approx(expected)


@pytest.mark.long
def test_a_canary_that_is_rolled_back_is_told_with_its_reason(tmp_path: Path) -> None:
    rule = RULE.format(metric="canary", more="")
    canary = "steps = [0.5]\nshadow_pairs = 100\nshadow_rate = 1.0"
    with upstream() as url, receiving(200) as slack:
        settings = SETTINGS.format(echo=ECHO, url=url, model="near/good", canary=canary) + rule
        with serving(tmp_path, settings, UPSTREAM_KEY="x", SLACK_URL=slack.url) as server:
            until(lambda: live(tmp_path)["prod"])
            assert check(server) == []
            (tmp_path / "sizewise.toml").write_text(settings.replace('["near/good"]', '["broken/gone"]'))
            run(tmp_path, "release", "apply", ".", "--to", "prod")
            sessions = (f"s{number}" for number in count())  # one pair each
            until(lambda: ask(server, next(sessions)).status != 200 or slack.heard())
            (found,) = check(server)
    text = first_text(slack)
    assert text.startswith("*[ALERT] watched: canary*\n• alert: environment=prod, project=default: 1 (threshold 1)")
    assert found["value"] == 1.0 and found["reason"] and found["reason"] in text
