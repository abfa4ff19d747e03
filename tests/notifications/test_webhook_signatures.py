"""Webhooks: signed as the standard says, taken once and in time only."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as some

from sizewise.errors import Busy, ConfigError, Forbidden
from sizewise.notifications.webhook_signatures import TOLERANCE_S, ReplayGuard, sign_webhook, verify_webhook
from tests.fakes.webhook_receiver import SECRET

OTHER = "whsec_" + "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
ID, AT, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'


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


@pytest.mark.long
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


def test_an_id_may_have_dots() -> None:
    for id in ("order.1", "evt.2026-12-03.42", "a.b.c", "..", "v1.1796300000x"):
        assert verify_webhook(sign_webhook([SECRET], id, AT, BODY), BODY, [SECRET], AT, ReplayGuard()) == id


PARTS = some.lists(some.sampled_from(["order", "1", "", str(AT), str(AT + 1), "{}"]), max_size=5).map(".".join)


@given(PARTS, PARTS)
def test_what_was_signed_is_taken_as_one_message_however_it_is_split(id: str, body: str) -> None:
    """The signed text is `id.timestamp.body`: one signature, presented at each of its dots."""
    try:
        headers = sign_webhook([SECRET], id, AT, body.encode())
    except ConfigError:
        return
    parts = f"{id}.{AT}.{body}".split(".")
    taken = set()
    for at in range(1, len(parts) - 1):
        split = {"webhook-id": ".".join(parts[:at]), "webhook-timestamp": parts[at]}
        rest = ".".join(parts[at + 1 :]).encode()
        with suppress(Forbidden):
            taken.add((verify_webhook(headers | split, rest, [SECRET], AT, ReplayGuard()), rest))
    assert taken == {(id, body.encode())}


def test_a_body_that_begins_as_a_timestamp_cannot_be_presented_as_another_message() -> None:
    headers, body = sign_webhook([SECRET], "order", AT, f"{AT + 1}.pay".encode()), b"pay"
    moved = headers | {"webhook-id": f"order.{AT}", "webhook-timestamp": str(AT + 1)}
    with pytest.raises(Forbidden, match="a part of 10 to 12 digits after a dot"):
        verify_webhook(moved, body, [SECRET], AT, ReplayGuard())


@pytest.mark.parametrize(
    ("header", "value", "said"),
    [
        ("webhook-id", "", "it has no webhook-id"),
        ("webhook-id", "two words", "webhook-id is not valid"),
        ("webhook-id", "x" * 201, "webhook-id is not valid"),
        ("webhook-id", f"order.{AT}.1", "a part of 10 to 12 digits"),
        ("webhook-timestamp", "", "it has no webhook-timestamp"),
        ("webhook-timestamp", "2026-12-03T10:00:00Z", "not a number of seconds"),
        ("webhook-timestamp", "1614265330000", "not a number of seconds"),
        ("webhook-signature", "", "it has no webhook-signature"),
        ("webhook-signature", "v1," + "A" * 5_000, "longer than 4096"),
        ("webhook-signature", "v2,AAAA", "signature is not valid"),
    ],
)
def test_the_header_that_is_wrong_is_named(header: str, value: str, said: str) -> None:
    headers = sign_webhook([SECRET], ID, AT, BODY) | {header: value}
    with pytest.raises(Forbidden, match=said) as refused:
        verify_webhook(headers, BODY, [SECRET], AT, ReplayGuard())
    assert refused.value.hint


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
