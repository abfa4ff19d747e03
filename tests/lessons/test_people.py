"""People: what opened is closed by signing out, and nothing empty is ever the key to somebody's account."""

from __future__ import annotations

from typing import Any

import pytest

from tests.auth.user_client import PASSWORD, invited, new_user
from tests.graphql.graphql_client import graphql
from tests.running_server import Answer, Served

EMPTY: tuple[Any, ...] = (None, "", " ", "null", "undefined", "0", 0, False, [], {}, [None], {"$ne": None}, "\x00" * 40)
EMPTY += ("' OR '1'='1' --         ", "%" * 40, "_" * 43, "a" * 201)


@pytest.mark.parametrize("token", EMPTY, ids=repr)
def test_15_nothing_empty_resets_a_password(served: Served, token: Any) -> None:
    """A new password is a new invitation here."""
    body = {"token": token, "password": PASSWORD, "name": "evil"}
    refused(served.ask("/auth/invitation", body, key=None, origin=served.url))


def test_15_nor_does_what_is_nearly_a_token(served: Served) -> None:
    waiting = invited(served, "waits@example.com", "viewer")
    for token in (waiting[:-1], waiting + "=", waiting[:20], waiting.swapcase()):
        body = {"token": token, "password": PASSWORD, "name": "evil"}
        refused(served.ask("/auth/invitation", body, key=None, origin=served.url))
    refused(served.ask("/auth/invitation", {"password": PASSWORD}, key=None, origin=served.url))


def refused(answer: Answer) -> None:
    assert answer.status in (400, 403, 404) and "set-cookie" not in answer.headers, answer.body


@pytest.mark.parametrize("password", EMPTY, ids=repr)
def test_15_nor_opens_an_account(served: Served, password: Any) -> None:
    email = "owner@example.com" if graphql(served, "{ users { email } }").data["users"] else "nobody@example.com"
    body = {"email": email, "password": password}
    answer = served.ask("/auth/sign-in", body, key=None, origin=served.url)
    assert answer.status in (400, 401, 403) and "set-cookie" not in answer.headers


def test_12_who_signed_out_is_out_on_every_endpoint_and_so_is_a_copy_of_the_cookie(served: Served) -> None:
    browser = new_user(served, "leaves@example.com", "developer")
    cookie, proof = browser.cookie, browser.csrf
    assert browser.chat().status == 200 and browser.send("/auth/session").status == 200
    assert browser.send("/auth/sign-out", {}).status == 200
    browser.cookie, browser.csrf = cookie, proof
    assert browser.chat().status == 401
    assert browser.send("/auth/session").status == 401
    assert browser.send("/v1/models").status == 401
    assert browser.graphql("{ me { user } }").status == 401


def test_12_an_invitation_opens_once(served: Served) -> None:
    token = invited(served, "once@example.com", "viewer")
    body = {"token": token, "password": PASSWORD, "name": "once"}
    first, second = (served.ask("/auth/invitation", body, key=None, origin=served.url).status for _ in range(2))
    assert first == 200 and second in (400, 403, 404, 409)


def test_17_a_cookie_alone_changes_nothing(served: Served) -> None:
    """A foreign page has the browser send the cookie; it has neither the proof nor our origin."""
    browser = new_user(served, "lured@example.com", "owner")
    for headers in ({"x-sizewise-csrf": None}, {"origin": "https://evil.example"}, {"x-sizewise-csrf": "0" * 64}):
        answer = browser.send("/graphql", {"query": "mutation { signOut { __typename } }"}, headers)
        assert answer.status in (401, 403), (headers, answer.body)
        assert browser.send("/v1/chat/completions", {"model": "echo/small", "messages": []}, headers).status in (
            401,
            403,
        )
    assert browser.send("/auth/session").status == 200, "and it is still signed in"
