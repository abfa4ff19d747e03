"""What starts flows beside the API: webhooks signed or with a key, timetables; at a real server, over its crash."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from sizewise.app.services import Services, open_services
from sizewise.flows.engine import Steps
from sizewise.flows.language.yaml_source import parse_yaml
from sizewise.flows.schedule import next_time, schedule_error
from sizewise.notifications.webhook_signatures import sign_webhook
from tests.fakes.webhook_receiver import receiving
from tests.flows.flow_harness import FlowHarness
from tests.running_server import ECHO, Served, serving, until

SECRET = "whsec_" + base64.b64encode(b"s" * 32).decode()
CONFIG = (
    ECHO
    + """
[triggers.orders]
flow = "orders"
secret = "env:ORDERS_HOOK"
[triggers.unset]
flow = "orders"
secret = "env:NO_SUCH_HOOK"
[triggers.short]
flow = "orders"
secret = "env:SHORT_HOOK"
[triggers.bare]
flow = "orders"
[webhooks.ops]
url = "{url}"
secret = "env:ORDERS_HOOK"
place = "machine"
events = ["flow.ended"]
"""
)
FLOW = """
name: orders
inputs:
  order: text
nodes:
  said:
    kind: template
    text: "order {{ inputs.order }}"
outputs:
  said: "{{ said.text }}"
triggers:
  - kind: webhook
    inputs:
      order: "{{ body.id }} for {{ headers.x-shop }}"
"""


async def published(services: Services, text: str) -> None:
    source = parse_yaml(text)
    boss = services.api_keys.authenticator.authenticate(services.admin_token)
    await services.flow_versions.save(boss, "default", source.data["name"], source.version, text.encode())
    await services.flow_versions.publish(boss, "default", source.data["name"], source.version)


def publish(home: Path, *texts: str) -> None:
    with open_services(home) as services:
        for text in texts:
            asyncio.run(published(services, text))


@pytest.fixture(scope="module")
def hooked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, Any]]:
    home = tmp_path_factory.mktemp("hooks") / "home"
    publish(home, FLOW, FLOW.replace("orders", "silent").partition("triggers:")[0])
    with (
        receiving() as ops,
        serving(home, CONFIG.format(url=ops.url), ORDERS_HOOK=SECRET, SHORT_HOOK="hunter2") as server,
    ):
        yield server, ops


def post(server: Served, name: str, body: bytes, id: str, secret: str = SECRET, at: int = 0, **more: Any) -> Any:
    headers: dict[str, Any] = sign_webhook([secret], id, at or int(time.time()), body)
    return server.ask(f"/hooks/flows/{name}", body, key=None, **headers, **more)


def test_a_signed_webhook_starts_its_flow_and_the_same_one_again_is_the_same_run(hooked: tuple[Served, Any]) -> None:
    server, ops = hooked
    body = b'{"id": "o-1"}'
    first, second = (post(server, "orders", body, "msg-1", x_shop="north") for _ in range(2))
    assert (first.status, second.status) == (202, 202)
    assert first.json["run"] == second.json["run"] and first.json["flow"] == "orders"
    until(ops.heard)
    [told] = [json.loads(body) for _, body in ops.came]
    assert told["type"] == "flow.ended"
    assert told["data"]["run"] == first.json["run"] and told["data"]["state"] == "done"
    assert "o-1" not in json.dumps(told)


def test_what_is_not_signed_right_starts_nothing(hooked: tuple[Served, Any]) -> None:
    server, _ = hooked
    body = b'{"id": "o-2"}'
    other = "whsec_" + base64.b64encode(b"t" * 32).decode()
    assert post(server, "orders", body, "msg-2", secret=other).status == 403
    assert post(server, "orders", body, "msg-2", at=int(time.time()) - 3_600).status == 403
    assert post(server, "nothing", body, "msg-2").status == 403
    assert server.ask("/hooks/flows/orders", body, key=None).status == 401
    wrong = [post(server, name, body, "msg-2", secret=other).error["message"] for name in ("orders", "nothing")]
    old = [post(server, name, body, "msg-2", at=1).error["message"] for name in ("orders", "nothing")]
    assert len(set(wrong)) == len(set(old)) == 1  # which triggers there are is not told
    headers: dict[str, Any] = sign_webhook([SECRET], "msg-3", int(time.time()), b'{"id": "o-3"}')
    assert server.ask("/hooks/flows/orders", body, key=None, **headers).status == 403


def test_an_id_with_a_dot_starts_its_flow_and_one_that_holds_a_time_is_named(hooked: tuple[Served, Any]) -> None:
    server, _ = hooked
    runs = {post(server, "orders", b'{"id": "o-5"}', id).json["run"] for id in ("shop.5", "shop.5", "shop.6")}
    assert len(runs) == 2
    headers: dict[str, Any] = sign_webhook([SECRET], "shop-5", int(time.time()), b"{}") | {"webhook-id": "a.1780000000"}
    refused = server.ask("/hooks/flows/orders", b"{}", key=None, **headers)
    assert (refused.status, refused.error["code"]) == (403, "forbidden")
    assert "'a.1780000000' has a part of 10 to 12 digits" in refused.error["message"]


@pytest.mark.parametrize("name", ["unset", "short", "bare"])
def test_a_trigger_without_a_secret_that_can_sign_tells_the_sender_nothing_of_the_settings(
    hooked: tuple[Served, Any], name: str
) -> None:
    refused = post(hooked[0], name, b"{}", "msg-6")
    assert (refused.status, refused.error["code"]) == (500, "bad_config")
    assert refused.error["message"] == "the server has no secret to verify this webhook with"
    assert "doctor" in refused.error["hint"] and b"HOOK" not in refused.body and b"hunter2" not in refused.body


def test_a_key_starts_a_flow_of_its_project_once_for_an_idempotency_key(hooked: tuple[Served, Any]) -> None:
    server, _ = hooked
    body = {"id": "o-4"}

    def run(**more: Any) -> str:
        found: Any = server.ask("/hooks/flows/orders", body, x_shop="south", **more).json
        return str(found["run"])

    assert run(idempotency_key="once") == run(idempotency_key="once") != run()
    assert server.ask("/hooks/flows/silent", body).error["code"] == "not_found"
    assert server.ask("/hooks/flows/nobody", body).status == 404


@pytest.mark.parametrize("depth", [980, 5_000, 20_000, 200_000])
def test_a_body_that_is_nested_too_deeply_is_refused(hooked: tuple[Served, Any], depth: int) -> None:
    """Where the limit is, the interpreter says: only the deepest body is beyond it everywhere."""
    server, _ = hooked
    answer = server.ask("/hooks/flows/orders", b'{"id": ' + b"[" * depth + b"]" * depth + b"}")
    is_taken = answer.status == 202 and depth < 200_000
    assert is_taken or (answer.status, answer.error["code"]) == (400, "bad_body")


def test_a_timetable_starts_its_flow_each_minute_once_as_who_published_it(tmp_path: Path) -> None:
    timed = """
name: timed
inputs: {when: text}
nodes: {said: {kind: template, text: "at {{ inputs.when }}"}}
outputs: {said: "{{ said.text }}"}
triggers:
  - {kind: cron, schedule: "* * * * *", zone: Europe/Berlin, inputs: {when: "{{ time }}"}}
"""
    floor = FlowHarness(tmp_path / "home")

    async def part(steps: Steps, floor: FlowHarness) -> bytes:
        return b"{}"

    try:
        floor.plays["timed"] = part
        floor.do(published(floor.services, timed))
        table = floor.services.scheduler
        floor.do(table._sync())
        [due] = table._queue
        assert 0 < due.at - time.time() <= 60
        for _ in range(2):
            floor.do(table._start_run(due))
        until(lambda: floor.started)
        [started] = floor.started
        assert (started.run.door, started.principal.key_id) == ("cron", "admin")
        when = json.loads(started.inputs)["when"]
        assert when.endswith(("+01:00", "+02:00")) and when[17:19] == "00"
        assert {each.at - due.at for each in table._queue} == {0, 60}
        floor.do(floor.versions.unpublish(floor.boss, "default", "timed"))
        floor.do(table._sync())
        assert table._queue == []
    finally:
        floor.close()


def test_a_timetable_that_never_comes_is_told() -> None:
    assert schedule_error("0 7 * * 1-5", "Europe/Berlin") == ""
    assert schedule_error("0 7 30 2 *", "UTC") == "'0 7 30 2 *' never matches"
    assert schedule_error("nonsense", "UTC") == "'nonsense' never matches"
    assert schedule_error("0 7 * * *", "Mars/Base") == "there is no time zone 'Mars/Base'"


def test_a_timetable_follows_the_clock_of_its_zone_over_the_change_to_summer_time() -> None:
    march = 1_774_735_200  # 2026-03-28 23:00 in Berlin; on the 29th the clock is put forward
    first = next_time("0 7 * * *", "Europe/Berlin", march)
    second = next_time("0 7 * * *", "Europe/Berlin", first)
    assert (first, second - first) == (march + 7 * 3_600, 86_400)


@pytest.mark.parametrize(
    ("schedule", "hours"),
    [
        ("30 2 * * *", [25, 49]),
        ("30 2 * * 0", [25 + 6 * 24]),
        ("30 2,3 * * *", [2, 25]),
        ("30 1-3 * * *", [2, 24]),
        ("*/15 2 * * *", [0.25, 24.5]),
        ("30 * * * *", [1, 2, 3]),
        ("30 */2 * * *", [1, 3]),
        ("30 0/2 * * *", [1, 3]),
        ("@hourly", [0.5, 1.5, 2.5]),
    ],
)
def test_in_the_hour_that_comes_twice_a_timetable_of_chosen_hours_starts_once(
    schedule: str, hours: list[float]
) -> None:
    """`hours`: after 02:30 in Berlin on 2026-10-25, where the clock is put back from 03:00 to 02:00."""
    first = round(datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin")).timestamp())
    found, after = list[float](), first
    for _ in hours:
        after = next_time(schedule, "Europe/Berlin", after)
        found.append((after - first) / 3_600)
    assert found == hours


def test_midnight_comes_once_where_the_clock_is_put_back_to_it() -> None:
    first = round(datetime(2024, 11, 3, tzinfo=ZoneInfo("America/Havana")).timestamp())
    assert next_time("@daily", "America/Havana", first - 1) == first
    assert next_time("@daily", "America/Havana", first) == first + 25 * 3_600
