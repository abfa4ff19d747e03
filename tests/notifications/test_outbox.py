"""The outbox: an event is written with what it reports, and each of its receivers gets it at least once."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sizewise.data_class import Place
from sizewise.errors import EgressDenied
from sizewise.http.client import HttpClient
from sizewise.http.egress import EgressPolicy
from sizewise.notifications import tables
from sizewise.notifications.tables import MAX_WAITING, OutboxRetention
from sizewise.notifications.webhook_signatures import ReplayGuard, verify_webhook
from sizewise.settings.server import WebhookEvent, WebhookSettings
from sizewise.storage.database import Database
from tests.fakes.webhook_receiver import SECRET, WebhookReceiver, receiving
from tests.notifications.outbox_harness import Server, opened
from tests.timeouts import until

DEAD = WebhookSettings(url="http://127.0.0.1:9/", secret="env:HOOK", place="machine")


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK", SECRET)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with opened(tmp_path) as found:
        yield found


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    with receiving() as found:
        yield found


def hook(receiver: WebhookReceiver, *events: WebhookEvent, place: Place = "machine") -> WebhookSettings:
    return WebhookSettings(url=receiver.url, secret="env:HOOK", place=place, events=events)


async def test_a_receiver_gets_an_event_and_can_verify_it(database: Database, receiver: WebhookReceiver) -> None:
    server = Server(database, {"ops": hook(receiver)})

    async with server.running():
        server.publish("key.revoked", {"key": "sw-1"}, "acme")
        await until(lambda: server.status().delivered)
    ((headers, body),) = receiver.came
    assert verify_webhook(headers, body, [SECRET], time.time(), ReplayGuard()).startswith("msg_")
    shown = json.loads(body)
    assert (shown["type"], shown["tenant"], shown["data"]) == ("key.revoked", "acme", {"key": "sw-1"})
    assert receiver.paths == ["/hooks/here"]


async def test_only_the_events_of_the_settings_are_sent(database: Database, receiver: WebhookReceiver) -> None:
    server = Server(database, {"ops": hook(receiver, "budget.alert")})

    async with server.running():
        server.publish("key.revoked", {})
        server.publish("budget.alert", {"share": 0.8})
        await until(receiver.heard)
    assert [json.loads(body)["type"] for _, body in receiver.came] == ["budget.alert"]


async def test_what_was_not_taken_is_sent_again_under_the_same_id(database: Database) -> None:
    with receiving(500, 0, 204) as receiver:
        server = Server(database, {"ops": hook(receiver)})

        async with server.running():
            server.publish("budget.alert", {})
            await until(lambda: receiver.heard() == 1 and server.deliveries.impaired())
            assert server.deliveries.impaired() == ["the webhook 'ops' failed: status 500"]
            await until(lambda: receiver.heard() >= 2)
    assert len({headers["webhook-id"] for headers, _ in receiver.came}) == 1


async def test_no_redirect_is_followed(database: Database) -> None:
    with receiving(302) as receiver:
        server = Server(database, {"ops": hook(receiver)})

        async with server.running():
            server.publish("budget.alert", {})
            await until(server.deliveries.impaired)
    assert set(receiver.paths) == {"/hooks/here"}


async def test_a_dead_receiver_delays_no_other(database: Database, receiver: WebhookReceiver) -> None:
    server = Server(database, {"dead": DEAD, "ops": hook(receiver)})

    async with server.running():
        for number in range(25):
            server.publish("budget.alert", {"number": number})
        await until(lambda: receiver.heard() == 25)
    assert server.status("webhooks.dead").waiting == 25


def test_what_waits_is_bounded_and_the_oldest_goes(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    server = Server(database, {})
    with database.write() as connection:
        for number in range(MAX_WAITING + 5):
            server.outbox.message(f"m{number}", "budget.alert", "{}", "local", ["webhooks.ops"])(connection)
    assert (server.status().waiting, server.status().dropped) == (MAX_WAITING, 5)
    with database.write() as connection:
        claimed = tables.claim_messages(connection, "webhooks.ops", "one", 1 << 60, 1 << 61, 1)
    assert [each.id for each in claimed] == ["m5"]
    assert sum("too slow" in each.message for each in caplog.records) == 5


async def test_publishing_works_from_any_thread_and_never_raises(database: Database, receiver: WebhookReceiver) -> None:
    server = Server(database, {"ops": hook(receiver)})

    async with server.running():
        thread = threading.Thread(target=server.publish, args=("budget.alert", {"from": "a thread"}))
        thread.start()
        await until(receiver.heard)
        thread.join()
        server.publish("budget.alert", {"odd": object()})
        server.publish("budget.alert", {"long": "x" * 100_000})
        assert server.outbox.dropped == 2


async def test_internal_data_goes_no_further_than_it_may(database: Database, receiver: WebhookReceiver) -> None:
    server = Server(database, {"ops": hook(receiver, place="anyone")})

    async with server.running():
        server.publish("budget.alert", {})
        await until(server.deliveries.impaired)
        assert "may reach" in server.deliveries.impaired()[0]
    assert receiver.came == []


async def test_an_event_of_a_transaction_that_fails_is_never_sent(
    database: Database, receiver: WebhookReceiver
) -> None:
    server = Server(database, {"ops": hook(receiver)})

    async with server.running():
        with pytest.raises(RuntimeError), database.write() as connection:
            server.outbox.publish("budget.alert", {"of": "nothing"})(connection)
            raise RuntimeError
        server.publish("budget.alert", {"of": "a change"})
        await until(lambda: server.status().delivered)
    assert [json.loads(body)["data"] for _, body in receiver.came] == [{"of": "a change"}]


async def test_what_a_stopped_server_left_is_sent_by_the_next_start(
    database: Database, receiver: WebhookReceiver
) -> None:
    before = Server(database, {"ops": hook(receiver)})
    before.outbox.prepare(before.webhooks)()
    before.publish("budget.alert", {})
    with database.write() as connection:  # it was about to send it when it was killed
        assert len(tables.claim_messages(connection, "webhooks.ops", "before", 1 << 60, 1 << 61, 20)) == 1
    after = Server(database, {"ops": hook(receiver)})

    async with after.running():
        await until(lambda: after.status().delivered)
    assert receiver.heard() == 1


def test_a_message_is_added_once_for_an_id_and_receiver(database: Database) -> None:
    server = Server(database, {})
    for receivers in (["webhooks.ops"], ["webhooks.ops", "webhooks.other"]):
        server.write_now(server.outbox.message("one", "budget.alert", "{}", "local", receivers))
    assert (server.status().waiting, server.status("webhooks.other").waiting) == (1, 1)


def test_messages_are_kept_for_a_week(database: Database) -> None:
    server = Server(database, {})
    server.write_now(server.outbox.message("one", "budget.alert", "{}", "local", ["webhooks.ops"]))
    week = tables.KEPT_MS + round(time.time() * 1_000)
    for now, kept in ((week - 60_000, 1), (week + 60_000, 0)):
        with database.write() as connection:
            assert not OutboxRetention()(connection, now)
        assert server.status().waiting == kept


@pytest.mark.long
async def test_several_servers_of_one_postgres_share_the_messages(postgres_url: str, receiver: WebhookReceiver) -> None:
    await share_the_messages(postgres_url, receiver)


async def test_several_servers_of_a_database_share_the_messages(tmp_path: Path, receiver: WebhookReceiver) -> None:
    await share_the_messages(tmp_path, receiver)


async def share_the_messages(place: Path | str, receiver: WebhookReceiver) -> None:
    with opened(place) as first, opened(place) as second:
        servers = [Server(each, {"ops": hook(receiver)}, shared=True) for each in (first, second)]
        async with servers[0].running(), servers[1].running():
            for number in range(30):
                servers[number % 2].publish("budget.alert", {"number": number})
            await until(lambda: servers[0].status().delivered == 30)
    numbers = sorted(json.loads(body)["data"]["number"] for _, body in receiver.came)
    assert numbers == list(range(30))


async def test_an_undeclared_address_is_not_reached() -> None:
    async with HttpClient(EgressPolicy({}, {"internal": "anyone"})) as client:
        with pytest.raises(EgressDenied):
            await client.endpoint("http://127.0.0.1:9").request(
                "POST",
                "/",
                purpose="a webhook",
                data_class="internal",
            )
