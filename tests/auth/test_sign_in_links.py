"""Sign-in links: whose they are, that each works once, and what a link that does not work says."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from tests.auth.user_client import Browser, new_user
from tests.cli.terminal import sizewise
from tests.graphql.graphql_client import admin, graphql
from tests.running_server import ECHO, Answer, Served, serving


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("links")) as served:
        yield served


def token(url: str) -> str:
    return url.partition("#link=")[2].partition("&")[0]


def created(server: Served, **body: str) -> str:
    answer = server.ask("/auth/link", body, key=admin(server))
    assert answer.status == 200, answer.body
    return str(answer.json["url"])  # type: ignore[index]  # an object


def redeem(server: Served, text: str) -> tuple[Browser, Answer]:
    browser = Browser(server)
    return browser, browser.send("/auth/link/redeem", {"token": text})


def test_the_link_that_up_prints_signs_in_an_owner_once(server: Served) -> None:
    assert server.sign_in.startswith(f"{server.url}/sign-in#link=")
    browser, answer = redeem(server, token(server.sign_in))
    assert answer.status == 200, answer.body
    assert (browser.said["role"], browser.said["method"]) == ("owner", "link")
    assert browser.chat().status == 200
    assert browser.graphql("{ users { email role } }").data["users"][0]["email"] == "owner@this-machine.invalid"
    _, again = redeem(server, token(server.sign_in))
    assert (again.status, again.error["code"]) == (403, "forbidden")
    assert "was used already" in again.error["message"] and "sizewise open" in again.error["hint"]


def test_each_link_signs_in_the_same_account_and_the_audit_log_says_how(server: Served) -> None:
    first, second = (redeem(server, token(created(server)))[0] for _ in range(2))
    assert first.user == second.user and first.said["session"] != second.said["session"]
    shown = graphql(server, "{ audit(last: 5) { action after } }").data["audit"]
    begun = [each["after"] for each in shown if each["action"] == "session.begin"]
    assert begun and all((each["how"], each["factor"]) == ("link", "link") for each in begun)


def test_of_many_that_redeem_a_link_at_once_one_is_signed_in(server: Served) -> None:
    once = token(created(server))
    with ThreadPoolExecutor(8) as pool:
        answers = [answer.status for _, answer in pool.map(lambda _: redeem(server, once), range(8))]
    assert sorted(answers) == [200, *[403] * 7]


@pytest.mark.long
def test_a_link_works_once_over_two_workers(tmp_path: Path) -> None:
    with serving(tmp_path, ECHO.replace("[server]", "[server]\nworkers = 2")) as server:
        once = token(server.sign_in)
        with ThreadPoolExecutor(8) as pool:
            answers = [answer.status for _, answer in pool.map(lambda _: redeem(server, once), range(16))]
        assert sorted(answers) == [200, *[403] * 15]


def test_a_late_link_and_one_that_never_was_say_so(server: Served) -> None:
    late = token(created(server))
    with closing(sqlite3.connect(server.home / "sizewise.db", timeout=60)) as database, database:
        database.execute("UPDATE sign_in_links SET expires = created - 1 WHERE used IS NULL")
    _, answer = redeem(server, late)
    assert answer.status == 403 and "older than 15 minutes" in answer.error["message"]
    _, answer = redeem(server, "x" * 43)
    assert answer.status == 403 and "not one of this server" in answer.error["message"]


def test_a_disabled_account_gets_no_session_and_the_link_stays_unused(server: Served) -> None:
    _, answer = redeem(server, token(created(server)))
    user = answer.json["user"]  # type: ignore[index]  # an object
    new_user(server, "another-owner@example.com", "owner")
    change = "mutation($id: String!) { %s(id: $id) { id } }"
    assert graphql(server, change % "disableUser", id=user).errors == []
    once = token(created(server))
    _, refused = redeem(server, once)
    assert refused.status == 403 and refused.error["hint"] == f"sizewise users enable {user}"
    assert graphql(server, change % "enableUser", id=user).errors == []
    assert redeem(server, once)[1].status == 200


def test_only_the_admin_token_creates_links_and_only_on_this_machine(server: Served) -> None:
    owner = new_user(server, "owner@example.com", "owner")
    assert owner.send("/auth/link", {}).status == 403
    assert server.ask("/auth/link", {}).status == 403, "an API key"
    token = admin(server)
    assert server.ask("/auth/link", {}, key=token, x_forwarded_for="127.0.0.1").status == 403
    assert server.ask("/auth/link", {}, key=token, forwarded="for=127.0.0.1").status == 403


@pytest.mark.parametrize("to", ["//evil.example", "https://evil.example", "/a?b", "javascript:alert(1)", "/a b"])
def test_a_link_opens_pages_of_this_server_only(server: Served, to: str) -> None:
    answer = server.ask("/auth/link", {"to": to}, key=admin(server))
    assert (answer.status, answer.error["code"]) == (400, "bad_request")


def test_open_prints_a_link_that_works(server: Served) -> None:
    shown = sizewise("open", "--print", "/graphql", home=server.home)
    assert shown.code == 0 and shown.out.strip().endswith("&to=/graphql"), shown.err
    assert redeem(server, token(shown.out.strip()))[1].status == 200
    told = sizewise("open", "--json", home=server.home).json
    assert token(told["url"]) and told["expires"] > 0


def test_open_without_a_server_says_what_to_start(tmp_path: Path) -> None:
    shown = sizewise("open", home=tmp_path)
    assert shown.code == 3 and "sizewise up" in shown.err
