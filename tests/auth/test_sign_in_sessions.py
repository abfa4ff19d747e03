"""Signing in and out: the cookie, the proof that a page of ours asks, the same words and time for every wrong try."""

from __future__ import annotations

import asyncio
import itertools
import re
import statistics
import time
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from sizewise.app.services import open_services
from sizewise.auth.api_keys import SERVER_PRINCIPAL
from sizewise.auth.sign_in_sessions import SignInOrigin
from sizewise.errors import InvalidApiKey, SignInFailed
from tests.auth.user_client import PASSWORD, Browser, joined_user, new_user
from tests.graphql.graphql_client import admin, graphql
from tests.running_server import ECHO, Answer, Served, read_all, serving, until

NUMBER = itertools.count()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("sessions")) as served:
        yield served


def person(server: Served, role: str = "developer") -> Browser:
    return new_user(server, f"s{next(NUMBER)}@example.com", role)


def test_the_cookie_is_out_of_reach_of_scripts_and_of_other_sites(server: Served) -> None:
    browser = person(server)
    answer = browser.sign_in(browser.said["email"])
    name, *attributes = answer.headers["set-cookie"].split("; ")
    assert set(attributes) == {"Path=/", "HttpOnly", "SameSite=Strict", "Max-Age=43200"}
    assert name.startswith("sizewise=") and len(name) - len("sizewise=") >= 43, "256 bits"
    assert answer.headers["cache-control"] == "no-store"
    assert browser.cookie.partition("=")[2] not in str(answer.json)


@pytest.mark.long
def test_behind_a_proxy_with_tls_the_cookie_is_bound_to_the_host_and_never_sent_in_the_clear(tmp_path: Path) -> None:
    config = ECHO.replace("[server]", '[server]\ntrusted_proxies = ["127.0.0.0/8"]')
    with serving(tmp_path, config) as server:
        browser = person(server)
        answer = browser.send(
            "/auth/sign-in",
            {"email": browser.said["email"], "password": PASSWORD},
            {"x-forwarded-proto": "https"},
        )
        assert answer.headers["set-cookie"].startswith("__Host-sizewise=")
        assert "; Secure" in answer.headers["set-cookie"]
        assert browser.send("/auth/session", None, {"x-forwarded-proto": "https"}).status == 200
        assert browser.send("/auth/session").status == 401, "over plain HTTP it is no cookie of ours"


def test_without_a_proxy_in_the_settings_nobody_says_where_they_come_from(server: Served) -> None:
    browser = person(server)
    sent = {"email": browser.said["email"], "password": PASSWORD}
    answer = browser.send("/auth/sign-in", sent, {"x-forwarded-proto": "https"})
    assert answer.headers["set-cookie"].startswith("sizewise=")


async def test_a_session_that_has_ended_is_not_revived_by_a_request_that_began_before(tmp_path: Path) -> None:
    with open_services(tmp_path) as services:
        user, sessions = await joined_user(services, "ada@example.com"), services.sessions
        held = (await sessions.start(user, 60, SignInOrigin("password"))).session
        assert (await sessions.switch_project(held, "default", SERVER_PRINCIPAL)).project == "default"
        await sessions.end_all(user, SERVER_PRINCIPAL)
        with pytest.raises(InvalidApiKey, match="the session has ended"):
            await sessions.switch_project(held, "default", SERVER_PRINCIPAL)
        await sessions.end(held, SERVER_PRINCIPAL)
        assert sessions.list_active("local") == []
        late = (await sessions.start(user, 0.001, SignInOrigin("password"))).session
        await asyncio.sleep(0.01)
        with pytest.raises(InvalidApiKey, match="the session has ended"):
            await sessions.switch_project(late, "default", SERVER_PRINCIPAL)


async def test_a_sign_in_that_began_before_the_password_changed_gives_no_session(tmp_path: Path) -> None:
    with open_services(tmp_path) as services:
        user, origin = await joined_user(services, "ada@example.com"), SignInOrigin("password")
        await services.users.change_password(user, "another long sentence of mine")
        with pytest.raises(SignInFailed):
            await services.sessions.start(user, 60, origin)
        user = services.users.get(user.id, "local")
        await services.users.disable(user.id, "local", SERVER_PRINCIPAL)
        with pytest.raises(SignInFailed):
            await services.sessions.start(user, 60, origin)
        await services.users.enable(user.id, "local", SERVER_PRINCIPAL)
        assert services.sessions.list_active("local") == []
        await services.sessions.start(user, 60, origin)


def test_a_session_opens_tokens_and_graphql_alike(server: Served) -> None:
    browser = person(server)
    assert browser.chat().status == 200
    assert browser.send("/v1/models").status == 200
    assert browser.graphql("{ me { user key } }").data == {"me": {"user": browser.user, "key": browser.said["session"]}}
    records = graphql(server, "{ records(last: 1) { rows { key } } }").data["records"]["rows"]
    assert records[0]["key"] == browser.said["session"]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/graphql", "/auth/session", "/auth/sign-out"])
@pytest.mark.parametrize(
    "wrong",
    [
        {"x-sizewise-csrf": None},
        {"x-sizewise-csrf": "0" * 64},
        {"origin": None},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
    ids=str,
)
def test_what_a_page_of_another_site_sends_with_our_cookie_does_nothing(
    server: Served,
    shared: Browser,
    path: str,
    wrong: dict[str, str | None],
) -> None:
    bodies: dict[str, object] = {
        "/v1/chat/completions": {"model": "echo/small", "messages": [{"role": "user", "content": "Hello"}]},
        "/graphql": {"query": "{ me { user } }"},
        "/auth/session": {"project": "default"},
        "/auth/sign-out": {},
    }
    refused = shared.send(path, bodies[path], wrong)
    assert refused.status == 403, refused.body
    assert shared.send("/auth/session").status == 200


@pytest.fixture(scope="module")
def shared(server: Served) -> Browser:
    return person(server)


def test_a_proof_of_another_session_is_none(server: Served) -> None:
    mine, yours = person(server), person(server)
    mine.csrf = yours.csrf
    assert mine.chat().status == 403


def test_a_key_needs_no_proof_and_goes_before_a_cookie(server: Served) -> None:
    browser = person(server)
    answer = server.ask("/graphql", {"query": "{ me { key } }"}, key=admin(server), cookie=browser.cookie)
    assert answer.json == {"data": {"me": {"key": "admin"}}}
    assert server.ask("/graphql", {"query": "{ me { key } }"}, key="wrong", cookie=browser.cookie).status == 401


def test_two_cookies_of_ours_are_none_for_one_of_them_is_somebody_elses(server: Served) -> None:
    browser = person(server)
    browser.cookie += "; sizewise=another"
    assert browser.send("/auth/session").status == 401


def test_a_foreign_page_signs_nobody_in(server: Served) -> None:
    browser = person(server)
    sent = {"email": browser.said["email"], "password": PASSWORD}
    for headers in ({"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}):
        assert Browser(server).send("/auth/sign-in", sent, headers).status == 403
    rebound = {"host": "evil.example", "origin": "http://evil.example"}
    assert Browser(server).send("/auth/sign-in", sent, rebound).status == 403


def test_cve_2026_55423_who_signed_out_is_out_at_once_and_in_mid_stream(server: Served) -> None:
    browser = person(server)
    copy = Browser(server, browser.cookie, browser.csrf)
    with copy.streaming("Hello [[repeat 500]] [[pace 0.05]]") as stream:
        assert b"Hello" in stream.read1(4_096)
        assert browser.send("/auth/sign-out", {}).json == {"signed_out": True}
        rest, _ = read_all(stream)
    assert b"invalid_api_key" in rest and b"[DONE]" not in rest
    for late in (copy.send("/auth/session"), copy.chat(), copy.send("/graphql", {"query": "{ me { user } }"})):
        assert late.status == 401


def test_signing_out_when_nobody_is_signed_in_does_no_harm(server: Served) -> None:
    answer = Browser(server).send("/auth/sign-out", {})
    assert answer.status == 200 and "Max-Age=0" in answer.headers["set-cookie"]


def test_all_sessions_of_one_user_end_together_and_nobody_elses(server: Served) -> None:
    first, other = person(server), person(server)
    second = Browser(server)
    second.sign_in(first.said["email"])
    seen = first.graphql("{ signInSessions { id user } }").data["signInSessions"]
    assert len(seen) == 2 and {each["user"] for each in seen} == {first.user}
    assert first.graphql("mutation { signOut { id } }").code == ""
    assert (first.send("/auth/session").status, second.send("/auth/session").status) == (401, 401)
    assert other.send("/auth/session").status == 200


@pytest.mark.long
@pytest.mark.parametrize("setting", ["idle_timeout_s = 1", "max_age_s = 1"])
def test_a_session_ends_by_itself(tmp_path: Path, setting: str) -> None:
    with serving(tmp_path, f"{ECHO}\n[login_sessions]\n{setting}") as server:
        browser = person(server)
        if setting.startswith("idle"):
            first = last = time.monotonic()
            while last - first < 1.5:  # used again and again, it lives
                before, last = last, time.monotonic()
                assert browser.send("/auth/session").status == 200 or time.monotonic() - before > 1
            time.sleep(1.1)
            assert browser.send("/auth/session").status == 401
        else:
            until(lambda: browser.send("/auth/session").status == 401)


@pytest.mark.long
def test_sessions_outlive_a_restart_and_their_end_does_too(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        stays, goes = person(server), person(server)
        goes.send("/auth/sign-out", {})
    with serving(tmp_path) as server:
        stays.server = goes.server = server
        assert stays.send("/auth/session").status == 200


def test_a_wrong_password_and_an_unknown_address_are_told_alike(server: Served) -> None:
    browser = person(server)
    wrong = Browser(server).sign_in(browser.said["email"], "not the right sentence")
    unknown = Browser(server).sign_in("nobody@example.com", "not the right sentence")
    for answer in (wrong, unknown):
        assert (answer.status, answer.error["code"]) == (401, "sign_in_refused") and "set-cookie" not in answer.headers
    assert wrong.error == unknown.error
    graphql(server, "mutation($id: String!) { disableUser(id: $id) { id } }", id=browser.user)
    assert Browser(server).sign_in(browser.said["email"]).error == wrong.error


@pytest.mark.long
def test_a_wrong_password_and_an_unknown_address_take_as_long(tmp_path: Path) -> None:
    """One hash in both cases, which takes some 60 ms; without it an unknown address would be told in one."""
    with serving(tmp_path) as server:

        def seconds(email: str) -> float:
            before = time.perf_counter()
            assert Browser(server).sign_in(email, "not the right sentence").status == 401
            return time.perf_counter() - before

        known = person(server).said["email"]
        seconds("warm@example.com")
        pairs = [(seconds(known), seconds("nobody@example.com")) for _ in range(9)]
    one, two = (statistics.median(each) for each in zip(*pairs, strict=True))
    assert min(one, two) > 0.01 and max(one, two) / min(one, two) < 3, (one, two)


@pytest.mark.long
def test_guessing_is_slowed_down_for_one_account_and_leaves_others_alone(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        victim, other = person(server), person(server)
        guesses = [Browser(server).sign_in(victim.said["email"], f"a wrong sentence {n}") for n in range(12)]
        assert [guess.status for guess in guesses] == [401] * 10 + [429] * 2
        assert int(guesses[-1].headers["retry-after"]) > 600
        assert Browser(server).sign_in(victim.said["email"]).status == 429, "the right one too: it tells nothing"
        assert Browser(server).sign_in(other.said["email"]).status == 200
        assert victim.send("/auth/session").status == 200
        lines: list[dict[str, Any]] = graphql(server, "{ audit(last: 30) { action actor error } }").data["audit"]
        assert [line["actor"] for line in lines if line["error"] == "sign_in_refused"] == [victim.user] * 10


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{", b"null", b'{"email": 1}', b'{"email": "a@b.c", "password": "' + b"x" * 5_000 + b'"}', b"\xff"],
)
@pytest.mark.parametrize("path", ["/auth/sign-in", "/auth/invitation"])
def test_a_body_that_is_none_is_refused_in_words(server: Served, path: str, body: bytes) -> None:
    answer = Browser(server).send(path, body)
    assert (answer.status, answer.error["code"]) == (400, "bad_body")


@pytest.mark.parametrize(("path", "to"), [("/sign-in", "/auth/sign-in"), ("/invitation", "/auth/invitation")])
def test_the_pages_run_no_script_but_their_own(server: Served, path: str, to: str) -> None:
    page = server.ask(path, key=None)
    text, policy = page.body.decode(), page.headers["content-security-policy"]
    assert page.status == 200 and f'data-to="{to}"' in text and page.headers["referrer-policy"] == "no-referrer"
    for tag, rule in (("style", "style-src"), ("script", "script-src")):
        inside = re.search(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        assert inside is not None
        assert f"{rule} 'sha256-{b64encode(sha256(inside[1].encode()).digest()).decode()}'" in policy
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert "http" not in re.sub("<style>.*?</style>", "", text, flags=re.DOTALL).replace("http-equiv", "")


def test_a_new_password_needs_the_old_one_and_ends_every_other_session(server: Served) -> None:
    browser = person(server)
    mine, other = browser.said["email"], Browser(server)
    assert other.sign_in(mine).status == 200
    new = "another long sentence of mine"

    def change(**said: str) -> Answer:
        return browser.send("/auth/password", {"current": PASSWORD, "password": new, **said})

    assert change(current="not the old sentence").status == 401
    assert change(password="password1234").status == 400
    assert browser.send("/auth/session").status == 200
    assert browser.send("/auth/password", {}, {"x-sizewise-csrf": None}).status == 403
    assert change().status == 200
    assert (browser.send("/auth/session").status, other.send("/auth/session").status) == (200, 401)
    assert (Browser(server).sign_in(mine).status, Browser(server).sign_in(mine, new).status) == (401, 200)
