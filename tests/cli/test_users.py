"""The verbs about people and keys: what is made by them is so at the server, and what may not be is told in words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.auth.user_client import Browser
from tests.cli.terminal import sizewise
from tests.graphql.graphql_client import graphql
from tests.running_server import Served, serving


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("people")) as served:
        yield served


def invited(server: Served, email: str, *words: str) -> Browser:
    done = sizewise("users", "invite", email, *words, home=server.home)
    assert done.code == 0 and "shown once" in done.err
    url, _, token = done.out.strip().partition("/invitation#")
    assert url == server.url
    browser = Browser(server)
    assert browser.accept(token, "Ada").status == 200
    return browser


@pytest.mark.long
def test_somebody_is_invited_raised_disabled_and_let_in_again(server: Served) -> None:
    ada = invited(server, "ada@example.com", "--role", "developer")
    invited(server, "eve@example.com", "--role", "viewer", "--project", "shop")
    table = sizewise("users", home=server.home).out
    assert "ada@example.com" in table and "shop:viewer" in table
    assert sizewise("users", "role", "ada@example.com", "editor", home=server.home).code == 0
    ada.send("/auth/session")
    assert ada.said["role"] == "editor"
    assert "ada@example.com" in sizewise("users", "sessions", home=server.home).out
    assert sizewise("users", "role", "Ada@Example.com", "none", home=server.home).out.startswith("ada@example.com is")
    assert "ada@example.com" not in sizewise("users", "sessions", home=server.home).out, "there is nothing she may"
    sizewise("users", "role", ada.user, "viewer", home=server.home)
    shown = sizewise("users", "disable", ada.user, "--json", home=server.home).json
    assert (shown["state"], ada.send("/auth/session").status) == ("disabled", 401)
    assert sizewise("users", "enable", ada.user, home=server.home).code == 0
    assert ada.sign_in("ada@example.com").status == 200
    assert sizewise("users", "sign-out", "ada@example.com", home=server.home).code == 0
    assert ada.send("/auth/session").status == 401


def test_an_invitation_is_listed_and_taken_back(server: Served) -> None:
    made = sizewise("users", "invite", "bob@example.com", "--role", "viewer", "--json", home=server.home).json
    assert "bob@example.com" in sizewise("users", "invitations", home=server.home).out
    assert sizewise("users", "withdraw", made["invitation"]["id"], home=server.home).code == 0
    assert Browser(server).accept(made["token"]).status == 403


def test_an_organization_is_founded(server: Served) -> None:
    done = sizewise("orgs", "create", "acme", "owner@acme.example", home=server.home)
    browser = Browser(server)
    assert browser.accept(done.out.strip().partition("#")[2]).status == 200
    assert (browser.said["organization"], browser.said["role"]) == ("acme", "owner")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("invite", "cyd@example.com", "--role", "develper"), "Did you mean 'developer'?"),
        (("invite", "nobody", "--role", "viewer"), "ada@example.com"),
        (("disable", "zoe@example.org"), "no user has the address"),
        (("role", "us-nobody", "viewer"), ""),
    ],
)
def test_what_cannot_be_is_told(server: Served, words: tuple[str, ...], said: str) -> None:
    done = sizewise("users", *words, home=server.home)
    assert done.code == 2 and said in done.err


def test_a_key_is_confined_by_options_and_rotated_with_what_it_had(server: Served) -> None:
    words = (
        "--project",
        "shop",
        "--endpoint",
        "chat",
        "--endpoint",
        "graphql",
        "--model",
        "echo/small",
        "--network",
        "127.0.0.0/8",
    )
    options = ("--permissions", "ask,read_models", "--data-class", "internal", "--expires-days", "2", *words)
    made = sizewise("keys", "create", "till", *options, "--json", home=server.home).json
    key = made["key"]
    assert (key["project"], key["allProjects"], key["dataClass"]) == ("shop", False, "internal")
    assert key["permissions"] == ["ask", "read_models"]
    assert key["scope"] == {
        "endpoints": ["chat", "graphql"],
        "models": ["echo/small"],
        "policies": [],
        "flows": [],
        "networks": ["127.0.0.0/8"],
    }
    assert "echo/small" in sizewise("keys", home=server.home).out
    again = sizewise("keys", "rotate", key["id"], "--overlap-hours", "0", "--json", home=server.home).json
    assert again["key"]["scope"] == key["scope"] and again["secret"] != made["secret"]
    assert graphql(server, "{ me { key } }", key=made["secret"]).status == 401
    assert graphql(server, "{ me { key } }", key=again["secret"]).data["me"]["key"] == again["key"]["id"]


@pytest.mark.parametrize("words", [("--permissions", "reed"), ("--endpoint", "chatt"), ("--network", "x"), ("--own",)])
def test_a_key_that_cannot_be_is_told(server: Served, words: tuple[str, ...]) -> None:
    assert sizewise("keys", "create", "a", *words, home=server.home).code == 2


def test_a_folder_without_a_server_is_told(tmp_path: Path) -> None:
    for words in (("users",), ("audit", "list"), ("audit", "verify")):
        assert sizewise(*words, home=tmp_path).code == 3


@pytest.mark.long
def test_a_newcomer_is_told_what_to_do_next(tmp_path: Path) -> None:
    with serving(tmp_path):
        assert "sizewise users invite" in sizewise("users", home=tmp_path).err
        assert "sizewise budgets set" in sizewise("budgets", home=tmp_path).err
        assert "new ones are wrapped" in sizewise("encryption", home=tmp_path).err
        assert sizewise("budgets", "set", "user:us-nobody", "--rpm", "1", home=tmp_path).code == 2
        refused = sizewise("budgets", "set", "project:shop", "--usd-day", "-5", home=tmp_path)
        assert refused.code == 2 and "'-5' is not an amount of dollars" in refused.err and "0.25" in refused.hint
