"""Back-channel logout: what a provider's logout token ends, and what a token that is not right ends: nothing."""

from __future__ import annotations

import itertools
import time
import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from websockets.exceptions import ConnectionClosed

from tests.auth.fake_identity_provider import FakeIdentityProvider, fake_identity_provider
from tests.auth.test_oidc import Coming, come, start_server
from tests.auth.user_client import invited, new_user
from tests.graphql.graphql_client import graphql
from tests.graphql.subscription_client import ask, hear, socket
from tests.running_server import Answer, Served, read_all, serving

EVENT = "http://schemas.openid.net/event/backchannel-logout"
NUMBER = itertools.count()


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, FakeIdentityProvider]]:
    with fake_identity_provider() as issuer:
        second = f'\n[oidc.other]\nissuer = "{issuer.url}/other"\nclient_id = "x"\nplace = "machine"\n'
        config = start_server("id", issuer.url) + second
        with serving(tmp_path_factory.mktemp("logout"), config, OIDC_SECRET="s3cret") as served:
            new_user(served, "boss@example.com", "owner")
            yield served, issuer


def signed_in(server: Served, issuer: FakeIdentityProvider, sub: str, sid: str | None = None) -> Coming:
    issuer.person = {"email": f"{sub}@example.com", "sub": sub}
    issuer.claims = {"sid": sid}
    browser = Coming(server)
    assert come(server, issuer, browser).status == 200
    assert browser.send("/auth/session").status == 200
    return browser


def person(server: Served, issuer: FakeIdentityProvider, sid: str | None = None) -> tuple[Coming, str]:
    sub = f"sub{next(NUMBER)}"
    invited(server, f"{sub}@example.com", "developer")
    return signed_in(server, issuer, sub, sid), sub


def token(issuer: FakeIdentityProvider, **more: Any) -> str:
    now = time.time()
    claims = {
        "iss": issuer.url,
        "aud": "sizewise",
        "iat": now,
        "exp": now + 120,
        "jti": uuid.uuid4().hex,
        "events": {EVENT: {}},
        **more,
    }
    return issuer.signed({name: value for name, value in claims.items() if value is not None})


def log_out(server: Served, said: str, name: str = "id") -> Answer:
    body = urlencode({"logout_token": said}).encode()
    kind = "application/x-www-form-urlencoded"
    return server.ask(f"/auth/oidc/{name}/backchannel-logout", body, key=None, content_type=kind)


def test_a_person_is_out_in_every_browser_in_mid_stream_and_on_open_sockets(
    both: tuple[Served, FakeIdentityProvider],
) -> None:
    server, issuer = both
    first, sub = person(server, issuer)
    second, (other, _) = signed_in(server, issuer, sub), person(server, issuer)
    with socket(server, {"x-sizewise-csrf": second.csrf}, cookie=second.cookie, origin=server.url) as open_socket:
        ask(open_socket, "1", "Hello [[repeat 500]] [[pace 0.05]]")
        assert hear(open_socket)["type"] == "next"
        with first.streaming("Hello [[repeat 500]] [[pace 0.05]]") as stream:
            assert b"Hello" in stream.read1(4_096)
            answer = log_out(server, token(issuer, sub=sub))
            assert (answer.status, answer.headers["cache-control"]) == (200, "no-store"), answer.body
            rest, _ = read_all(stream)
        assert b"invalid_api_key" in rest
        with pytest.raises(ConnectionClosed):
            while True:
                hear(open_socket)
    assert first.send("/auth/session").status == 401 and second.send("/auth/session").status == 401
    assert other.send("/auth/session").status == 200
    entry = graphql(server, "{ audit(last: 3) { actor action after } }").data["audit"]
    ended = next(each for each in entry if each["actor"] == "oidc:id")
    assert ended["action"] == "session.end" and ended["after"]["how"] == "back-channel logout"
    assert signed_in(server, issuer, sub).chat().status == 200, "who may, signs in again"


def test_a_session_of_the_provider_ends_alone(both: tuple[Served, FakeIdentityProvider]) -> None:
    server, issuer = both
    laptop, sub = person(server, issuer, "sid-laptop")
    phone = signed_in(server, issuer, sub, "sid-phone")
    assert log_out(server, token(issuer, sid="sid-laptop")).status == 200
    assert (laptop.send("/auth/session").status, phone.send("/auth/session").status) == (401, 200)
    assert log_out(server, token(issuer, sub="somebody-else", sid="sid-phone")).status == 200
    assert phone.send("/auth/session").status == 200, "it is not the session of that subject"
    assert log_out(server, token(issuer, sub=sub, sid="sid-phone")).status == 200
    assert phone.send("/auth/session").status == 401


WRONG: dict[str, dict[str, Any]] = {
    "no event": {"events": None},
    "another event": {"events": {"http://schemas.openid.net/event/other": {}}},
    "an event that is no object": {"events": {EVENT: True}},
    "a nonce": {"nonce": "n"},
    "no jti": {"jti": None},
    "nobody": {"sub": None},
    "another issuer": {"iss": "https://evil.example"},
    "another client": {"aud": "another"},
    "too old": {"iat": time.time() - 5_000},
    "of the future": {"iat": time.time() + 5_000},
    "expired": {"exp": time.time() - 500},
    "no iat": {"iat": None},
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
def test_a_token_that_is_not_right_ends_nothing(
    both: tuple[Served, FakeIdentityProvider], wrong: dict[str, Any]
) -> None:
    server, issuer = both
    browser, sub = person(server, issuer)
    refused = log_out(server, token(issuer, **{"sub": sub, **wrong}))
    assert refused.status == 400 and refused.json["error"] == "invalid_request"  # type: ignore[index]  # an object
    assert browser.send("/auth/session").status == 200


def test_a_signature_that_is_not_the_providers_ends_nothing(both: tuple[Served, FakeIdentityProvider]) -> None:
    server, issuer = both
    browser, sub = person(server, issuer)
    right = token(issuer, sub=sub)
    claims: dict[str, Any] = {"iss": issuer.url, "aud": "sizewise", "sub": sub, "jti": "x", "events": {EVENT: {}}}
    claims |= {"iat": time.time(), "exp": time.time() + 100}
    forged = [right[:-8] + "AAAAAAAA", issuer.unsigned(claims), issuer.by_public_key(claims), "", "a.b.c", "x" * 40_000]
    assert {log_out(server, each).status for each in forged} == {400}
    assert server.ask("/auth/oidc/id/backchannel-logout", b"logout_token=a&logout_token=b", key=None).status == 400
    assert log_out(server, right, "nobody").status == 400
    assert browser.send("/auth/session").status == 200
    assert log_out(server, right).status == 200


def test_a_token_counts_once(both: tuple[Served, FakeIdentityProvider]) -> None:
    server, issuer = both
    _, sub = person(server, issuer)
    said = token(issuer, sub=sub)
    assert log_out(server, said).status == 200
    again = signed_in(server, issuer, sub)
    refused = log_out(server, said)
    assert refused.status == 400 and "used already" in str(refused.json)
    assert again.send("/auth/session").status == 200
