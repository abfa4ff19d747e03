"""States of alerts on a virtual clock over real tables: pending, firing, resolved; silences; one message for many."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import insert

from sizewise.alerts import tables as alert_tables
from sizewise.alerts.evaluator import AlertEvaluator
from sizewise.alerts.record_metrics import first_id
from sizewise.alerts.rules import AlertRule, build_rules
from sizewise.alerts.silences import Silences
from sizewise.audit_log import tables as audit_tables
from sizewise.notifications import tables as outbox_tables
from sizewise.notifications.outbox import Outbox
from sizewise.principal import Principal
from sizewise.settings.alerts import AlertSettings, SloSettings
from sizewise.settings.root import FileSettings
from sizewise.storage.database import Database, UnitOfWork, open_database, sqlite_url
from sizewise.telemetry import tables as record_tables
from sizewise.telemetry.tables import RECORDS, RequestRecord

START = 1_780_000_000
ADMIN = Principal(key_id="admin", name="admin", all_projects=True)
SPEND = AlertSettings(metric="cost_usd", by=("end_user",), window="24h", alert=20.0, warning=10.0, to=("ops",))


class World:
    """One server at `now` (unix seconds)."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.now = float(START)
        self.evaluator = AlertEvaluator(Outbox(), database.read_transaction, self.write, lambda: self.now)
        self.silences = Silences(database.read_transaction, self.write, lambda: self.now)
        self._number = 0

    async def write(self, work: UnitOfWork[Any]) -> Any:
        with self.database.write() as connection:
            return work(connection)

    def rules(self, **settings: AlertSettings | SloSettings) -> None:
        alerts = {name: each for name, each in settings.items() if isinstance(each, AlertSettings)}
        slo = {name: each for name, each in settings.items() if isinstance(each, SloSettings)}
        self.evaluator.prepare(build_rules(FileSettings(alerts=alerts, slo=slo)))()

    def record(self, **values: object) -> None:
        self._number += 1
        blank = RequestRecord(
            id=first_id(round(self.now * 1_000)) + self._number,
            tenant="local",
            project="default",
            key="k1",
            trace=f"{self._number:032x}",
            at=round(self.now * 1_000),
            door="chat",
            asked="auto",
            policy="default",
            model="a/b",
            why="",
            status=200,
            error="",
            attempts=1,
            input=10,
            output=5,
            cached=0,
            cache_write=0,
            reasoning=0,
            estimated=False,
            cost=0,
            first_ms=10.0,
            total_ms=100.0,
            stream=False,
            degraded="",
            data_class=None,
        )
        made = replace(blank, **values)
        with self.database.write() as connection:
            connection.execute(insert(RECORDS).values({name: getattr(made, name) for name in made.__struct_fields__}))

    def evaluate(self, after_s: float = 0.0) -> list[dict[str, Any]]:
        """The messages that were added."""
        self.now += after_s
        before = self.messages()
        asyncio.run(self.evaluator.evaluate_due())
        return self.messages()[len(before) :]

    def messages(self) -> list[dict[str, Any]]:
        with self.database.read() as connection:
            found = connection.exec_driver_sql("SELECT body FROM outbox ORDER BY number").scalars().all()
        return [json.loads(body) for body in found]

    def states(self, rule: str) -> dict[str, str]:
        """By labels."""
        found = self.database.read_transaction(lambda c: alert_tables.series_of(c, rule))
        return {each.labels: each.state for each in found}

    def history(self, rule: str) -> list[str]:
        """Oldest first."""
        found = self.database.read_transaction(lambda c: alert_tables.history(c, "local", rule, 0, 100))
        return [each.state for each in reversed(found)]

    def rule(self, name: str) -> AlertRule:
        return self.evaluator.rules[name]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    schemas = (record_tables, alert_tables, outbox_tables, audit_tables)
    database = open_database(sqlite_url(str(tmp_path / "one.db")), [each.SCHEMA for each in schemas])
    yield World(database)
    database.close()


def test_spend_of_an_end_user_fires_by_severity_and_is_over_a_day_later(world: World) -> None:
    world.rules(spend=SPEND)
    world.record(end_user="u1", cost=12 * 10**12)
    world.record(end_user="u2", cost=1)
    world.record(cost=99 * 10**12)  # of no end user
    (message,) = world.evaluate()
    assert (message["rule"], message["count"]) == ("spend", 1)
    assert message["series"][0] | {"since": 0} == {
        "labels": {"end_user": "u1"},
        "status": "firing",
        "severity": "warning",
        "value": 12.0,
        "threshold": 10.0,
        "since": 0,
        "reason": "",
    }
    assert world.states("spend") == {'{"end_user":"u1"}': "firing", '{"end_user":"u2"}': "ok"}
    assert world.evaluate(60) == [], "what is known is not sent again"
    world.record(end_user="u1", cost=9 * 10**12)
    (message,) = world.evaluate(60)
    assert (message["series"][0]["severity"], message["series"][0]["value"]) == ("alert", 21.0)
    (message,) = world.evaluate(86_400)
    assert (message["series"][0]["status"], message["series"][0]["severity"]) == ("resolved", "")
    assert world.history("spend") == ["firing", "resolved"]


@pytest.mark.long
def test_an_error_rate_is_pending_before_it_fires_and_is_sent_again_while_it_lasts(world: World) -> None:
    rule = AlertSettings(metric="error_rate", window="5m", for_="2m", alert=0.5, renotify="1h", to=("ops",))
    world.rules(errors=rule)
    assert world.evaluate() == [] and world.states("errors") == {}
    world.record(status=503, error="upstream_failed")
    world.record(status=200)
    assert world.evaluate(20) == [] and world.states("errors") == {"{}": "pending"}
    world.record(status=503)
    assert len(world.evaluate(120)) == 1
    for _ in range(13):
        world.record(status=500)
        assert world.evaluate(270) == []
    world.record(status=500)
    assert len(world.evaluate(270)) == 1
    assert [each["series"][0]["status"] for each in world.evaluate(400)] == ["resolved"]
    assert world.history("errors") == ["pending", "firing", "resolved"]


@pytest.mark.long
@pytest.mark.parametrize(("no_data", "state"), [("ok", "resolved"), ("alert", "firing"), ("keep", "firing")])
def test_without_data_a_series_is_what_the_rule_says(world: World, no_data: Any, state: str) -> None:
    rule = AlertSettings(metric="p95_s", by=("model",), window="5m", alert=0.05, no_data=no_data, to=("ops",))
    world.rules(slow=rule)
    world.record()
    assert len(world.evaluate()) == 1
    world.evaluate(600)
    assert world.states("slow") == {'{"model":"a/b"}': state}


@pytest.mark.long
def test_no_traffic_at_all_can_be_an_alert(world: World) -> None:
    world.rules(
        quiet=AlertSettings(metric="requests", window="5m", alert=0.0, below=True, to=("ops",)),
        absent=AlertSettings(metric="error_rate", window="5m", alert=0.5, no_data="alert", to=("ops",)),
    )
    assert sorted(each["rule"] for each in world.evaluate()) == ["absent", "quiet"]


@pytest.mark.long
def test_forty_series_are_one_message_and_later_ones_wait_half_a_minute(world: World) -> None:
    world.rules(spend=SPEND)
    for number in range(40):
        world.record(end_user=f"u{number:02}", cost=30 * 10**12)
    (message,) = world.evaluate()
    assert (message["count"], len(message["series"])) == (40, 40)
    world.record(end_user="late", cost=30 * 10**12)
    assert world.evaluate(16) == []
    (message,) = world.evaluate(16)
    assert [each["labels"] for each in message["series"]] == [{"end_user": "late"}]


def test_a_silence_sends_nothing_until_it_ends_and_names_its_author(world: World) -> None:
    world.rules(spend=SPEND)
    world.record(end_user="u1", cost=30 * 10**12)
    world.record(end_user="u2", cost=30 * 10**12)
    made = asyncio.run(world.silences.start(ADMIN, "spend", {"end_user": "u1"}, 4, "a load test"))
    (message,) = world.evaluate()
    assert [each["labels"] for each in message["series"]] == [{"end_user": "u2"}]
    assert set(world.states("spend").values()) == {"firing"}
    assert world.evaluate(3_600) == []
    asyncio.run(world.silences.end(ADMIN, made.id))
    (message,) = world.evaluate(60)
    assert [each["labels"] for each in message["series"]] == [{"end_user": "u1"}]
    with world.database.read() as connection:
        entries = audit_tables.newest_entries(connection, "local", 10)
    assert [(each.deed.action, each.deed.who) for each in reversed(entries)] == [
        ("alert.silence", "admin"),
        ("alert.unsilence", "admin"),
    ]


@pytest.mark.long
def test_a_burn_rate_pages_when_both_windows_burn(world: World) -> None:
    world.rules(answers=SloSettings(good="status < 500 and total_ms < 8000", objective=0.99, to=("ops",)))
    for _ in range(80):
        world.record()
    for _ in range(20):
        world.record(total_ms=9_000.0)
    (message,) = world.evaluate()
    assert message["series"][0]["severity"] == "alert"
    assert message["series"][0]["reason"] == "burn rate 20.0 over 1 h and 20.0 over 5 min; at most 14.4"
    assert [each["series"][0]["severity"] for each in world.evaluate(600)] == [], "6 h and 30 min burn too"
    for _ in range(30):
        world.record()
    world.now += 7_300
    world.record()
    asyncio.run(world.evaluator.evaluate_due())
    assert world.states("answers") == {"{}": "firing"}
    assert world.database.read_transaction(lambda c: alert_tables.series_of(c, "answers"))[0].level == 1


def test_a_state_and_its_message_are_one_transaction(world: World) -> None:
    world.rules(spend=SPEND)
    world.record(end_user="u1", cost=30 * 10**12)
    with world.database.write() as connection:
        connection.exec_driver_sql("ALTER TABLE outbox RENAME TO gone")
    asyncio.run(world.evaluator.evaluate_due())
    assert world.states("spend") == {}
    with world.database.write() as connection:
        connection.exec_driver_sql("ALTER TABLE gone RENAME TO outbox")
    assert len(world.evaluate(20)) == 1
    assert world.evaluator.problem("spend") == ""


@pytest.mark.long
def test_organizations_do_not_share_a_message(world: World) -> None:
    world.rules(spend=SPEND)
    world.record(end_user="u1", cost=30 * 10**12)
    world.record(tenant="acme", end_user="u1", cost=30 * 10**12)
    assert sorted(each["tenant"] for each in world.evaluate()) == ["acme", "local"]
