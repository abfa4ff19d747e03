"""Alerts of a real server reach their receivers: an SMTP server, an Alertmanager where there is one, and doubles.

Doubles: Slack, Teams, Discord, PagerDuty and a webhook; nothing was sent to the real ones.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sizewise.notifications import receiver_formats
from sizewise.notifications.alert_message import AlertMessage, AlertSeries
from tests.cli.terminal import sizewise
from tests.fakes.mail_server import Mailbox, receiving_mail
from tests.fakes.webhook_receiver import SECRET, WebhookReceiver, receiving
from tests.graphql.graphql_client import graphql
from tests.running_server import ECHO, Served, serving, until

CANARY = "canary-in-a-prompt-4711"
RULES = """
[models."echo/small".price]
input = "1000000"
output = "1000000"
[alerts.user-spend]
metric = "cost_usd"
by = ["end_user"]
window = "24h"
every = "1s"
alert = 1.0
to = ["chat", "mail", "manager"]
[receivers.chat]
kind = "slack"
url = "env:SLACK_URL"
place = "machine"
[receivers.mail]
kind = "email"
url = "{mail}"
place = "machine"
starttls = false
from = "sizewise@example.com"
to = ["ops@example.com", "boss@example.com"]
[receivers.manager]
kind = "alertmanager"
url = "{manager}"
place = "machine"
"""
STATES = "{ alerts { name states { labels { name value } state severity value silencedUntil } } }"
MESSAGE = AlertMessage(
    rule="user-spend",
    metric="cost_usd",
    tenant="local",
    window_s=86_400,
    renotify_s=14_400,
    at=1_780_000_000_000,
    count=2,
    series=[
        AlertSeries({"end_user": "<!channel> a&b"}, "firing", "alert", 21.5, 20.0, 1_779_999_000_000),
        AlertSeries({"end_user": "u2"}, "resolved", "", 1.0, None, 1_780_000_000_000),
    ],
)


class Manager:
    """An Alertmanager: a real one, or else a double that keeps what came."""

    def __init__(self, url: str, double: WebhookReceiver | None = None) -> None:
        self.url = url
        self._double = double

    def alerts(self) -> list[dict[str, Any]]:
        if self._double is not None:
            return [each for _, body in self._double.came for each in json.loads(body)]
        try:
            with urllib.request.urlopen(f"{self.url}/api/v2/alerts", timeout=10) as answer:
                found: list[dict[str, Any]] = json.load(answer)
                return found
        except urllib.error.URLError:
            return []


@contextlib.contextmanager
def managing(folder: Path) -> Iterator[Manager]:
    """A real one where Debian's is installed, as in CI; else a double."""
    program = shutil.which("prometheus-alertmanager")
    if program is None:
        with receiving(200) as double:
            yield Manager(double.url, double)
        return
    (folder / "am.yml").write_text("route: {receiver: none}\nreceivers: [{name: none}]\n")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    words = [program, f"--config.file={folder}/am.yml", f"--storage.path={folder}/am", "--cluster.listen-address="]
    words += [f"--web.listen-address=127.0.0.1:{port}"]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            found = Manager(f"http://127.0.0.1:{port}")
            until(lambda: _answers(f"{found.url}/-/ready"))
            yield found
        finally:
            process.kill()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=10):
            return True
    except (urllib.error.URLError, ConnectionError):
        return False


def spend(server: Served, user: str) -> None:
    body = {"model": "echo/small", "messages": [{"role": "user", "content": CANARY}], "user": user}
    assert server.ask("/v1/chat/completions", body).status == 200


def story(home: Path, slack: WebhookReceiver, mail: Mailbox, manager: Manager) -> None:
    config = ECHO + RULES.format(mail=mail.url, manager=manager.url)
    with serving(home, config, SLACK_URL=slack.url) as server:
        spend(server, "ann@example.com")
        until(lambda: slack.heard() and mail.mails and manager.alerts())
        text = json.loads(slack.came[0][1])["text"]
        assert text.startswith("*[ALERT] user-spend: cost_usd over 24 h*\n• alert: end_user=")
        assert mail.mails[0]["subject"] == "[ALERT] user-spend: cost_usd over 24 h"
        assert mail.recipients == [["ops@example.com", "boss@example.com"]]
        assert manager.alerts()[0]["labels"]["alertname"] == "user-spend"
        everything = repr((slack.came, [each.as_string() for each in mail.mails], manager.alerts()))
        assert CANARY not in everything and "ann@example.com" not in everything

        words = ("--home", str(home), "--config", str(home / "sizewise.toml"))
        made = sizewise("alerts", "silence", "user-spend", "--for", "1h", "--reason", "known", "--json", *words)
        assert made.json["covers"] == 1
        spend(server, "bob@example.com")
        until(lambda: len(graphql(server, STATES).data["alerts"][0]["states"]) == 2)
        states = graphql(server, STATES).data["alerts"][0]["states"]
        assert {each["state"] for each in states} == {"firing"} and all(each["silencedUntil"] for each in states)
        assert (slack.heard(), len(mail.mails)) == (1, 1)
        assert "silenced until" in sizewise("alerts", *words).out

        assert sizewise("alerts", "unsilence", made.json["id"], *words).code == 0
        until(lambda: slack.heard() == 2 and len(mail.mails) == 2, 90)
        actions = [each["action"] for each in graphql(server, "{ audit(last: 10) { action } }").data["audit"]]
    assert {"alert.silence", "alert.unsilence"} <= set(actions)
    assert (slack.heard(), len(mail.mails)) == (2, 2)


@pytest.mark.long
def test_story_27_a_spend_alert_reaches_slack_mail_and_alertmanager_once_is_silenced_and_comes_back(
    tmp_path: Path,
) -> None:
    with receiving(200) as slack, receiving_mail() as mail, managing(tmp_path) as manager:
        story(tmp_path, slack, mail, manager)


@pytest.mark.long
def test_kill_9_between_an_alert_and_its_delivery_loses_no_message(tmp_path: Path) -> None:
    with receiving(503, 200) as slack, receiving_mail() as mail, receiving(200) as manager:
        config = ECHO + RULES.format(mail=mail.url, manager=manager.url)
        with serving(tmp_path, config, SLACK_URL=slack.url) as server:
            spend(server, "ann@example.com")
            until(slack.heard)
            server.process.kill()
            server.process.wait(60)
        with serving(tmp_path, config, SLACK_URL=slack.url) as server:
            until(lambda: slack.heard() >= 2)
            until(lambda: mail.mails)
            until(manager.heard)
    assert slack.heard() <= 3 and len(mail.mails) <= 2 and manager.heard() <= 2
    assert len({body for _, body in slack.came}) == 1, "the same alert each time"


@pytest.mark.long
@pytest.mark.parametrize("status", [403, 204])
def test_a_test_message_shows_what_the_receiver_answered(tmp_path: Path, status: int) -> None:
    with receiving(status) as slack, receiving(200) as manager:
        config = ECHO + RULES.format(mail="smtp://127.0.0.1:9", manager=manager.url)
        with serving(tmp_path, config, SLACK_URL=slack.url):
            words = ("--home", str(tmp_path), "--config", str(tmp_path / "sizewise.toml"))
            said = sizewise("alerts", "test", "chat", "--json", *words)
            mail = sizewise("alerts", "test", "mail", *words)
            unknown = sizewise("alerts", "test", "chatt", *words)
    assert "[TEST]" in json.loads(slack.came[0][1])["text"]
    assert said.code == (1 if status == 403 else 0) and said.json["error"] == ("status 403" if status == 403 else "")
    assert mail.code == 1 and "127.0.0.1:9 failed" in mail.err and "hint: " in mail.err
    assert unknown.code != 0 and "'chat'" in unknown.err


BAD = {
    'metric = "cost"': "alerts.a.metric: there is no metric 'cost'. Did you mean 'cost_usd'?",
    'metric = "cost_usd"': "alerts.a.alert: is missing",
    'metric = "cost_usd"\nalert = "lots"': "alerts.a.alert: 'lots' is not a number",
    'metric = "cost_usd"\nalert = 1\nto = ["opps"]': "alerts.a.to: there is no receiver 'opps'. Did you mean 'ops'?",
    'metric = "cost_usd"\nalert = 1\nwindow = "1 day"': "alerts.a.window: '1 day' is not a duration",
    'metric = "cost_usd"\nalert = 1\nwarning = 2': "alerts.a.warning: is reached after `alert`",
    'metric = "storage_bytes"\nalert = 1\nby = ["model"]': "alerts.a.by: storage_bytes cannot be grouped",
    'metric = "cost_usd"\nalert = 1\nby = ["session"]': "alerts.a.by[0]: 'session' is not one of",
    'metric = "cost_usd"\nalert = 1\n[slo.s]\ngood = "status < five"': "slo.s.good: 'status < five' is not a condition",
    'metric = "score:Not a name"\nalert = 0.5': "'Not a name' is not the name of a score",
    'metric = "score:user"\nalert = 0.5\nby = ["endpoint"]': "by: scores have no 'endpoint'",
    'metric = "score:user"': "alert: is missing",
    'metric = "canary"\nby = ["model"]': "by: canary cannot be grouped",
    'metric = "budget_forcast"\nalert = 1.0': "budget_forecast",
    'metric = "cost_usd"\nalert = 1\n[slo.a]': "slo.a: an alert has the same name",
    'metric = "cost_usd"\nalert = 1\n[receivers.s]\nkind = "slack"\nurl = "https://hooks.example.com/x"': "is a secret",
    'metric = "cost_usd"\nalert = 1\n[receivers.m]\nkind = "email"\nurl = "https://m"': "receivers.m.url: is not a URL",
    'metric = "cost_usd"\nalert = 1\n[receivers.w]\nurl = "https://w"': "receivers.w.secret: is missing",
}


@pytest.mark.parametrize("wrong", BAD, ids=[each.replace("\n", " ")[:60] for each in BAD])
def test_bad_settings_say_what_is_wrong(tmp_path: Path, wrong: str) -> None:
    from sizewise.errors import ConfigError
    from sizewise.settings.load import load_settings

    file = tmp_path / "sizewise.toml"
    file.write_text(f'[receivers.ops]\nkind = "slack"\nurl = "env:SLACK"\n[alerts.a]\n{wrong}\n')
    with pytest.raises(ConfigError) as refused:
        load_settings(file, tmp_path)
    assert BAD[wrong] in refused.value.message
    keys = [line.strip().partition(":")[0] for line in refused.value.message.splitlines()[1:]]
    assert len(keys) == len(set(keys)), "a wrong value is not missing too"


def test_a_message_in_each_format_mentions_no_one() -> None:
    text = json.loads(receiver_formats.slack(MESSAGE))["text"]
    assert "<!channel>" not in text and "&lt;!channel&gt; a&amp;b" in text
    assert json.loads(receiver_formats.discord(MESSAGE))["allowed_mentions"] == {"parse": []}
    card = json.loads(receiver_formats.teams(MESSAGE))["attachments"][0]["content"]
    assert card["body"][0]["text"] == "[ALERT] user-spend: cost_usd over 24 h (2)"
    event = json.loads(receiver_formats.pagerduty(MESSAGE, "key"))
    assert (event["event_action"], event["dedup_key"]) == ("trigger", "sizewise/local/user-spend")
    assert event["payload"]["severity"] == "critical"
    first, second = json.loads(receiver_formats.alertmanager(MESSAGE))
    assert first["labels"]["end_user"] == "<!channel> a&b" and first["endsAt"] > first["startsAt"]
    assert second["endsAt"] == second["startsAt"]
    assert json.loads(receiver_formats.webhook(MESSAGE))["type"] == "alert.firing"


@pytest.mark.long
def test_a_webhook_receiver_gets_a_signed_alert_and_a_resolved_one(tmp_path: Path) -> None:
    rule = """
[alerts.busy]
metric = "requests"
window = "10s"
every = "1s"
alert = 1.0
to = ["hook"]
[receivers.hook]
url = "{url}"
place = "machine"
secret = "env:HOOK"
"""
    with receiving(200) as hook, serving(tmp_path, ECHO + rule.format(url=hook.url), HOOK=SECRET) as server:
        while not hook.heard():
            spend(server, "ann")
        until(lambda: hook.heard() == 2, 120)
    assert [json.loads(body)["type"] for _, body in hook.came] == ["alert.firing", "alert.resolved"]
    assert all("webhook-signature" in headers for headers, _ in hook.came)
