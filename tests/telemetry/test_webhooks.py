"""Webhooks: signed as the standard says, taken once and in time only; and telling, which waits for nobody."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from sizewise.data_class import Place
from sizewise.errors import Busy, ConfigError, EgressDenied, Forbidden
from sizewise.http.client import HttpClient
from sizewise.http.egress import EgressPolicy
from sizewise.settings.server import WebhookEvent, WebhookSettings
from sizewise.telemetry.webhooks import (
    MAX_QUEUED,
    TOLERANCE_S,
    ReplayGuard,
    WebhookDispatcher,
    sign_webhook,
    verify_webhook,
)
from tests.fakes.webhook_receiver import SECRET, WebhookReceiver, receiving

OTHER = "whsec_" + "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
ID, AT, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
CANARY = "canary-in-the-hook"


def test_the_signature_is_the_one_of_the_standards_own_example() -> None:
    assert sign_webhook([SECRET], ID, AT, BODY) == {
        "webhook-id": ID,
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_what_is_signed_is_taken_once() -> None:
    seen, headers = ReplayGuard(), sign_webhook([SECRET], ID, AT, BODY)
    assert verify_webhook({name.title(): value for name, value in headers.items()}, BODY, [SECRET], AT + 1, seen) == ID
    with pytest.raises(Forbidden, match="received before"):
        verify_webhook(headers, BODY, [SECRET], AT + 2, seen)


def test_while_a_secret_is_changed_either_one_does() -> None:
    both = sign_webhook([OTHER, SECRET], ID, AT, BODY)
    assert (
        verify_webhook(both, BODY, [SECRET], AT, ReplayGuard())
        == verify_webhook(both, BODY, [OTHER], AT, ReplayGuard())
        == ID
    )
    assert verify_webhook(sign_webhook([SECRET], ID, AT, BODY), BODY, [OTHER, SECRET], AT, ReplayGuard()) == ID
    with pytest.raises(Forbidden, match="signature is not valid"):
        verify_webhook(sign_webhook([SECRET], ID, AT, BODY), BODY, [OTHER], AT, ReplayGuard())


@pytest.mark.parametrize("off", [-TOLERANCE_S - 1, TOLERANCE_S + 1])
def test_a_message_of_another_time_is_refused(off: float) -> None:
    with pytest.raises(Forbidden, match="too far from this server"):
        verify_webhook(sign_webhook([SECRET], ID, AT, BODY), BODY, [SECRET], AT + off, ReplayGuard())


@given(some.sampled_from(["webhook-id", "webhook-timestamp", "webhook-signature", "body"]), some.text(max_size=40))
def test_whatever_is_changed_is_refused_and_nothing_is_remembered_of_it(what: str, text: str) -> None:
    headers, body, seen = sign_webhook([SECRET], ID, AT, BODY), BODY, ReplayGuard()
    if what == "body":
        body = text.encode("utf-8", "surrogatepass")
    elif text != headers[what]:
        headers[what] = text
    if (headers, body) == (sign_webhook([SECRET], ID, AT, BODY), BODY):
        return
    with pytest.raises(Forbidden):
        verify_webhook(headers, body, [SECRET], AT, seen)
    assert verify_webhook(sign_webhook([SECRET], ID, AT, BODY), BODY, [SECRET], AT, seen) == ID


def test_a_thousand_signatures_are_not_all_looked_at() -> None:
    headers = sign_webhook([SECRET], ID, AT, BODY)
    headers["webhook-signature"] = "v1,AAAA " * 400 + headers["webhook-signature"]
    with pytest.raises(Forbidden):
        verify_webhook(headers, BODY, [SECRET], AT, ReplayGuard())


def test_ids_are_remembered_within_a_bound_and_forgotten_when_their_time_is_over() -> None:
    seen = ReplayGuard(max_ids=2)
    for number in (1, 2):
        verify_webhook(sign_webhook([SECRET], f"msg_{number}", AT, BODY), BODY, [SECRET], AT, seen)
    with pytest.raises(Busy):
        verify_webhook(sign_webhook([SECRET], "msg_3", AT, BODY), BODY, [SECRET], AT, seen)
    later = AT + 3 * int(TOLERANCE_S)
    assert verify_webhook(sign_webhook([SECRET], "msg_4", later, BODY), BODY, [SECRET], later, seen) == "msg_4"


@pytest.mark.parametrize("text", ["", "whsec_", "whsec_c2hvcnQ=", "hunter2!", SECRET + "ä"])
def test_a_secret_that_is_none_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(ConfigError, match="24 to 64 bytes") as refused:
        sign_webhook([text], ID, AT, BODY)
    assert len(text) < 7 or text not in refused.value.message + refused.value.hint


# Telling


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK", SECRET)


def hook(receiver: WebhookReceiver, *events: WebhookEvent, place: Place = "machine") -> WebhookSettings:
    return WebhookSettings(url=receiver.url, secret="env:HOOK", place=place, events=events)


def telling(work: Callable[[WebhookDispatcher], Coroutine[Any, Any, None]], **wanted: WebhookSettings) -> None:
    async def main() -> None:
        egress = EgressPolicy({each.url: each.place for each in wanted.values()}, {"internal": "network"})
        hooks = WebhookDispatcher()
        async with HttpClient(egress) as client:
            hooks.prepare(wanted, client)()
            await work(hooks)
            await hooks.stop()

    asyncio.run(main())


async def until(what: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        await asyncio.sleep(0.01)


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    with receiving() as found:
        yield found


def test_a_receiver_is_told_and_can_verify_it(receiver: WebhookReceiver) -> None:
    async def work(hooks: WebhookDispatcher) -> None:
        hooks.publish("key.revoked", {"key": "sw-1"}, "acme")
        await until(receiver.heard)

    telling(work, ops=hook(receiver))
    ((headers, body),) = receiver.came
    assert verify_webhook(headers, body, [SECRET], time.time(), ReplayGuard()).startswith("msg_")
    shown = json.loads(body)
    assert (shown["type"], shown["tenant"], shown["data"]) == ("key.revoked", "acme", {"key": "sw-1"})
    assert receiver.paths == ["/hooks/here"]


def test_only_the_events_that_were_asked_for_are_told(receiver: WebhookReceiver) -> None:
    async def work(hooks: WebhookDispatcher) -> None:
        hooks.publish("key.revoked", {})
        hooks.publish("budget.alert", {"share": 0.8})
        await until(receiver.heard)

    telling(work, ops=hook(receiver, "budget.alert"))
    assert [json.loads(body)["type"] for _, body in receiver.came] == ["budget.alert"]


def test_what_was_not_taken_is_sent_again_under_the_same_id() -> None:
    with receiving(500, 0, 204) as receiver:

        async def work(hooks: WebhookDispatcher) -> None:
            hooks.publish("budget.alert", {})
            await until(lambda: receiver.heard() == 1 and hooks.impaired())
            assert hooks.impaired() == ["the webhook 'ops' failed: status 500"]
            await until(lambda: receiver.heard() >= 2)

        telling(work, ops=hook(receiver))
    assert len({headers["webhook-id"] for headers, _ in receiver.came}) == 1


def test_no_redirect_is_followed() -> None:
    with receiving(302) as receiver:

        async def work(hooks: WebhookDispatcher) -> None:
            hooks.publish("budget.alert", {})
            await until(hooks.impaired)

        telling(work, ops=hook(receiver))
    assert receiver.paths == ["/hooks/here"]


def test_a_dead_receiver_delays_nobody(receiver: WebhookReceiver) -> None:
    dead = WebhookSettings(url="http://127.0.0.1:9/", secret="env:HOOK", place="machine")

    async def work(hooks: WebhookDispatcher) -> None:
        for number in range(100):
            hooks.publish("budget.alert", {"number": number})
        assert receiver.heard() == 0, "nothing is sent before who publishes goes on"
        await until(lambda: receiver.heard() == 100)

    telling(work, dead=dead, ops=hook(receiver))


def test_what_waits_is_bounded(receiver: WebhookReceiver, caplog: pytest.LogCaptureFixture) -> None:
    async def work(hooks: WebhookDispatcher) -> None:
        for number in range(MAX_QUEUED + 5):  # nothing is sent before this loop gives way
            hooks.publish("budget.alert", {"number": number})
        await until(lambda: receiver.heard() == MAX_QUEUED)

    telling(work, ops=hook(receiver))
    assert json.loads(receiver.came[0][1])["data"]["number"] == 5
    assert sum("is too slow" in each.message for each in caplog.records) == 5


def test_telling_works_from_any_thread_and_never_raises(receiver: WebhookReceiver) -> None:
    async def work(hooks: WebhookDispatcher) -> None:
        thread = threading.Thread(target=hooks.publish, args=("budget.alert", {"from": "a thread"}))
        thread.start()
        await until(receiver.heard)
        thread.join()
        hooks.publish("budget.alert", {"odd": object()})
        hooks.publish("budget.alert", {"long": "x" * 100_000})
        assert hooks.dropped == 2

    telling(work, ops=hook(receiver))
    WebhookDispatcher().publish("budget.alert", {})


def test_internal_data_goes_no_further_than_it_may(receiver: WebhookReceiver) -> None:
    async def work(hooks: WebhookDispatcher) -> None:
        hooks.publish("budget.alert", {})
        await until(hooks.impaired)
        assert "may reach" in hooks.impaired()[0]

    telling(work, ops=hook(receiver, place="anyone"))
    assert receiver.came == []


def test_what_is_told_at_the_very_end_is_still_sent(receiver: WebhookReceiver) -> None:
    async def work(hooks: WebhookDispatcher) -> None:
        hooks.publish("budget.alert", {})

    telling(work, ops=hook(receiver))
    assert receiver.heard() == 1


def test_an_undeclared_address_is_reached_by_nobody() -> None:
    async def main() -> None:
        async with HttpClient(EgressPolicy({}, {"internal": "anyone"})) as client:
            with pytest.raises(EgressDenied):
                await client.endpoint("http://127.0.0.1:9").request(
                    "POST",
                    "/",
                    purpose="a webhook",
                    data_class="internal",
                )

    asyncio.run(main())
