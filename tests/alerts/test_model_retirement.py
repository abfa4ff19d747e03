"""Alerts of models that end: 90, 30 and 7 days ahead, once each, naming the policies and flows that use them."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from sizewise.alerts.evaluator import AlertEvaluator
from sizewise.alerts.rules import build_rules
from sizewise.app.alert_metrics import alert_metrics
from sizewise.app.services import open_services
from sizewise.catalog.retirements import retirements
from sizewise.settings.load import load_settings
from tests.graphql.graphql_client import graphql
from tests.running_server import ECHO, serving, until

MODELS = '[providers.openai]\nendpoint = "openai"\nkey = "env:KEY"\nmodels = ["gpt-4"]\n'
RULE = '[alerts.ends]\nmetric = "model_retires"\nto = ["ops"]\n[receivers.ops]\nkind = "slack"\nurl = "env:SLACK_URL"\n'
FLOW = """
name: support
inputs: {question: text}
nodes:
  reply: {kind: ask, prompt: "{{ inputs.question }}", model: openai/gpt-4}
outputs: {answer: "{{ reply.text }}"}
"""


async def test_a_model_that_ends_is_announced_90_30_and_7_days_ahead_once_each(tmp_path: Path) -> None:
    file = tmp_path / "sizewise.toml"
    file.write_text(MODELS + RULE)
    settings = load_settings(file, tmp_path, {})
    (end,) = {date.fromisoformat(each.ends) for each in retirements(settings, date(2026, 9, 1))}
    now = 0.0
    with open_services(tmp_path, settings) as services:
        database = services.storage.database
        alerts = AlertEvaluator(
            services.outbox, database.read_transaction, services.leadership.write, clock=lambda: now
        )
        metrics = alert_metrics(settings, services.quality_monitor, services.limiter, database, services.model_uses, {})
        alerts.prepare(build_rules(settings), metrics)()
        sent = list[tuple[int, int]]()
        for days in (120, 91, 90, 89, 60, 30, 29, 8, 7, 6, 0, -5):
            now = datetime.combine(end - timedelta(days=days), datetime.min.time(), UTC).timestamp()
            await alerts.evaluate_due()
            with database.read() as connection:
                bodies = connection.exec_driver_sql("SELECT body FROM outbox").scalars().all()
            sent.append((days, len(bodies)))
    assert [days for (days, count), (_, before) in zip(sent[1:], sent, strict=False) if count > before] == [90, 30, 7]
    series = [json.loads(body)["series"][0] for body in bodies]
    assert [each["severity"] for each in series] == ["warning", "warning", "alert"]
    assert series[0]["labels"] == {"model": "openai/gpt-4"} and f"ends on {end}" in series[0]["reason"]


@pytest.mark.long
def test_the_alert_names_policies_and_flows_that_use_the_model(tmp_path: Path) -> None:
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "support.yaml").write_text(FLOW)
    policy = '[policies.mine]\nkind = "fixed"\nmodels = ["openai/gpt-4"]\n'
    with serving(tmp_path, ECHO + MODELS + policy + RULE, KEY="none", SLACK_URL="http://127.0.0.1:9/x") as server:
        until(lambda: graphql(server, "{ flows { name } }").data["flows"])
        (found,) = graphql(server, "{ checkAlerts { severity labels { value } reason } }").data["checkAlerts"]
    assert found["severity"] == "alert" and found["labels"] == [{"value": "openai/gpt-4"}]
    assert "policies " in found["reason"] and "mine" in found["reason"] and "flows support" in found["reason"]
